"""The way a galaxy is stretched, of ellipses whose axes are known."""

from __future__ import annotations

import numpy as np
import pytest

from galgen.bands import ImageSpec
from galgen.measure.moments import stretch

SIDE = 48


def ellipse(angle: float, ratio: float = 0.4, noise: float = 0.5) -> np.ndarray:
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    x, y = np.meshgrid(axis, axis)
    u = (x * np.cos(angle) + y * np.sin(angle)) / 5
    v = (y * np.cos(angle) - x * np.sin(angle)) / (5 * ratio)
    light = 100 * np.exp(-(u**2 + v**2) / 2)
    random = np.random.default_rng(int(1000 * angle))
    return np.stack([light, 2 * light]) + random.normal(0, noise, (2, SIDE, SIDE)) + 10


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 120, 135])
def test_direction(degrees: float) -> None:
    angle = np.radians(degrees)
    e1, e2 = stretch(ellipse(angle)[None], ImageSpec(SIDE, ("g", "r")))[0]
    size = np.hypot(e1, e2)
    assert 0.5 < size < 0.75
    assert e1 / size == pytest.approx(np.cos(2 * angle), abs=0.03)
    assert e2 / size == pytest.approx(np.sin(2 * angle), abs=0.03)


def test_a_round_galaxy_is_not_stretched_and_a_blank_image_is_nothing() -> None:
    spec = ImageSpec(SIDE, ("g", "r"))
    assert np.abs(stretch(ellipse(0.3, ratio=1.0)[None], spec)).max() < 0.05
    assert np.isnan(stretch(np.zeros((1, 2, SIDE, SIDE)), spec)).all()
