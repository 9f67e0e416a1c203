"""Morphology in torch against statmorph: rank correlation and time, on real and simulated galaxies.

    GALGEN_DATA=../shared/data python benchmarks/morphology.py [--cache FOLDER]

Prints tables in Markdown. Both get the same images and sources; only galaxies that statmorph
measured with flag 0, and torch measured, are compared. Times are wall times of whole sets, in two
processes (started anew for each set) and two threads, and processor times on one core. With
``--cache FOLDER`` statmorph's numbers are kept in files, and its wall time is that of the run that
filled them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from galgen.bands import ImageSpec
from galgen.data.sets import open_set
from galgen.measure.morphology import QUANTITIES, measure_morphology
from galgen.measure.reference import statmorph_morphology

#: Name, folder under $GALGEN_DATA or built-in set, options of `open_set`, galaxies.
SETS: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("SDSS gri, JPG", "sdss_gri_jpg", {"crop": 212, "size": 64}, 200),
    ("HSC grizy", "hsc_grizy_fits_48", {"size": 48}, 200),
    ("CEERS, 7 bands", "ceers_7band_fits", {"size": 100}, 100),
    ("sersic", "sersic", {"size": 64, "count": 200}, 200),
)
PROCESSES = 2


def images_of(source: str, options: dict[str, Any], n: int) -> tuple[torch.Tensor, ImageSpec]:
    """The first galaxies of a set."""
    built_in = source == "sersic"
    root = Path(os.environ.get("GALGEN_DATA", "../shared/data"))
    galaxies = open_set(source if built_in else root / source, **options)
    rows = range(min(n, len(galaxies)))
    return torch.from_numpy(galaxies.read(rows)), galaxies.spec


def reference(
    name: str, flux: torch.Tensor, spec: ImageSpec, cache: Path | None
) -> tuple[dict[str, np.ndarray], float]:
    """statmorph's columns and its seconds a galaxy."""
    file = None if cache is None else cache / f"{name.split(',')[0].replace(' ', '_')}.json"
    if file is not None and file.exists():
        kept = json.loads(file.read_text())
        return {key: np.array(value, float) for key, value in kept["columns"].items()}, kept["s"]
    # Starting the processes is part of it for anyone who measures few galaxies, but not here.
    begin = time.perf_counter()
    columns = statmorph_morphology(flux, spec, processes=PROCESSES)
    seconds = (time.perf_counter() - begin) / len(flux)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        plain = {key: value.astype(float).tolist() for key, value in columns.items()}
        file.write_text(json.dumps({"columns": plain, "s": seconds}))
    return columns, seconds


def quick(flux: torch.Tensor, spec: ImageSpec) -> tuple[dict[str, np.ndarray], float]:
    """Ours, and the best of three seconds a galaxy."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        columns = measure_morphology(flux, spec)
        seconds.append((time.perf_counter() - begin) / len(flux))
    return {key: value.numpy().astype(float) for key, value in columns.items()}, min(seconds)


def on_one_core(flux: torch.Tensor, spec: ImageSpec) -> tuple[float, float]:
    """Seconds of processor time a galaxy of both, in this process; statmorph's of every tenth."""
    some = flux[::10]
    statmorph_morphology(some[:1], spec, processes=1)
    begin = time.process_time()
    statmorph_morphology(some, spec, processes=1)
    slow = (time.process_time() - begin) / len(some)
    torch.set_num_threads(1)
    fast = []
    for _ in range(3):
        begin = time.process_time()
        measure_morphology(flux, spec)
        fast.append((time.process_time() - begin) / len(flux))
    torch.set_num_threads(PROCESSES)
    return slow, min(fast)


def rank_correlation(name: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """Spearman's; of an angle that of its sine and cosine, whichever is lower."""
    if name == "orientation":
        parts = [spearmanr(f(2 * ours), f(2 * theirs)).statistic for f in (np.sin, np.cos)]
        return float(min(parts))
    return float(spearmanr(ours, theirs).statistic)


def cells_of(ms: np.ndarray) -> list[str]:
    """Columns of a table for both ways (2, 2) of taking the time."""
    return [text for s, f in ms for text in (f"{s:.0f}", f"{f:.2f}", f"{s / f:.0f}")]


def row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cache", type=Path, help="folder that keeps statmorph's numbers")
    cache = parser.parse_args().cache
    torch.set_num_threads(PROCESSES)
    found: dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    times, counts, spent, n_all = [], [], np.zeros((2, 2)), 0
    for name, source, options, n in SETS:
        flux, spec = images_of(source, options, n)
        theirs, slow = reference(name, flux, spec, cache)
        ours, fast = quick(flux, spec)
        both = np.array([[slow, fast], on_one_core(flux, spec)])
        spent += len(flux) * both
        good = (theirs["flag"] == 0) & (ours["measured"] == 1)
        counts.append(row(name, [str(v) for v in (
            len(flux), int((theirs["flag"] < 4).sum()),
            *(int((theirs["flag"] == k).sum()) for k in (0, 1, 2)),
            int(ours["measured"].sum()), int(good.sum()))]))  # fmt: skip
        times.append(row(f"{name}, {flux.shape[-1]} px", cells_of(1e3 * both)))
        n_all += len(flux)
        found[name] = tuple({k: c[k][good] for k in QUANTITIES} for c in (ours, theirs))  # type: ignore[assignment]
    together = tuple(
        {k: np.concatenate([pair[side][k] for pair in found.values()]) for k in QUANTITIES}
        for side in (0, 1)
    )
    print("| set | galaxies | detected | flag 0 | flag 1 | flag 2 | torch measured | compared |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", *counts, sep="\n")
    print("\n| Spearman | " + " | ".join([*found, "all"]) + " | median difference, all |")
    print("| --- " * (len(found) + 3) + "|")
    for key in QUANTITIES:
        pairs = [*found.values(), together]
        cells = [f"{rank_correlation(key, a[key], b[key]):.3f}" for a, b in pairs]
        difference = np.median(together[0][key] - together[1][key])
        print(row(key, [*cells, f"{difference:+.4f}"]))
    print("\n| ms a galaxy | statmorph | torch | ratio | CPU, statmorph | CPU, torch | ratio |")
    print("| --- " * 7 + "|", *times, sep="\n")
    print(row("all, mean", cells_of(1e3 * spent / n_all)))


if __name__ == "__main__":
    main()
