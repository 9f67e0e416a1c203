"""Grids of samples along training, always of the same latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch

from galgen.models.base import AdversarialModule
from galgen.report.pictures import grid_png

COLUMNS, ROWS = 8, 6


class SampleGrid(L.Callback):
    """Writes ``samples/000040000.png`` every so many images; a class a row where there are some.

    Parameters
    ----------
    folder
        Where the pictures go.
    every
        Interval in images; 0 for none.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Write a grid when it is due."""
        assert isinstance(module, AdversarialModule)
        if trainer.is_global_zero and module.clock.crossed(self.every):
            write_grid(module, self.folder / f"{module.clock.images:09d}.png")


def write_grid(module: AdversarialModule, path: Path, seed: int = 0) -> Path:
    """A grid of samples of the averaged generator, written whole or not at all."""
    rows = module.classes or ("",) * ROWS
    parts = [
        module.sample(COLUMNS, seed=seed, start=COLUMNS * row, label=label or None)
        for row, label in enumerate(rows)
    ]
    grid_png(torch.cat(parts), module.spec, path, columns=COLUMNS, stretch=module.stretch)
    return path
