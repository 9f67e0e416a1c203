"""The Typer application."""

from __future__ import annotations

from typing import Annotated

import typer

from galgen_cli.data import data
from galgen_cli.evaluate import evaluate
from galgen_cli.export import export
from galgen_cli.finetune import finetune
from galgen_cli.hub import pull, push
from galgen_cli.models import models
from galgen_cli.replay import replay
from galgen_cli.sample import sample
from galgen_cli.train import train

app = typer.Typer(
    name="galgen",
    help="Train, fine-tune, sample and judge generators of galaxy images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        import galgen

        print(f"galgen {galgen.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Train, fine-tune, sample and judge generators of galaxy images."""


app.command()(train)
app.command()(finetune)
app.command()(sample)
app.command()(replay)
app.command()(evaluate)
app.command()(models)
app.command()(export)
app.command()(push)
app.command()(pull)
app.add_typer(data)

if __name__ == "__main__":
    app()
