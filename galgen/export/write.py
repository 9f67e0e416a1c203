"""Write what the folder holds, its card last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from galgen import checkpoint, specialists
from galgen.export import facts, private
from galgen.export.folder import building, check_free
from galgen.export.page import OVERVIEW, page
from galgen.exported import CARD, EXACT, FILES, FROM, PAGE, PRECISION, WEIGHTS, digest
from galgen.io.tensors import write_tensors
from galgen.runs import run_label, snapshot_names

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

#: Samples on the picture, and how many stand in a row.
SAMPLES, COLUMNS = 16, 8
#: Entries of a checkpoint's card that going on with its training needs, and nothing else.
_TRAINING = ("sums", "micro", "bad_steps", "lr_scale", "rollbacks")


@dataclass(frozen=True)
class Sharing:
    """What a person says about a model that is shared; None for what is known without.

    Attributes
    ----------
    licence
        Of the weights, by its usual short name (``CC-BY-4.0``) or in words.
    cite
        How to credit the data that it learned from.
    name
        Of the model.
    half
        Store the weights in float16, half the size; they are used in float32 all the same, but the
        galaxies are then not those of the checkpoint bit for bit.
    """

    licence: str | None = None
    cite: str | None = None
    name: str | None = None
    half: bool = False


def export(
    model: TrainedModel,
    folder: str | Path,
    sharing: Sharing | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model as a folder that loads anywhere.

    Beside ``model.safetensors`` and ``card.json`` it holds a page for people (README.md), a picture
    of 16 galaxies, and the snapshots of single classes, their averaged generators in a file each.
    Of a path on this machine, the card keeps the last part.

    Parameters
    ----------
    folder
        New or empty.
    sharing
        What else is said about it.
    overwrite
        Take the place of a model that was exported there before; never of other files.

    Raises
    ------
    OutputError
        If the folder holds something, or cannot be written.
    """
    folder, sharing = Path(folder), sharing or Sharing()
    check_free(folder, overwrite)
    with building(folder) as temporary:
        _write(model, temporary, sharing)
    return folder


def _write(model: TrainedModel, folder: Path, sharing: Sharing) -> None:
    tensors = {f"generator.{k}": v for k, v in model.module.average.state().items()}
    tensors |= {f"critic.{k}": v for k, v in model.module.critic.state_dict().items()}
    write_tensors(tensors, folder / WEIGHTS, half=sharing.half)
    classes = _write_specialists(model, folder, sharing.half)
    card = card_of(model, sharing, classes)
    written = checkpoint.assemble(folder, card)
    _draw(written, folder / OVERVIEW)
    (folder / PAGE).write_text(page(card), encoding="utf-8")
    # Not the page, on which people write and which hubs let them edit.
    card[FILES] = {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.iterdir())
        if path.name != PAGE
    }
    # Last: without it nothing takes the folder for a model.
    (folder / CARD).write_text(_dump(card) + "\n", encoding="utf-8")


def _write_specialists(model: TrainedModel, folder: Path, half: bool) -> dict[str, Any]:
    """The snapshots of classes; gives what the card says of them."""
    names, entries = snapshot_names(model.classes), {}
    for name, one in model.specialists.items():
        file = Path(names[name]).with_suffix(".safetensors").name
        state: Mapping[str, Tensor] = one.network.state_dict()
        write_tensors(state, folder / file, half=half)
        entries[name] = {"file": file, "images": one.images, FROM: one.digest}
    return entries


def card_of(
    model: TrainedModel, sharing: Sharing, classes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The card, less the list of files."""
    dropped = (*_TRAINING, specialists.ENTRY, FILES)
    own = private.clean({k: v for k, v in model.card.items() if k not in dropped})
    data = facts.data(model)
    kept = own.get("name") if model.path.is_dir() else None
    label = run_label(model.name, data["source"] or "library", model.spec.size)
    card = {
        **own,
        "name": sharing.name or kept or label,
        FROM: _made_from(model),
        PRECISION: "float16" if sharing.half else EXACT,
        "data": data,
        "training": facts.training(model),
        "scores": facts.scores(model),
        "licence": facts.licence(own, sharing.licence),
        "cite": facts.cite(model, sharing.cite, data["source"]),
    }
    return card | ({specialists.ENTRY: dict(classes)} if classes else {})


def _made_from(model: TrainedModel) -> str | None:
    """Hash of the checkpoint; None for a module that was never saved."""
    file = model.path / WEIGHTS if model.path.is_dir() else model.path
    return model.digest if file.is_file() else None


def _draw(model: TrainedModel, path: Path) -> None:
    from galgen.report.pictures import grid_png

    flux = model.sample(SAMPLES, seed=0)
    grid_png(flux, model.spec, path, columns=COLUMNS, stretch=model.stretch)


def _dump(value: Any, depth: int = 0) -> str:
    """JSON with an entry a line, and long lists on one."""
    if not isinstance(value, dict) or not value or depth > 2:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    pad = " " * (depth + 1)
    lines = [
        f"{pad}{json.dumps(str(key), ensure_ascii=False)}: {_dump(value[key], depth + 1)}"
        for key in sorted(value)
    ]
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"
