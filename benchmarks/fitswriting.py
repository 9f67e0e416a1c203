"""Time to write a galaxy as FITS, beside astropy's writeto of the same content.

    python benchmarks/fitswriting.py [--count 200] [--folder DIR] [--compressed]

Sides of 32, 64 and 128 pixels, 1, 3 and 7 bands, as an HDU per band and as a cube, with the facts
that `galgen sample` states. Four ways take turns, 20 files each, to new names on one disk:

- galgen: `GalaxyWriter.encode`, and the bytes to a temporary name that is then renamed;
- plain: astropy's `HDUList.writeto` of HDUs that were built before;
- sums: the same with `checksum=True`;
- build: the HDUs built by astropy and written with sums, as galgen did before it had a writer.

*disk* is what the bytes alone take to be written and renamed. Times are those of the processor,
with the kernel's part in writing, medians over files. Before, a file of galgen and one of astropy
are compared: the same cards and pixels, but for what the comments of DATASUM and CHECKSUM say of
the time, and CHECKSUM itself, which follows from it. `--compressed` compares RICE files of 64
pixels, which both ways compress through astropy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from galgen.bands import ImageSpec
from galgen.io.atomic import write_whole
from galgen.io.galaxyfile import GalaxyWriter
from galgen.io.header import galaxy_hdus

#: Files in a turn.
TURN = 20
BANDS = ("u", "g", "r", "i", "z", "y", "j")


def facts_of(bands: int) -> dict[str, Any]:
    """What all galaxies of a run share."""
    return {
        "seed": 0,
        "truncation": 0.7,
        "psf": "moffat:0.7",
        "model": "stylegan2",
        "checkpoint": "0123456789abcdef" * 4,
        "images": 200_000,
        "version": "0.1.0",
        "torch": "2.13.0",
        "device": "cpu",
        "stretch": {
            "kind": "asinh",
            "low": [0.0] * bands,
            "scale": [0.25] * bands,
            "top": [40.0] * bands,
        },
    }


def own_facts(index: int) -> dict[str, Any]:
    """What is true of one galaxy."""
    numbers = {"mag_r": 18.0 + index / 977, "g-r": 0.6 - index / 1777}
    return {"index": index, "label": "spiral", "conditions": numbers}


def built(flux: np.ndarray, spec: ImageSpec, facts: dict[str, Any], cube: bool) -> fits.HDUList:
    """The HDUs of a file, with its pixels."""
    hdus = galaxy_hdus(flux.shape, spec, facts, cube)
    for hdu, pixels in zip(hdus if cube else hdus[1:], [flux] if cube else flux, strict=True):
        hdu.data = pixels
    return fits.HDUList(hdus)


def median_times(ways: dict[str, Callable[[int, Path], None]], count: int, folder: Path) -> dict:
    """Median seconds of each way for a file; they take turns, some files each."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(0, count, TURN):
        for name, way in ways.items():
            for k in range(turn, min(turn + TURN, count)):
                path = folder / f"{name}_{k:06d}.fits"
                begin = time.thread_time()
                way(k, path)
                times[name].append(time.thread_time() - begin)
            # Before the disk has them: what it does later would fall into others' turns.
            for k in range(turn, min(turn + TURN, count)):
                (folder / f"{name}_{k:06d}.fits").unlink()
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(size: int, bands: int, cube: bool, count: int, folder: Path) -> dict[str, float]:
    """Median seconds of the ways, after a look that they write the same."""
    rng = np.random.default_rng(0)
    zeros, widths = (22.5,) * bands, (0.7,) * bands
    spec = ImageSpec(size, BANDS[:bands], "nanomaggy", zeros, 0.396, widths)
    shared = facts_of(bands)
    fluxes = rng.normal(size=(count, *spec.shape)).astype(np.float32)
    prepared = [built(flux, spec, shared | own_facts(k), cube) for k, flux in enumerate(fluxes)]
    # Once more: astropy keeps in HDUs what it found out when it wrote them.
    again = [built(flux, spec, shared | own_facts(k), cube) for k, flux in enumerate(fluxes)]
    writer = GalaxyWriter(spec, shared, cube=cube)
    ready = [writer.encode(flux, own_facts(k)).data for k, flux in enumerate(fluxes)]

    def galgen(k: int, path: Path) -> None:
        write_whole(path, writer.encode(fluxes[k], own_facts(k)).data)

    def disk(k: int, path: Path) -> None:
        write_whole(path, ready[k])

    def sums(k: int, path: Path) -> None:
        prepared[k].writeto(path, checksum=True)

    def plain(k: int, path: Path) -> None:
        again[k].writeto(path)

    def build(k: int, path: Path) -> None:
        built(fluxes[k], spec, shared | own_facts(k), cube).writeto(path, checksum=True)

    with tempfile.TemporaryDirectory(dir=folder) as place:
        galgen(1, Path(place) / "a.fits")
        build(1, Path(place) / "b.fits")
        check_same(Path(place) / "a.fits", Path(place) / "b.fits")
        ways = {"disk": disk, "galgen": galgen, "plain": plain, "sums": sums, "build": build}
        return median_times(ways, count, Path(place))


