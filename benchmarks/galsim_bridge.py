"""Generated galaxies drawn by GalSim: flux, pixels, PSF, shear, sky and speed.

    galgen train sersic --size 64 --images 12k --set model.options.psf=auto
    python benchmarks/galsim_bridge.py [RUN] [-n 32]

Without RUN a model is trained on 2,000 images. Times are those of the processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import galsim
import numpy as np
from numpy.typing import NDArray

from galgen.checkpoint import TrainedModel, load
from galgen.data.sersic import simulate
from galgen.galsim import GeneratedCatalog, GeneratedGalaxy
from galgen.galsim.profile import tapered, without_sky
from galgen.io.psf import read_psf
from galgen.measure.photometry import measure
from galgen.train import train

NARROW, WIDE = galsim.Gaussian(fwhm=0.7), galsim.Moffat(beta=3.0, fwhm=1.1, trunc=5.0)
SHEAR = galsim.Shear(g1=0.03, g2=-0.01)
ARCSEC = 30.0


def drawn(profile: galsim.GSObject, psf: galsim.GSObject, scale: float) -> NDArray[np.float64]:
    """The image (y, x), 30 arcsec wide."""
    side = int(ARCSEC / scale)
    seen = galsim.Convolve(profile, psf)
    return seen.drawImage(nx=side, ny=side, scale=scale, dtype=float).array


def moments(image: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Second moments (2, 2) in square arcsec."""
    places = np.stack(np.mgrid[: image.shape[0], : image.shape[1]][::-1]) * scale
    weight = image / image.sum()
    places = places - (places * weight).sum(axis=(1, 2))[:, None, None]
    return np.einsum("iyx,jyx,yx->ij", places, places, weight)


def lit(model: TrainedModel, n: int) -> list[GeneratedGalaxy]:
    """The first galaxies that have light in every band, and more than dark traces of sky."""
    found = [GeneratedGalaxy(model, i) for i in range(256)]
    light = np.array([list(galaxy.fluxes.values()) for galaxy in found])
    share = (light / [np.abs(galaxy.image).sum(axis=(1, 2)) for galaxy in found]).min(axis=1)
    print(
        f"{(light > 0).all(axis=1).sum()} of 256 galaxies have light in every band, in "
        f"{(share > 0.1).sum()} it is above a tenth of the absolute values\n"
    )
    return [galaxy for galaxy, part in zip(found, share, strict=True) if part > 0.1][:n]


def flux(model: TrainedModel, galaxies: list[GeneratedGalaxy]) -> None:
    """Largest difference between what is drawn and the profile's flux."""
    scales = (model.spec.pixel_scale * 0.5, model.spec.pixel_scale, model.spec.pixel_scale * 1.3)
    print("| PSF | shear | " + " | ".join(f'{s:g}" pixels' for s in scales) + " |")
    print("| --- " * (2 + len(scales)) + "|")
    for name, psf in (('Gaussian, 0.7"', NARROW), ('Moffat, 1.1"', WIDE)):
        for sheared in (False, True):
            worst = np.zeros(len(scales))
            for galaxy in galaxies:
                for profile in galaxy.values():
                    seen = profile.shear(SHEAR) if sheared else profile
                    sums = [drawn(seen, psf, scale).sum() for scale in scales]
                    worst = np.maximum(worst, np.abs(np.array(sums) / profile.flux - 1))
            row = " | ".join(f"{value:.1e}" for value in worst)
            print(f"| {name} | {'0.03, -0.01' if sheared else 'none'} | {row} |")


