"""Galaxies that the network of the features `galaxy` learns from: real ones and simulated ones.

Every galaxy is kept as composites of 64 pixels turned by several angles. They are turned before
they are made smaller, so that no view is smoother than another; stamps that have no pixels to
spare keep smooth and unturned views apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from galgen.data.sersic import KINDS, simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.data.sets import CutoutSet, open_set
from galgen.measure.composite import composite_planes, display_stretch
from galgen.metrics.galaxy import resized
from galgen.metrics.galaxy_network import SIDE
from galgen.randomness import generator, key
from galgen.stretch import Stretch

#: Views of each galaxy: as it is, and turned.
COPIES = 4
#: One galaxy in so many is never shown in training.
HELD_OUT = 5
#: True numbers of simulated galaxies, in this order.
TRUTH = ("magnitude", "blue", "red", "size", "ellipticity", "index", "bulge", "snr")
_SPIRALS = {"spiral_anticlockwise": "spiral", "spiral_clockwise": "spiral"}
_CHUNK = 64

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pool:
    """Galaxies of one kind of observation.

    Attributes
    ----------
    name
        Of the set.
    views
        (N, COPIES, 3, 64, 64) uint8; the first is not turned.
    held
        (N,) bool, not for training.
    share
        Part of each batch, relative to the others.
    classes, labels
        Class names, and (N,) their numbers.
    truth
        (N, len(TRUTH)), standardised; NaN where not known.
    softening
        asinh of the flux that is drawn as 1, in units of the softening; 0 for pictures, whose
        flux is not known.
    grey
        One band.
    even
        All views are equally smooth.
    """

    name: str
    views: Tensor
    held: Tensor
    share: float
    classes: tuple[str, ...] = ()
    labels: Tensor | None = None
    truth: Tensor | None = None
    softening: float = 0.0
    grey: bool = False
    even: bool = True


def is_held(groups: Sequence[str]) -> Tensor:
    """Which galaxies are held out: by their names, the same in every run, (N,) bool."""
    return torch.tensor([key(0, f"held out {name}") % HELD_OUT == 0 for name in groups])


def pools(folder: Path | None, seed: int, most: int | None, say: Say) -> list[Pool]:
    """All sets that there are: those in `folder` with the names that the card lists, and the
    built-in ones. `most` limits the galaxies of each.
    """
    found = []
    if folder is not None:
        found = _real(folder, seed, most)
    found += [_hubble(seed, most), *_simulated(seed, most)]
    for pool in found:
        say(f"{pool.name}: {len(pool.views)} galaxies, {int(pool.held.sum())} held out")
    return found


def _real(folder: Path, seed: int, most: int | None) -> list[Pool]:
    found = []
    if (folder / "sdss_gri_jpg").is_dir():
        found.append(_pictures(folder / "sdss_gri_jpg", 424, (180, 212, 276), 4.5, seed, most))
    if (folder / "gz1_jpg").is_dir():
        labels = str(folder / "gz1_jpg" / "labels.csv") + ":label"
        crops = (150, 212, 276)
        found.append(_pictures(folder / "gz1_jpg", 423, crops, 4.0, seed, most, labels))
    for name, size, share in (
        ("hsc_grizy_fits_32", 32, 0.5),
        ("hsc_grizy_fits_48", 48, 0.4),
        ("ceers_7band_fits", 100, 0.2),
        ("sdss_ugriz_fits", 64, 0.2),
    ):
        if (folder / name).is_dir():
            group = "catalog.csv:scene" if name.startswith("hsc") else None
            cutouts = open_set(folder / name, size=size, group=group, count=most, seed=seed)
            found.append(_stamps(cutouts, name, share, seed))
    return found


def _pictures(
    place: Path,
    native: int,
    crops: Sequence[int],
    share: float,
    seed: int,
    most: int | None,
    labels: str | None = None,
) -> Pool:
    """Pictures larger than what is shown of them, each with a crop of its own."""
    cutouts = open_set(place, size=native, crop=native, labels=labels, count=most, seed=seed)
    rng = np.random.default_rng(key(seed, "crops", native))
    crop_of = rng.choice(crops, len(cutouts))
    angles = _angles(len(cutouts), seed)
    views = torch.empty(len(cutouts), COPIES, 3, SIDE, SIDE, dtype=torch.uint8)
    for crop in crops:
        members = np.flatnonzero(crop_of == crop)
        for first in range(0, len(members), _CHUNK):
            rows = members[first : first + _CHUNK]
            pixels = torch.from_numpy(cutouts.read(rows.tolist()))
            for copy in range(COPIES):
                turned = turn(pixels, angles[rows, copy], int(crop), "bilinear")
                views[rows, copy] = _bytes(resized(composite_planes(turned, cutouts.spec)))
    classes, numbers = _without_direction(cutouts)
    return Pool(
        name=cutouts.name if labels is None else place.name,
        views=views,
        held=is_held(cutouts.groups),
        share=share,
        classes=classes,
        labels=numbers,
        grey=cutouts.spec.n_bands == 1,
    )


def _without_direction(cutouts: CutoutSet) -> tuple[tuple[str, ...], Tensor | None]:
    """Classes without which way spirals turn, which a mirror changes."""
    if cutouts.labels is None:
        return (), None
    names = [_SPIRALS.get(name, name) for name in cutouts.classes]
    classes = tuple(dict.fromkeys(names))
    number_of = torch.tensor([classes.index(name) for name in names])
    return classes, number_of[torch.from_numpy(cutouts.labels)]


def _stamps(cutouts: CutoutSet, name: str, share: float, seed: int) -> Pool:
    """Small cutouts, turned with what lies beyond the edges mirrored in."""
    pixels = torch.from_numpy(cutouts.read(range(len(cutouts))))
    spec = cutouts.spec
    stretch = None if spec.display else display_stretch(pixels, spec)
    angles = _angles(len(pixels), seed)
    views = [
        _bytes(resized(composite_planes(turn(pixels, angles[:, copy]), spec, stretch)))
        for copy in range(COPIES)
    ]
    return Pool(
        name=name,
        views=torch.stack(views, 1),
        held=is_held(cutouts.groups),
        share=share,
        softening=0.0 if stretch is None else _softening(stretch),
        grey=spec.n_bands == 1,
        even=False,
    )


def _hubble(seed: int, most: int | None) -> Pool:
    return _stamps(open_set("hubble", size=32, count=most, seed=seed), "hubble", 0.4, seed)


def _simulated(seed: int, most: int | None) -> list[Pool]:
    """The simulator in several bands and sizes; seeds far from those that people take."""
    plans = (
        (("g", "r", "i"), 32, 2500, 1.2),
        (("g", "r", "i"), 64, 2500, 1.2),
        (("g", "r", "i", "z", "y"), 48, 1000, 0.5),
        (("r",), 64, 1000, 0.4),
        (("F115W", "F200W", "F277W", "F444W"), 64, 1000, 0.4),
    )
    return [
        _sersic(bands, size, min(count, most or count), share, key(seed, "simulated", row))
        for row, (bands, size, count, share) in enumerate(plans)
    ]


def _sersic(bands: tuple[str, ...], size: int, count: int, share: float, seed: int) -> Pool:
    """Simulated galaxies, turned before sky noise is added."""
    spec = sersic_spec(size, bands)
    wide = math.ceil(size * math.sqrt(2) / 2) * 2
    clean, table = simulate(count, size=wide, bands=bands, seed=seed, noise=False, frame=size)
    noisy, _ = simulate(count, size=size, bands=bands, seed=seed)
    stretch = display_stretch(torch.from_numpy(noisy), spec)
    # The simulator's own sky noise, as the images' corners show it.
    sky = torch.from_numpy(noisy[..., :2, :2].std((0, 2, 3)))[:, None, None]
    angles, draw = _angles(count, seed), generator(seed, "sky")
    views = torch.empty(count, COPIES, 3, SIDE, SIDE, dtype=torch.uint8)
    for first in range(0, count, _CHUNK):
        rows = slice(first, first + _CHUNK)
        for copy in range(COPIES):
            flux = turn(torch.from_numpy(clean[rows]), angles[rows, copy], size)
            flux = flux + sky * torch.randn(flux.shape, generator=draw)
            views[rows, copy] = _bytes(resized(composite_planes(flux, spec, stretch)))
    names = [f"{bands} {size} {i}" for i in range(count)]
    return Pool(
        name=f"sersic-{''.join(bands)}-{size}",
        views=views,
        held=is_held(names),
        share=share,
        classes=KINDS,
        labels=torch.from_numpy(np.asarray(table["kind"], dtype=np.int64)),
        truth=_truth(table, bands),
        softening=_softening(stretch),
        grey=len(bands) == 1,
    )


def _truth(table: dict[str, np.ndarray], bands: Sequence[str]) -> Tensor:
    """Standardised true numbers (N, len(TRUTH)); NaN for colours of one band."""
    mags = np.stack([np.asarray(table[f"mag_{band}"], dtype=float) for band in bands], 1)
    none = np.full(len(mags), np.nan)
    middle = len(bands) // 2
    columns = {
        "magnitude": mags[:, middle],
        "blue": mags[:, 0] - mags[:, middle] if middle else none,
        "red": mags[:, middle] - mags[:, -1] if middle < len(bands) - 1 else none,
        "size": np.log(table["r_half_pixels"]),
        "ellipticity": table["ellipticity"],
        "index": np.log(table["sersic_n_effective"]),
        "bulge": table["bulge_fraction"],
        "snr": np.log(table["snr"]),
    }
    values = np.stack([np.asarray(columns[name], dtype=float) for name in TRUTH], 1)
    values = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(values).all(0)
    values[:, known] -= np.nanmedian(values[:, known], 0)
    values[:, known] /= np.nanstd(values[:, known], 0) + 1e-6
    return torch.from_numpy(values).float().clamp(-4, 4)


def _softening(stretch: Stretch) -> float:
    return float(torch.asinh((stretch.top - stretch.low) / stretch.scale).mean())


def _angles(count: int, seed: int) -> Tensor:
    """Degrees (count, COPIES): 0, then any that is far from a quarter turn."""
    draws = torch.rand(count, COPIES, generator=generator(seed, "angles"))
    angles = 90 * (4 * draws).floor() + 20 + 50 * (4 * draws).frac()
    angles[:, 0] = 0
    return angles


def turn(pixels: Tensor, degrees: Tensor, side: int | None = None, mode: str = "bicubic") -> Tensor:
    """Central `side` pixels of images (N, C, H, H), each turned by its angle (N,).

    What comes in from beyond the edges is mirrored.
    """
    whole = pixels.shape[-1]
    side = whole if side is None else side
    first = (whole - side) // 2
    if not bool(degrees.any()):
        return pixels[..., first : first + side, first : first + side]
    angle = torch.deg2rad(degrees)
    axis = (torch.arange(side) + 0.5 + first) * 2 / whole - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    grid = torch.stack([x * cos - y * sin, x * sin + y * cos], -1)
    return F.grid_sample(pixels, grid, mode, "reflection", align_corners=False)


def _bytes(planes: Tensor) -> Tensor:
    return (planes * 255).round().clamp(0, 255).to(torch.uint8)
