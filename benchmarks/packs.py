"""Reading packs: cutouts per second, cost per image by the size of the set, and memory.

    python benchmarks/packs.py speed [--count 20000] [--repeats 5]
    python benchmarks/packs.py flat [--most 1000000]
    python benchmarks/packs.py memory [--count 1000000] [--images 20000]

Packs of white noise, written for the purpose in a temporary folder (--folder, on a disk with room;
a million cutouts of 1 x 32 x 32 take 4 GB).

``speed`` reads cutouts of 3 x 64 x 64 in random order, 64 at a time, in one process and thread.
The ways take turns and each keeps its best pass. Times are those of the processor, so that
other work on the machine counts as little as it can. Before, every file was read once: the
numbers are of a pack in the system's cache, not of a disk.

``flat`` does the same for sets of 10^3 to 10^6 cutouts of 1 x 32 x 32, each in a process of its
own. A row has the galaxies, the seconds to open the pack, those until training can begin (opened
with a number that is asked for, split, stretch fitted), and the microseconds that an image of a
batch takes: read alone, and read and stretched as training does.

``memory`` trains (``galgen train``'s own function) on a pack four times as large as the limit that
the process has on its memory (``ulimit -d``: what it allocates, not files that it maps), and says
how much it took.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.data.pack import catalogue as catalogues
from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.index import CATALOGUE, FLUX, SHARD_BYTES, PackIndex, Shard

BATCH = 64


def write_noise(folder: Path, count: int, shape: tuple[int, int, int]) -> Path:
    """A pack of noise: one block of it over and over, scaled so that no two galaxies agree."""
    folder.mkdir()
    block = np.random.default_rng(0).normal(size=(1024, *shape)).astype("<f4")
    per_shard = max(1, SHARD_BYTES // block[0].nbytes)
    shards = []
    for first in range(0, count, per_shard):
        path = folder / f"shard-{len(shards):05d}.npy"
        size = min(per_shard, count - first)
        with open(path, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (size, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for done in range(0, size, 1024):
                rows = block[: min(1024, size - done)]
                file.write(rows * np.float32(1 + (first + done) / count))
        shards.append(Shard(path.name, size, path.stat().st_size, ""))
    names = [f"galaxy_{k:07d}" for k in range(count)]
    redshift = np.linspace(0, 1, count).round(6).tolist()
    about = Catalogue(names, names, [""] * count, {"redshift": [str(z) for z in redshift]})
    catalogues.write(folder / CATALOGUE, about)
    content = (folder / CATALOGUE).read_bytes()
    PackIndex(
        kind=FLUX,
        shape=shape,
        dtype="<f4",
        count=count,
        checked=shape[-1],
        bands=tuple("ugrizy"[: shape[0]]),
        unit="nanomaggy",
        zero_points=(22.5,) * shape[0],
        pixel_scale=0.2,
        psf_fwhm=None,
        classes=(),
        shards=tuple(shards),
        catalogue={
            "file": CATALOGUE,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "own": None,
        },
    ).write(folder)
    return folder


Way = Callable[[NDArray[np.int64]], object]


def batches(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Whole batches of an order."""
    for first in range(0, len(order) - BATCH + 1, BATCH):
        yield order[first : first + BATCH]


def turns(ways: dict[str, Way], count: int, repeats: int) -> dict[str, float]:
    """Cutouts per second of each way, the best of the repeats."""
    best = dict.fromkeys(ways, 0.0)
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        for name, read in ways.items():
            parts = list(batches(rng.permutation(count)))
            start = time.process_time()
            for rows in parts:
                read(rows)
            best[name] = max(best[name], len(parts) * BATCH / (time.process_time() - start))
    return best