def own_pixels(model: TrainedModel, n: int) -> None:
    """Drawn through the PSF of its layer, a galaxy is the image that galgen makes itself."""
    spec, own = model.spec, model.sample(n, noise=False).numpy().astype(float)
    psf = read_psf(model.module.options["psf"], spec)
    assert psf is not None
    assert psf.kind == "gaussian"
    inner = slice(spec.size // 8, -spec.size // 8)
    for method in ("auto", "no_pixel"):
        worst = 0.0
        for i in range(n):
            galaxy = GeneratedGalaxy(model, i, sky="keep", taper=0)
            if min(galaxy.fluxes.values()) <= 0:
                continue
            for row, fwhm in enumerate(psf.fwhm or ()):
                seen = galsim.Convolve(galaxy[spec.bands[row]], galsim.Gaussian(fwhm=fwhm))
                image = seen.drawImage(
                    nx=spec.size, ny=spec.size, scale=spec.pixel_scale, method=method, dtype=float
                ).array
                apart = np.abs(image - own[i, row])[inner, inner].max() / own[i, row].max()
                worst = max(worst, apart)
        print(f"training PSF, method={method}: differs from galgen's by {worst:.1e} of the peak")


def shapes(model: TrainedModel, galaxies: list[GeneratedGalaxy]) -> None:
    """What a PSF adds to second moments, and the shear that comes back."""
    band, scale = model.spec.bands[1], model.spec.pixel_scale
    a, b = galsim.Gaussian(fwhm=0.7), galsim.Gaussian(fwhm=1.1)
    wanted = b.sigma**2 - a.sigma**2
    pixel = np.eye(2) * scale**2 / 12
    added, found = [], []
    for galaxy in galaxies:
        profile = galaxy.band(band)
        first, second = (moments(drawn(profile, psf, scale), scale) for psf in (a, b))
        added += [abs(value / wanted - 1) for value in np.diag(second - first)]
        four = []
        for turn in range(4):
            seen = drawn(profile.rotate(45 * turn * galsim.degrees).shear(SHEAR), a, scale)
            q = moments(seen, scale) - pixel - np.eye(2) * a.sigma**2
            four.append(q)
        if min(np.linalg.eigvalsh(q).min() for q in four) > 0:
            sizes = [q[0, 0] + q[1, 1] + 2 * np.sqrt(np.linalg.det(q)) for q in four]
            each = [complex(q[0, 0] - q[1, 1], 2 * q[0, 1]) for q in four]
            found.append(np.mean(np.array(each) / sizes))
    apart = np.abs(np.array(found) - complex(SHEAR.g1, SHEAR.g2))
    print(f"moments added by a Gaussian of 1.1 in place of 0.7: to {max(added):.1e}")
    print(f"shear of four turns, {len(found)} of {len(galaxies)} galaxies: to {apart.max():.1e}")


def spread(values: NDArray[np.float64]) -> str:
    """Median, and the range of nine tenths."""
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def sky(model: TrainedModel) -> None:
    """What the border's median and the taper do to fluxes."""
    spec = model.spec
    raw = model.sample(256, psf="none", noise=False).numpy().astype(float)
    found = measure(model.sample(len(raw)), spec)
    width = spec.size // 16
    clean = np.stack([tapered(without_sky(one), width) for one in raw])
    print("| band | sum / Kron flux | the same without sky, tapered |\n| --- | --- | --- |")
    for row, band in enumerate(spec.bands):
        kron = np.asarray(found[f"flux_{band}"], dtype=float)
        good = np.isfinite(kron)
        parts = [x[good, row].sum(axis=(1, 2)) / kron[good] for x in (raw, clean)]
        print(f"| {band} | " + " | ".join(map(spread, parts)) + " |")
    truth, catalogue = simulate(256, size=spec.size, psf_fwhm=0.0, noise=False)
    light = 10 ** (0.4 * (22.5 - np.asarray(catalogue["mag_r"])))
    sums = [x.sum() for x in truth[:, 1].astype(float)]
    rest = [tapered(without_sky(one.astype(float)), width)[1].sum() for one in truth]
    print(f"| simulated, of the true r | {spread(sums / light)} | {spread(rest / light)} |")


def speed(model: TrainedModel, galaxies: list[GeneratedGalaxy]) -> None:
    """Milliseconds a galaxy and band."""
    count = len(galaxies)
    catalogue = GeneratedCatalog(model)
    band, scale = model.spec.bands[1], model.spec.pixel_scale
    images = [galsim.Image(g.image[1].copy(), scale=scale) for g in galaxies]
    effective = galsim.Convolve(NARROW, galsim.Pixel(scale))
    noise = galsim.UncorrelatedNoise(1.0, scale=scale)

    def real(image: galsim.Image) -> galsim.GSObject:
        return galsim.RealGalaxy.makeFromImage(image, effective, noise)

    def draw(profile: galsim.GSObject) -> None:
        seen = galsim.Convolve(profile.shear(SHEAR), WIDE)
        seen.drawImage(nx=80, ny=80, scale=scale)

    def timed(work: Callable[[int], object], start: int = 0) -> float:
        begin = time.process_time()
        for i in range(start, start + count):
            work(i)
        return (time.process_time() - begin) / count * 1e3

    rows = {
        "a galaxy in all bands, 32 at once": timed(lambda i: catalogue.picture(i), 32_000),
        "a galaxy in all bands, each of another seed": timed(
            lambda i: catalogue.picture(0, seed=i), 1
        ),
        "its profile in a band": timed(lambda i: galaxies[i].band(band)),
        "the same, sheared, convolved and drawn, 80 px": timed(
            lambda i: draw(galaxies[i].band(band))
        ),
        "a RealGalaxy of its image, the same": timed(lambda i: draw(real(images[i]))),
    }
    print("| milliseconds | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("-n", type=int, default=32, help="galaxies [32]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.run
        if run is None:
            settings = {
                "data.source": "sersic", "data.size": 64, "data.count": 500, "train.images": 2000,
                "train.metric_images": 0, "train.grid_images": 0, "model.options": {"psf": "auto"},
            }  # fmt: skip
            run = train(settings, out=folder).run
        model = load(run)
        print(f"{model.name}, {model.images:,} images, {model.spec.size} px\n")
        galaxies = lit(model, given.n)
        flux(model, galaxies)
        print()
        own_pixels(model, given.n)
        shapes(model, galaxies)
        print()
        sky(model)
        print()
        speed(model, galaxies)


if __name__ == "__main__":
    main()
