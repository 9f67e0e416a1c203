"""Rings of the power spectrum: known waves, scales, and images that hold nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.metrics.properties import SpectrumDistance
from galgen.metrics.spectrum import n_rings, ring_names, spectrum_rows

GRI = ImageSpec(32, ("g", "r", "i"))


def by_hand(image: np.ndarray, rings: int) -> np.ndarray:
    """SCIENCE H2 of one band, pixel by pixel."""
    n = len(image)
    amplitude = np.abs(np.fft.fft2(image)) / n**2
    sums, counts = np.zeros(rings), np.zeros(rings)
    for i in range(n):
        for j in range(n):
            u, v = (k if k <= n // 2 else k - n for k in (i, j))
            ring = int(math.hypot(u, v))
            if ring < rings:
                sums[ring] += amplitude[i, j]
                counts[ring] += 1
    return np.log10(sums / counts)


def test_is_the_definition(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(2)
    rows = spectrum_rows(images, GRI)
    assert rows.shape == (2, 15)
    for image, row in zip(images.numpy().astype(float), rows, strict=True):
        want = np.mean([by_hand(band, 15) for band in image], axis=0)
        np.testing.assert_allclose(row, want, atol=1e-4)


def test_a_wave_stands_in_its_ring_and_a_unit_shifts_all() -> None:
    x = torch.arange(32.0)
    wave = torch.cos(2 * math.pi * 5 * x / 32).expand(1, 3, 32, 32)
    row = spectrum_rows(wave, GRI)[0]
    assert int(row.argmax()) == 5
    brighter = spectrum_rows(1000 * wave, GRI)[0]
    np.testing.assert_allclose(brighter - row, 3, atol=1e-4)


def test_images_that_hold_nothing_are_finite(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(6)
    images[1] = 0
    images[2] = 7
    images[3] = float("nan")
    images[4, :, :3] = float("inf")
    images[5] *= 1e30
    rows = spectrum_rows(images, GRI)
    assert torch.isfinite(rows).all()
    whole = spectrum_rows(galaxies(6), GRI)
    # Pixels without a number get the median, not a hole: the galaxy in the middle stays.
    np.testing.assert_allclose(rows[4, :5], whole[4, :5], atol=0.02)
    assert spectrum_rows(images[:0], GRI).shape == (0, 15)


def test_small_frames_have_fewer_rings() -> None:
    about = ImageSpec(16, ("r",))
    assert n_rings(about) == 8
    assert ring_names(about)[-1] == "spectrum_7"
    assert spectrum_rows(torch.rand(2, 1, 16, 16), about).shape == (2, 8)


def test_rows_do_not_depend_on_the_batch(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(300, size=16)
    about = GRI.replace(size=16)
    whole = spectrum_rows(images, about)
    parts = torch.cat([spectrum_rows(part, about) for part in images.split(11)])
    np.testing.assert_allclose(whole, parts, atol=1e-5)


def test_smoothing_is_seen_by_the_metric(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(60, seed=1), galaxies(60, seed=2)
    metric = SpectrumDistance(GRI)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    good = metric.compute()
    assert set(good) == {"spectrum"}
    metric.reset()
    metric.update(real, real=True)
    metric.update(torch.nn.functional.avg_pool2d(fake, 3, 1, 1), real=False)
    assert float(metric.compute()["spectrum"]) > 3 * float(good["spectrum"])
    score = metric.score()
    assert set(score) == {"spectrum"}
    assert score["spectrum"]["z"] == pytest.approx(score["spectrum"]["z"])
    assert (score["spectrum"]["z"] or 0) > 5
