"""``galgen sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galgen_cli import options
from galgen_cli.console import Talk


def sample(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CKPT]",
            help="checkpoint, run or exported folder [newest run, else the model galgen ships]",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="how many galaxies [16]", show_default=False)
    ] = None,
    fits: Annotated[bool, typer.Option("--fits", help="write FITS, fluxes as they are")] = False,
    png: Annotated[bool, typer.Option("--png", help="write PNG pictures")] = False,
    jpg: Annotated[bool, typer.Option("--jpg", help="write JPG pictures")] = False,
    cube: Annotated[
        bool, typer.Option("--cube", help="FITS with one (band, y, x) image, not one per band")
    ] = False,
    label: Annotated[
        str | None, typer.Option("--label", help="class to draw [the training set's mix]")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option("--start", help="number of the first galaxy [0]", show_default=False),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="galaxies in memory at a time [64]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [./samples-00001, counted up]", show_default=False),
    ] = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Draw galaxies to FITS, PNG or JPG, with a catalogue. Galaxy i of a seed never changes."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import checkpoint
        from galgen.config import RunConfig
        from galgen.sample import sample as draw

        formats = [name for name, on in (("fits", fits or cube), ("png", png), ("jpg", jpg)) if on]
        run = RunConfig.build(
            *options.layers(
                config,
                settings,
                sample__n=n,
                sample__start=start,
                sample__label=label,
                sample__formats=formats or None,
                sample__cube=cube or None,
                sample__batch=batch,
                seed=seed,
            )
        )
        wanted = run.sample
        model = checkpoint.load(source)
        spec = model.spec
        talk.say(
            f"model: {model.path} ({model.name}, {spec.size} px, {', '.join(spec.bands)}, "
            f"{model.images:,} images)"
        )
        if dry_run:
            where = out or "./samples-00001, counted up"
            talk.say(f"would draw {wanted.n:,} galaxies of seed {run.seed} to {where}")
            talk.result({"model": model.path, "seed": run.seed, **wanted.model_dump(mode="json")})
            return
        with talk.progress("sampling", wanted.n) as advance:
            drawn = draw(
                model,
                wanted.n,
                seed=run.seed,
                start=wanted.start,
                label=wanted.label,
                formats=wanted.formats or None,
                cube=wanted.cube,
                out=out,
                batch=wanted.batch,
                progress=advance,
            )
        talk.say(f"wrote {drawn.count:,} galaxies to {drawn.folder} ({drawn.files[0]}, ...)")
        talk.say(f"catalogue: {drawn.catalogue}")
        talk.say(f"picture: {drawn.picture}")
        talk.result(
            {
                "folder": drawn.folder,
                "count": drawn.count,
                "model": model.path,
                "catalogue": drawn.catalogue,
                "picture": drawn.picture,
            }
        )
