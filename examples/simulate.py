"""Simulate galaxies and save them with a picture and their true catalogue.

    python examples/simulate.py [folder]
    python examples/simulate.py [folder] --jpg -n 4000

The first writes ``simulated.npy`` (galaxy, band, y, x) in nanomaggies, in Hubble bands. The second
writes one JPG a galaxy, in which i is red, r green and g blue as in the pictures of SDSS, all under
one stretch. Both write ``catalogue.fits`` and ``overview.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table

from galgen.data import sersic
from galgen.io.raster import write_raster
from galgen.measure.composite import display_stretch
from galgen.report.pictures import composite, grid_png

HUBBLE = ("F814W", "F606W", "F450W")
COLUMNS, ROWS = 12, 5
#: Galaxies that are simulated at a time.
CHUNK = 500


def arrays(folder: Path, n: int, size: int, seed: int) -> None:
    flux, catalogue = sersic.simulate(n, size=size, bands=HUBBLE, seed=seed)
    np.save(folder / "simulated.npy", flux)
    Table(dict(catalogue)).write(folder / "catalogue.fits", overwrite=True)
    shown = torch.from_numpy(flux[: COLUMNS * ROWS])
    grid_png(shown, sersic.spec(size, HUBBLE), folder / "overview.png", columns=COLUMNS)


def pictures(folder: Path, n: int, size: int, seed: int) -> None:
    spec = sersic.spec(size, ("i", "r", "g"))
    first, _ = sersic.simulate(min(n, CHUNK), size=size, bands=spec.bands, seed=seed)
    stretch = display_stretch(torch.from_numpy(first), spec)
    tables = []
    for start in range(0, n, CHUNK):
        count = min(CHUNK, n - start)
        flux, catalogue = sersic.simulate(
            count, size=size, bands=spec.bands, seed=seed, start=start
        )
        names = [f"galaxy_{start + i:06d}.jpg" for i in range(count)]
        drawn = composite(torch.from_numpy(flux), spec, stretch)
        for name, picture in zip(names, drawn, strict=True):
            write_raster(folder / name, np.moveaxis(picture, -1, 0).astype(np.float32))
        tables.append({"file": np.array(names), **catalogue})
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    Table(columns).write(folder / "catalogue.fits", overwrite=True)
    shown = torch.from_numpy(first[: COLUMNS * ROWS])
    grid_png(shown, spec, folder / "overview.png", columns=COLUMNS, stretch=stretch)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate galaxies.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("simulated"))
    parser.add_argument("--jpg", action="store_true", help="one JPG a galaxy")
    parser.add_argument("-n", type=int, help="galaxies [60, or 4000 pictures]")
    parser.add_argument("--size", type=int, help="side in pixels [64, or 32 for pictures]")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    write = pictures if given.jpg else arrays
    n = given.n or (4000 if given.jpg else COLUMNS * ROWS)
    write(given.folder, n, given.size or (32 if given.jpg else 64), given.seed)
    print(f"{n} galaxies: look at {given.folder / 'overview.png'}")


if __name__ == "__main__":
    main()
