"""Galaxies a second that a `dcgan` makes, as tensors and as files.

    python benchmarks/sampling.py [--count 512]

The networks are untrained, which takes as long. The best of three rounds counts.
"""

from __future__ import annotations

import argparse
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


def rate(work: Callable[[int], object], count: int) -> float:
    """Galaxies per second, the best of three rounds."""
    best = 0.0
    for turn in range(3):
        begin = time.perf_counter()
        work(turn)
        best = max(best, count / (time.perf_counter() - begin))
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=512)
    count = parser.parse_args().count
    print(f"{torch.get_num_threads()} thread(s), galaxies per second\n")
    print(
        "| size | bands | tensors | FITS, an HDU per band | PNG |\n| --- | --- | --- | --- | --- |"
    )
    for size, bands in ((32, 3), (64, 3), (64, 7), (128, 3)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = model_of(size, bands, folder / "model")

            def files(kind: str) -> Callable[[int], object]:
                return lambda turn: sample(
                    model,  # noqa: B023
                    count,
                    formats=[kind],
                    out=folder / f"{kind}{turn}",  # noqa: B023
                )

            rates = [rate(lambda turn: model.sample(count), count)]  # noqa: B023
            rates += [rate(files(kind), count) for kind in ("fits", "png")]
        print(
            f"| {size} px | {bands} | " + " | ".join(f"{r:,.0f}" for r in rates) + " |", flush=True
        )


if __name__ == "__main__":
    main()
