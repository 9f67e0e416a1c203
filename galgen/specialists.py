"""Galaxies of a class from the snapshot that was best at them, in place of the one that was best
over all classes (SCIENCE R3, ``train.best_per_class``).

A run keeps ``best-CLASS.ckpt`` beside best.ckpt, an exported folder ``best-CLASS.safetensors``
beside its weights. A model that is loaded by the name of the run or folder draws from them; one
that is loaded by the name of a checkpoint file is that file alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from galgen import checkpoint
from galgen.errors import CheckpointError
from galgen.runs import BEST_OF, snapshot_names

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

#: Entry of an exported model's card: class to file and images.
ENTRY = "specialists"


@dataclass(frozen=True)
class Specialist:
    """The snapshot that draws the galaxies of a class.

    Attributes
    ----------
    network
        Its averaged generator.
    path
        The file that it came from.
    images
        Images that the critic had seen.
    """

    network: nn.Module
    path: Path
    images: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, in hex."""
        return checkpoint.digest(self.path)


def attach(model: TrainedModel) -> TrainedModel:
    """The model with the snapshots of its classes, where its run or exported folder has them.

    Raises
    ------
    CheckpointError
        If one of them cannot be used, or belongs to another model.
    """
    found = _exported(model) if model.path.is_dir() else _beside(model)
    model.module.specialists = {name: one.network for name, one in found.items()}
    return replace(model, specialists=found) if found else model


def _beside(model: TrainedModel) -> dict[str, Specialist]:
    """Those of a run."""
    found = {}
    for name, file in snapshot_names(model.classes).items():
        path = model.path.with_name(file)
        if not path.is_file():
            continue
        other = checkpoint.load(path)
        facts = [(m.name, m.spec, m.classes, m.module.options) for m in (model, other)]
        if other.card.get(BEST_OF) != name or facts[0] != facts[1]:
            raise CheckpointError(
                f"{path} is not the snapshot of {name} that belongs to {model.path}: take it out "
                "of that folder, or name a checkpoint file."
            )
        found[name] = Specialist(other.module.average.network, path, other.images)
    return found


def _exported(model: TrainedModel) -> dict[str, Specialist]:
    """Those of an exported folder."""
    found = {}
    for name, entry in (model.card.get(ENTRY) or {}).items():
        network, module = copy.deepcopy(model.module.average.network), model.module
        try:
            path, images = model.path / Path(str(entry["file"])).name, int(entry["images"])
            if module.grows:
                network.grow(*module.growth.at(images))  # type: ignore[operator]
            network.load_state_dict(checkpoint.read_tensors(path))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            detail = str(error).splitlines()[-1].strip()
            raise CheckpointError(
                f"{model.path} has no snapshot of {name} that fits its card ({detail}): export it "
                "again."
            ) from None
        found[name] = Specialist(network, path, images)
    return found


def export(model: TrainedModel, folder: Path, half: bool) -> dict[str, Any]:
    """Write the specialists into an exported folder; gives what its card says of them."""
    names, card = snapshot_names(model.classes), {}
    for name, one in model.specialists.items():
        file = Path(names[name]).with_suffix(".safetensors").name
        state: Mapping[str, Tensor] = one.network.state_dict()
        checkpoint.write_tensors(state, folder / file, half=half)
        card[name] = {"file": file, "images": one.images}
    return {ENTRY: card} if card else {}


def told(model: TrainedModel, label: str | None = None, *, together: bool = False) -> list[str]:
    """A sentence on which snapshot draws what, for a model with several.

    Parameters
    ----------
    label
        The class that is asked for; None for all.
    together
        Whether one network has to draw all galaxies, as a way between classes needs.
    """
    if not model.specialists:
        return []
    if together and label is None:
        return [
            f"snapshots: all from {model.path.name}, because what lies between classes is of one "
            "network; --label takes that of a class"
        ]
    asked = model.classes if label is None else (label,)
    parts = [
        f"{name} from {one.path.name} at {one.images:,} images"
        for name, one in model.specialists.items()
        if name in asked
    ]
    others = [name for name in asked if name not in model.specialists]
    if others:
        parts.append(f"{', '.join(others)} from {model.path.name}")
    return [f"snapshots: {', '.join(parts)}"]


def facts(model: TrainedModel) -> dict[str, Any]:
    """File, digest and images of each class's snapshot, for results; empty without any."""
    found = {
        name: {"file": one.path.name, "digest": one.digest, "images": one.images}
        for name, one in model.specialists.items()
    }
    return {"snapshots": found} if found else {}
