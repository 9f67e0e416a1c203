"""A turn, a shift or noise hardly moves an image in the spaces of the copy audit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frames import Framing, soft_stretch, turned
from galgen.metrics.spaces import AlignedSpace, FeatureSpace, PolarSpace, Space, fit_spaces

Galaxies = Callable[..., Tensor]


def lopsided(galaxies: Galaxies, n: int = 24, **kwargs: object) -> Tensor:
    """Galaxies with a companion each, so that no turn or mirror image leaves them as they are."""
    options = {"bands": 2, "size": 48, "flux": 20000.0, **kwargs}
    images = galaxies(n, **options)
    other = galaxies(n, **(options | {"noise": 0.0, "seed": 77}))
    moved = [image.roll((3 + k % 5, 2 + k % 7), (1, 2)) for k, image in enumerate(other)]
    return images + 0.4 * torch.stack(moved)


def distances(space: Space, images: Tensor, changed: Tensor) -> Tensor:
    """Distance (N, N) of each image from each changed one."""
    one, two = space.variants(space(images)[0]), space(changed)[0]
    return (one[:, None] - two[None, :, None]).square().sum(3).sqrt().amin(2)


@pytest.mark.parametrize("kind", [AlignedSpace, PolarSpace])
def test_copies_are_nearer_than_other_galaxies(kind: type, galaxies: Galaxies) -> None:
    images = lopsided(galaxies)
    space = kind.fit(images)
    n = len(images)
    angle, shift = torch.linspace(0.1, 6, n), torch.tensor([[3.0, -2.0]]).expand(n, 2)
    for changed in (
        turned(images, angle, torch.zeros(n, 2)),
        turned(images, torch.zeros(n), shift),
        turned(images, angle, shift, flip=True),
        images + torch.randn_like(images),
        images + 50,
    ):
        nearest = distances(space, images, changed).argmin(1)
        # An image that is nearly round has no axis.
        assert (nearest == torch.arange(n)).float().mean() > 0.9


@pytest.mark.parametrize("kind", [AlignedSpace, PolarSpace])
def test_quarter_turns_and_mirror_images_are_exact(kind: type, galaxies: Galaxies) -> None:
    images = lopsided(galaxies)
    space = kind.fit(images)
    scale = float(space(images)[0].norm(dim=1).mean())
    for turns in range(4):
        upright = images.rot90(turns, (2, 3))
        for changed in (upright, upright.flip(-1)):
            assert distances(space, images, changed).diag().max() < 2e-3 * scale


def test_frames_find_centroid_and_axis(galaxies: Galaxies) -> None:
    size, angle = 64, math.radians(25)
    axis = torch.arange(size) - (size - 1) / 2
    x, y = axis - 4, axis[:, None] + 3
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    image = 500 * torch.exp(-((u / 6) ** 2 + (v / 3) ** 2) / 2) + torch.randn(5, 1, size, size)
    framing = Framing.fit(image)
    frame = framing(framing.stretched(image))
    torch.testing.assert_close(frame.x, torch.full((5,), 4.0), atol=0.1, rtol=0)
    torch.testing.assert_close(frame.y, torch.full((5,), -3.0), atol=0.1, rtol=0)
    torch.testing.assert_close(frame.angle, torch.full((5,), angle), atol=0.05, rtol=0)
    assert frame.active.all()


def test_aligned_images_lie_along_x(galaxies: Galaxies) -> None:
    images = galaxies(40, bands=1, size=48, noise=0.5, flux=20000.0)
    space = AlignedSpace.fit(images)
    rows = space(images)[0].view(-1, 16, 16).clamp_min(0)
    axis = (torch.arange(16) - 7.5) ** 2
    along, across = (rows.sum(k) * axis for k in (1, 2))
    assert (along.sum(1) >= 0.99 * across.sum(1)).all()


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, math.nan, math.inf])
def test_images_without_light_do_not_count(value: float, galaxies: Galaxies) -> None:
    images = galaxies(20, size=32)
    empty = torch.full((3, 3, 32, 32), value)
    for space in fit_spaces(images, [PhysicsFeatures.fit(images, ImageSpec(32, ("g", "r", "i")))]):
        rows, active = space(torch.cat([images, empty]))
        assert active.tolist() == [True] * 20 + [False] * 3
        assert rows.shape == (23, space.width)
        assert torch.isfinite(rows).all()
        assert rows.dtype == torch.float32


def test_noise_alone_does_not_count(galaxies: Galaxies) -> None:
    framing = Framing.fit(galaxies(20, size=32))
    noise = torch.randn(200, 3, 32, 32)
    assert framing(framing.stretched(noise)).active.float().mean() < 0.03


@pytest.mark.parametrize(("bands", "size"), [(1, 8), (1, 16), (5, 21), (7, 33)])
def test_any_bands_and_small_sizes(bands: int, size: int, galaxies: Galaxies) -> None:
    images = galaxies(6, bands=bands, size=size)
    for space in fit_spaces(images):
        rows, _ = space(images)
        assert rows.shape == (6, space.width)
        assert torch.isfinite(rows).all()


def test_a_dark_band_stops_nothing(galaxies: Galaxies) -> None:
    images = galaxies(20, bands=3)
    images[:, 1] = 4.0
    for space in fit_spaces(images):
        rows, active = space(images)
        assert active.all()
        assert torch.isfinite(rows).all()
    for space in fit_spaces(torch.zeros(5, 1, 16, 16)):
        assert not space(torch.zeros(3, 1, 16, 16))[1].any()


def test_other_shapes_are_refused(galaxies: Galaxies) -> None:
    space = PolarSpace.fit(galaxies(6))
    with pytest.raises(ValueError, match="expected images"):
        space(torch.zeros(2, 3, 31, 31))
    with pytest.raises(ValueError, match="expected images"):
        space(torch.zeros(2, 1, 32, 32))


def test_a_clipped_sky_counts_as_a_little_noise(galaxies: Galaxies) -> None:
    images = galaxies(20, bands=1, noise=0.0)
    images = torch.where(images > 1, images, 0.0)
    stretch = soft_stretch(images)
    assert float(stretch.scale) == pytest.approx(0.03 * float(stretch.top - stretch.low))
    noisy = images + torch.randn_like(images)
    assert float(soft_stretch(noisy).scale) == pytest.approx(3, rel=0.2)


class Positions:
    """Total light, which a copy keeps, and a position of the light, which it does not."""

    name = "positions"
    n_features = 3

    def __call__(self, flux: Tensor) -> Tensor:
        total = flux.sum((1, 2, 3))
        left = flux[..., :10].sum((1, 2, 3)) / total
        return torch.stack([total, 1000 * left, torch.ones_like(total)], 1)


def test_features_that_a_turn_changes_weigh_little(galaxies: Galaxies) -> None:
    images = galaxies(200, size=32)
    space = FeatureSpace.fit(Positions(), images)
    total, left = space.whitening[0].norm(), space.whitening[1].norm()
    spread = Positions()(images).std(0)
    assert total * spread[0] > 3 * left * spread[1]
    assert space.name == "positions"
    rows = space(images)[0]
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
