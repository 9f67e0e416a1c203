"""FITS -> tensor -> FITS changes magnitude and colour by less than 1e-3, on real cutouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from galgen.bands import ImageSpec  # noqa: E402
from galgen.io import read_cutout  # noqa: E402
from galgen.io.header import write_galaxy  # noqa: E402
from galgen.stretch import Stretch  # noqa: E402


def magnitudes(
    flux: np.ndarray, zero_points: tuple[float, ...], apertures: np.ndarray
) -> np.ndarray:
    """(N, C) from the pixels of one aperture per galaxy, in double precision."""
    return np.array(zero_points) - 2.5 * np.log10(totals(flux, apertures))


def totals(flux: np.ndarray, apertures: np.ndarray) -> np.ndarray:
    """(N, C) flux within one aperture per galaxy, in double precision."""
    return (flux.astype(np.float64) * apertures[:, None]).sum((2, 3))


@pytest.mark.parametrize("folder", ["hsc_grizy_fits_32", "sdss_ugriz_fits"])
@pytest.mark.parametrize("kind", ["asinh", "minmax"])
def test_magnitude_and_colour_survive(real_data, tmp_path: Path, folder: str, kind: str) -> None:
    cutouts = [read_cutout(path) for path in sorted(real_data(folder).glob("*.fits"))]
    first = cutouts[0]
    flux = torch.from_numpy(np.stack([cutout.pixels for cutout in cutouts]))
    stretch = Stretch.fit(flux, kind)
    back = stretch.inverse(stretch(flux))
    spec = ImageSpec(flux.shape[-1], first.bands, first.unit, first.zero_points, first.pixel_scale)
    written = []
    for k, galaxy in enumerate(back.numpy()):
        path = tmp_path / f"galaxy_{k:06d}.fits"
        write_galaxy(path, galaxy, spec, {"seed": 0, "index": k, "stretch": stretch.state()})
        read = read_cutout(path)
        assert read.bands == first.bands
        assert read.zero_points == first.zero_points
        written.append(read.pixels)
    # Apertures: the pixels above 5 sigma of the summed image, within 0.4 of the side.
    reference = flux.sum(1).numpy()
    y, x = np.mgrid[: spec.size, : spec.size] - (spec.size - 1) / 2
    noise = 1.4826 * np.median(abs(reference - np.median(reference)))
    apertures = (reference > 5 * noise) & (np.hypot(x, y) < 0.4 * spec.size)
    sky = np.sqrt(apertures.sum((1, 2)))[:, None] * Stretch.fit(flux).scale.numpy()
    seen = totals(flux.numpy(), apertures) > np.maximum(5 * sky, 1e-9)
    seen &= apertures.sum((1, 2))[:, None] > 10
    both = seen[:, 1:] & seen[:, :-1]
    assert both.sum() > 40
    with np.errstate(divide="ignore", invalid="ignore"):
        before = magnitudes(flux.numpy(), first.zero_points, apertures)
        after = magnitudes(np.stack(written), first.zero_points, apertures)
        colours = np.diff(after, axis=1) - np.diff(before, axis=1)
    assert abs(after - before)[seen].max() < 1e-3
    assert abs(colours)[both].max() < 1e-3
