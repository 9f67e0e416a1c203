"""Sets of cutouts behind one face, whether from a folder, a pack, memory or the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec, parse_bands
from galgen.conditions import Number
from galgen.data.classes import merged
from galgen.data.facts import Stated
from galgen.data.folder import BUILT_IN
from galgen.errors import ConfigError

#: Galaxies of the built-in set ``sersic`` unless a count is given.
SERSIC_COUNT = 4000


class CutoutSet(Protocol):
    """What training, evaluation and the studies know of a set.

    Attributes
    ----------
    spec
        Facts about every image; `spec.size` is the side of what `read` returns at margin 0.
    name
        Short name for run folders.
    names
        One per galaxy, all different, sorted.
    groups
        What must not be split between training and hold-out; the names by default.
    labels
        (N,) int64 class numbers, or None.
    classes
        Class names by number, empty without labels.
    numbers
        Names and sources of the numbers that were asked for.
    values
        (N, numbers) float64 in their own units, all finite; None without numbers.
    catalogue
        Columns of shape (N,) that came with the set.
    bad
        (file, reason) of what was left out.
    notes
        One sentence for each thing that was chosen automatically.
    max_margin
        Pixels that every galaxy can give beyond each edge.
    """

    @property
    def spec(self) -> ImageSpec: ...
    @property
    def name(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def numbers(self) -> tuple[Number, ...]: ...
    @property
    def values(self) -> NDArray[np.float64] | None: ...
    @property
    def catalogue(self) -> Mapping[str, NDArray[np.generic]]: ...
    @property
    def bad(self) -> Sequence[tuple[str, str]]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def max_margin(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int], margin: int = 0) -> NDArray[np.float32]:
        """(n, C, size + 2 margin, size + 2 margin) float32 flux of the galaxies asked for."""
        ...


@dataclass(frozen=True)
class ArraySet:
    """A `CutoutSet` in memory.

    `pixels` (N, C, S, S) may be larger than `spec.size`: the rest is margin.
    """

    pixels: NDArray[np.float32]
    spec: ImageSpec
    name: str
    names: Sequence[str]
    groups: Sequence[str] = ()
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    catalogue: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    bad: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    numbers: tuple[Number, ...] = ()
    values: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[1] != self.spec.n_bands:
            raise ValueError(f"pixels of shape {self.pixels.shape} for {self.spec.shape}")
        if not len(self.pixels) == len(self.names):
            raise ValueError(f"{len(self.names)} names for {len(self.pixels)} galaxies")
        if not self.groups:
            object.__setattr__(self, "groups", tuple(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def keep(self, rows: NDArray[np.int64], bad: Sequence[tuple[str, str]]) -> ArraySet:
        """The same set with these galaxies alone, and with what was left out."""
        return replace(
            self,
            pixels=self.pixels[rows],
            names=[self.names[row] for row in rows],
            groups=[self.groups[row] for row in rows],
            labels=None if self.labels is None else self.labels[rows],
            values=None if self.values is None else self.values[rows],
            catalogue={name: column[rows] for name, column in self.catalogue.items()},
            bad=tuple(bad),
        )

    @property
    def max_margin(self) -> int:
        """Pixels beyond each edge."""
        return (self.pixels.shape[-1] - self.spec.size) // 2

    def read(self, indices: Sequence[int], margin: int = 0) -> NDArray[np.float32]:
        """A copy of the galaxies asked for."""
        if not 0 <= margin <= self.max_margin:
            raise ValueError(f"margin {margin} is not in 0..{self.max_margin}")
        side = self.spec.size + 2 * margin
        first = (self.pixels.shape[-1] - side) // 2
        window = slice(first, first + side)
        return np.array(self.pixels[list(indices), :, window, window], dtype=np.float32, order="C")


def open_set(
    source: str | Path,
    *,
    size: int | None = None,
    crop: int | None = None,
    bands: Sequence[str] | str | None = None,
    labels: str | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    condition: str | Sequence[str] = (),
    group: str | None = None,
    select: str | None = None,
    unit: str | None = None,
    magzero: float | Sequence[float] | None = None,
    pixscale: float | None = None,
    psf_fwhm: float | Sequence[float] | None = None,
    count: int | None = None,
    seed: int = 0,
    bad_fraction: float = 0.25,
    redshift: str | None = None,
) -> CutoutSet:
    """Open a folder of images, a pack or a built-in set.

    Every file of a folder is read once, checked (see `galgen.data.quality`) and kept in memory
    where the whole set takes less than `galgen.data.loading.KEEP_BYTES`; a larger one is read
    from its files again. A pack was checked when it was made and opens without reading a pixel.

    Parameters
    ----------
    source
        Folder (`galgen.data.folder` states its rules), pack (`galgen.data.pack`), ``hubble`` or
        ``sersic``. A folder of the name of a built-in set is opened as ``./hubble``.
    size
        Side of the images in pixels. By default that of the crop or of the files, at most 64.
    crop
        Side of the central square to cut from each file; pictures are then resized to `size`,
        FITS and ``.npy`` never are.
    bands
        Bands to take and their order, or names for the planes of files that have none.
    labels
        ``FILE:COLUMN`` of a CSV or FITS table, looked up in the folder first, which has a
        column of file names; ``header:KEY``; or ``catalogue:COLUMN`` of the set's own table,
        which built-in sets have too (``catalogue:kind`` of ``sersic``). ``none`` leaves classes
        alone, those of sub-folders too.
    merge
        New class name to the names of the classes that it takes the place of.
    condition
        Numbers, each text ``SOURCE:name,name``; a plain text is cut at blanks and semicolons.
        SOURCE is ``measure`` (the names of `galgen.measure.quantities.why_not`), a table as in
        `labels`, ``header``, or ``catalogue``, which may be left out. A colour ``g-r`` that is no
        column is mag_g - mag_r, or g - r.
    group
        ``FILE:COLUMN`` or ``header:KEY`` of what must not be split between training and
        hold-out, a scene say.
    select
        ``FILE:comparisons`` on the table's columns, for example
        ``catalog.csv:i_peak_snr>10,bright_pixel_flag==0``; without ``FILE:`` the catalogue in
        the folder.
    unit, magzero, pixscale, psf_fwhm
        Facts that override those of the files: flux unit, AB zero point, arcsec per pixel and
        PSF width in arcsec, the second and the last as one number or one a band.
    count
        Take this many galaxies, drawn by `seed`; the number to simulate for ``sersic``.
    seed
        Of the simulation, and of the draw of `count` galaxies.
    bad_fraction
        Stop if more than this fraction of the galaxies is bad.
    redshift
        ``FILE:COLUMN`` or ``header:KEY`` of redshifts, kept as the catalogue's column ``redshift``.

    Raises
    ------
    DataError
        If the folder is missing or empty, too many files are bad (those without a label or a
        number that was asked for among them), or facts differ in it.
    ConfigError
        If options contradict each other or name what does not exist, or if a number is a text,
        or the same for every galaxy.
    """
    chosen = parse_bands(bands)
    for option, number in (("--size", size), ("--crop", crop), ("data.count", count)):
        if number is not None and number < 1:
            raise ConfigError(f"{option} must be 1 or more, not {number}.")
    if str(source) in BUILT_IN:
        given: dict[str, Any] = {
            "group": group,
            "select": select,
            "redshift": redshift,
        }
        given |= {"unit": unit, "magzero": magzero}
        for option, value in given.items():
            if value is not None:
                raise ConfigError(f"data.{option} is for folders; the set {source} needs none.")
        if crop is not None and size is not None and crop != size:
            raise ConfigError(
                f"--crop {crop} and --size {size} differ, but the set {source} is not resized."
            )
        side = size or crop or 32
        from galgen.data.builtin import open_built_in

        built_in = open_built_in(
            str(source),
            size=side,
            bands=chosen,
            labels=None if labels == "none" else labels,
            condition=condition,
            count=count,
            seed=seed,
            pixscale=pixscale,
            psf_fwhm=psf_fwhm,
            bad_fraction=bad_fraction,
        )
        return merged(built_in, merge or {}, str(source))
    from galgen.data.folder_set import open_folder
    from galgen.data.pack.index import is_pack
    from galgen.data.pack.merging import refuse_unfinished
    from galgen.data.pack.reading import open_pack

    refuse_unfinished(Path(source))
    found = (open_pack if is_pack(source) else open_folder)(
        source,
        size=size,
        crop=crop,
        bands=chosen,
        labels=labels,
        condition=condition,
        group=group,
        select=select,
        stated=Stated(unit, magzero, pixscale, psf_fwhm),
        count=count,
        seed=seed,
        bad_fraction=bad_fraction,
        redshift=redshift,
    )
    return merged(found, merge or {}, str(source))
