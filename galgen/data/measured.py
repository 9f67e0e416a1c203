"""Measured numbers, kept in the user's cache folder so that a set is measured once.

Each file there holds the numbers of some images. Its name is a hash of everything that they
follow from: the pixels themselves, the facts about them, the names of the numbers, and the code
that measures. Whatever changes has another name, so that an old number is never taken for a new
one; a file that is damaged or cannot be written costs the time of measuring again and no more.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import OutputError
from galgen.io.atomic import replacing
from galgen.measure import apertures, bandorder, photometry, quantities, sky, sources

#: Says how far it has got, once it takes longer than seconds; the commands show it.
LOG = logging.getLogger("galgen.measuring")
#: Seconds until the first word, and between two.
_PATIENCE, _PAUSE = 3.0, 10.0
#: Images in memory at a time, and in one file.
_CHUNK = 256
_DIGEST = 32


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/galgen/measured``, by default below ``~/.cache``; None without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "galgen" / "measured"
    try:
        return Path.home() / ".cache" / "galgen" / "measured"
    except RuntimeError:
        return None


def measured(
    rows: Sequence[int],
    spec: ImageSpec,
    names: Sequence[str],
    read: Callable[[Sequence[int]], NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Numbers (n, names) of the galaxies `rows`, as `galgen.measure.quantities.measure_numbers`.

    Parameters
    ----------
    rows
        Which galaxies.
    spec
        Facts about the images.
    names
        What to measure.
    read
        Gives the images of some rows.
    """
    values = np.full((len(rows), len(names)), np.nan)
    started = told = monotonic()
    for first in range(0, len(rows), _CHUNK):
        pixels = np.ascontiguousarray(read(rows[first : first + _CHUNK]))
        path = _path(pixels, spec, names)
        found = _load(path, (len(pixels), len(names)))
        if found is None:
            found = quantities.measure_numbers(pixels, spec, names)
            _store(path, found)
        values[first : first + len(pixels)] = found
        done, now = first + len(pixels), monotonic()
        if done < len(rows) and now - started > _PATIENCE and (
            told == started or now - told > _PAUSE
        ):  # fmt: skip
            told = now
            left = (now - started) / done * (len(rows) - done)
            LOG.info(
                "measuring %s: %s of %s galaxies, about %s left",
                ", ".join(names), f"{done:,}", f"{len(rows):,}",
                f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min",
            )  # fmt: skip
    return values


@cache
def _method() -> bytes:
    """What measures: the code here, and the versions of what it calls."""
    code = apertures, bandorder, photometry, quantities, sky, sources
    parts = [Path(str(m.__file__)).read_bytes() for m in code]
    parts += [version(name).encode() for name in ("photutils", "astropy", "numpy", "scipy")]
    return hashlib.sha256(b"\0".join(parts)).digest()


def _path(pixels: NDArray[np.float32], spec: ImageSpec, names: Sequence[str]) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    about = repr((spec, tuple(names), pixels.shape, pixels.dtype.str))
    key = hashlib.blake2b(_method() + about.encode(), digest_size=20)
    key.update(pixels.data)
    return folder / key.hexdigest()


def _load(path: Path | None, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """Numbers of a file, None where there is none or it is not whole."""
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    digest, numbers = content[:_DIGEST], content[_DIGEST:]
    whole = len(numbers) == 8 * shape[0] * shape[1] and digest == hashlib.sha256(numbers).digest()
    return np.frombuffer(numbers, "<f8").reshape(shape) if whole else None


def _store(path: Path | None, values: NDArray[np.float64]) -> None:
    if path is None:
        return
    numbers = values.astype("<f8").tobytes()
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(numbers).digest() + numbers)
