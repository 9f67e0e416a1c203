"""A model that was loaded, told so that another process loads the same one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen.errors import CheckpointError

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel


@dataclass(frozen=True)
class Again:
    """How a model is loaded again as it was; small, hashable, and for pickle and JSON.

    Attributes
    ----------
    path
        Its checkpoint file or exported folder, absolute.
    digests
        What it was then, sorted: pairs of a class and the SHA-256 of the snapshot that draws it,
        and of an empty name and the SHA-256 of the model itself. One that has classes here is
        loaded with the snapshots of its classes, any other without.
    """

    path: str
    digests: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, model: TrainedModel) -> Again:
        """As `galgen.checkpoint.TrainedModel.again`.

        Raises
        ------
        CheckpointError
            If the files that it came from are not there any more.
        """
        return cls(os.path.abspath(model.path), _digests(model))

    def load(self, device: str | None = None) -> TrainedModel:
        """The model as it was, on the CPU or on `device`.

        Raises
        ------
        CheckpointError
            If the file has gone or holds another model by now.
        """
        from galgen import checkpoint
        from galgen.exported import read_card
        from galgen.specialists import attach

        path, whole = Path(self.path), len(self.digests) > 1
        if path.is_dir() and not whole:
            model = checkpoint.assemble(path, read_card(path))
        else:
            model = checkpoint.load(path)
        if whole and not model.specialists:
            model = attach(model)
        if _digests(model) != self.digests:
            raise CheckpointError(
                f"{path}, or a snapshot beside it, was written anew since it was loaded, so "
                "another process cannot draw from the same model: load it again, or draw in one "
                "process."
            )
        return model if device is None else model.to(device)

    def state(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"path": self.path, "digests": dict(self.digests)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Again:
        """What `state` gave.

        Raises
        ------
        CheckpointError
            If it was not that.
        """
        path, digests = state.get("path"), state.get("digests")
        if not isinstance(path, str) or not isinstance(digests, Mapping) or "" not in digests:
            raise CheckpointError(f"{dict(state)!r} does not say which model it is: load it anew.")
        return cls(path, tuple(sorted((str(name), str(at)) for name, at in digests.items())))


def _digests(model: TrainedModel) -> tuple[tuple[str, str], ...]:
    """Of the model, and of the snapshots of its classes."""
    try:
        snapshots = ((name, one.digest) for name, one in model.specialists.items())
        return tuple(sorted([("", model.digest), *snapshots]))
    except OSError as error:
        raise CheckpointError(
            f"{model.path} cannot be read ({error.strerror or error}), and another process has "
            "to: save the model and load it from there."
        ) from None
