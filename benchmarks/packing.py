"""Files per second that become a pack, beside reading the same files with astropy, in one run.

    python benchmarks/packing.py [--count 10000] [--pictures 1500] [--repeats 3]

Generated FITS cubes of 3 x 64 x 64 float32 (those of reading.py) and JPG pictures of 212 x 212, in
a temporary folder (--folder, where the disk has 1.2 GB of room) and in the system's cache. Ways
take turns, and each keeps its best time. *Processor* is the time that all processes of a way took
together, for each file: with other work on the machine it says more than the files per second do.
Packing is the whole of it: finding the files, planning, reading, checking, hashing, writing the
shards to the disk, catalogue and index; with two processes their start too. The packs of one and
of two processes are compared byte by byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image
from reading import write_cubes

from galgen.data.pack.writing import prepare, run
from galgen.io import read_cutout

#: Bytes of pixels in a shard: enough shards for two processes.
SHARD = 16 * 1024**2


def write_pictures(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """Pictures with smooth noise, about as large as those of SDSS as JPG."""
    paths = []
    for k in range(count):
        small = rng.integers(0, 120, (27, 27, 3), dtype=np.uint8)
        paths.append(folder / f"picture_{k:06d}.jpg")
        Image.fromarray(small).resize((212, 212)).save(paths[-1], quality=90)
    return paths


def astropy_pixels(paths: list[Path]) -> None:
    for path in paths:
        np.asarray(fits.getdata(path), dtype=np.float32)


def galgen_pixels(paths: list[Path]) -> None:
    for path in paths:
        read_cutout(path)


def pillow_pixels(paths: list[Path]) -> None:
    for path in paths:
        np.asarray(Image.open(path), dtype=np.float32)


def pack(folder: Path, out: Path, workers: int) -> None:
    shutil.rmtree(out, ignore_errors=True)
    run(prepare(folder, out, shard_bytes=SHARD), workers)


def processor() -> float:
    """Seconds of the processor that this process and those that it started have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(ways: dict[str, Callable[[], None]], repeats: int) -> dict[str, tuple[float, float]]:
    """Best seconds on the clock and of the processor for each way; they take turns."""
    best = dict.fromkeys(ways, (np.inf, np.inf))
    for _ in range(repeats):
        for name, way in ways.items():
            clock, used = time.perf_counter(), processor()
            way()
            clock, used = time.perf_counter() - clock, processor() - used
            best[name] = (min(best[name][0], clock), min(best[name][1], used))
    return best


def same(one: Path, two: Path) -> bool:
    files = sorted(path.name for path in one.iterdir())
    return files == sorted(path.name for path in two.iterdir()) and all(
        (one / name).read_bytes() == (two / name).read_bytes() for name in files
    )


def main() -> None:
    """Print a table for each kind of files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        kinds = (
            ("FITS, 3 x 64 x 64", write_cubes, options.count, astropy_pixels, "astropy"),
            ("JPG, 212 x 212", write_pictures, options.pictures, pillow_pixels, "Pillow"),
        )
        for kind, write, count, peer, peer_name in kinds:
            folder, one, two = (Path(temporary) / name for name in ("set", "one", "two"))
            folder.mkdir()
            paths = write(folder, count, rng)
            found = measure(
                {
                    f"reading with {peer_name}": partial(peer, paths),
                    "reading with galgen": partial(galgen_pixels, paths),
                    "packing, 1 process": partial(pack, folder, one, 1),
                    "packing, 2 processes": partial(pack, folder, two, 2),
                },
                options.repeats,
            )
            print(f"\n{kind}, {count:,} files")
            base = found[f"reading with {peer_name}"]
            for name, (clock, used) in found.items():
                print(
                    f"{name:24s} {count / clock:8,.0f} files/s  {base[0] / clock:5.2f}   "
                    f"{1e6 * used / count:8,.0f} us of the processor a file  {base[1] / used:5.2f}"
                )
            print("one pack is the other, bit for bit:", same(one, two))
            for path in (folder, one, two):
                shutil.rmtree(path)


if __name__ == "__main__":
    main()
