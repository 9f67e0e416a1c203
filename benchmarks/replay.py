"""Files against their own headers: 100 of every kind, other processors' kernels, and the time.

``python benchmarks/replay.py kinds RUN...`` writes 100 files of every kind that each run can draw,
and of a small pair with styles and classes that it trains, and replays them in another process,
which finds the checkpoints by their hashes.

``python benchmarks/replay.py kernels RUN...`` replays 256 galaxies of each run with fewer
instructions than the processor has, as another machine would, with other kernels and with two
threads.

``python benchmarks/replay.py speed RUN`` takes the processor time of replaying 1,000 files, beside
that of the generator. Without RUN the model that galgen ships is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.film import interpolate
from galgen.models.sampling import ends_in_psf
from galgen.replay import replay
from galgen.sample import sample
from galgen.styles import mix
from galgen.sweep import sweep
from galgen.telescope import Telescope
from galgen.train import train

COUNT = 100
STYLED = {
    "model.name": "stylegan2",
    "model.options": {"latent": 32, "width": 8, "max_width": 32, "psf": "auto"},
    "data.source": "sersic",
    "data.count": 400,
    "data.size": 32,
    "data.labels": "catalogue:kind",
    "train.images": 960,
    "train.metric_images": 0,
}
FITS: dict[str, Any] = {"formats": ["fits"]}


def _instructions(torch: str, onednn: str, mkl: str) -> dict[str, str]:
    """What makes the three libraries do with fewer instructions."""
    return {
        "ATEN_CPU_CAPABILITY": torch,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": mkl,
    }


KERNELS: dict[str, dict[str, str]] = {
    "the same": {},
    "AVX2": _instructions("avx2", "AVX2", "AVX2"),
    "SSE4": _instructions("default", "SSE41", "SSE4_2"),
    "without oneDNN": {"GALGEN_BENCHMARK_PLAIN": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
}
#: What a process of its own does.
ALONE = """
import json, os, sys, torch
from galgen.replay import replay
with torch.backends.mkldnn.flags(enabled="GALGEN_BENCHMARK_PLAIN" not in os.environ):
    found = replay(sys.argv[1:])
print(json.dumps([
    [str(one.path.parent), one.state, one.of_peak, one.of_noise] for one in found
]))
"""


def kinds(model: TrainedModel) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Kinds of files that a model can draw, and how."""
    spec, names = model.spec, model.module.conditions.names
    network = model.module.average.network

    def of(**asked: Any) -> Callable[[Path], Any]:
        return lambda out: sample(model, COUNT, out=out, **FITS, **asked)

    yield "plain", of()
    yield "cube", of(cube=True, seed=1)
    yield "truncated", of(truncation=0.7)
    yield "without noise", of(noise=False)
    if not spec.display:
        yield "RICE", of(compress="rice")
        yield "RICE, cube", of(compress="rice", cube=True)
    if ends_in_psf(network):
        yield "without PSF", of(psf="none")
        yield "another PSF", of(psf="moffat:1.3")
    if spec.pixel_scale is not None and not spec.display:
        telescope = Telescope.of(
            name="seen", psf="1.6", pixel_scale=1.5 * spec.pixel_scale, noise="sky=2,gain=4"
        )
        yield "telescope", of(telescopes=[telescope])
    for name in names[:1]:
        low, high = (model.module.conditions.numbers[0].mean + k for k in (-0.7, 0.7))
        yield "range of a number", of(where={name: (low, high)})
        yield "drawn anew to be as asked", of(where={name: low}, accept={name: 0.1})
        yield "sweep of a number", partial(_swept, model, name, 10, 10)
    for label in model.classes[:1]:
        yield "class", of(label=label)
        count = -(-COUNT // len(model.classes))
        yield "sweep of classes", partial(_swept, model, "label", count, 2)
    yield "film", lambda out: interpolate(model, (3, 40, 7, 99, 12), 20, out=out, **FITS)
    if model.module.has_styles:
        yield "mixed styles", lambda out: mix(model, range(10), range(30, 40), out=out, **FITS)


def _swept(model: TrainedModel, what: str, n: int, steps: int, out: Path) -> Any:
    return sweep(model, what, n, steps, out=out, **FITS)


def alone(*folders: Path, **environment: str) -> list[tuple[str, str, float, float]]:
    """Replay folders in another process: folder, state and differences of each file."""
    result = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, folders)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=True,
    )
    return [tuple(one) for one in json.loads(result.stdout.splitlines()[-1])]


