"""Galaxies a second of the simulator and milliseconds of the augmentations.

    python benchmarks/simulate.py

Prints a table in Markdown. The best of several rounds counts: other programs only slow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing import get_context

import torch

from galgen.data.augment import Augmentation
from galgen.data.sersic import simulate

BANDS = ("u", "g", "r", "i", "z", "J", "H")


def best(work: Callable[[], object], rounds: int) -> float:
    """Shortest wall time of `rounds` calls in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def slice_of(start: int) -> int:
    return len(simulate(1000, start=start)[0])


def main() -> None:
    torch.set_num_threads(1)
    simulate(64)
    print("| simulated galaxies | bands | threads or processes | galaxies/s |")
    print("| --- | --- | --- | --- |")
    for size, n_bands, n in [(32, 1, 512), (32, 3, 512), (32, 7, 512), (64, 3, 256), (128, 3, 64)]:
        seconds = best(lambda: simulate(n, size=size, bands=BANDS[:n_bands]), 4)  # noqa: B023
        print(f"| {size} px | {n_bands} | 1 | {n / seconds:,.0f} |")
    with get_context("spawn").Pool(2) as pool:
        pool.map(slice_of, [0, 1000])
        seconds = best(lambda: pool.map(slice_of, [0, 1000], chunksize=1), 4)
    print(f"| 32 px | 3 | 2 | {2000 / seconds:,.0f} |")

    print("\n| augmentation of 32 x 3 x 64 x 64, one thread | ms |\n| --- | --- |")
    images = torch.randn(32, 3, 64, 64)
    generator = torch.Generator().manual_seed(0)
    for name, augmentation in {
        "quarter turns, flips": Augmentation(),
        "quarter turns, flips, shift 4": Augmentation(shift=4),
        "45-degree steps, flips": Augmentation(rotate="45"),
        "any angle, flips": Augmentation(rotate="any"),
    }.items():
        seconds = best(lambda: augmentation.apply(images, augmentation.draw(32, generator)), 30)  # noqa: B023
        print(f"| {name} | {1e3 * seconds:.2f} |")


if __name__ == "__main__":
    main()
