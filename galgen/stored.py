"""Checkpoint files as they are stored, read without running anything that they hold."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from galgen.errors import CheckpointError


class OtherVersion(CheckpointError):
    """A checkpoint is whole, but its layout is that of another version of galgen."""


def read(path: str | Path, *, mapped: bool = False) -> dict[str, Any]:
    """The content of a checkpoint file, without running anything that it holds.

    Parameters
    ----------
    path
        The file.
    mapped
        Leave the tensors in the file until something reads them; for files of which little is used.

    Raises
    ------
    CheckpointError
        If it is damaged, of another kind, of a newer layout, or holds pickled objects.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if re.search(r"GLOBAL|Can only (create|build)|reduce", str(error)):
            raise CheckpointError(
                f"{path} holds objects that would run code when loaded, so it was not loaded: "
                "give a checkpoint that galgen wrote."
            ) from None
        raise CheckpointError(
            f"{path} is no checkpoint: give one that galgen wrote (a .ckpt file)."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # Noise in a pickle makes torch raise nearly anything.
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({first}): use an older one."
        ) from None
    card = content.get("galgen") if isinstance(content, dict) else None
    if not isinstance(card, dict) or not {"ema", "state_dict"} <= content.keys():
        raise CheckpointError(
            f"{path} is a checkpoint of another kind: galgen's hold a 'galgen' entry."
        )
    check_format(card, path)
    return content


def check_format(card: Mapping[str, Any], path: Path) -> None:
    """Refuse a card whose layout this version does not read.

    Raises
    ------
    OtherVersion
        If it is that of another version.
    CheckpointError
        If it says none.
    """
    from galgen.models.card import FORMAT

    layout = card.get("format")
    if not isinstance(layout, int):
        raise CheckpointError(f"{path} lacks or distorts an entry (format).")
    if layout > FORMAT:
        raise OtherVersion(
            f"{path} was written by galgen {card.get('version')}, which is newer than this one: "
            "upgrade galgen."
        )
    if layout < FORMAT:
        raise OtherVersion(
            f"{path} was written by galgen {card.get('version')}, whose layout this one no longer "
            "reads: train the model again."
        )
