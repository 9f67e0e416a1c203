"""The folder of a model to share: free before, whole or not there after, and checked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from galgen import specialists
from galgen.errors import CheckpointError, OutputError
from galgen.exported import CARD, FILES, PAGE, WEIGHTS, digest, read_card
from galgen.io.atomic import alive, clear_leftovers
from galgen.runs import make_folder

#: Endings of the files that such a folder may hold: nothing among them runs.
HARMLESS = (".safetensors", ".json", ".png", ".md", ".yaml", ".yml")


def check_free(folder: Path, overwrite: bool = False) -> None:
    """Find out before any work whether a model may be exported there.

    A model that was there comes back if an export was killed while it took the model's place.

    Raises
    ------
    OutputError
        If it may not.
    """
    _restore(folder)
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
    """Names of the files that an exported folder consists of; none where it is not one."""
    try:
        card = read_card(folder)
    except CheckpointError:
        return set()
    files = card.get(FILES)
    named = set(files) if isinstance(files, dict) else {WEIGHTS, *specialists.exported_from(card)}
    return {CARD, PAGE, *named}


def listed(card: Mapping[str, Any], where: object) -> dict[str, tuple[int, str]]:
    """Files that a card names, each with its size in bytes and its SHA-256.

    Parameters
    ----------
    where
        What the card belongs to, for messages.

    Raises
    ------
    CheckpointError
        If the card names none, or one that has no place in such a folder.
    """
    files = card.get(FILES)
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise CheckpointError(
            f"{where}: its {CARD} does not list its files; galgen export writes one that does."
        )
    found = {}
    for name, entry in files.items():
        if name != Path(name).name or name in (CARD, PAGE) or not name.endswith(HARMLESS):
            raise CheckpointError(
                f"{where}: its {CARD} lists {name!r}, which has no place in an exported folder."
            )
        try:
            found[name] = (int(entry["bytes"]), str(entry["sha256"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise CheckpointError(f"{where}: its {CARD} lacks size or SHA-256 of {name}.") from None
    return found


def verify(folder: Path, card: Mapping[str, Any], where: object) -> list[str]:
    """Names of the files that the card lists, all there and none changed.

    Raises
    ------
    CheckpointError
        Otherwise.
    """
    files = listed(card, where)
    for name, (size, sha256) in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{where} lacks {name}, which its {CARD} lists.")
        if path.stat().st_size != size or digest(path) != sha256:
            raise CheckpointError(
                f"{where}: {name} is not the file that its {CARD} lists: it was damaged or changed "
                "since the export."
            )
    return list(files)


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends well."""
    make_folder(folder.parent)
    clear_leftovers(folder.parent)
    _restore(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        _put(temporary, folder)
    except (OSError, OutputError) as error:
        # A file of the temporary folder is nothing that a person knows of.
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if not isinstance(cause, OSError):
            raise
        reason = cause.strerror or str(cause)
        raise OutputError(
            f"{folder} cannot be written ({reason}): give another folder to --out, or make room."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(new, folder)
        return
    # Whole until it is put aside for good, so that `_restore` never finds half a model.
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    _discard(old)


def _restore(folder: Path) -> None:
    """Put back the model that a killed export had put aside, if no other stands in its place."""
    left = re.compile(rf"\.{re.escape(folder.name)}\.(\d+)\.old")
    with suppress(OSError):
        aside = [
            path
            for path in folder.parent.iterdir()
            if (found := left.fullmatch(path.name)) and not alive(int(found[1]))
        ]
        for path in sorted(aside, key=lambda path: path.stat().st_mtime, reverse=True):
            if folder.exists():
                _discard(path)
            else:
                os.replace(path, folder)


def _discard(old: Path) -> None:
    gone = old.with_suffix(".tmp")
    os.replace(old, gone)
    shutil.rmtree(gone, ignore_errors=True)
