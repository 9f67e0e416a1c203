"""What lies in a folder: which files make up one galaxy, and which class it has.

Rules, in this order:

1. Images directly in the folder are the set, and sub-folders are left out with a note.
   2-D FITS files whose names differ by one band name alone (``x_g.fits``, ``x_r.fits``) are
   the bands of one galaxy.
2. Otherwise sub-folders are **bands** if their file names agree once the folder's name is
   taken out (``f115w/ceers_f115w_10983.fits`` and ``f150w/ceers_f150w_10983.fits``): at least
   half of all names are in every folder, and the files hold one plane each. Pictures are so
   only if the folders are also called like bands, since numbered classes agree by accident.
3. Otherwise sub-folders are **classes**.

Where several kinds of files lie together, that of FITS, ``.npy`` and pictures with the most
names is read (FITS rather than ``.npy`` rather than pictures, if equal) and the rest is noted;
of pictures with one name in several formats, PNG rather than TIFF rather than JPG. Files that
are no images by their ending, hidden files, catalogues and the ``overview.png`` that
``galgen sample`` writes are passed over.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galgen.data.pack.index import is_pack
from galgen.data.table import CATALOGUE_NAMES
from galgen.errors import ConfigError, DataError
from galgen.io import file_kind, image_stem, read_cutout

BUILT_IN = ("hubble", "sersic")
_KINDS = ("fits", "npy", "raster")
_PICTURES = ("png", "tif", "jpg")
_PASSED_OVER = (*CATALOGUE_NAMES, "overview.png")
# Short wavelengths first, as bands are listed in the field.
_ORDER = "fuv nuv u g v r i z y j h k ks w1 w2 w3 w4".split()
_BAND = re.compile(r"(?:fuv|nuv|vis|ks|w[1-4]|[ugrizyjhkbv]p?|f\d{3,4}[a-z]{1,2}\d?)$", re.I)
_MOST_BANDS = 40


@dataclass(frozen=True)
class Entry:
    """One galaxy: its name, its file or its file in each band, and its class folder."""

    name: str
    files: tuple[Path, ...]
    folder: str | None = None


@dataclass(frozen=True)
class FolderIndex:
    """Galaxies of a folder, sorted by name.

    `bands` are those of the layout with one file per band, and None where the files
    themselves name them. `classes` are the sub-folders that are classes.
    """

    root: Path
    kind: str
    entries: tuple[Entry, ...]
    bands: tuple[str, ...] | None
    classes: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def scan_folder(source: str | Path) -> FolderIndex:
    """Index of the images in a folder; opens one file of each sub-folder at most.

    Raises
    ------
    DataError
        If the folder is missing, is a file, or holds no image.
    """
    root = Path(source)
    _require_folder(root, str(source))
    notes: list[str] = []
    here, folders = _list(root)
    if here:
        kind, files = _one_kind(here, notes)
        with_images = [folder.name for folder in folders if _list(folder)[0]]
        if with_images:
            notes.append(f"images in sub-folders are left out: {', '.join(with_images)}.")
        return _flat(root, kind, files, notes)
    pack = next((folder for folder in folders if is_pack(folder)), None)
    if pack is not None:
        raise DataError(f"{root} is no folder of images, but {pack} is a pack: open that instead.")
    inside = {folder.name: _list(folder)[0] for folder in folders}
    inside = {name: files for name, files in inside.items() if files}
    if not inside:
        deeper = next((d for f in folders for d in _list(f)[1] if _list(d)[0]), None)
        if deeper is not None:
            raise DataError(f"{root} holds images two levels down: open {deeper.parent} instead.")
        raise DataError(f"{root} holds no image: galgen reads FITS, .npy, JPG, PNG and TIFF.")
    kind, kept = _one_kind([file for files in inside.values() for file in files], notes)
    read = set(kept)
    inside = {name: [f for f in files if f in read] for name, files in inside.items()}
    inside = {name: files for name, files in sorted(inside.items()) if files}
    return _band_folders(root, kind, inside, notes) or _class_folders(root, kind, inside, notes)


def _require_folder(root: Path, source: str) -> None:
    if root.is_dir():
        return
    if root.is_file():
        raise DataError(f"{source} is a file: give the folder that holds the images.")
    siblings = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, siblings, 1, 0.7)
    if near:
        hint = f"did you mean {root.parent / near[0]}"
    elif close := difflib.get_close_matches(source, BUILT_IN, 1, 0.6):
        hint = f"did you mean the built-in set {close[0]}"
    else:
        hint = f"give a folder of images, a pack or a built-in set ({' or '.join(BUILT_IN)})"
    raise DataError(f"the folder {source} does not exist; {hint}.")


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    images, folders = [], []
    try:
        with os.scandir(folder) as items:
            for item in items:
                if item.name.startswith(".") or item.name.lower() in _PASSED_OVER:
                    continue
                if item.is_dir():
                    folders.append(Path(item.path))
                elif file_kind(item.name) is not None:
                    images.append(Path(item.path))
    except PermissionError:
        raise DataError(f"{folder} may not be read: mend its permissions.") from None
    return sorted(images), sorted(folders)


def _one_kind(files: Sequence[Path], notes: list[str]) -> tuple[str, list[Path]]:
    counts = Counter(str(file_kind(file)) for file in files)
    stems = Counter(k for k, _, _ in {(file_kind(f), f.parent, image_stem(f)) for f in files})
    kind = max(_KINDS, key=lambda k: (stems[k], -_KINDS.index(k)))
    if len(counts) > 1:
        rest = ", ".join(f"{counts[k]} {k}" for k in _KINDS if k != kind and counts[k])
        notes.append(f"{counts[kind]} {kind} files are read; left out beside them: {rest} files.")
    chosen = [file for file in files if file_kind(file) == kind]
    return kind, _one_format(chosen, notes) if kind == "raster" else chosen


def _one_format(files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Pictures without those that have a twin of the same name in a better format."""
    best: dict[tuple[Path, str], int] = {}
    for file in files:
        key = (file.parent, image_stem(file))
        best[key] = min(best.get(key, len(_PICTURES)), _format(file))
    kept = [f for f in files if _format(f) == best[f.parent, image_stem(f)]]
    if len(kept) < len(files):
        left = Counter(_PICTURES[_format(file)] for file in set(files) - set(kept))
        taken = Counter(_PICTURES[_format(file)] for file in kept).most_common(1)[0][0]
        rest = ", ".join(f"{left[k]} {k}" for k in _PICTURES if left[k])
        notes.append(f"{taken} files are read; left out, of the same names: {rest} files.")
    return kept


