"""Folders that galaxies are written to: new or empty ones."""

from __future__ import annotations

from pathlib import Path

from galgen.errors import OutputError
from galgen.io.atomic import ELSEWHERE
from galgen.runs import make_folder

#: The way out of a folder that is taken.
AGAIN = "give another folder to --out"


def next_folder() -> Path:
    """The next of ``./samples-00001``, made, so that two commands started at once get two."""
    number = 1
    while True:
        folder = Path(f"samples-{number:05d}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{folder} cannot be made ({reason}): {ELSEWHERE}") from None
        else:
            return folder


def open_folder(out: str | Path | None) -> Path:
    """The folder to write to, made and empty: by default the next ``samples-00001``."""
    if out is None:
        return next_folder()
    refuse_full(out)
    return make_folder(Path(out))


def refuse_full(out: str | Path) -> None:
    """Refuse a folder that cannot be written to without touching what is there.

    Raises
    ------
    OutputError
        If it holds files, or is a file itself.
    """
    folder = Path(out)
    if folder.is_file():
        raise OutputError(f"{folder} is a file: give another folder to --out.")
    if folder.is_dir():
        try:
            found = next((p for p in folder.iterdir() if not p.name.startswith(".")), None)
        except OSError as error:
            raise OutputError(f"{folder} cannot be read ({error.strerror}): {AGAIN}.") from None
        if found is not None:
            raise OutputError(
                f"{folder} holds files already ({found.name}), and nothing is overwritten: {AGAIN}."
            )
