"""Rows of features with known answers, and extractors that pass them through."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def cloud(
    n: int, seed: int, features: int = 4, width: float = 1.0, shift: float = 0.0
) -> NDArray[np.float64]:
    """Gaussian rows, exact in float32, which is what metrics keep."""
    rows = np.random.default_rng(seed).normal(size=(n, features)) * width + shift
    return rows.astype(np.float32).astype(np.float64)


def correlated(n: int, seed: int, features: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Rows whose features hang together, with a spectrum of variances that falls as 1/i."""
    mix = np.random.default_rng(99).normal(size=(features, features))
    falling = 1 / np.sqrt(np.arange(1, features + 1))
    return cloud(n, seed, features) * falling @ mix + shift


class Columns:
    """Features that are the images themselves."""

    name = "columns"

    def __init__(self, features: int = 4) -> None:
        self.n_features = features

    def __call__(self, flux: Tensor) -> Tensor:
        return flux.flatten(1)


class Linear(nn.Module):
    """A network as extractor: a metric must not adopt its weights."""

    name = "linear"
    n_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, flux: Tensor) -> Tensor:
        return self.layer(flux.mean((2, 3)))


def images(rows: NDArray[np.float64]) -> Tensor:
    """Images (N, F, 1, 1) whose pixels are the rows."""
    return torch.from_numpy(rows).float()[:, :, None, None]