def speed(options: argparse.Namespace, folder: Path) -> None:
    """Random batches by galgen, by numpy alone, and with what training does to them."""
    import torch

    from galgen.data.sets import open_set
    from galgen.data.stretched import StretchedCutouts
    from galgen.stretch import Stretch

    torch.set_num_threads(1)
    shape = (3, 64, 64)
    path = write_noise(folder / "speed", options.count, shape)
    cutouts, smaller = open_set(path), open_set(path, size=48, bands="r,g")
    stretch = Stretch.fit(torch.from_numpy(cutouts.read(range(512))))
    rows = np.arange(options.count)
    streamed = StretchedCutouts(cutouts, rows, stretch)
    kept = StretchedCutouts(cutouts, rows, stretch)
    kept.settle(torch.device("cpu"))
    assert kept.kept is not None
    maps = [np.load(file, mmap_mode="r") for file in sorted(path.glob("shard-*.npy"))]
    starts = np.cumsum([0, *map(len, maps)])

    def plain(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        which = np.searchsorted(starts, rows, side="right") - 1
        return np.stack([maps[s][r - starts[s]] for s, r in zip(which, rows, strict=True)])

    sample = rows[::97]
    assert np.array_equal(plain(sample), cutouts.read(sample))
    ways: dict[str, Way] = {
        "a pack": cutouts.read,
        "a pack, stretched": lambda rows: streamed[0, rows.tolist()],
        "a pack, 2 of 3 bands, cropped to 48": smaller.read,
        "kept in memory, stretched once": lambda rows: kept[0, rows.tolist()],
        "np.load(mmap_mode='r'), np.stack": plain,
    }
    for name, rate in turns(ways, options.count, options.repeats).items():
        print(f"| {name} | {rate:,.0f} | {rate * 4 * np.prod(shape) / 1e9:.1f} |", flush=True)


def flat(options: argparse.Namespace, folder: Path) -> None:
    """One process for each size of the set."""
    count = 1000
    while count <= options.most:
        path = write_noise(folder / f"flat-{count}", count, (1, 32, 32))
        subprocess.run([sys.executable, __file__, "one", str(path)], check=True)
        for file in path.iterdir():
            file.unlink()
        count *= 10


def one(path: Path) -> None:
    """Print the row of one set."""
    import torch

    from galgen.data.module import CutoutDataModule
    from galgen.data.sets import open_set

    torch.set_num_threads(1)
    open_set(path).read([0])
    for file in path.glob("shard-*.npy"):
        with open(file, "rb", buffering=1 << 24) as content:
            while content.read(1 << 24):
                pass
    start = time.process_time()
    cutouts = open_set(path)
    opened = time.process_time() - start
    data = CutoutDataModule(path, batch=BATCH, condition="redshift")
    start = time.process_time()
    _ = data.split, data.stretch, data.conditions
    begun = time.process_time() - start
    # So many rows for each size: the time of a batch counts, not that of a pass.
    rows = np.random.default_rng(0)
    parts = [rows.integers(0, len(cutouts), BATCH) for _ in range(4000)]
    streamed = data.train_set
    inside = [rows.integers(0, len(streamed), BATCH).tolist() for _ in range(1000)]

    def passes(read: Callable[[object], object], parts: list[object]) -> float:
        best = np.inf
        for _ in range(5):
            start = time.process_time()
            for part in parts:
                read(part)
            best = min(best, (time.process_time() - start) / (len(parts) * BATCH))
        return 1e6 * best

    reading = passes(cutouts.read, list(parts))
    training = passes(lambda part: streamed[0, part], list(inside))  # type: ignore[index]
    print(
        f"| {len(cutouts):,} | {opened:.2f} | {begun:.2f} | {reading:.2f} | {training:.2f} |",
        flush=True,
    )


def memory(options: argparse.Namespace, folder: Path) -> None:
    """Train in a process with a limit, on a pack four times as large."""
    path = write_noise(folder / "memory", options.count, (1, 32, 32))
    size = sum(file.stat().st_size for file in path.glob("shard-*.npy"))
    limit = size // 4
    print(f"pack {size / 2**30:.2f} GiB, limit {limit / 2**30:.3f} GiB", flush=True)
    command = [sys.executable, __file__, "limited", str(path), str(limit), str(options.images)]
    done = subprocess.run(command, env={**os.environ, "MALLOC_ARENA_MAX": "2"})
    print("ended well" if done.returncode == 0 else f"ended with {done.returncode}")


def limited(path: Path, limit: int, images: int) -> None:
    """Train under the limit and print what was taken."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from galgen.train import train

    start = time.perf_counter()
    outcome = train(
        {
            "data.source": str(path),
            "data.condition": ["redshift"],
            "train.images": images,
            "train.batch": 64,
            "train.accelerator": "cpu",
        },
        out=path.parent / "runs",
    )
    taken = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmHWM", "VmData", "VmRSS", "RssAnon", "RssFile"):
            taken[name] = f"{int(value.split()[0]) / 2**20:.2f} GiB"
    print(f"{images:,} images in {time.perf_counter() - start:.0f} s, {outcome.run.name}")
    print(json.dumps(taken))


def main() -> None:
    """One of the three, or what two of them start."""
    if len(sys.argv) > 2 and sys.argv[1] == "one":
        one(Path(sys.argv[2]))
        return
    if len(sys.argv) > 4 and sys.argv[1] == "limited":
        limited(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "flat", "memory"))
    parser.add_argument("--count", type=int)
    parser.add_argument("--most", type=int, default=10**6)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where packs are written, and removed")
    options = parser.parse_args()
    options.count = options.count or (20_000 if options.what == "speed" else 10**6)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        {"speed": speed, "flat": flat, "memory": memory}[options.what](options, Path(folder))


if __name__ == "__main__":
    main()
