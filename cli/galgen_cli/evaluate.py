"""``galgen evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galgen_cli import options
from galgen_cli.console import Talk


def evaluate(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CKPT | FOLDER]",
            help="checkpoint, run, exported folder, or images [newest run, else the shipped model]",
            show_default=False,
        ),
    ] = None,
    real: Annotated[
        str | None,
        typer.Option(
            "--real",
            help="real galaxies, as --crop and the like read them [the run's own]",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("-n", help="how many generated galaxies, at most [1000]", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            help="galaxy, physics, inception, FILE.pt, photometry, morphology, spectrum, radio, "
            "copies, conditions, statmorph; +NAME and -NAME change the default",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="CKPT | FOLDER",
            help="a second generator, side by side",
            show_default=False,
        ),
    ] = None,
    crop: options.Crop = None,
    size: options.Size = None,
    bands: options.Bands = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [the run, else ./evaluation-00001]", show_default=False),
    ] = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Are they real, physical and new? Scores with their noise floor: JSON, and a report to open.

    Of a model with classes it trains a classifier on the real galaxies, which takes about a minute;
    --set evaluate.classifier=false leaves it out.
    """
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen.checkpoint import resolve
        from galgen.config import RunConfig
        from galgen.evaluate import check_named
        from galgen.evaluate import evaluate as judge
        from galgen.metrics.wanted import parse_metrics

        run = RunConfig.build(
            *options.layers(
                config,
                settings,
                data__source=real,
                data__size=size,
                data__crop=crop,
                data__bands=bands,
                evaluate__n=n,
                evaluate__metrics=metrics,
                evaluate__against=against,
                seed=seed,
            )
        )
        real = run.data.source if "source" in run.data.model_fields_set else None
        check_named(source, real, run.evaluate.against)
        path = source or resolve(None)
        wanted = parse_metrics(run.evaluate.metrics)
        beside = f" and {run.evaluate.against}" if run.evaluate.against else ""
        talk.say(f"{path}{beside} against {real or 'the galaxies it was trained on'}")
        if dry_run:
            names = [*wanted.extractors, *sorted(wanted.groups)]
            talk.say(f"would score up to {run.evaluate.n:,} galaxies by {', '.join(names)}")
            talk.result({"source": path, "real": real, "n": run.evaluate.n, "seed": run.seed,
                         "metrics": names, "against": run.evaluate.against})  # fmt: skip
            return
        with talk.stages() as progress:
            found = judge(
                source,
                real,
                n=run.evaluate.n,
                seed=run.seed,
                metrics=run.evaluate.metrics,
                against=run.evaluate.against,
                out=out,
                classifier=run.evaluate.classifier,
                photometry=run.evaluate.photometry,
                inception=run.evaluate.inception,
                extractor_size=run.evaluate.extractor_size,
                progress=progress,
                **options.reading(run.data),
            )
        for sentence in (*found.result["notes"], *found.verdict):
            talk.say(sentence)
        talk.say(f"scores: {found.json}")
        talk.say(f"report: {found.html}")
        talk.result({**found.result, "json": found.json, "report": found.html})
