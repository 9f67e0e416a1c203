"""The index of a pack: what its shards hold, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from galgen.errors import DataError
from galgen.io.atomic import replacing

#: Name of the index. A folder that holds it is a pack.
INDEX = "pack.json"
CATALOGUE = "catalogue.fits"
#: What this galgen writes, and the newest that it reads.
FORMAT = 1
#: Bytes of pixels that a shard is filled up to.
SHARD_BYTES = 256 * 1024**2
FLUX, PICTURE = "flux", "picture"
#: What pixels are kept as: flux, resized and 16-bit pictures as floats, other pictures as bytes.
DTYPES = ("<f4", "|u1")
#: Facts that the first packs lack.
_NEW = ("stamp", "tables", "generated", "sha256")


@dataclass(frozen=True)
class Shard:
    """One file of pixels (count, C, H, W); `bytes` with its header, `sha256` of the whole file."""

    file: str
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PackIndex:
    """What a pack is, as ``pack.json`` has it.

    Attributes
    ----------
    kind
        ``flux``, or ``picture`` for values 0..255 that may be resized.
    shape
        (C, H, W) of every galaxy.
    dtype
        ``<f4`` or ``|u1``.
    count
        Galaxies.
    checked
        Side in pixels of the central square in which every pixel was looked at and is good; it
        is at most min(H, W). Beyond it what was not finite has become 0. Nothing non-finite is
        in a pack.
    bands, unit, zero_points, pixel_scale, psf_fwhm
        Facts as those of `galgen.io.Cutout`, None where the files did not say and nobody stated
        them; `bands` is None for one plane without a name.
    classes
        Names of the sub-folders that are classes, sorted; the catalogue has each galaxy's.
    shards
        In the order of the galaxies.
    catalogue
        ``file``, ``bytes`` and ``sha256`` of the catalogue, and ``own``: the file name of the
        table in the folder of images that its columns came from, or None.
    galgen
        Version that wrote it.
    source
        Folder or built-in set that was packed.
    options
        What it was packed with, plain JSON types.
    bad
        (file, reason) of what was left out.
    notes
        One sentence for each thing that was chosen automatically.
    stamp
        A hash of the sizes and times of the files that were packed; empty from an older galgen.
    tables
        sha256 of every table that was copied into the pack, by file name.
    generated
        How its galaxies were drawn, where ``galgen sample --pack`` made them; else empty.
    sha256
        Of the rest of the index, see `own_hash`; empty from an older galgen.
    """

    kind: str
    shape: tuple[int, int, int]
    dtype: str
    count: int
    checked: int
    bands: tuple[str, ...] | None
    unit: str | None
    zero_points: tuple[float | None, ...] | None
    pixel_scale: float | None
    psf_fwhm: tuple[float, ...] | None
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    catalogue: Mapping[str, Any]
    galgen: str = ""
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    bad: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    format: int = FORMAT
    stamp: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    generated: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def row_bytes(self) -> int:
        """Bytes of the pixels of one galaxy."""
        return math.prod(self.shape) * int(self.dtype[-1])

    def write(self, folder: str | Path) -> None:
        """Write ``pack.json``, whole or not at all; do it when everything else is there.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        path = Path(folder) / INDEX
        with replacing(path) as temporary:
            state = json.loads(json.dumps(asdict(self)))
            state["sha256"] = own_hash(state)
            temporary.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def own_hash(state: Mapping[str, Any]) -> str:
    """The sha256 of an index without the one that it holds, in JSON types."""
    rest = {name: value for name, value in state.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def is_pack(folder: str | Path) -> bool:
    """True for a folder that holds the index of a pack."""
    return (Path(folder) / INDEX).is_file()


def read(folder: str | Path) -> PackIndex:
    """Index of a pack, whose files are all there and as long as it says.

    Raises
    ------
    DataError
        If there is no pack, it is damaged, cut short, or written by a newer galgen.
    """
    path = Path(folder) / INDEX
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder} is no pack, for it holds no {INDEX}: make one by galgen data pack."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): pack the set again.") from None
    number = state.get("format") if isinstance(state, dict) else None
    if not isinstance(number, int):
        raise DataError(f"{path} is no index of a pack of galgen: rename or remove that file.")
    if number > FORMAT:
        raise DataError(
            f"{path} is of format {number}, written by galgen {state.get('galgen')}, and this "
            f"galgen reads formats up to {FORMAT}: update galgen, or pack the set again."
        )
    try:
        index = _index(state)
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): pack the set again.") from None
    _check_files(index, Path(folder))
    return index


