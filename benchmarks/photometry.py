"""Three kinds of photometry against the truth of simulated galaxies.

    python benchmarks/photometry.py --count 1000

Prints tables in Markdown. The galaxies are those of the set ``sersic`` with a signal-to-noise above
50 in both g and r: the catalogue's ``snr_<band>``, sqrt(sum f^2 / sigma^2) over the frame of the
galaxy without noise, which is that of a fit with the true profile. The truth is the total magnitude
over all space. *Fit* is the scatter in g - r that fits with the true profiles would have.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate, spec
from galgen.measure.photometry import METHODS, estimate_sky, measure, reference_image
from galgen.metrics.magnitudes import agreement, catalogue_magnitudes

SNR = 50.0
#: Side of the image and of the frame that sizes and magnitudes are scaled to: with the larger
#: image the same galaxy has more sky around it.
FRAMES = ((32, 32), (64, 64), (128, 128), (64, 32), (128, 64))
CHUNK = 64


def milliseconds(flux: np.ndarray, about: ImageSpec, method: str) -> float:
    """Processor time a galaxy, of the quickest chunk."""
    times = []
    for first in range(0, len(flux) - CHUNK + 1, CHUNK):
        begin = time.process_time()
        chunk = flux[first : first + CHUNK]
        if method == "photutils":
            catalogues(chunk, about)
        else:
            measure(chunk, about, method=method)  # type: ignore[arg-type]
        times.append(time.process_time() - begin)
    return 1e3 * min(times) / CHUNK


def catalogues(flux: np.ndarray, about: ImageSpec) -> None:
    """Kron fluxes and half-light radius by photutils, all bands with the same apertures."""
    from photutils.segmentation import SourceCatalog, detect_sources
    from scipy.ndimage import gaussian_filter

    sky = estimate_sky(flux)
    residual = flux - sky.level[:, :, None, None]
    for image, reference in zip(residual, reference_image(residual, sky.noise), strict=True):
        smooth = gaussian_filter(reference, 1.0)
        limit = 3 * float(estimate_sky(smooth[None, None]).noise[0, 0])
        segments = detect_sources(smooth, limit, max(5, about.size // 8))
        detection = SourceCatalog(reference, segments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detection.flux_radius(0.5)
            for band in image:
                _ = SourceCatalog(band, segments, detection_catalog=detection).kron_flux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    names = ("r bias", "r scatter", "outliers", "g-r bias", "g-r scatter", "fit")
    print(f"| image (frame) | method | galaxies | failures | {' | '.join(names)} |")
    print("| --- |" + " --- |" * (3 + len(names)))
    middle = []
    for size, frame in FRAMES:
        flux, truth = simulate(count, size=size, frame=frame, bands=("g", "r", "i"), seed=1)
        about = spec(size)
        bright = np.minimum(truth["snr_g"], truth["snr_r"]).astype(float) > SNR
        truth = {name: column[bright] for name, column in truth.items()}
        one, two = (truth[f"snr_{band}"].astype(float) for band in "gr")
        middle.append(f"{size} px ({frame}): {np.median(one):.0f} in g, {np.median(two):.0f} in r")
        sigma = 2.5 / np.log(10) * np.hypot(1 / one, 1 / two)
        fit = agreement(np.random.default_rng(0).normal(0, sigma), 0 * sigma)["scatter"]
        for method in METHODS:
            columns = measure(flux[bright], about, method=method)  # type: ignore[arg-type]
            found = catalogue_magnitudes(columns, truth, about)
            r, colour = found["mag_r"], found["g-r"]
            cells = f"{r['bias']:+.4f} | {r['scatter']:.4f} | {100 * r['outliers']:.1f} % | "
            cells += f"{colour['bias']:+.4f} | {colour['scatter']:.4f} | {fit:.4f}"
            print(f"| {size} px ({frame}) | {method} | {r['n']} | {r['failures']} | {cells} |")
    print(f"\nMedian signal-to-noise of these galaxies: {'; '.join(middle)}.\n")
    print(f"| ms a galaxy, 3 bands | {' | '.join(METHODS)} | photutils' catalogue |")
    print("| --- |" + " --- |" * (1 + len(METHODS)))
    for size in (32, 64, 128):
        flux, _ = simulate(4 * CHUNK, size=size, seed=2)
        times = [milliseconds(flux.astype(float), spec(size), m) for m in (*METHODS, "photutils")]
        print(f"| {size} px | {' | '.join(f'{t:.2f}' for t in times)} |")


if __name__ == "__main__":
    main()
