"""What a card must not tell: folders of the machine, which hold names of people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from galgen.data.folder import BUILT_IN

#: Folders in front of a name, wherever they stand in a text; not those of addresses and units.
_FOLDERS = re.compile(
    r"(?<![\w./\\])(?:~[^\s/\\:;,'\"]*|[A-Za-z]:|\.{1,2})?[/\\](?:[^\s/\\:;,'\"]+[/\\])*"
    r"(?=[^\s/\\])|(?<![\w./\\])\.{1,2}[/\\]"
)
#: Entries of ``data`` that name a file in front of a column, and that name several.
_COLUMNS = ("labels", "group", "redshift", "select")


def clean(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card with every path shortened to its last part.

    Examples
    --------
    >>> clean({"config": {"data": {"source": "/home/anna/my set/cutouts"}}})
    {'config': {'data': {'source': 'cutouts'}}}
    """
    found: dict[str, Any] = texts(card)
    config = card.get("config") or {}
    data, tuned = config.get("data") or {}, config.get("finetune") or {}
    for name in _COLUMNS:
        if isinstance(data.get(name), str):
            found["config"]["data"][name] = _column(data[name])
    if data.get("condition"):
        parts = [_condition(str(part)) for part in data["condition"]]
        found["config"]["data"]["condition"] = parts
    if isinstance(data.get("source"), str):
        found["config"]["data"]["source"] = data_name(data["source"])
    if isinstance(tuned.get("checkpoint"), str):
        found["config"]["finetune"]["checkpoint"] = model_name(tuned["checkpoint"])
    numbers = (card.get("conditions") or {}).get("numbers") or ()
    for number, kept in zip(numbers, found.get("conditions", {}).get("numbers", ()), strict=True):
        kept["source"] = last(str(number["source"]))
    places = [(card, found)]
    if config.get("model"):
        places.append((config["model"], found["config"]["model"]))
    for place, kept in places:
        psf = (place.get("options") or {}).get("psf")
        if isinstance(psf, str):
            kept["options"]["psf"] = last(psf)
    return found


def last(path: str) -> str:
    r"""The last part of a path of any system.

    >>> last("/home/anna/my set/cutouts/"), last("C:\\Users\\anna\\psf.fits"), last("0.7")
    ('cutouts', 'psf.fits', '0.7')
    """
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "data"


def data_name(source: str) -> str:
    """A built-in set's name, or that of a folder."""
    return source if source in BUILT_IN else last(source)


def model_name(path: str) -> str:
    """The run of a checkpoint, or the name of a file or folder.

    >>> model_name("/home/anna/runs/00001-dcgan-hubble-32px/checkpoints/best.ckpt")
    '00001-dcgan-hubble-32px'
    """
    parts = [part for part in re.split(r"[/\\]", path) if part]
    if len(parts) > 2 and parts[-2] == "checkpoints":
        return parts[-3]
    return parts[-1] if parts else "model"


def text(value: str) -> str:
    """A text without the folders in it.

    >>> text("left out 1 bad file: /home/anna/set/a.fits (empty)"), text("erg/s/cm2, 5 / 7")
    ('left out 1 bad file: a.fits (empty)', 'erg/s/cm2, 5 / 7')
    """
    return _FOLDERS.sub("", value)


def texts(value: Any) -> Any:
    """As `text`, of all texts in JSON types; keys are left alone."""
    if isinstance(value, Mapping):
        return {key: texts(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [texts(inner) for inner in value]
    return text(value) if isinstance(value, str) else value


def _column(value: str) -> str:
    """``/home/anna/cat.csv:kind`` to ``cat.csv:kind``."""
    # Not the colon of a Windows drive.
    found = re.match(r"([A-Za-z]:[/\\][^:]*|(?![A-Za-z]:[/\\])[^:]*):(.*)", value, re.DOTALL)
    return f"{last(found[1])}:{found[2]}" if found and found[1] else text(value)


def _condition(value: str) -> str:
    """Each part of ``[SOURCE:]name,[SOURCE:]name``."""
    return ",".join(_column(part) for part in value.split(","))
