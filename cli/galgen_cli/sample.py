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
    n: Annotated[int, typer.Option("-n", help="how many galaxies")] = 16,
    fits: Annotated[bool, typer.Option("--fits", help="write FITS, fluxes as they are")] = False,
    png: Annotated[bool, typer.Option("--png", help="write PNG pictures")] = False,
    jpg: Annotated[bool, typer.Option("--jpg", help="write JPG pictures")] = False,
    cube: Annotated[
        bool, typer.Option("--cube", help="FITS with one (band, y, x) image, not one per band")
    ] = False,
    label: Annotated[
        str | None, typer.Option("--label", help="class to draw [the training set's mix]")
    ] = None,
    start: Annotated[int, typer.Option("--start", help="number of the first galaxy")] = 0,
    batch: Annotated[int, typer.Option("--batch", help="galaxies in memory at a time")] = 64,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [./samples-00001, counted up]", show_default=False),
    ] = None,
    seed: options.Seed = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Draw galaxies to FITS, PNG or JPG, with a catalogue. Galaxy i of a seed never changes."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import checkpoint
        from galgen.sample import sample as draw

        model = checkpoint.load(source)
        spec = model.spec
        talk.say(
            f"model: {model.path} ({model.name}, {spec.size} px, {', '.join(spec.bands)}, "
            f"{model.images:,} images)"
        )
        formats = [name for name, on in (("fits", fits or cube), ("png", png), ("jpg", jpg)) if on]
        if dry_run:
            talk.say(f"would draw {n:,} galaxies of seed {seed or 0} to {out or './samples-...'}")
            return
        with talk.progress("sampling", n) as advance:
            drawn = draw(
                model,
                n,
                seed=seed or 0,
                start=start,
                label=label,
                formats=formats or None,
                cube=cube,
                out=out,
                batch=batch,
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
