"""What a folder of generated galaxies says of them, for people and for the command that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from galgen.errors import OutputError
from galgen.sampling.opening import AGAIN

#: Name of the record.
RECORD = "sampling.json"
#: Its layout.
FORMAT = 2


def read_record(path: Path) -> dict[str, Any] | None:
    """What a folder says of the galaxies in it; None where it is no folder of `Folder`.

    Raises
    ------
    OutputError
        If it says nothing that can be read.
    """
    try:
        text = (path / RECORD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"{path / RECORD} cannot be read ({error.strerror}): {AGAIN}.") from None
    try:
        record = json.loads(text)
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        for name in ("task", "cards", "model", "n", "shards", "redraws", "finished"):
            record[name]
        if not record["finished"]:
            record["work"]
        assert isinstance(record["model"]["digests"], dict)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise OutputError(
            f"{path / RECORD} is no record that this galgen reads ({error}): {AGAIN}."
        ) from None
    return dict(record)
