"""Do galaxies have the magnitude, colour and size that was asked for?

Trains the pair of ``examples/conditions.yaml``, and as the control the same pair on galaxies whose
numbers were shuffled among them; both are asked for the numbers of galaxies that were held out, and
what comes is measured::

    python benchmarks/conditions.py --images 60000
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from galgen.config import RunConfig, load_yaml
from galgen.data.module import CutoutDataModule
from galgen.measure.quantities import measure_numbers
from galgen.metrics.requested import follow
from galgen.train import make_data, make_model, prepare, start

CONFIG = Path(__file__).resolve().parents[1] / "examples" / "conditions.yaml"
COLUMNS = ("n", "failures", "bias", "scatter", "r2", "slope", "r2_shuffled")


def shuffled(data: CutoutDataModule) -> CutoutDataModule:
    """The same galaxies, each with the numbers of another."""
    cutouts = data.cutouts
    order = np.random.default_rng(0).permutation(len(cutouts))
    data.__dict__["cutouts"] = replace(cutouts, values=cutouts.values[order])
    return data


def judge(data: CutoutDataModule, config: RunConfig, asked: np.ndarray, out: Path) -> np.ndarray:
    """Train, ask for numbers (N, K), and measure what comes (N, K)."""
    model = make_model(config, data)
    start(config, data, model, out=out, say=None, console=None)
    rows = torch.from_numpy(model.conditions.encode(None, asked))
    flux = torch.cat([part for _, part in model.stream(range(len(asked)), rows, seed=1)])
    return measure_numbers(flux, data.spec, model.conditions.names)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    config = prepare(load_yaml(CONFIG), {"train.images": given.images, "train.metric_images": 0})
    data = make_data(config)
    held, names = data.split[1], data.conditions.names
    asked = np.asarray(data.cutouts.values[held], dtype=float)
    real = measure_numbers(data.cutouts.read(held.tolist()), data.spec, names)
    found = {
        "real galaxies": real,
        "generated": judge(data, config, asked, given.out),
        "trained on shuffled numbers": judge(shuffled(make_data(config)), config, asked, given.out),
    }
    print(f"| number | galaxies | {' | '.join(COLUMNS)} |")
    print("| --- |" + " --- |" * (1 + len(COLUMNS)))
    for k, name in enumerate(names):
        for who, measured in found.items():
            row = follow(asked[:, k], measured[:, k])
            cells = [f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in COLUMNS]
            print(f"| {name} | {who} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
