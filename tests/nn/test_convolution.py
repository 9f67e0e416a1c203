"""The convolution with gradients of any order against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.nn.convolution import Conv2d, conv2d, images_alone
from galgen.nn.layers import leaky_relu_
from galgen.nn.resample import average2

SHAPES = [
    {"stride": 1, "padding": 1, "groups": 1},
    {"stride": 2, "padding": 1, "groups": 1},
    {"stride": 2, "padding": 0, "groups": 3},
    {"stride": 1, "padding": 1, "groups": 6},
]


def operands(groups: int, dtype: torch.dtype = torch.double) -> list[Tensor]:
    shapes = [(2, 6, 5, 6), (12, 6 // groups, 3, 3), (12,)]
    return [torch.randn(*shape, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_torchs_own(shape: dict[str, int]) -> None:
    x, weight, bias = operands(shape["groups"], torch.float)
    assert torch.equal(conv2d(x, weight, bias, **shape), F.conv2d(x, weight, bias, **shape))
    assert torch.equal(conv2d(x, weight, **shape), F.conv2d(x, weight, **shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_first_and_second_gradients(shape: dict[str, int]) -> None:
    inputs = operands(shape["groups"])

    def cube(*tensors: Tensor) -> Tensor:
        return conv2d(*tensors, **shape) ** 3

    assert torch.autograd.gradcheck(cube, inputs)
    assert torch.autograd.gradgradcheck(cube, inputs)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_penalty_has_the_gradient_that_torch_gives(channels_last: bool) -> None:
    layer = Conv2d(6, 12, 3, padding=1, groups=2)
    twin = torch.nn.Conv2d(6, 12, 3, padding=1, groups=2)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, 8, 8)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)

    def parts(conv: torch.nn.Module) -> tuple[Tensor, ...]:
        images = x.clone().requires_grad_()
        scores = F.leaky_relu(conv(images), 0.2).square().sum()
        (slope,) = torch.autograd.grad(scores, images, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), list(conv.parameters()))

    for ours, theirs in zip(parts(layer), parts(twin), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_frozen_weights_and_images_without_gradient() -> None:
    x, weight, bias = operands(1)
    conv2d(x, weight.detach(), None, padding=1).sum().backward()
    assert x.grad is not None
    conv2d(x.detach(), weight, bias, padding=1).sum().backward()
    assert weight.grad is not None
    assert bias.grad is not None


def test_autocast_as_with_torch() -> None:
    x, weight, bias = operands(1, torch.float)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = conv2d(x, weight, bias), F.conv2d(x, weight, bias)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)
    ours.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float


def test_a_penalty_takes_no_way_back_through_layers_without_curvature() -> None:
    first, second = Conv2d(3, 4, 3, padding=1), Conv2d(4, 4, 3, padding=1)
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    back = []
    features = leaky_relu_(first(images))
    features.register_hook(back.append)
    scores = average2(leaky_relu_(second(features))).sum()
    with images_alone():
        (slope,) = torch.autograd.grad(scores, images, create_graph=True)
    passed = len(back)
    slope.square().sum().backward()
    assert passed == len(back)
    assert first.weight.grad is not None
    assert second.weight.grad is not None


def test_weights_are_left_out_while_images_are_alone_and_no_longer() -> None:
    x, weight, _ = operands(1)
    y = conv2d(x, weight, padding=1).sum()
    with images_alone(), pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(y, [x, weight], create_graph=True)
    y = conv2d(x, weight, padding=1).sum()
    assert torch.autograd.grad(y, [x, weight], create_graph=True)[1].any()
