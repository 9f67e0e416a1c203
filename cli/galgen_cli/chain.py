"""``galgen train`` with a configuration of several stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from galgen_cli.console import INTERRUPTED, Talk

if TYPE_CHECKING:
    from galgen.chain import ChainOutcome

#: Name of the file that a chain's folder has; importing it from the library would cost torch.
RECORD = "chain.yaml"


def is_chain(layers: Sequence[Mapping[str, Any]], resumed: str | None) -> bool:
    """True where a configuration has stages, or the run to go on with is a chain's folder."""
    return "chain" in layers[0] or (resumed is not None and (Path(resumed) / RECORD).is_file())


def train_chain(
    talk: Talk,
    layers: Sequence[Mapping[str, Any]],
    data: str | None,
    out: Path | None,
    resume: bool,
    dry_run: bool,
) -> None:
    """Train the stages of a chain, or list them; or go on with one."""
    from galgen.chain import chain, resume_chain, standing
    from galgen.errors import ConfigError
    from galgen.runs import RUNS

    if resume:
        if data is None or any(layers) or out is not None:
            raise ConfigError(
                "--resume: a chain goes on with its own settings, galgen train FOLDER --resume."
            )
        if dry_run:
            stages = standing(data)
            for stage in stages:
                talk.say(str(stage))
            talk.result({"chain": Path(data), "stages": [vars(stage) for stage in stages]})
            return
        report(talk, resume_chain(data, say=talk.say, console=talk.console))
    elif dry_run:
        show_stages(talk, layers)
    else:
        report(talk, chain(*layers, out=out or RUNS, say=talk.say, console=talk.console))


def show_stages(talk: Talk, layers: Sequence[Mapping[str, Any]]) -> None:
    """What would be done, stage by stage."""
    from rich.table import Column, Table

    from galgen.stages import plan

    stages = plan(*layers)
    table = Table(*(Column(head, overflow="fold") for head in ("stage", "from", "data")))
    table.add_column("images", justify="right")
    table.add_column("frozen", justify="right")
    before = "nothing"
    for stage in stages:
        config = stage.build()
        given = "images" in stage.settings.get("train", {})
        frozen = "" if config.finetune is None else str(config.finetune.freeze)
        images = f"{config.train.images:,}" if given else "auto"
        data = stage.source or (config.data.source if stage.first else "as the stage before")
        table.add_row(stage.name, before, data, images, frozen)
        before = stage.name
    talk.show(table)
    talk.result({"stages": [{"name": stage.name, **stage.settings} for stage in stages]})


def report(talk: Talk, outcome: ChainOutcome) -> None:
    """How a chain ended, with its scores."""
    from rich.table import Column, Table

    table = Table(Column("stage", overflow="fold"))
    for head in ("images", "best at", "Fréchet", "colour-magnitude"):
        table.add_column(head, justify="right")
    for stage in outcome.stages:
        scores = (
            "" if stage.best_at is None else f"{stage.best_at:,}",
            "" if stage.frechet is None else f"{stage.frechet:.3g}",
            "" if stage.colour_magnitude_ratio is None else f"{stage.colour_magnitude_ratio:.2f}",
        )
        table.add_row(stage.name, f"{stage.images:,}", *scores)
    talk.show(table)
    talk.say(
        "Fréchet distance and colour-magnitude ratio of best.ckpt to the galaxies trained on; "
        "galgen evaluate RUN has their floors"
    )
    for stage in outcome.stages:
        talk.say(f"{stage.name}: {stage.run}")
    final = outcome.stages[-1]
    if outcome.reason == "interrupted":
        talk.say(f"interrupted; go on with: galgen train {outcome.folder} --resume")
    talk.say(f"checkpoint: {final.checkpoint}")
    talk.result(
        {
            "chain": outcome.folder,
            "reason": outcome.reason,
            "checkpoint": final.checkpoint,
            "stages": [vars(stage) for stage in outcome.stages],
        }
    )
    if outcome.reason == "interrupted" and talk.first:
        raise typer.Exit(INTERRUPTED)
