"""Images that tests ask for by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import blobs
from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec

Galaxies = Callable[..., Tensor]


@pytest.fixture
def galaxies() -> Galaxies:
    """Function (n, bands, size, seed, noise, flux) -> galaxies, see `blobs.galaxies`."""
    return blobs.galaxies


@pytest.fixture(scope="session")
def some() -> tuple[Tensor, ImageSpec]:
    """Six simulated galaxies of 48 pixels, (6, 3, 48, 48), not to be changed in place."""
    return torch.from_numpy(simulate(6, size=48)[0]), sersic_spec(48)
