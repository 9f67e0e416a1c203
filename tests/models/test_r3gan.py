"""The residual stages of `r3gan` against their equations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.errors import ConfigError
from galgen.models.r3gan import R3GAN
from galgen.models.r3gan.stage import LEAKY_GAIN, Basis, Residual, Shape, Stage
from galgen.nn.layers import upsample


def by_loops(x: Tensor, block: Residual, group: int) -> Tensor:
    """The residual block, one image, pixel and group at a time."""
    expand, grouped, project = block.expand, block.grouped, block.project
    n, _, height, width = x.shape
    out = x.clone()
    for image in range(n):
        inner = torch.einsum("oi,ihw->ohw", expand.weight[:, :, 0, 0], x[image])
        inner = F.leaky_relu(inner + expand.bias[:, None, None], 0.2)
        padded = F.pad(inner, (1, 1, 1, 1))
        for row in range(height):
            for column in range(width):
                patch = padded[:, row : row + 3, column : column + 3]
                mixed = torch.stack(
                    [
                        (grouped.weight[o] * patch[o // group * group : (o // group + 1) * group])
                        .sum()
                        .add(grouped.bias[o])
                        for o in range(len(inner))
                    ]
                )
                out[image, :, row, column] += project.weight[:, :, 0, 0] @ F.leaky_relu(mixed, 0.2)
    return out


def test_the_residual_block() -> None:
    torch.manual_seed(0)
    block = Residual(4, Shape(group=2, expansion=2), depth=3)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 4, 3, 5)
    with torch.no_grad():
        assert torch.allclose(block(x), by_loops(x, block, 2), atol=1e-5)


def test_a_block_starts_as_nothing_and_its_branch_by_the_depth() -> None:
    torch.manual_seed(0)
    block = Residual(64, Shape(group=64, expansion=4), depth=16)
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    for conv, inputs in ((block.expand, 64), (block.grouped, 9 * 64)):
        want = LEAKY_GAIN * 16**-0.25 / math.sqrt(inputs)
        assert conv.weight.std().item() == pytest.approx(want, rel=0.03)


def test_depth_counts_the_blocks_of_the_whole_network() -> None:
    def first_std(blocks: int) -> float:
        torch.manual_seed(0)
        model = R3GAN(32, 1, width=64, max_width=64, blocks=blocks, group=128)
        return float(model.critic.stages[0].blocks[0].grouped.weight.detach().std())

    assert first_std(4) / first_std(1) == pytest.approx(4**-0.25, rel=0.02)


@pytest.mark.parametrize(
    ("width", "group", "expansion", "groups"), [(32, 16, 2, 4), (8, 16, 1, 1), (24, 16, 1, 3)]
)
def test_groups_divide_the_width(width: int, group: int, expansion: int, groups: int) -> None:
    block = Residual(width, Shape(group=group, expansion=expansion), depth=1)
    assert block.grouped.groups == groups


def test_a_change_of_width_commutes_with_resampling() -> None:
    torch.manual_seed(0)
    stage, x = Stage(6, 4, Shape(), depth=1), torch.randn(2, 6, 8, 8)
    assert torch.allclose(upsample(stage.adapt(x)), stage.adapt(upsample(x)), atol=1e-6)
    half = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    assert torch.allclose(F.avg_pool2d(x, 2), half, atol=1e-6)
    assert torch.allclose(stage.adapt(half), F.avg_pool2d(stage.adapt(x), 2), atol=1e-6)


def test_the_basis_spreads_and_gathers() -> None:
    basis = Basis(3, 4, std=1.0)
    strength = torch.randn(2, 3)
    maps = basis.spread(strength)
    assert torch.allclose(maps[1, 2], strength[1, 2] * basis.maps[2])
    overlap = basis.gather(maps)
    assert torch.allclose(overlap, strength * basis.maps.square().sum(dim=(1, 2)), atol=1e-5)


def test_both_networks_are_built_alike() -> None:
    model = R3GAN(48, 2, width=8, max_width=16, blocks=2)
    sides = [6, 12, 24, 48]
    assert model.generator.sides == sides
    widths = [stage.blocks[0].expand.in_channels for stage in model.generator.stages]
    assert widths == [16, 16, 16, 8]
    mirrored = [stage.blocks[0].expand.in_channels for stage in model.critic.stages]
    assert mirrored == widths[::-1]
    assert all(len(s.blocks) == 2 for n in (model.generator, model.critic) for s in n.stages)


def test_scores_and_pictures_start_of_order_one() -> None:
    torch.manual_seed(0)
    model = R3GAN(64, 3, blocks=2, grain=False)
    with torch.no_grad():
        images = model.generator(torch.randn(64, 64))
        scores = model.critic(torch.randn(64, 3, 64, 64))
    assert 0.2 < images.std() < 3
    assert scores.abs().max() < 5


@pytest.mark.parametrize("option", ["latent", "width", "max_width", "blocks", "group", "expansion"])
def test_options_below_one_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.options\.{option} must be 1 or more, not 0"):
        R3GAN(16, 1, **{option: 0})


def test_sizes_that_do_not_double() -> None:
    with pytest.raises(ConfigError, match=r"--size 50: r3gan .* 48 or 56"):
        R3GAN(50, 1)