def check_same(one: Path, two: Path) -> None:
    """Card by card and byte by byte, but for the cards of the sums."""
    with fits.open(one, checksum=True) as first, fits.open(two, checksum=True) as second:
        for a, b in zip(first, second, strict=True):
            cards = [
                [str(card) for card in hdu.header.cards if card.keyword != "CHECKSUM"]
                for hdu in (a, b)
            ]
            cards = [[c[:30] if c.startswith("DATASUM") else c for c in some] for some in cards]
            assert cards[0] == cards[1]
            assert (a.verify_checksum(), a.verify_datasum()) == (1, 1)
            assert np.array_equal(a.data, b.data)
    assert one.stat().st_size == two.stat().st_size


def compressed(count: int, folder: Path) -> None:
    """Time and size of compressed files of 3 bands at 64 pixels."""
    rng = np.random.default_rng(0)
    spec = ImageSpec(64, BANDS[:3], "nanomaggy", (22.5,) * 3, 0.396, (0.7,) * 3)
    shared = facts_of(3)
    fluxes = rng.normal(size=(count, *spec.shape)).astype(np.float32)
    print("| 3 x 64 x 64 | galgen, ms | astropy, ms | astropy / galgen | bytes |")
    print("| --- | --- | --- | --- | --- |")
    for cube in (False, True):
        writer = GalaxyWriter(spec, shared, cube=cube, compress="rice")

        def galgen(k: int, path: Path, writer: GalaxyWriter = writer) -> None:
            path.write_bytes(writer.encode(fluxes[k], own_facts(k)).data)

        def astropy(k: int, path: Path, cube: bool = cube) -> None:
            hdus = galaxy_hdus(spec.shape, spec, shared | own_facts(k), cube, apart=True)
            images = [
                fits.CompImageHDU(
                    pixels,
                    hdu.header,
                    compression_type="RICE_1",
                    tile_shape=(1,) * cube + (64, 64),
                    quantize_level=16,
                    quantize_method=1,
                    dither_seed=1 + k,
                )
                for hdu, pixels in zip(hdus[1:], [fluxes[k]] if cube else fluxes[k], strict=True)
            ]
            fits.HDUList([hdus[0], *images]).writeto(path, checksum=True)

        with tempfile.TemporaryDirectory(dir=folder) as place:
            found = median_times({"galgen": galgen, "astropy": astropy}, count, Path(place))
            size = len(writer.encode(fluxes[0], own_facts(0)).data)
        one, two = found["galgen"] * 1e3, found["astropy"] * 1e3
        shape = "a cube" if cube else "an HDU per band"
        print(f"| {shape} | {one:.1f} | {two:.1f} | {two / one:.1f} | {size:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--compressed", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("error")
    if options.compressed:
        compressed(options.count, options.folder)
        return
    print("| px | bands | as | disk, µs | galgen | plain | sums | build | plain, sums, build |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in (32, 64, 128):
        for bands in (1, 3, 7):
            for cube in (False, True):
                found = compare(size, bands, cube, options.count, options.folder)
                times = " | ".join(f"{value * 1e6:,.0f}" for value in found.values())
                others = (found[name] / found["galgen"] for name in ("plain", "sums", "build"))
                ratios = ", ".join(f"{ratio:.1f}" for ratio in others)
                shape = "a cube" if cube else "an HDU per band"
                print(f"| {size} | {bands} | {shape} | {times} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
