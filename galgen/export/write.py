"""Write the folder: into a temporary neighbour, its card last, and renamed when it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from galgen import checkpoint, specialists
from galgen.errors import CheckpointError, OutputError
from galgen.export import facts, private
from galgen.export.page import OVERVIEW, page
from galgen.exported import CARD, EXACT, FILES, FROM, PRECISION, WEIGHTS, digest, read_card
from galgen.io.atomic import clear_leftovers
from galgen.io.tensors import write_tensors
from galgen.runs import make_folder, run_label, snapshot_names

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

PAGE = "README.md"
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
    with _building(folder) as temporary:
        _write(model, temporary, sharing)
    return folder


def check_free(folder: Path, overwrite: bool = False) -> None:
    """Find out before any work whether a model may be exported there.

    Raises
    ------
    OutputError
        If it may not.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: give a new folder to --out.")
    inside = sorted(path.name for path in folder.iterdir())
    strangers = [name for name in inside if name not in members(folder)]
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise OutputError(
            f"{folder} holds {', '.join(strangers[:3])}{more}, which no export wrote: give a new "
            "folder to --out."
        )
    if inside and not overwrite:
        raise OutputError(
            f"{folder} holds an exported model: --overwrite takes its place, or give a new folder "
            "to --out."
        )


def members(folder: Path) -> set[str]:
    """Names of the files of an exported folder; none where it is not one."""
    try:
        card = read_card(folder)
    except CheckpointError:
        return set()
    files = card.get(FILES)
    named = set(files) if isinstance(files, dict) else {WEIGHTS, *specialists.exported_from(card)}
    return {CARD, PAGE, *named}


def _write(model: TrainedModel, folder: Path, sharing: Sharing) -> None:
    tensors = {f"generator.{k}": v for k, v in model.module.average.state().items()}
    tensors |= {f"critic.{k}": v for k, v in model.module.critic.state_dict().items()}
    write_tensors(tensors, folder / WEIGHTS, half=sharing.half)
    classes = _write_specialists(model, folder, sharing.half)
    card = _card(model, sharing, classes)
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


def _card(model: TrainedModel, sharing: Sharing, classes: Mapping[str, Any]) -> dict[str, Any]:
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


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends well."""
    make_folder(folder.parent)
    clear_leftovers(folder.parent)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        _put(temporary, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{folder} cannot be written ({reason}): give another folder to --out, or make room."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(new, folder)
        return
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
