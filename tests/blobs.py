"""Small galaxies of known flux, made on the spot."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def galaxies(
    n: int = 8,
    bands: int = 3,
    size: int = 32,
    seed: int = 0,
    noise: float = 1.0,
    flux: float = 3000.0,
    scatter: float = 0.3,
) -> Tensor:
    """Gaussian galaxies (n, bands, size, size).

    Band c of every galaxy has `flux` times ``c + 1`` times a lognormal of the galaxy's own.
    """
    rng = np.random.default_rng(seed)
    axis = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    images = np.empty((n, bands, size, size), dtype=np.float32)
    for i in range(n):
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
        width = size / 12 * rng.uniform(0.8, 1.2)
        u = (x * np.cos(angle) + y * np.sin(angle)) / width
        v = (y * np.cos(angle) - x * np.sin(angle)) / (width * ratio)
        shape = np.exp(-(u**2 + v**2) / 2)
        shape /= shape.sum()
        total = flux * np.exp(rng.normal(0, scatter))
        for c in range(bands):
            colour = (c + 1) * np.exp(rng.normal(0, scatter / 3))
            images[i, c] = shape * total * colour + rng.normal(0, noise, x.shape)
    return torch.from_numpy(images)