#: What each fact is in JSON; a list of one type is a list of such, and None stands for null.
_TYPES: dict[str, tuple[Any, ...]] = {
    "kind": (str,),
    "shape": ([int],),
    "dtype": (str,),
    "count": (int,),
    "checked": (int,),
    "bands": ([str], None),
    "unit": (str, None),
    "zero_points": ([float, None], None),
    "pixel_scale": (float, None),
    "psf_fwhm": ([float, None], None),
    "classes": ([str],),
    "shards": ([dict],),
    "catalogue": (dict,),
    "galgen": (str,),
    "source": (str,),
    "options": (dict,),
    "bad": ([list],),
    "notes": ([str],),
    "format": (int,),
    "stamp": (str,),
    "tables": (dict,),
    "generated": (dict,),
    "sha256": (str,),
}
_SHARD_TYPES: dict[str, tuple[Any, ...]] = {
    "file": (str,),
    "count": (int,),
    "bytes": (int,),
    "sha256": (str,),
}
_CATALOGUE_TYPES: dict[str, tuple[Any, ...]] = {
    "file": (str,),
    "bytes": (int,),
    "sha256": (str,),
    "own": (str, None),
}


def _index(state: Mapping[str, Any]) -> PackIndex:
    known = _typed(state, _TYPES, "", _NEW)
    for name in ("shape", "bands", "zero_points", "psf_fwhm", "classes", "notes"):
        known[name] = None if known[name] is None else tuple(known[name])
    shards = [_typed(each, _SHARD_TYPES, "shards ") for each in known["shards"]]
    known["catalogue"] = _typed(known["catalogue"], _CATALOGUE_TYPES, "catalogue ")
    for file in [known["catalogue"]["file"], *(shard["file"] for shard in shards)]:
        if Path(file).name != file:
            raise ValueError(f"the file {file} is none of the pack")
    known["shards"] = tuple(Shard(**shard) for shard in shards)
    if any(len(each) != 2 for each in known["bad"]):
        raise ValueError("bad does not hold files with reasons")
    known["bad"] = tuple((str(file), str(reason)) for file, reason in known["bad"])
    index = PackIndex(**known)
    if index.kind not in (FLUX, PICTURE):
        raise ValueError(f"kind is {index.kind}")
    if index.dtype not in DTYPES:
        raise ValueError(f"dtype is {index.dtype}")
    if len(index.shape) != 3 or min(index.shape) < 1:
        raise ValueError(f"shape is {' x '.join(map(str, index.shape))}")
    if not 1 <= index.checked <= min(index.shape[1:]):
        raise ValueError(f"checked is {index.checked}")
    total = sum(shard.count for shard in index.shards)
    if index.count < 1 or total != index.count:
        raise ValueError(f"count is {index.count}, and its shards hold {total}")
    return index


def _typed(
    state: Mapping[str, Any], types: Mapping[str, tuple[Any, ...]], what: str, new: Any = ()
) -> dict[str, Any]:
    """The facts of an object, each of one of its types.

    Raises
    ------
    ValueError
        If one is missing, or something else.
    """
    found = {}
    for name, allowed in types.items():
        if name not in state and name in new:
            continue
        if name not in state:
            raise ValueError(f"it lacks {what}{name}")
        if not _is(state[name], allowed):
            raise ValueError(f"{what}{name} is {json.dumps(state[name])[:40]}")
        found[name] = state[name]
    return found


def _is(value: Any, allowed: tuple[Any, ...]) -> bool:
    for one in allowed:
        if one is None:
            right = value is None
        elif isinstance(one, list):
            right = isinstance(value, list) and all(_is(each, tuple(one)) for each in value)
        elif one in (int, float):
            plain = isinstance(value, int) and not isinstance(value, bool)
            right = plain or (one is float and isinstance(value, float))
        else:
            right = isinstance(value, one)
        if right:
            return True
    return False


def _check_files(index: PackIndex, folder: Path) -> None:
    whole = {shard.file: shard.bytes for shard in index.shards}
    whole[index.catalogue["file"]] = index.catalogue["bytes"]
    for file, size in whole.items():
        path = folder / file
        if not path.is_file():
            raise DataError(f"{path} is missing from the pack: copy it there, or pack again.")
        have = path.stat().st_size
        if have != size:
            raise DataError(
                f"{path} has {have:,} bytes where the index says {size:,}: copy it again, or pack "
                "again."
            )
