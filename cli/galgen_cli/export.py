"""``galgen export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galgen_cli import options
from galgen_cli.console import Talk

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[CKPT]",
        help="checkpoint, run or exported folder [newest run, else the model galgen ships]",
        show_default=False,
    ),
]
Licence = Annotated[
    str | None,
    typer.Option("--licence", help="of the weights, for example CC-BY-4.0", show_default=False),
]
Cite = Annotated[
    str | None,
    typer.Option("--cite", help="how to credit the data it learned from", show_default=False),
]
Name = Annotated[
    str | None, typer.Option("--name", help="of the model [PAIR-DATA-SIZE]", show_default=False)
]
Half = Annotated[
    bool, typer.Option("--half", help="float16: half the size, galaxies differ slightly")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="take the place of a model that was exported there")
]


def export(
    source: Source = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder to write [NAME]", show_default=False)
    ] = None,
    licence: Licence = None,
    cite: Cite = None,
    name: Name = None,
    half: Half = False,
    overwrite: Overwrite = False,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Write a model as a folder to share: weights, card, page and picture.

    Every command takes the folder in place of a checkpoint.
    """
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import checkpoint
        from galgen.export import Sharing, card_of, unsaid
        from galgen.export import export as write
        from galgen.export.folder import check_free
        from galgen.exported import read_card
        from galgen.runs import slug

        if out is not None:
            check_free(out, overwrite)
        model = checkpoint.load(source)
        sharing = Sharing(licence, cite, name, half)
        card = card_of(model, sharing)
        out = out or Path(slug(str(card["name"])))
        check_free(out, overwrite)
        talk.say(f"{model.path} ({model.name}, {model.spec.size} px, {model.images:,} images)")
        for line in unsaid(card):
            talk.say(line)
        if not dry_run:
            write(model, out, sharing, overwrite=overwrite)
            card = read_card(out)
        talk.say(f"{'would write' if dry_run else 'exported'}: {out}")
        talk.result({"folder": out, **{key: card.get(key) for key in _TOLD}})


_TOLD = ("name", "from", "precision", "licence", "cite", "data", "training", "scores", "files")
