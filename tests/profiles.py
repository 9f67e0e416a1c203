"""Galaxies of known profiles, for tests of what is measured on them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from galgen.bands import ImageSpec


def one_band(size: int) -> ImageSpec:
    return ImageSpec(size, ("r",))


def sersic(
    n: float,
    radius: float,
    size: int = 96,
    x: float = 0.0,
    y: float = 0.0,
    ratio: float = 1.0,
    angle: float = 0.0,
    parts: int = 5,
) -> Tensor:
    """Sersic profile (1, size, size) averaged over pixels, brightness 1000 at `radius` pixels."""
    fine = (np.arange(size * parts) + 0.5) / parts - size / 2
    dx, dy = np.meshgrid(fine - x, fine - y)
    u = dx * np.cos(angle) + dy * np.sin(angle)
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / ratio
    b = gammaincinv(2 * n, 0.5)
    image = 1000 * np.exp(-b * ((np.hypot(u, v) / radius) ** (1 / n) - 1))
    image = image.reshape(size, parts, size, parts).mean((1, 3))
    return torch.from_numpy(image[None].astype(np.float32))


def noisy(image: Tensor, sigma: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return image + sigma * torch.randn(image.shape, generator=generator)