def _format(file: Path) -> int:
    short = {"jpeg": "jpg", "tiff": "tif"}
    ending = file.suffix.lower().lstrip(".")
    return _PICTURES.index(short.get(ending, ending))


def _flat(root: Path, kind: str, files: Sequence[Path], notes: list[str]) -> FolderIndex:
    split = _band_tokens(files) if kind == "fits" else None
    if split is not None and _planes(files) == 1:
        bands = sort_bands({band for _, band in split})
        galaxies: dict[str, dict[str, Path]] = {}
        for file, (key, band) in zip(files, split, strict=True):
            galaxies.setdefault(key, {})[band] = file
        notes.append(f"one file per band: {', '.join(bands)}, by the file names.")
        return _by_band(root, kind, galaxies, bands, notes)
    entries, bad = _unique([Entry(image_stem(file), (file,)) for file in files])
    return FolderIndex(root, kind, entries, None, (), bad, tuple(notes))


def _unique(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], tuple[tuple[str, str], ...]]:
    seen: dict[str, Entry] = {}
    bad = []
    for entry in entries:
        if entry.name in seen:
            twin = seen[entry.name].files[0].name
            bad.append((str(entry.files[0]), f"same name as {twin}"))
        else:
            seen[entry.name] = entry
    return tuple(sorted(seen.values(), key=lambda e: e.name)), tuple(bad)


def _band_tokens(files: Sequence[Path]) -> list[tuple[str, str]] | None:
    """(name without band, band) of each file, if one place in all names holds the bands."""
    parts = [re.split(r"([^A-Za-z0-9]+)", image_stem(file)) for file in files]
    if len(parts) < 2 or len({len(p) for p in parts}) != 1:
        return None
    for place in range(0, len(parts[0]), 2):
        bands = Counter(p[place] for p in parts)
        if not 2 <= len(bands) <= _MOST_BANDS or not all(_BAND.match(band) for band in bands):
            continue
        split = [(_join(p, place), tidy_band(p[place])) for p in parts]
        sizes = Counter(key for key, _ in split)
        complete = sum(size == len(bands) for size in sizes.values())
        if len(set(split)) == len(split) and complete * 2 >= len(sizes):
            return split
    return None


