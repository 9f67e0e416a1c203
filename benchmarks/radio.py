"""Histograms of generated radio galaxies against real ones, class by class (SCIENCE R1 to R3).

Of one or more finished runs of ``examples/radiogan.yaml`` on FIRST, RMAE of as many galaxies a
class as published, drawn anew: from the snapshot that was best over all classes, and from each
class's own; beside the floor, two halves of the real galaxies, and the published numbers::

    python benchmarks/radio.py RUN [RUN ...] -n 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.data.sets import open_set
from galgen.metrics.radio import image_counts, rmae_of

#: Rustige et al. 2023, their generator by class and by the overall choice.
PUBLISHED = {
    "each class's own": {"Bent": 0.271, "Compact": 0.874, "FRI": 0.328, "FRII": 0.352},
    "best of all": {"Bent": 0.404, "Compact": 1.522, "FRI": 0.474, "FRII": 0.468},
}
#: Not that of the samples that chose the snapshots.
SEED = 12
SPLITS = 20


def mean_rmae(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean over the histograms of the RMAE of counts (N, bins) and (M, bins)."""
    return float(np.mean(list(rmae_of(real.sum(0), fake.sum(0)).values())))


def of_halves(counts: np.ndarray) -> float:
    """Mean RMAE of random halves of one class's real galaxies."""
    random, found = np.random.default_rng(0), []
    for _ in range(SPLITS):
        order = random.permutation(len(counts))
        half = len(counts) // 2
        found.append(mean_rmae(counts[order[:half]], counts[order[half:]]))
    return float(np.mean(found))


def of_model(model: TrainedModel, real: dict[str, np.ndarray], n: int) -> dict[str, float]:
    """Mean RMAE over the histograms of each class."""
    found = {}
    for name, counts in real.items():
        fake = image_counts(model.sample(n, seed=SEED, label=name)).numpy()
        found[name] = mean_rmae(counts, fake)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("-n", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[tuple[str, str, dict[str, float]]] = []
    for run in given.runs:
        own = checkpoint.load(run)
        data = own.config["data"]
        cutouts = open_set(data["source"], size=data["size"], crop=data["crop"])
        held = set(own.holdout)
        train = np.array([name not in held for name in cutouts.names])
        assert cutouts.labels is not None
        real = {}
        for k, name in enumerate(cutouts.classes):
            galaxies = cutouts.read(np.flatnonzero(train & (cutouts.labels == k)).tolist())
            real[name] = image_counts(torch.from_numpy(galaxies)).numpy()
        if not rows:
            floor = {name: of_halves(counts) for name, counts in real.items()}
            rows.append(("real galaxies", "two halves", floor))
            rows += [("published", choice, values) for choice, values in PUBLISHED.items()]
        one = checkpoint.load(run / "checkpoints" / "best.ckpt")
        rows.append((run.name, f"best of all ({one.images:,})", of_model(one, real, given.n)))
        images = ", ".join(f"{name} {s.images:,}" for name, s in own.specialists.items())
        rows.append((run.name, f"each class's own ({images})", of_model(own, real, given.n)))
    classes = list(PUBLISHED["best of all"])
    print(f"| galaxies | snapshot | {' | '.join(classes)} | mean |")
    print("| --- | --- |" + " --- |" * (len(classes) + 1))
    for who, choice, values in rows:
        cells = [values[name] for name in classes]
        cells.append(float(np.mean(cells)))
        print(f"| {who} | {choice} | {' | '.join(f'{v:.3f}' for v in cells)} |")


if __name__ == "__main__":
    main()
