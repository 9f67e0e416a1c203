"""Find and measure generated galaxies with photutils, as those of a survey.

    python examples/ccddata.py [CKPT] [-n 60] [--instrument hsc] [--out ccd]

Each galaxy comes as astropy's CCDData by band, with unit, zero point and coordinates. The script
finds it in its reddest band with photutils alone, measures its Kron magnitude there, writes that
image to FITS and reads it back, and compares the magnitudes with those of galgen's own table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy.nddata import CCDData
from astropy.stats import SigmaClip
from photutils.background import MedianBackground
from photutils.segmentation import SourceCatalog, SourceFinder

import galgen
from galgen.errors import UserError


def kron_magnitude(image: CCDData) -> float:
    """AB magnitude of the source in the middle, NaN where none is found."""
    clip = SigmaClip(sigma=3.0, maxiters=10)
    pixels = image.data.astype(float)
    sky = MedianBackground(sigma_clip=clip)(pixels)
    noise = float(np.ma.std(clip(pixels)))
    find = SourceFinder(n_pixels=5, deblend=False, progress_bar=False)
    sources = find(pixels - sky, 1.5 * noise)
    middle = tuple(side // 2 for side in image.shape)
    if sources is None or sources.data[middle] == 0:
        return float("nan")
    found = SourceCatalog(pixels - sky, sources, wcs=image.wcs)
    flux = found.kron_flux[found.labels == sources.data[middle]].item()
    return float(image.meta.get("MAGZERO", 0.0) - 2.5 * np.log10(flux))


def main() -> None:
    parser = argparse.ArgumentParser(description="Generated galaxies as CCDData.")
    parser.add_argument("checkpoint", nargs="?", help="file, run or exported folder [the newest]")
    parser.add_argument("-n", type=int, default=60, help="galaxies")
    parser.add_argument("--instrument", help="telescope that sees them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("ccd"))
    given = parser.parse_args()

    asked = {"seed": given.seed, "telescope": given.instrument}
    try:
        model = galgen.load(given.checkpoint)
        images = model.sample_ccd(given.n, **asked)
        table = model.sample_table(given.n, **asked)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    band = list(images[0])[-1]
    given.out.mkdir(parents=True, exist_ok=True)
    mine = []
    for row, galaxy in zip(table, images, strict=True):
        path = given.out / f"galaxy_{row['sample']:06d}_{band}.fits"
        galaxy[band].write(path, overwrite=True)
        # The file says its unit, but for pictures, which have none.
        unit = galaxy[band].unit if galaxy[band].unit == "" else None
        mine.append(kron_magnitude(CCDData.read(path, unit=unit)))
    difference = np.array(mine) - table[f"mag_{band}"].value
    low, middle, high = np.nanpercentile(difference, [16, 50, 84])
    unit = images[0][band].unit.to_string() or "display values"
    print(f"{given.n} galaxies in {unit}, {band} band, as FITS under {given.out}")
    print(f"found by photutils: {np.isfinite(mine).sum()}, by galgen: {table['detected'].sum()}")
    print(f"magnitudes, photutils - galgen: {middle:+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