def measure_kinds(runs: list[Path]) -> None:
    """Table of files and how many are identical."""
    runs = [*runs, train(STYLED, out="trained").run]
    Path("runs").mkdir()
    for number, run in enumerate(runs, start=1):
        Path(f"runs/{number:05d}-{run.name[6:]}").symlink_to(run.resolve())
    found: defaultdict[str, list[str]] = defaultdict(list)
    models: defaultdict[str, int] = defaultdict(int)
    redrawn = 0
    for number, run in enumerate(sorted(Path("runs").iterdir())):
        folders = {}
        for kind, make in kinds(checkpoint.load(run)):
            folder = Path(f"{number}-{kind.replace(' ', '-')}")
            redrawn += getattr(make(folder), "told", {}).get("redrawn", 0)
            folders[str(folder)] = kind
            models[kind] += 1
        for name, state, _, _ in alone(*map(Path, folders)):
            found[folders[name]].append(state)
        print(f"{run.name}: {len(folders)} kinds", file=sys.stderr, flush=True)
    print("| kind | models | files | identical |\n| --- | --- | --- | --- |")
    for kind, states in found.items():
        count = f"{len(states):,} | {states.count('identical'):,}"
        print(f"| {kind} | {models[kind]} | {count} |")
    print(f"{redrawn} of those that were drawn anew to be as asked were no first draws")


def measure_kernels(runs: list[Path]) -> None:
    """Table of the largest differences."""
    print("| model | kernels | identical | of the peak | of the sky noise |")
    print("| --- | --- | --- | --- | --- |")
    for number, run in enumerate(runs):
        os.environ["OMP_NUM_THREADS"] = "1"
        Path("runs").mkdir(exist_ok=True)
        link = Path(f"runs/{number + 1:05d}-{run.name[6:]}")
        link.symlink_to(run.resolve())
        folder = Path(f"set-{number}")
        sample(link, 256, out=folder, **FITS)
        for name, environment in KERNELS.items():
            found = alone(folder, **environment)
            _, states, of_peak, of_noise = zip(*found, strict=True)
            count = f"{states.count('identical')} of {len(states)}"
            print(f"| {run.name[6:]} | {name} | {count} | {max(of_peak):.1e} | "
                  f"{max(of_noise):.1e} |", flush=True)  # fmt: skip


def measure_speed(runs: list[Path]) -> None:
    """Processor time of replaying, beside the generator's."""
    model = checkpoint.load(runs[0])
    Path("runs").symlink_to(runs[0].resolve().parent)
    sample(model, 1000, out="set", **FITS)
    replay("set/galaxy_000000.fits")
    for _ in range(3):
        begin = time.process_time()
        model.sample(1000)
        drawn = time.process_time() - begin
        begin = time.process_time()
        found = replay("set")
        spent = time.process_time() - begin
        assert all(one.state == "identical" for one in found)
        print(f"generator {drawn:.2f} s, replay {spent:.2f} s, {spent / drawn:.2f} times")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["kinds", "kernels", "speed"], default="kinds")
    parser.add_argument("runs", nargs="*", type=lambda text: Path(text).resolve())
    wanted = parser.parse_args()
    wanted.runs = wanted.runs or [checkpoint.packaged_model()]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        {"kinds": measure_kinds, "kernels": measure_kernels, "speed": measure_speed}[wanted.what](
            wanted.runs
        )
        os.chdir("/")


if __name__ == "__main__":
    main()
