"""Grids of samples along training, always of the same latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch

from galgen.models.base import AdversarialModule
from galgen.models.sweeping import render, usual_axis
from galgen.report.pictures import composite, grid_png
from galgen.report.strips import table, write_png
from galgen.runs import make_folder

COLUMNS, ROWS = 8, 6


class SampleGrid(L.Callback):
    """Writes ``samples/000040000.png`` every so many images, as `write_grid`.

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
    """A grid of samples of the averaged generator, written whole or not at all.

    A class a row, named, where there are some; else, where there are numbers, a latent a row and
    the first number from low to high, so that one sees whether the galaxies follow it.
    """
    if module.conditions.numbers and not module.classes:
        return _write_sweep(module, path, seed)
    rows = module.classes or ("",) * ROWS
    flux = torch.cat(
        [
            module.sample(COLUMNS, seed=seed, start=COLUMNS * row, label=label or None)
            for row, label in enumerate(rows)
        ]
    )
    if not module.classes:
        return grid_png(flux, module.spec, path, columns=COLUMNS, stretch=module.stretch)
    shown = composite(flux, module.spec, module.stretch)
    tiles = shown.reshape(len(rows), COLUMNS, *shown.shape[1:])
    make_folder(path.parent)
    return write_png(table(tiles, rows), path)


def _write_sweep(module: AdversarialModule, path: Path, seed: int) -> Path:
    axis = usual_axis(module, COLUMNS)
    indices = range(ROWS)
    rows = module.sample_conditions(indices, seed)
    flux = render(module, module.renderer(seed), axis, indices, rows)
    shown = composite(flux.flatten(0, 1), module.spec, module.stretch)
    tiles = shown.reshape(ROWS, COLUMNS, *shown.shape[1:])
    make_folder(path.parent)
    return write_png(table(tiles, columns=axis.texts, title=axis.name), path)
