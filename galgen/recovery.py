"""Which checkpoint of a run is whole, and where a run that diverged goes back to."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from galgen import checkpoint
from galgen.checkpoint import OtherVersion
from galgen.errors import CheckpointError, ConfigError
from galgen.models.base import AdversarialModule
from galgen.runs import LAST, PREVIOUS
from galgen.training.clock import Clock

#: How often a run goes back before it gives up, each time with half the learning rate.
MOST = 3
#: Name that an unreadable last.ckpt gets, so that no snapshot takes previous.ckpt's place with it.
DAMAGED = "damaged.ckpt"


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from.

    Attributes
    ----------
    path
        The file.
    content
        What it holds.
    damaged
        Why last.ckpt was not taken, in a sentence; empty if it was, or is not there.
    """

    path: Path
    content: dict[str, Any]
    damaged: str = ""

    @property
    def card(self) -> dict[str, Any]:
        """Galgen's part of it."""
        return dict(self.content["galgen"])

    @property
    def images(self) -> int:
        """Images seen."""
        return int(self.card["clock"]["images"])


def latest(run: Path) -> Found | None:
    """The newest checkpoint of a run that is whole: last.ckpt, else previous.ckpt.

    Returns
    -------
    Found or None
        None where there is neither file: a run that was stopped before its first image.

    Raises
    ------
    CheckpointError
        If there are files and none of them is whole, or last.ckpt is of another version of galgen.
    """
    damage: dict[str, str] = {}
    for path in _files(run):
        try:
            return Found(path, read_whole(path), " ".join(damage.values()))
        except OtherVersion:
            raise
        except CheckpointError as error:
            damage[path.name] = str(error)
    if not damage:
        return None
    if len(damage) == 1:
        raise CheckpointError(
            f"{run} cannot be resumed, since its only checkpoint is not whole: "
            f"{' '.join(damage.values())}"
        )
    raise CheckpointError(
        f"{run} cannot be resumed: neither {LAST} nor {PREVIOUS} in its checkpoints folder is "
        "whole; begin again, or fine-tune from its best.ckpt, if that is."
    )


def read_whole(path: Path) -> dict[str, Any]:
    """As `galgen.checkpoint.read`, checked for bytes that have changed on the disk.

    Raises
    ------
    CheckpointError
        If it is not as it was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged ({error}).") from None
    if bad is not None:
        raise CheckpointError(f"{path} is damaged ({bad} has changed).")
    return checkpoint.read(path)


def put_aside(found: Found) -> None:
    """Rename a damaged last.ckpt, so that it is not kept in the place of the whole one."""
    if found.damaged and found.path.name == PREVIOUS:
        with suppress(FileNotFoundError):
            found.path.with_name(LAST).replace(found.path.with_name(DAMAGED))


def go_back(run: Path, every: int) -> Path:
    """The checkpoint that a run which diverged goes back to: of the last interval, if it is whole.

    What a signal saved between two intervals is passed over, so that an interrupted run goes back
    to where an uninterrupted one does.

    Parameters
    ----------
    every
        Images between snapshots.

    Raises
    ------
    CheckpointError
        If none is whole.
    """
    whole: list[Path] = []
    for path in _files(run):
        try:
            content = read_whole(path)
        except CheckpointError:
            continue
        clock = Clock()
        clock.load(content["galgen"]["clock"])
        if path.name == PREVIOUS or clock.crossed(every):
            return path
        whole.append(path)
    if whole:
        return whole[0]
    raise CheckpointError(f"{run} has no whole checkpoint to go back to: start it again.")


def remove_later(run: Path, good: Path) -> list[Path]:
    """Remove the best snapshots that were taken after the checkpoint which a run goes back to.

    They are of a stretch that is gone, with no row in metrics.csv, and the checkpoint knows of an
    earlier value, by which a worse one could not replace them. Files that cannot be read stay,
    for the next best to replace.
    """
    limit, gone = images_of(good), []
    for path in sorted((run / "checkpoints").glob("best*.ckpt")):
        with suppress(CheckpointError):
            if images_of(path) > limit:
                path.unlink(missing_ok=True)
                gone.append(path)
    return gone


def images_of(path: Path) -> int:
    """Images seen at a checkpoint, of which the weights are left in the file."""
    return int(checkpoint.read(path, mapped=True)["galgen"]["clock"]["images"])


class Slower(L.Callback):
    """Sets how slowly, and after how many times of going back, a run goes on from a checkpoint.

    Parameters
    ----------
    scale
        Factor on the learning rates.
    times
        How often the run has gone back.
    """

    def __init__(self, scale: float, times: int) -> None:
        self.scale, self.times = scale, times

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """After the checkpoint was loaded, which knows of fewer times."""
        assert isinstance(module, AdversarialModule)
        module.lr_scale, module.rollbacks = self.scale, self.times

    @classmethod
    def than(cls, module: AdversarialModule, trouble: Exception, good: Path) -> Slower:
        """Half as fast as a module that diverged.

        Raises
        ------
        ConfigError
            If it has been slowed down often enough.
        """
        if module.rollbacks >= MOST:
            error = ConfigError(
                f"{str(trouble).rstrip('.')}; it had gone back {MOST} times, each time with half "
                f"the learning rate, and ends here: {good} is whole, start again with a smaller "
                "recipe.lr, or stronger penalties (recipe.r1, recipe.r2, recipe.gp)."
            )
            error.agreed = True
            raise error
        return cls(module.lr_scale / 2, module.rollbacks + 1)


def _files(run: Path) -> list[Path]:
    paths = (run / "checkpoints" / name for name in (LAST, PREVIOUS))
    return [path for path in paths if path.is_file()]
