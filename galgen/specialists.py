"""Galaxies of a class from the snapshot that was best at them, in place of the one that was best
over all classes (SCIENCE R3, ``train.best_per_class``).

A run keeps ``best-CLASS.ckpt`` beside best.ckpt, an exported folder ``best-CLASS.safetensors``
beside its weights. A model that is loaded by the name of the run or folder draws from them; one
that is loaded by the name of a checkpoint file is that file alone. Files that a run has left behind
which went on without ``train.best_per_class``, or with another ``train.best``, count for nothing.
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
from galgen.exported import FROM, digest, known_as
from galgen.io.tensors import read_tensors
from galgen.runs import BEST_BY, BEST_OF, snapshot_names

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

#: Entry of an exported model's card: class to file, images and the snapshot it was made from.
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
    made_from
        Of an exported one: the SHA-256 that its galaxies know it by.
    """

    network: nn.Module
    path: Path
    images: int
    made_from: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the snapshot's file, in hex; of an exported one, as `TrainedModel.digest`."""
        return self.made_from or digest(self.path)


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
    """Those of a run that its latest configuration asks for."""
    metric = _asked(model)
    found: dict[str, Specialist] = {}
    if metric is None:
        return found
    for name, file in snapshot_names(model.classes).items():
        path = model.path.with_name(file)
        if not path.is_file():
            continue
        content = checkpoint.read(path, mapped=True)
        card = content["galgen"]
        if card.get(BEST_BY, metric) != metric:
            continue
        try:
            facts = [_facts(one) for one in (model.card, card)]
            if card.get(BEST_OF) != name or facts[0] != facts[1]:
                raise ValueError
            images = int(card["clock"]["images"])
            network = _network(model, images, content["ema"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise CheckpointError(
                f"{path} is not the snapshot of {name} that belongs to {model.path}: take it out "
                "of that folder, or name a checkpoint file."
            ) from None
        found[name] = Specialist(network, path, images)
    return found


def _asked(model: TrainedModel) -> str | None:
    """Metric by which a run chooses snapshots of classes, None where it chooses none.

    best.ckpt may be older than the last change of the configuration, last.ckpt is not.
    """
    last, card = model.path.with_name("last.ckpt"), model.card
    if model.classes and last != model.path and last.is_file():
        card = checkpoint.read(last, mapped=True)["galgen"]
    train = (card.get("config") or {}).get("train") or {}
    return train.get("best") if train.get("best_per_class") else None


def _facts(card: Mapping[str, Any]) -> tuple[Any, ...]:
    """What all snapshots of a run have in common."""
    return card["model"], card["spec"], card["conditions"]["classes"], card["options"]


def _network(model: TrainedModel, images: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The averaged generator as it was after so many images."""
    network, module = copy.deepcopy(model.module.average.network), model.module
    if module.grows:
        network.grow(*module.growth.at(images))  # type: ignore[operator]
    network.load_state_dict(state)
    return network


def _exported(model: TrainedModel) -> dict[str, Specialist]:
    """Those of an exported folder."""
    found = {}
    for name, entry in (model.card.get(ENTRY) or {}).items():
        try:
            path, images = model.path / _file(entry), int(entry["images"])
            network = _network(model, images, read_tensors(path))
            known = known_as(model.path, model.card, path.name, entry.get(FROM))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            detail = str(error).splitlines()[-1].strip()
            raise CheckpointError(
                f"{model.path} has no snapshot of {name} that fits its card ({detail}): export it "
                "again."
            ) from None
        found[name] = Specialist(network, path, images, known)
    return found


def _file(entry: Mapping[str, Any]) -> str:
    # Never out of the folder, whatever a stranger's card says.
    return Path(str(entry["file"])).name


def exported_from(card: Mapping[str, Any]) -> dict[str, Any]:
    """Files of the specialists of an exported folder, and what they were made from."""
    entries = card.get(ENTRY)
    found = entries.values() if isinstance(entries, dict) else ()
    return {_file(one): one.get(FROM) for one in found if isinstance(one, dict) and "file" in one}


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
