"""Train a small classifier on real and generated galaxies together.

    python examples/generated_dataset.py [CKPT] [--data FOLDER] [-n 1000] [--epochs 1]

CKPT is a model with classes; the real galaxies are those that it was trained on, or those of
FOLDER. The network learns twice, from the real galaxies alone and from both, in the same number of
steps, and says how many real galaxies it classifies rightly: those that the model never saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

import galgen
from galgen import GeneratedDataset, RealDataset
from galgen.errors import ConfigError, UserError

BATCH = 32


def network(bands: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((bands, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def batches(dataset: Dataset[Any], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled and turned, without an end."""
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(dataset, BATCH, shuffle=True, generator=order, drop_last=True)
    while True:
        for batch in loader:
            turns = int(torch.randint(4, (), generator=order))
            yield torch.rot90(batch["images"], turns, (2, 3)), batch["label"]


def accuracy(classifier: nn.Module, dataset: Dataset[Any]) -> float:
    with torch.no_grad():
        right = [
            (classifier(batch["images"]).argmax(1) == batch["label"]).float()
            for batch in DataLoader(dataset, BATCH)
        ]
    return float(torch.cat(right).mean())


def learnt(dataset: Dataset[Any], steps: int, bands: int, classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    classifier = network(bands, classes)
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    for images, labels in islice(batches(dataset, seed), steps):
        loss = F.cross_entropy(classifier(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return classifier.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="A classifier of real and generated galaxies.")
    parser.add_argument("checkpoint", nargs="?", help="file or run of a model with classes")
    parser.add_argument("--data", help="folder of real galaxies [those of the run]")
    parser.add_argument("-n", type=int, default=1000, help="generated galaxies")
    parser.add_argument("--epochs", type=int, default=1, help="passes over both together")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    try:
        model = galgen.load(given.checkpoint)
        if len(model.classes) < 2:
            raise ConfigError("this model was trained without classes: give one with --labels.")
        generated = GeneratedDataset(model, given.n, seed=given.seed)
        real = RealDataset(given.data, beside=generated)
        test = real if given.data else RealDataset(None, beside=generated, held_out=True)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    both = ConcatDataset([real, generated])
    steps = max(1, given.epochs * len(both) // BATCH)
    facts = (steps, model.spec.n_bands, len(model.classes), given.seed)
    print(f"{len(real)} real and {len(generated)} generated galaxies of {', '.join(model.classes)}")
    for name, dataset in (("real", real), ("real and generated", both)):
        right = accuracy(learnt(dataset, *facts), test)
        print(f"learnt from {name}: {right:.1%} of {len(test)} real galaxies right")


if __name__ == "__main__":
    main()
