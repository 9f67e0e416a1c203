"""Folders that ``galgen export`` writes: weights, and the card that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen.data.folder import BUILT_IN
from galgen.data.source import canonical
from galgen.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

WEIGHTS, CARD, PAGE = "model.safetensors", "card.json", "README.md"
#: Entry of the card, and of each specialist in it: SHA-256 of the checkpoint that it was made from.
FROM = "from"
#: Entry of the card with name, size and SHA-256 of the files beside it.
FILES = "files"
#: Entry of the card, and its value where no digit of the weights was lost.
PRECISION, EXACT = "precision", "float32"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(folder: Path, where: object = None) -> dict[str, Any]:
    """The card of an exported folder, which messages call `where`.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    where = where or folder
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is no exported model that can be read ({error}).") from None
    if not isinstance(card, dict):
        raise CheckpointError(f"{where} is no exported model: its {CARD} holds no entries.")
    return card


def known_as(folder: Path, card: Mapping[str, Any], file: str, made_from: object) -> str:
    """The hash by which galaxies know weights in an exported folder.

    That is `made_from`, the SHA-256 of the checkpoint that the file was made from, if the card says
    that no digit was lost and the file is still the one that was written then; else its own.
    """
    own = digest(folder / file)
    files = card.get(FILES)
    written = files.get(file) if isinstance(files, dict) else None
    untouched = isinstance(written, dict) and written.get("sha256") == own
    exact = card.get(PRECISION) == EXACT and isinstance(made_from, str)
    return str(made_from) if untouched and exact else own


def is_exported(path: str | Path) -> bool:
    """True for what a model was loaded from if that is an exported folder."""
    return Path(path).is_dir()


def learned_from(model: TrainedModel, data: str | Path) -> bool:
    """True if a model was trained on that data, however its name is spelled.

    Of folders, an exported model knows the name alone.
    """
    own = (model.config.get("data") or {}).get("source")
    if own is None or canonical(own) == canonical(data):
        return own is not None
    return is_exported(model.path) and own not in BUILT_IN and Path(canonical(data)).name == own


def own_data(model: TrainedModel, way_out: str) -> str:
    """Name of the data that a model was trained on.

    Raises
    ------
    ConfigError
        If it is not known, or the data of an exported model are not here.
    """
    own = (model.config.get("data") or {}).get("source")
    if not own:
        raise ConfigError(f"{model.path} does not say which data it was trained on: {way_out}.")
    if is_exported(model.path) and own not in BUILT_IN and not Path(own).exists():
        raise ConfigError(f"{model.path} was trained on {own}, which is not here: {way_out}.")
    return str(own)
