"""What it costs to make a catalogue of galaxies, against the generator alone.

    python benchmarks/sampling.py [CKPT] [--count 1000] [--rounds 5]

Each round, taking turns in one process: the generator alone gives tensors; the same files are
written to the same disk as they are, by one thread; and ``galgen.sample.sample`` does it all, with
photometry of every galaxy, SHA-256 of every file, catalogue and overview. Without CKPT an
untrained `dcgan` of 3 bands at 64 px draws, which takes as long as a trained one; its galaxies are
seldom detected though, so that a trained one says more about measuring.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from galgen import DCGAN, Stretch, load
from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel
from galgen.conditions import Conditions
from galgen.data.sersic import simulate, spec
from galgen.export import export
from galgen.models.card import FORMAT
from galgen.sample import sample

BANDS = ("g", "r", "i", "z", "y", "J", "H")


def model_of(size: int, bands: int, folder: Path) -> TrainedModel:
    """An untrained model with the facts and the stretch of simulated galaxies."""
    facts: ImageSpec = spec(size, BANDS[:bands])
    flux, _ = simulate(64, size=size, bands=facts.bands)
    module = DCGAN(size=size, bands=facts.bands)
    stretch = Stretch.fit(torch.from_numpy(flux))
    card = {
        "format": FORMAT, "version": "0", "model": "dcgan", "options": {}, "holdout": [],
        "recipe": module.recipe.model_dump(mode="json"), "spec": facts.to_dict(),
        "stretch": stretch.state(), "conditions": Conditions().to_dict(), "seed": 0,
        "clock": module.clock.state(), "config": {},
    }  # fmt: skip
    return load(export(TrainedModel(module, card, folder), folder))


def clocked(work: Callable[[], object]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def written(files: dict[str, bytes], folder: Path) -> None:
    """Write files as they are."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def round_of(model: TrainedModel, count: int, folder: Path, **how: object) -> tuple[float, ...]:
    """Seconds of the generator, the disk, and all of it."""
    alone = clocked(lambda: model.sample(count))
    out = folder / "set"
    whole = clocked(lambda: sample(model, count, out=out, **how))  # type: ignore[arg-type]
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    disk = clocked(lambda: written(files, folder / "plain"))
    for place in (out, folder / "plain"):
        shutil.rmtree(place)
    return alone, disk, whole


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = load(given.model) if given.model else model_of(64, 3, folder / "model")
        print(
            f"{given.count:,} galaxies of {model.spec.n_bands} bands at {model.spec.size} px, "
            f"{torch.get_num_threads()} thread(s)\n"
        )
        print(
            "| files | generator, s | disk, s | sample, s | sample / (generator + disk) | rounds |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        model.sample(64)
        for title, how in (
            ("FITS", {"formats": ["fits"]}),
            ("FITS, cube", {"formats": ["fits"], "cube": True}),
            ("pack", {"pack": True}),
        ):
            rounds = [round_of(model, given.count, folder, **how) for _ in range(given.rounds)]
            ratios = sorted(whole / (alone + disk) for alone, disk, whole in rounds)
            middle = [statistics.median(times) for times in zip(*rounds, strict=True)]
            print(
                f"| {title} | " + " | ".join(f"{seconds:.2f}" for seconds in middle)
                + f" | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |",
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
