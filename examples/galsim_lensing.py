"""Shear generated galaxies, and see them through two PSFs in pixels of two sizes.

    galgen train sersic --size 64 --images 20k --set model.options.psf=auto
    python examples/galsim_lensing.py [model] [--out lensing.png]

The model needs a PSF layer (``model.options.psf``), so that its galaxies are those above the
telescope; the newest run under ``./runs``, if none is named. Each galaxy is turned by 0, 45, 90 and
135 degrees, sheared, convolved and drawn by GalSim, without noise. The mean ellipticity of the four
is the shear, whatever the galaxy's own (Seitz & Schneider 1997, A&A 318, 687). It is measured by
unweighted moments, from which those of PSF and pixel are subtracted, and by GalSim's KSB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import galsim
import matplotlib
import numpy as np
from numpy.typing import NDArray

from galgen.galsim import GeneratedCatalog, GeneratedGalaxy

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHEAR = galsim.Shear(g1=0.03, g2=-0.01)
#: Survey: PSF and pixels of so many arcsec.
VIEWS = {
    "ground": (galsim.Moffat(beta=3.5, fwhm=0.8, trunc=4.0), 0.2),
    "space": (galsim.Gaussian(fwhm=0.16), 0.1),
}


def moments(image: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Second moments (2, 2) of an image in square arcsec, about its centre of light."""
    places = np.stack(np.mgrid[: image.shape[0], : image.shape[1]][::-1]) * scale
    weight = image / image.sum()
    places = places - (places * weight).sum(axis=(1, 2))[:, None, None]
    return np.einsum("iyx,jyx,yx->ij", places, places, weight)


def ellipticity(q: NDArray[np.float64]) -> complex:
    """(a - b) / (a + b) and the direction of second moments, as a complex number."""
    size = q[0, 0] + q[1, 1] + 2 * np.sqrt(np.linalg.det(q))
    return complex((q[0, 0] - q[1, 1]) / size, 2 * q[0, 1] / size)


def told(shapes: list[complex]) -> str:
    """The mean of ellipticities."""
    mean = np.mean(shapes) if shapes else complex("nan")
    return f"{mean.real:+.4f} {mean.imag:+.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Shear generated galaxies.")
    parser.add_argument("model", nargs="?", type=Path, help="checkpoint, run or exported folder")
    parser.add_argument("--band", help="[the middle one]")
    parser.add_argument("-n", type=int, default=8, help="galaxies [8]")
    parser.add_argument("--out", type=Path, default=Path("lensing.png"))
    given = parser.parse_args()

    catalogue = GeneratedCatalog(given.model, seed=1)
    bands = catalogue.spec.bands
    band = given.band or bands[len(bands) // 2]
    side = 2.5 * catalogue.spec.size * catalogue.pixel_scale
    galaxies = [GeneratedGalaxy(catalogue, index).band(band) for index in range(given.n)]
    print(f"shear {SHEAR.g1:+.4f} {SHEAR.g2:+.4f}, {given.n} galaxies in {band}")

    figure, axes = plt.subplots(len(VIEWS), 4, figsize=(8, 2.1 * len(VIEWS)), squeeze=False)
    for row, (name, (psf, scale)) in zip(axes, VIEWS.items(), strict=True):
        pixels = 2 * round(side / scale / 2)
        stamp = {"nx": pixels, "ny": pixels, "scale": scale, "dtype": float}
        blur = galsim.Convolve(psf, galsim.Pixel(scale)).drawImage(**stamp, method="no_pixel")
        plain, weighted, lost = [], [], []
        for number, galaxy in enumerate(galaxies):
            turns = [galaxy.rotate(angle * galsim.degrees) for angle in (0, 45, 90, 135)]
            seen = [galsim.Convolve(t.shear(SHEAR), psf).drawImage(**stamp) for t in turns]
            lost += [abs(image.array.sum() / galaxy.flux - 1) for image in seen]
            shapes = [moments(image.array, scale) - moments(blur.array, scale) for image in seen]
            # The traces of sky around a faint galaxy can outweigh its moments.
            if min(np.linalg.eigvalsh(q).min() for q in shapes) > 0:
                plain += [ellipticity(q) for q in shapes]
            for image in seen:
                shape = galsim.hsm.EstimateShear(image, blur, shear_est="KSB")
                weighted.append(complex(shape.corrected_g1, shape.corrected_g2))
            if number == 0:
                middle = slice(pixels // 4, -(pixels // 4))
                for axis, image in zip(row, seen, strict=True):
                    shown = image.array[middle, middle] / image.array.max()
                    axis.imshow(np.arcsinh(30 * shown), origin="lower", cmap="gray")
                    axis.axis("off")
        row[0].set_title(f"{name}, {scale:g} arcsec", loc="left")
        print(
            f"{name}, {scale:g} arcsec a pixel: {told(plain)} by moments ({len(plain) // 4} "
            f"galaxies), {told(weighted)} by KSB, flux kept to {max(lost):.0e}"
        )
    figure.tight_layout()
    figure.savefig(given.out, dpi=90)
    print(f"picture: {given.out}")


if __name__ == "__main__":
    main()
