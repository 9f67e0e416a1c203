"""Which run to go on with and from where, the same on every replica."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import distributed as dist

from galgen.config import RunConfig, load_yaml
from galgen.errors import CheckpointError, ConfigError, GalgenError
from galgen.recovery import Found, latest
from galgen.runs import CONFIG, newest_begun
from galgen.training.group import of_first, translated
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
    if found is None and config.finetune is not None:
        raise CheckpointError(
            f"{folder} was stopped before it saved anything: start it again with galgen finetune "
            f"{config.finetune.checkpoint} --config {folder / CONFIG}."
        )
    return config, found


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
    if not dist.is_initialized():
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
