"""What a file says of itself: where it comes from, and whether it still is what was written."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError, OutputError
from galgen.io.checksum import fold, sum_of_bytes
from galgen.io.cutout import FITS_SUFFIXES, file_kind
from galgen.io.hdu import open_images, parse_header, walk
from galgen.io.header import CARDS, galaxy_facts, read_provenance
from galgen.io.rice import ERROR_CARDS, RAW_SUM

#: The table beside the files of a set.
_CATALOGUE = "catalogue.fits"
_WHOLE = 0xFFFFFFFF


class Foreign(DataError):
    """A file of something else than a galaxy that galgen made."""


@dataclass(frozen=True)
class Written:
    """A file as it stands.

    Attributes
    ----------
    path
        The file.
    provenance
        As `galgen.io.header.read_provenance` gives it.
    sums
        DATASUM of each image as it was written, in the order of the file; None where the header
        has none.
    damage
        What is wrong with its pixels, in words; None for nothing.
    note
        What else is, which no pixel suffers from; empty for nothing.
    cube
        Whether it holds one (band, y, x) image.
    losses
        Largest error of a pixel of each band by compression, in the unit of the file; None where it
        is not compressed.
    """

    path: Path
    provenance: Mapping[str, Any]
    sums: tuple[int | None, ...]
    damage: str | None
    note: str
    cube: bool
    losses: tuple[float, ...] | None

    @cached_property
    def request(self) -> dict[str, Any]:
        """What was typed."""
        text = self.provenance.get("request")
        try:
            found = json.loads(text) if isinstance(text, str) else {}
        except ValueError:
            found = None
        if not (isinstance(found, dict) and all(_fits(*item) for item in found.items())):
            raise self.wrong("request", "no request")
        return found

    def fact(self, key: str) -> Any:
        """A fact that a replay cannot do without.

        Raises
        ------
        DataError
            If the header has no such card.
        """
        value = self.provenance.get(key)
        if value is None:
            raise DataError(f"{self.path} cannot be drawn again: its header lacks {CARDS[key][0]}.")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number, as `fact` or, where there is no card, the default.

        Raises
        ------
        DataError
            Also if the card holds something else.
        """
        value = self.fact(key) if default is None else self.provenance.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 63:
            raise self.wrong(key, "no whole number that a sample can have")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number, as `whole` gives one."""
        value = self.fact(key) if default is None else self.provenance.get(key, default)
        finite = isinstance(value, int | float) and math.isfinite(value)
        if not finite or isinstance(value, bool):
            raise self.wrong(key, "no number")
        return float(value)

    def wrong(self, key: str, what: str) -> DataError:
        """The sentence on a card that cannot be what was written."""
        return DataError(
            f"{self.path} cannot be drawn again: its card {CARDS[key][0]} holds "
            f"{self.provenance.get(key)!r}, {what}."
        )

    def pixels(self) -> NDArray[np.float32]:
        """(bands, y, x) as they stand in the file."""
        images = [
            np.asarray(image.load(), dtype=np.float32) for image in open_images(self.path).images
        ]
        return images[0] if self.cube else np.stack(images)


def _fits(name: str, value: Any) -> bool:
    """Whether a part of a request has the type that it is written with."""
    if name == "bands":
        return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
    if name == "where" and isinstance(value, dict):
        return all(_is_number(end) for ends in value.values() for end in np.atleast_1d(ends))
    types = {"no_condition": bool, "frames": int}
    return value is None or isinstance(value, types.get(name, str))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def read(path: Path) -> Written:
    """Read a file's header, and check its sums.

    Raises
    ------
    Foreign
        If it is not one of a galaxy that galgen made.
    DataError
        If it is missing or no FITS file.
    """
    if path.is_file() and file_kind(path) != "fits":
        raise DataError(f"{path} cannot be replayed: only FITS files say how they were made.")
    raw = _bytes_of(path)
    damage = None
    try:
        _refuse_foreign(raw, path)
        provenance = read_provenance(path)
    except Foreign:
        raise
    except DataError as error:
        # Of a file that is cut short the first header may be all that is left.
        provenance, damage = _first_header(raw, path, error), _without(path, error)
    if "checkpoint" not in provenance or not {"index", "mix_row", "film_from"} & provenance.keys():
        raise Foreign(
            f"{path} cannot be replayed: its header does not say which galaxy of which checkpoint "
            "it is."
        )
    sums: list[int | None] = []
    losses: list[float] = []
    cube, note, end = False, "", 0
    try:
        for place, hdu in enumerate(walk(raw, path)):
            header = hdu.header
            name, end = header.get("EXTNAME") or f"HDU {place}", hdu.end
            if not _holds(header, raw[hdu.data : hdu.end]):
                damage = damage or f"the pixels of {name} are not those of its DATASUM"
            elif "CHECKSUM" in header and fold(sum_of_bytes(raw[hdu.begin : hdu.end])) % _WHOLE:
                note = f"the header of {name} was changed since"
            if hdu.size:
                stored = str(header.get(RAW_SUM, header.get("DATASUM")))
                sums.append(int(stored) if stored.isdecimal() else None)
                losses += _losses(header)
                cube |= "BANDS" in header
        if end != len(raw):
            damage = damage or "the file ends within a block, or goes on behind its last HDU"
    except DataError as error:
        damage = damage or _without(path, error)
    return Written(path, provenance, tuple(sums), damage, note, cube, tuple(losses) or None)


def _refuse_foreign(raw: bytes, path: Path) -> None:
    if raw[:6] == b"SIMPLE" and parse_header(raw, 0, path)[0].get("CREATOR") != "galgen":
        raise Foreign(f"{path} was not written by galgen: it has no CREATOR = 'galgen' card.")


def _without(path: Path, error: DataError) -> str:
    """What an error says of a file, without its name."""
    return str(error).removeprefix(f"{path} ").removesuffix(".")


def _bytes_of(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from None


def _losses(header: Mapping[str, Any]) -> list[float]:
    """Of the bands of one HDU."""
    own, numbered, _ = ERROR_CARDS[1]
    if "ZIMAGE" not in header:
        return []
    cards = (
        [own]
        if own in header
        else [card for card in header if re.fullmatch(rf"{numbered}\d+", card)]
    )
    return [float(header[card]) for card in cards]


def _first_header(raw: bytes, path: Path, error: DataError) -> dict[str, Any]:
    """Provenance of a damaged file.

    Raises
    ------
    DataError
        The one that was met, if not even that can be read.
    """
    try:
        primary = parse_header(raw, 0, path)[0]
    except Exception:
        raise error from None
    return galaxy_facts(primary)


def _holds(header: Mapping[str, Any], data: bytes) -> bool:
    """Whether data have the DATASUM that their header says, if it says one."""
    stored = str(header.get("DATASUM"))
    return not stored.isdecimal() or fold(sum_of_bytes(data)) % _WHOLE == int(stored) % _WHOLE


def spread(paths: Iterable[str | Path]) -> dict[Path, bool]:
    """Files as they are, and those that folders hold: whether each was named by itself.

    Raises
    ------
    DataError
        If there are none.
    """
    found: dict[Path, bool] = {}
    for given in map(Path, paths):
        if not given.is_dir():
            found[given] = True
            continue
        inside = sorted(
            path
            for path in given.iterdir()
            if path.is_file() and file_kind(path) == "fits" and path.name != _CATALOGUE
        )
        if not inside:
            raise DataError(f"{given} holds no FITS files ({', '.join(FITS_SUFFIXES)}).")
        for path in inside:
            found.setdefault(path, False)
    if not found:
        raise DataError("there is nothing to replay: name FITS files, or a folder of them.")
    return found


def refuse_namesakes(paths: Iterable[Path]) -> None:
    """Refuse files that would have one name in one folder."""
    seen: dict[str, Path] = {}
    for path in paths:
        if path.name in seen:
            raise OutputError(
                f"--write: {seen[path.name]} and {path} have one name, replay them one by one."
            )
        seen[path.name] = path
