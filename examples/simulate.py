"""Simulate galaxies in Hubble bands and save them with a picture and their true catalogue.

    python examples/simulate.py [folder]

Writes ``simulated.npy`` (galaxy, band, y, x) in nanomaggies, ``catalogue.fits`` and
``simulated.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table
from PIL import Image

from galgen.data.sersic import simulate

BANDS = ("F814W", "F606W", "F450W")
COLUMNS, ROWS = 12, 5


def main(folder: Path) -> None:
    flux, catalogue = simulate(COLUMNS * ROWS, size=64, bands=BANDS, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "simulated.npy", flux)
    Table(dict(catalogue)).write(folder / "catalogue.fits", overwrite=True)

    noise = np.median(np.abs(flux[:, :, :4]))
    signal = np.maximum(flux / noise, 0) * np.array([0.8, 1.0, 1.6])[:, None, None]
    colour = np.arcsinh(signal / 3) / np.arcsinh(60)
    size = colour.shape[-1]
    sheet = colour.reshape(ROWS, COLUMNS, 3, size, size).transpose(0, 3, 1, 4, 2)
    pixels = (255 * np.clip(sheet, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels.reshape(ROWS * size, COLUMNS * size, 3)).save(folder / "simulated.png")
    print(f"{len(flux)} galaxies: look at {folder / 'simulated.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "simulated"))
