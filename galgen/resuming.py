"""Which run to go on with and from where, the same on every replica."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from torch import distributed as dist

from galgen.config import RunConfig, load_yaml
from galgen.errors import CheckpointError, ConfigError, GalgenError
from galgen.exported import CARD
from galgen.recovery import Found, latest
from galgen.runs import CONFIG, LAST, PREVIOUS, newest_begun
from galgen.training.group import of_first, translated
from galgen.training.replicas import met
from galgen.training.trouble import ReplicaError


def plan_resume(
    run: str | Path | None = None, changes: Mapping[str, Any] | None = None
) -> tuple[Path, RunConfig, dict[str, Any]]:
    """Run folder, configuration and checkpoint card of a run to go on with; writes nothing.

    The card of a run that was stopped before its first checkpoint is a clock at 0.
    """
    folder = find_begun(run)
    config, found = plan_in(folder, changes or {})
    return folder, config, {"clock": {"images": 0, "batch": 0}} if found is None else found.card


def find_begun(run: str | Path | None) -> Path:
    """Folder of the run that is asked for; None asks for the newest one under ``./runs``.

    Raises
    ------
    CheckpointError
        If there is none, or it has no configuration.
    """
    folder = newest_begun() if run is None else Path(run)
    if folder is None:
        raise CheckpointError(
            "there is no run under ./runs to resume: start one with galgen train."
        )
    if not folder.exists():
        raise CheckpointError(f"{folder} does not exist: name a run's folder, or leave it out.")
    if folder.is_file():
        run_of = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
        raise CheckpointError(f"{folder} is a file: name the run's folder, {run_of}.")
    if (folder / CARD).is_file():
        raise CheckpointError(
            f"{folder} is an exported model, which cannot be resumed, since it holds no "
            "optimizers: go on with galgen finetune."
        )
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} cannot be resumed, since it has no {CONFIG}: start a run with galgen train."
        )
    return folder


def plan_in(folder: Path, changes: Mapping[str, Any]) -> tuple[RunConfig, Found | None]:
    """Configuration of a run to go on with, and its checkpoint; None before its first one.

    Raises
    ------
    CheckpointError
        If none of its checkpoints is whole, or a fine-tuning has none.
    ConfigError
        If a change would make it another run.
    """
    fixed = RunConfig.build(load_yaml(folder / CONFIG))
    config = fixed.replace(changes)
    _refuse_other_run(fixed, config)
    found = latest(folder)
    if found is None and trained(folder):
        raise CheckpointError(
            f"{folder} has been trained, but {LAST} and {PREVIOUS} are gone from its checkpoints "
            "folder: put one back, or start a new run."
        )
    if found is None and config.finetune is not None:
        raise CheckpointError(
            f"{folder} was stopped before it saved anything: start it again with galgen finetune "
            f"{config.finetune.checkpoint} --config {folder / CONFIG}."
        )
    return config, found


def going_on(
    folder: Path, config: RunConfig, found: Found | None, changes: Mapping[str, Any]
) -> list[str]:
    """Where a run goes on, and what is not as one would think; a sentence each."""
    lines = []
    done = 0
    if found is not None:
        done = found.images
        if found.damaged:
            lines.append(f"{found.damaged} Going back to {found.path}.")
        elif found.path.name == PREVIOUS and done:
            lines.append(f"{LAST} is not there: going on from {found.path}, the one before it.")
        kept = found.card["config"].get("train", {})
        for name in ("precision", "compile"):
            now = getattr(config.train, name)
            if kept.get(name) not in (None, "auto", now):
                lines.append(
                    f"{name} {now} from here on, {kept[name]} until now: near to the run that it "
                    "would have been, but no longer equal."
                )
    lines.append(f"going on with {folder} at {done:,} of {config.train.images:,} images")
    if config.train.minutes is not None and not {"train.minutes", "train"} & set(changes):
        lines.append(
            f"for {config.train.minutes:g} minutes again, as the run was asked to at first; "
            "--minutes says otherwise"
        )
    return lines


def other_galaxies(found: Found, now: Mapping[str, Any]) -> str | None:
    """A sentence if other galaxies are trained on than when the checkpoint was written."""
    then = found.card.get("trained_on")
    if not then or then == dict(now):
        return None
    return (
        f"the data have changed: {now['count']:,} galaxies to train on, where there were "
        f"{then['count']:,}{' of other names' if then['count'] == now['count'] else ''}. What is "
        "held out may have been trained on; put the data back as they were, or use galgen finetune."
    )


def agree(
    folder: Path, config: RunConfig, found: Found | None, changes: Mapping[str, Any]
) -> tuple[Path, RunConfig, Found | None]:
    """What the first replica goes on with, on all of them, once they have met.

    Where nobody named a run, each has looked for the newest one by itself, and a new one may have
    begun, or a checkpoint been written, in between.

    Raises
    ------
    ReplicaError
        If a replica reads another checkpoint or seed there than the first.
    """
    given = of_first(lambda: folder)
    if not met():
        return folder, config, found
    with translated():
        told = [_facts(folder, config, found)]
        dist.broadcast_object_list(told, src=0)
        mine: tuple[str, int, int] | str = _facts(folder, config, found)
        if given != folder or mine != told[0]:
            try:
                config, found = plan_in(given, changes)
                mine = _facts(given, config, found)
            except GalgenError as error:
                mine = str(error)
        facts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(facts, mine)
    for rank, other in enumerate(facts):
        if other != facts[0]:
            differ = ReplicaError(
                f"in {given} the first replica goes on with {_said(facts[0])}, and replica {rank} "
                f"with {_said(other)}: give all nodes the same folder, and end what else writes "
                "there."
            )
            differ.agreed = True
            raise differ
    return given, config, found


def trained(folder: Path) -> bool:
    """Whether metrics.csv tells of images that were trained on."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        return sum(1 for _ in islice(lines, 2)) > 1


def _facts(folder: Path, config: RunConfig, found: Found | None) -> tuple[str, int, int]:
    """File of the checkpoint, images seen, seed."""
    name, images = ("no checkpoint", 0) if found is None else (found.path.name, found.images)
    return name, images, config.seed


def _refuse_other_run(old: RunConfig, new: RunConfig) -> None:
    before, after = old.to_dict(), new.to_dict()
    for section in ("seed", "data", "model", "recipe", "finetune"):
        if before[section] != after[section]:
            raise ConfigError(
                f"--resume keeps the run's own {section} settings: leave them out, or start a new "
                "run, or use galgen finetune."
            )
    if before["train"]["batch"] != after["train"]["batch"]:
        raise ConfigError("--resume keeps the run's own --batch: leave it out.")


def _said(facts: tuple[str, int, int] | str) -> str:
    if isinstance(facts, str):
        return f"nothing ({facts.rstrip('.')})"
    return f"{facts[0]} of {facts[1]:,} images and seed {facts[2]}"
