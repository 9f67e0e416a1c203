"""The physics vector: finite, invariant, of moderate length, and it sees what it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures
from galgen.metrics.nearest import ORIENTATIONS, orient

NAMES = ("u", "g", "r", "i", "z", "y", "j")


def spec_of(bands: int, size: int = 32, display: bool = False) -> ImageSpec:
    return ImageSpec(size, NAMES[:bands], display=display)


@pytest.mark.parametrize("bands", range(1, 8))
@pytest.mark.parametrize("size", [16, 17, 64])
def test_length_and_names(galaxies: Callable[..., Tensor], bands: int, size: int) -> None:
    features = PhysicsFeatures(spec_of(bands, size))
    out = features(galaxies(3, bands, size))
    assert isinstance(features, FeatureExtractor)
    assert out.shape == (3, features.n_features)
    assert out.dtype == torch.float32
    assert features.n_features <= 64
    assert len(set(features.names)) == features.n_features


def test_the_largest_size(galaxies: Callable[..., Tensor]) -> None:
    features = PhysicsFeatures(spec_of(7, 256))
    assert torch.isfinite(features(galaxies(1, 7, 256))).all()
    assert features.n_features == 64


@pytest.mark.parametrize(("bands", "size"), [(1, 16), (3, 32), (5, 33)])
def test_unchanged_by_quarter_turns_and_flips(
    galaxies: Callable[..., Tensor], bands: int, size: int
) -> None:
    images = galaxies(4, bands, size)
    features = PhysicsFeatures.fit(images, spec_of(bands, size))
    expected = features(images)
    for turn in range(ORIENTATIONS):
        torch.testing.assert_close(features(orient(images, turn)), expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("bands", [1, 2, 5])
@pytest.mark.parametrize("display", [False, True])
def test_finite_for_any_image(bands: int, display: bool) -> None:
    images = torch.zeros(9, bands, 20, 20)
    images[1] = 5
    images[2] = -1e6
    images[3] = float("nan")
    images[4] = float("inf")
    images[5, :, 10, 10] = 1e30
    images[6] = torch.randn(bands, 20, 20)
    images[7, :, 0, 0] = 1
    images[8] = 1e-30
    out = PhysicsFeatures(spec_of(bands, 20, display))(images)
    assert torch.isfinite(out).all()
    assert out.abs().max() < 1e4


def test_one_image_does_not_depend_on_the_others(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(6)
    features = PhysicsFeatures.fit(images, spec_of(3))
    torch.testing.assert_close(features(images)[2:3], features(images[2:3]))


def test_fit_makes_units_irrelevant(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(12)
    a = PhysicsFeatures.fit(images, spec_of(3))(images)
    b = PhysicsFeatures.fit(images * 1e-9, spec_of(3))(images * 1e-9)
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def column(features: PhysicsFeatures, images: Tensor, name: str) -> Tensor:
    return features(images)[:, features.names.index(name)]


def test_features_see_what_they_are_named_after(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(10, flux=20_000.0)
    features = PhysicsFeatures.fit(images, spec_of(3))
    assert (column(features, images * 2, "flux") > column(features, images, "flux")).all()
    redder = images.clone()
    redder[:, 2] *= 3
    # Band order is u, g, r: brighter r lowers g - r of the asinh fluxes.
    assert (column(features, redder, "g-r") < column(features, images, "g-r")).all()
    blurred = torch.nn.functional.avg_pool2d(images, 5, stride=1, padding=2)
    assert (column(features, blurred, "size") > column(features, images, "size")).all()
    assert (column(features, blurred, "half_light") > column(features, images, "half_light")).all()
    last = [n for n in features.names if n.startswith("spectrum_u")][-1]
    assert (column(features, blurred, last) < column(features, images, last) - 0.3).all()


def test_known_shapes() -> None:
    axis = torch.arange(64) - 31.5
    x, y = axis.expand(64, 64), axis[:, None].expand(64, 64)
    round_disk = (torch.hypot(x, y) < 16).float() * 100
    stretched = (torch.hypot(x, 2 * y) < 16).float() * 100
    features = PhysicsFeatures(spec_of(1, 64))
    images = torch.stack([round_disk, stretched])[:, None]
    ellipticity = column(features, images, "ellipticity")
    # Second moments of an ellipse with axes a, b: (a^2 - b^2) / (a^2 + b^2).
    torch.testing.assert_close(ellipticity, torch.tensor([0.0, 0.6]), atol=0.03, rtol=0)
    # A flat disk holds a fraction f inside sqrt(f) of its radius.
    expected = 5 * torch.log10(torch.tensor(0.8 / 0.2).sqrt())
    assert column(features, images, "concentration")[0] == pytest.approx(float(expected), abs=0.15)
    half = column(features, images, "half_light")[0].exp() - 0.5
    assert half == pytest.approx(16 * 0.5**0.5, abs=0.5)
    assert column(features, images, "asymmetry").abs().max() < 1e-5


def test_gini_extremes() -> None:
    features = PhysicsFeatures(spec_of(1))
    even = torch.full((1, 1, 32, 32), 10.0)
    peaked = torch.full((1, 1, 32, 32), 1.0)
    peaked[..., 16, 16] = 1e6
    assert column(features, even, "gini") == pytest.approx(0.0, abs=1e-3)
    assert column(features, peaked, "gini") > 0.95


def test_wrong_shapes_and_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        PhysicsFeatures(spec_of(3))(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="3 numbers"):
        PhysicsFeatures(spec_of(3), level=[0.0], noise=[1.0])
    with pytest.raises(ValueError, match="positive"):
        PhysicsFeatures(spec_of(1), noise=[0.0])
