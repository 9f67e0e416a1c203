"""Where galaxies go: a file each, or the pixels of a pack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.io.atomic import write_whole
from galgen.io.galaxyfile import Encoded, GalaxyWriter
from galgen.io.raster import encode_raster
from galgen.report.pictures import composite
from galgen.stretch import Stretch


class Sink(Protocol):
    """Stores galaxies, each by itself, from any process and in any order."""

    def put(
        self, place: int, index: int, flux: NDArray[np.float32], facts: Mapping[str, Any]
    ) -> bytes:
        """Store a galaxy (C, H, W); gives the SHA-256 of what is stored.

        Parameters
        ----------
        place
            Which galaxy of the set, from 0.
        index
            Which sample of the seed.
        facts
            What its file says, beside what all of them say.
        """

    def good(self, place: int, index: int, digest: bytes) -> bool:
        """Whether what is stored there is whole, and has that SHA-256."""

    def finish(self, rows: Iterator[NDArray[Any]]) -> None:
        """Once all are stored; `rows` are those of the catalogue, some at a time."""


def ending(kind: str, compress: str | None = None) -> str:
    """Of a file, by what is written: ``.fits``, ``.fits.fz`` where it is compressed, ``.png``."""
    return f".{kind}.fz" if kind == "fits" and compress else f".{kind}"


def file_stem(index: int) -> str:
    """``galaxy_000017`` for sample 17."""
    return f"galaxy_{index:06d}"


class _Files:
    """A file a galaxy."""

    def __init__(self, folder: Path, ending: str, telescope: str | None) -> None:
        self.folder = folder
        self.ending = f"{'' if telescope is None else f'_{telescope}'}{ending}"

    def path(self, index: int) -> Path:
        """File of a sample."""
        return self.folder / f"{file_stem(index)}{self.ending}"

    def good(self, place: int, index: int, digest: bytes) -> bool:
        try:
            with self.path(index).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == digest
        except OSError:
            return False

    def finish(self, rows: Iterator[NDArray[Any]]) -> None:
        """Each file stands by itself."""

    def _write(self, index: int, data: bytes) -> bytes:
        write_whole(self.path(index), data)
        return hashlib.sha256(data).digest()


class FitsFiles(_Files):
    """FITS files.

    Parameters
    ----------
    folder
        Where.
    writer
        Of the telescope's images.
    telescope
        Its name, which stands in the files' names; None where there is one alone.
    compress
        As `GalaxyWriter`.
    """

    def __init__(
        self,
        folder: Path,
        writer: GalaxyWriter,
        telescope: str | None = None,
        compress: str | None = None,
    ) -> None:
        super().__init__(folder, ending("fits", compress), telescope)
        self.writer = writer

    def encode(self, flux: NDArray[np.float32], facts: Mapping[str, Any]) -> Encoded:
        """The file of a galaxy, and what a reader gets of it."""
        return self.writer.encode(flux, facts)

    def put(
        self, place: int, index: int, flux: NDArray[np.float32], facts: Mapping[str, Any]
    ) -> bytes:
        return self.put_encoded(index, self.encode(flux, facts))

    def put_encoded(self, index: int, encoded: Encoded) -> bytes:
        """As `put`, of what `encode` gave."""
        return self._write(index, encoded.data)


class Pictures(_Files):
    """PNG or JPG files.

    Parameters
    ----------
    folder, telescope
        As `FitsFiles`.
    kind
        ``png`` or ``jpg``.
    spec, stretch
        Of the images.
    """

    def __init__(
        self, folder: Path, kind: str, spec: ImageSpec, stretch: Stretch, telescope: str | None
    ) -> None:
        super().__init__(folder, ending(kind), telescope)
        self.kind, self.spec, self.stretch = kind, spec, stretch

    def put(
        self, place: int, index: int, flux: NDArray[np.float32], facts: Mapping[str, Any]
    ) -> bytes:
        shown = picture(flux, self.spec, self.stretch)
        return self._write(index, encode_raster(shown, self.kind))


def picture(galaxy: NDArray[np.float32], spec: ImageSpec, stretch: Stretch) -> NDArray[np.float32]:
    """What a PNG or JPG shows, (1 or 3, H, W) in 0..255: display images as they are, with R, G
    and B in that order, fluxes as the one composite of all galaxies.
    """
    if spec.display and spec.n_bands in (1, 3):
        if {*spec.bands} == {"R", "G", "B"}:
            galaxy = galaxy[[spec.bands.index(band) for band in "RGB"]]
        return np.clip(galaxy, 0, 255)
    shown = composite(torch.from_numpy(np.ascontiguousarray(galaxy))[None], spec, stretch)[0]
    return np.moveaxis(shown, -1, 0).astype(np.float32)
