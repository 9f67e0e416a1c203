"""From the files of one galaxy to the square of pixels that a set asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from galgen.bands import band_indices
from galgen.data.folder import Entry
from galgen.errors import DataError
from galgen.io import Cutout, centre_crop, read_cutout
from galgen.io.raster import resize


@dataclass(frozen=True)
class GalaxyReader:
    """How the galaxies of one folder are read.

    Attributes
    ----------
    raster
        True for pictures, which may be resized; flux is never resampled.
    layout
        Bands of the layout with one file per band, else None.
    bands
        Bands asked for, or None for all.
    crop
        Side in file pixels of the central square; None for the largest one of each picture.
    size
        Side of what is returned.
    """

    raster: bool
    layout: tuple[str, ...] | None
    bands: tuple[str, ...] | None
    crop: int | None = None
    size: int | None = None

    def cutout(self, entry: Entry, crop: int | None = None) -> Cutout:
        """All bands of a galaxy, cropped but not resized.

        Raises
        ------
        DataError, ConfigError
            As `galgen.io.read_cutout`; DataError also where the bands differ in shape.
        """
        if self.layout is None:
            return read_cutout(entry.files[0], self.bands, crop)
        rows = range(len(self.layout))
        wanted = list(rows) if self.bands is None else band_indices(self.layout, self.bands)
        parts = [read_cutout(entry.files[row], crop=crop) for row in wanted]
        shapes = {part.native for part in parts}
        if len(shapes) > 1 or any(len(part.pixels) != 1 for part in parts):
            raise DataError(f"{entry.files[0]} and its other bands differ in shape.")
        widths = [w for part in parts for w in (part.psf_fwhm or ())]
        zeros = [(part.zero_points or (None,))[0] for part in parts]
        units = sorted({part.unit for part in parts if part.unit is not None})
        if len(units) > 1:
            raise DataError(f"{entry.files[0]} and its other bands differ in unit: {units}.")
        return replace(
            parts[0],
            pixels=np.concatenate([part.pixels for part in parts]),
            bands=tuple(self.layout[row] for row in wanted),
            zero_points=tuple(zeros),
            psf_fwhm=tuple(widths) if len(widths) == len(parts) else None,
        )

    def side(self, native: tuple[int, int], margin: int = 0) -> int:
        """Side in file pixels of the central square that `read` takes of an image (H, W)."""
        assert self.size is not None
        out = self.size + 2 * margin
        if not self.raster:
            return out
        return min(native) if self.crop is None else self.crop * out // self.size

    def read(self, entry: Entry, margin: int = 0) -> Cutout:
        """Pixels (C, size + 2 margin, size + 2 margin) of a galaxy, with its facts."""
        assert self.size is not None
        out = self.size + 2 * margin
        if not self.raster:
            return self.cutout(entry, out)
        if self.crop is not None:
            cutout = self.cutout(entry, self.side((0, 0), margin))
            return replace(cutout, pixels=resize(cutout.pixels, out))
        cutout = self.cutout(entry)
        side = self.side(cutout.native)
        if side < self.size:
            raise DataError(
                f"{entry.files[0]} has {cutout.native[1]} x {cutout.native[0]} pixels, fewer than "
                f"the {self.size} asked for: lower --size."
            )
        square: NDArray[np.float32] = centre_crop(cutout.pixels, side).astype(np.float32)
        return replace(cutout, pixels=resize(square, out))

    def margin(self, natives: Sequence[tuple[int, int]]) -> int:
        """Pixels that every one of the files can give beyond each edge."""
        side = min(min(native) for native in natives)
        assert self.size is not None
        if not self.raster:
            return max(0, (side - self.size) // 2)
        if self.crop is None:
            return 0
        return max(0, int((side * self.size / self.crop - self.size) // 2))
