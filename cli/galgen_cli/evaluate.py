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
        typer.Option("--real", help="real galaxies [the run's own]", show_default=False),
    ] = None,
    n: Annotated[int, typer.Option("-n", help="how many generated galaxies")] = 1000,
    crop: options.Crop = None,
    size: options.Size = None,
    bands: options.Bands = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [the run, else ./evaluation-00001]", show_default=False),
    ] = None,
    seed: options.Seed = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Score generated galaxies against real ones: JSON, and a report to open in a browser."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen.bands import parse_bands
        from galgen.evaluate import evaluate as judge

        reading = options.reading(settings)
        if dry_run:
            talk.say(f"would score {n:,} galaxies of {source or 'the newest model'}")
            return
        with talk.stages() as progress:
            found = judge(
                source,
                real,
                n=n,
                seed=seed or 0,
                crop=crop,
                size=size,
                bands=parse_bands(bands),
                out=out,
                progress=progress,
                **reading,
            )
        for sentence in found.verdict:
            talk.say(sentence)
        talk.say(f"scores: {found.json}")
        talk.say(f"report: {found.html}")
        talk.result({**found.result, "json": found.json, "report": found.html})
