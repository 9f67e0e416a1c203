"""``galgen replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galgen_cli import options
from galgen_cli.console import Talk

if TYPE_CHECKING:
    from galgen.replay import Replayed

#: Files of other versions whose differences are told one by one.
TOLD = 5
STATES = {
    "identical": "are identical to what their headers say",
    "close": "are the same to {:g} of the peak, drawn by another version or device",
    "different": "differ from what their headers say",
    "damaged": "were changed after they had been written",
}


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="FITS files of generated galaxies, or folders"),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            help="that drew them: file, run or exported folder [found by its hash]",
            show_default=False,
        ),
    ] = None,
    psf: Annotated[
        Path | None,
        typer.Option(
            "--psf",
            help="FITS file of the PSF that they were seen through [beside them, or here]",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="folder to write them to as they are drawn now"),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw galaxies anew from the headers of their files, and compare DATASUM."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen.replay import TOLERANCE
        from galgen.replay import replay as draw
        from galgen.replay.reading import spread

        with talk.progress("replaying", len(spread(files))) as bar:
            found = draw(
                files,
                checkpoint,
                psf=None if psf is None else str(psf),
                write=write,
                progress=bar,
                say=talk.say,
            )
        for path in dict.fromkeys(one.checkpoint for one in found if one.checkpoint):
            talk.say(f"model: {path}")
        counts = {state: sum(one.state == state for one in found) for state in STATES}
        for state, count in counts.items():
            if count:
                talk.say(f"{count:,} of {len(found):,} files {STATES[state].format(TOLERANCE)}")
            _tell(talk, [one for one in found if one.state == state and one.told])
        if write is not None:
            talk.say(f"wrote {len(found):,} files to {write}")
        talk.result(
            {
                "files": len(found),
                **counts,
                "tolerance": TOLERANCE,
                "results": list(map(_plain, found)),
            }
        )
    if not all(one.same for one in found):
        raise typer.Exit(1)


def _tell(talk: Talk, found: list[Replayed]) -> None:
    # What other versions do is alike in all files; what is wrong is told of each.
    shown = found[:TOLD] if found and found[0].same else found
    for one in shown:
        talk.say(f"  {one.path}: {one.told}")
    if len(found) > len(shown):
        talk.say(f"  and {len(found) - len(shown):,} more")


def _plain(one: Replayed) -> dict[str, Any]:
    return {
        "file": one.path,
        "state": one.state,
        "same": one.same,
        "told": one.told or None,
        "of_peak": one.of_peak,
        "of_noise": one.of_noise,
        "checkpoint": one.checkpoint,
        "written": one.written,
    }