def _join(parts: Sequence[str], place: int) -> str:
    rest = [*parts[: max(0, place - 1)], *parts[place + (1 if place else 2) :]]
    return "".join(rest) or "image"


def _planes(files: Sequence[Path]) -> int | None:
    """Planes of the first file that can be read, more than one for an unnamed cube."""
    for file in files[:10]:
        try:
            return len(read_cutout(file).pixels)
        except ConfigError:
            return 2
        except DataError:
            continue
    return None


def _band_folders(
    root: Path, kind: str, inside: Mapping[str, Sequence[Path]], notes: list[str]
) -> FolderIndex | None:
    if not 2 <= len(inside) <= _MOST_BANDS:
        return None
    if kind == "raster" and not all(_BAND.match(name) for name in inside):
        return None
    keys = {
        name: {_without(image_stem(file), name): file for file in files}
        for name, files in inside.items()
    }
    everywhere = set.intersection(*(set(files) for files in keys.values()))
    anywhere = set.union(*(set(files) for files in keys.values()))
    if 2 * len(everywhere) < len(anywhere):
        return None
    if any(_planes(files) != 1 for files in inside.values()):
        return None
    galaxies: dict[str, dict[str, Path]] = {}
    for name, files in keys.items():
        for key, file in files.items():
            galaxies.setdefault(key, {})[tidy_band(name)] = file
    bands = sort_bands({tidy_band(name) for name in keys})
    notes.append(f"sub-folders are bands, since their file names agree: {', '.join(bands)}.")
    return _by_band(root, kind, galaxies, bands, notes)


def _without(stem: str, folder: str) -> str:
    parts = re.split(r"([^A-Za-z0-9]+)", stem)
    for place in range(0, len(parts), 2):
        if parts[place].lower() == folder.lower():
            return _join(parts, place)
    at = stem.lower().find(folder.lower())
    if at < 0:
        return stem
    return (stem[:at].rstrip("_-. ") + stem[at + len(folder) :]).lstrip("_-. ") or "image"


def _by_band(
    root: Path,
    kind: str,
    galaxies: Mapping[str, Mapping[str, Path]],
    bands: tuple[str, ...],
    notes: Sequence[str],
) -> FolderIndex:
    entries, bad = [], []
    for name, files in sorted(galaxies.items()):
        missing = [band for band in bands if band not in files]
        if missing:
            some = next(iter(files.values()))
            bad.append((str(some), f"no file of {name} in band {', '.join(missing)}"))
        else:
            entries.append(Entry(name, tuple(files[band] for band in bands)))
    return FolderIndex(root, kind, tuple(entries), bands, (), tuple(bad), tuple(notes))


def _class_folders(
    root: Path, kind: str, inside: Mapping[str, Sequence[Path]], notes: list[str]
) -> FolderIndex:
    every = [
        Entry(f"{name}/{image_stem(file)}", (file,), name)
        for name, files in inside.items()
        for file in files
    ]
    entries, bad = _unique(every)
    classes = tuple(sorted(inside))
    if len(classes) > 1:
        notes.append(classes_note(classes))
    else:
        notes.append(f"the images of the one sub-folder {classes[0]} are read.")
        classes = ()
    return FolderIndex(root, kind, entries, None, classes, bad, tuple(notes))


def classes_note(classes: Sequence[str]) -> str:
    """What is said of sub-folders that are classes."""
    return f"sub-folders are classes: {', '.join(classes)}."


def tidy_band(name: str) -> str:
    """Space-telescope filters in capitals (``f115w`` is F115W), other names as they are."""
    return name.upper() if re.fullmatch(r"f\d{3,4}[a-z]{1,2}\d?", name, re.I) else name


def sort_bands(bands: set[str]) -> tuple[str, ...]:
    """By wavelength where the names are known letters, else by name."""

    def rank(band: str) -> tuple[int, str]:
        low = band.lower()
        return (_ORDER.index(low) if low in _ORDER else len(_ORDER), band)

    return tuple(sorted(bands, key=rank))
