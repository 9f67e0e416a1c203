"""Cutouts per second from a folder: astropy per file against galgen, in one run.

    python benchmarks/reading.py [--count 2000] [--repeats 5]

Generated 3 x 64 x 64 float32 cutouts in a temporary folder, read one by one in shuffled
order, once for the pixels alone and once with the facts of the header (bands, unit, zero
point, pixel scale). Every reader gives the same arrays, which is checked first. Each time is
the best of the repeats, which take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.io.fits import read_fits
from galgen.io.header import write_galaxy

Reader = Callable[[Path], NDArray[np.float32]]
BANDS = ("g", "r", "i")


def write_cubes(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """One primary cube per galaxy, with a WCS that differs from file to file."""
    paths = []
    for k in range(count):
        pixels = rng.normal(size=(3, 64, 64)).astype(np.float32)
        header = fits.Header(
            [
                ("BANDS", "g,r,i"),
                ("BUNIT", "nanomaggy"),
                ("PIXSCALE", 0.262),
                ("MAGZERO", 22.5),
                ("RA", float(rng.uniform(0, 360))),
                ("DEC", float(rng.uniform(-90, 90))),
                ("CTYPE1", "RA---TAN"),
                ("CTYPE2", "DEC--TAN"),
                ("CRVAL1", float(rng.uniform(0, 360))),
                ("CRVAL2", float(rng.uniform(-90, 90))),
                ("CD1_1", -7.3e-5),
                ("CD2_2", 7.3e-5),
            ]
        )
        paths.append(folder / f"cube_{k:06d}.fits")
        fits.PrimaryHDU(pixels, header).writeto(paths[-1])
    return paths


def write_own(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """galgen's own layout: an image HDU per band."""
    spec = ImageSpec(64, BANDS, "nanomaggy", (22.5,) * 3, 0.262)
    paths = []
    for k in range(count):
        paths.append(folder / f"galaxy_{k:06d}.fits")
        flux = rng.normal(size=(3, 64, 64)).astype(np.float32)
        write_galaxy(paths[-1], flux, spec, {"seed": 0, "index": k, "model": "dcgan"})
    return paths


def astropy_pixels(path: Path) -> NDArray[np.float32]:
    return np.asarray(fits.getdata(path), dtype=np.float32)


def astropy_facts(path: Path) -> NDArray[np.float32]:
    with fits.open(path, memmap=False) as hdus:
        header = hdus[0].header
        _ = header["BANDS"], header["BUNIT"], header["MAGZERO"], header["PIXSCALE"]
        return np.asarray(hdus[0].data, dtype=np.float32)


def astropy_bands(path: Path) -> NDArray[np.float32]:
    with fits.open(path, memmap=False) as hdus:
        return np.stack([np.asarray(hdu.data, dtype=np.float32) for hdu in hdus[1:]])


def astropy_bands_facts(path: Path) -> NDArray[np.float32]:
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus[1:]:
            header = hdu.header
            _ = header["FILTER"], header["BUNIT"], header["MAGZERO"], header["PIXSCALE"]
        return np.stack([np.asarray(hdu.data, dtype=np.float32) for hdu in hdus[1:]])


def galgen(path: Path) -> NDArray[np.float32]:
    return read_fits(path).pixels


def rates(readers: dict[str, Reader], paths: list[Path], repeats: int) -> dict[str, float]:
    """Cutouts per second of each reader, the best of the repeats."""
    for path in paths[:20]:
        arrays = [read(path) for read in readers.values()]
        assert all(np.array_equal(arrays[0], array) for array in arrays[1:])
    best = dict.fromkeys(readers, 0.0)
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        shuffled = [paths[k] for k in rng.permutation(len(paths))]
        for name, read in readers.items():
            start = time.perf_counter()
            for path in shuffled:
                read(path)
            best[name] = max(best[name], len(paths) / (time.perf_counter() - start))
    return best


def main() -> None:
    """Print the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    layouts = (
        ("cube", write_cubes, astropy_pixels, astropy_facts),
        ("HDU per band", write_own, astropy_bands, astropy_bands_facts),
    )
    lines = []
    for layout, write, plain, facts in layouts:
        with tempfile.TemporaryDirectory() as folder:
            paths = write(Path(folder), options.count, rng)
            found = rates(
                {"astropy, pixels": plain, "astropy, facts": facts, "galgen, facts": galgen},
                paths,
                options.repeats,
            )
        for name, rate in found.items():
            print(f"{layout:12s}  {name:16s} {rate:10,.0f} cutouts/s")
        for name in ("astropy, pixels", "astropy, facts"):
            ratio = found["galgen, facts"] / found[name]
            lines.append(f"{layout:12s}  galgen (with facts) / {name:16s} {ratio:6.1f}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
