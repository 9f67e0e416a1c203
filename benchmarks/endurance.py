"""A day's worth in small: a run with everything on, and whether it grows or slows down.

    python benchmarks/endurance.py --minutes 30

All callbacks run dozens of times: rows, pictures, metrics, the colour-magnitude check, the
collapse alarm, snapshots, the live view. Sampled along the way: memory of the process, all of it
and the part that belongs to no file, open files, threads, objects that Python keeps track of, and
the processor time of an image in steps alone, between callbacks. A machine that others use gets
slower and faster by itself, which is taken out by the time of a fixed computation beside every
sample: a forward and a backward pass of copies of the first networks.

A straight line is fitted to what was sampled after the first fifth. Its slope has an uncertainty
from the scatter of the means of twenty stretches, so that what neighbours share counts once. An aim
is met where the growth with two of its standard errors stays below it.
"""

from __future__ import annotations

import argparse
import array
import copy
import gc
import json
import os
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from rich.console import Console

from galgen.train import make_data, make_model, prepare, start

#: Part of a run that it takes to settle: caches fill, the first metrics allocate their buffers.
SETTLING = 0.2
STRETCHES = 20
#: Growth over the sampled time that is none: of memory, and of the time of an image.
MEMORY_SHARE, TIME_SHARE = 0.02, 0.05
MB = 1e6
#: Numbers of a sample.
COLUMNS = 9


class Sampler(L.Callback):
    """Samples the process every second, and the time of all steps in between."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        # Nothing that Python's collector would count.
        self.rows = array.array("d")
        self._spent = self._last = 0.0
        self._images = 0
        self._next = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Copies of the networks as they are now, for the fixed computation."""
        self._networks = copy.deepcopy((module.generator, module.critic))
        self._z = torch.randn(32, module.generator.latent)

    def on_train_batch_start(self, trainer: Any, module: Any, *rest: Any) -> None:
        """Start the clocks."""
        self._last = time.process_time()

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
        """Stop them: this callback is the first, and the others come after."""
        self._spent += time.process_time() - self._last
        self._images += module.clock.batch
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self.seconds
        image, fixed = 1e3 * self._spent / self._images, self._unit()
        self.rows.extend(
            [
                now,
                module.clock.images,
                *memory(),
                len(os.listdir("/proc/self/fd")),
                threading.active_count(),
                len(gc.get_objects()),
                image,
                fixed,
            ]
        )
        self._spent, self._images = 0.0, 0

    def _unit(self) -> float:
        """Milliseconds of processor time of a step of the copies, whose weights stay."""
        generator, critic = self._networks
        begin = time.process_time()
        critic(generator(self._z)).sum().backward()
        return 1e3 * (time.process_time() - begin)


def memory() -> tuple[float, float]:
    """MB of the process, and of it what belongs to no file."""
    pages = [int(word) for word in Path("/proc/self/statm").read_text().split()]
    page = resource.getpagesize() / MB
    return pages[1] * page, (pages[1] - pages[2]) * page


def slope(x: np.ndarray, y: np.ndarray, *others: np.ndarray) -> tuple[float, float]:
    """Slope of y over x through the means of stretches, and its standard error.

    What y also depends on, linearly, is taken out by `others`.
    """
    parts = np.array_split(np.arange(len(x)), STRETCHES)
    columns = [[column[part].mean() for part in parts] for column in (x, y, *others)]
    across, means, *rest = np.array([np.array(column) - np.mean(column) for column in columns])
    inputs = np.stack([across, *rest], axis=1)
    found = np.linalg.lstsq(inputs, means, rcond=None)[0]
    scatter = means - inputs @ found
    variance = scatter @ scatter / (STRETCHES - 1 - len(found))
    return float(found[0]), float(np.sqrt(variance * np.linalg.inv(inputs.T @ inputs)[0, 0]))


def report(rows: np.ndarray, out: Path) -> bool:
    """Print a table, and say whether nothing grew."""
    x = (rows[:, 0] - rows[0, 0]) / 60
    late = x >= SETTLING * x[-1]
    hours = (x[late][-1] - x[late][0]) / 60
    good = True
    print(f"{len(rows)} samples in {x[-1]:.1f} min, {rows[-1, 1]:,.0f} images; after settling:")
    print("| | mean | growth an hour | over the run | aim |")
    print("| --- | --- | --- | --- | --- |")
    names = (
        ("memory, MB", 2, MEMORY_SHARE),
        ("memory of no file, MB", 3, MEMORY_SHARE),
        ("open files", 4, MEMORY_SHARE),
        ("threads", 5, MEMORY_SHARE),
        ("objects of Python", 6, MEMORY_SHARE),
        ("processor time of an image, ms", 7, None),
        ("the same without the machine's own changes, ms", 7, TIME_SHARE),
    )
    for name, column, share in names:
        y = rows[late, column]
        machine = [rows[late, 8]] if share == TIME_SHARE else []
        rise, error = slope(x[late] / 60, y, *machine)
        part, doubt = rise * hours / y.mean(), 2 * error * hours / y.mean()
        met = share is None or part + doubt <= share
        good &= met
        verdict = "" if share is None else "met" if met else "not met"
        print(
            f"| {name} | {y.mean():,.2f} | {rise:+.2f} ± {error:.2f} | "
            f"{100 * part:+.2f} ± {50 * doubt:.2f} % | {verdict} |"
        )
    times = {"pictures": len(list((out / "samples").glob("*.png")))}
    lines = (out / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("frechet")
    times |= {"rows": len(lines) - 1, "metrics": sum(bool(r.split(",")[column]) for r in lines[1:])}
    print(", ".join(f"{count} {what}" for what, count in times.items()))
    return good


def main() -> None:
    """Train, sample and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="dcgan")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--every", type=int, default=2000, help="images between metrics")
    parser.add_argument("--rows", type=Path, help="where to write what was sampled, as JSON")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    every = arguments.every
    config = prepare(
        {
            "data.source": "sersic",
            "data.count": 600,
            "data.size": arguments.size,
            "data.workers": arguments.workers,
            "model.name": arguments.model,
            "train.images": 100_000_000,
            "train.minutes": arguments.minutes,
            "train.accelerator": "cpu",
            "train.precision": "32",
            "train.compile": "off",
            "train.metric_images": every,
            "train.metric_samples": 256,
            "train.grid_images": every,
            "train.snapshot_images": every,
            "train.log_images": every // 10,
        },
        dict(pair.split("=", 1) for pair in arguments.set),
    )
    sampler = Sampler()
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(config)
        model = make_model(config, data)
        with open(os.devnull, "w") as nowhere:
            # The live view is drawn, for nobody.
            console = Console(file=nowhere, force_terminal=True, width=100, height=40)
            outcome = start(
                config, data, model, out=folder, say=print, console=console, callbacks=[sampler]
            )
        rows = np.array(sampler.rows).reshape(-1, COLUMNS)
        if arguments.rows:
            arguments.rows.write_text(json.dumps(rows.tolist()))
        good = report(rows, outcome.run)
    print("Met." if good else "Not met.")


if __name__ == "__main__":
    main()
