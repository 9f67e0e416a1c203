"""The fixture ``galaxies``, for those who ask for it by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

import blobs

Galaxies = Callable[..., Tensor]


@pytest.fixture
def galaxies() -> Galaxies:
    """Function (n, bands, size, seed, noise, flux) -> galaxies, see `blobs.galaxies`."""
    return blobs.galaxies
