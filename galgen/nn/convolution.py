"""Convolution whose gradients are convolutions of any order.

R1, R2 and WGAN-GP differentiate a gradient. There torch takes the weights' part as a convolution
with kernels as large as the image, one group after the other, from copies in another memory layout;
here it is the same operation as in a first gradient.
"""

# A whole training step against F.conv2d, float32, one core with AVX512, batch 16, CPU time:
#   r3gan (grouped and 1x1, R1 and R2)   32 px 1.19, 64 px 1.29 times as fast
#   critic of progan (3x3, WGAN-GP)      32 px 1.02, 64 px 1.10
#   stylegan2 (R1 every 4th)             32 px 1.00, 64 px 1.02
#   dcgan (4x4, stride 2)                32 px 0.95, 64 px 0.98: keeps F.conv2d

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Whether a gradient that will be differentiated leaves weights out.
_weights_left_out = False


@contextmanager
def images_alone() -> Iterator[None]:
    """Inside, differentiable gradients are of images alone.

    Autograd does not tell a function which of its gradients will be used, and those of weights
    are half of the work.
    """
    global _weights_left_out
    before, _weights_left_out = _weights_left_out, True
    try:
        yield
    finally:
        _weights_left_out = before


class Shape(NamedTuple):
    """What a convolution is beside its weights."""

    stride: int
    padding: int
    groups: int


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weights and bias, of those that are wanted."""
    stride, padding, groups = shape
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], [stride, stride], [padding, padding], [1, 1],
        False, [0, 0], groups, wanted,
    )  # fmt: skip


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        return F.conv2d(x, weight, bias, shape.stride, shape.padding, groups=shape.groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.shape = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        if not torch.is_grad_enabled():
            parts = _backward(gradient, x, weight, ctx.shape, wanted)
            return *(part if want else None for part, want in zip(parts, wanted, strict=True)), None
        if _weights_left_out:
            wanted[1] = wanted[2] = False
        return (
            # Of x it takes the shape alone: no way back into the forward pass.
            _ForInput.apply(gradient, x.detach(), weight, ctx.shape) if wanted[0] else None,
            _ForWeight.apply(gradient, x, weight, ctx.shape) if wanted[1] else None,
            gradient.sum(dim=(0, 2, 3)) if wanted[2] else None,
            None,
        )


class _ForInput(torch.autograd.Function):
    """The gradient with respect to the input: linear in the gradient and the weights."""

    @staticmethod
    def forward(gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        return _backward(gradient, x, weight, shape, [True, False, False])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        gradient, _, weight, ctx.shape = inputs
        ctx.save_for_backward(gradient, weight)

    @staticmethod
    def backward(ctx: Any, *second: Any) -> Any:
        (x,), (gradient, weight) = second, ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _Convolve.apply(x, weight, None, ctx.shape) if wanted[0] else None,
            None,
            _ForWeight.apply(gradient, x, weight, ctx.shape) if wanted[2] else None,
            None,
        )


class _ForWeight(torch.autograd.Function):
    """The gradient with respect to the weights: linear in the gradient and the input."""

    @staticmethod
    def forward(gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        return _backward(gradient, x, weight, shape, [False, True, False])[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        gradient, x, _, ctx.shape = inputs
        ctx.save_for_backward(gradient, x)

    @staticmethod
    def backward(ctx: Any, *second: Any) -> Any:
        (weight,), (gradient, x) = second, ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _Convolve.apply(x, weight, None, ctx.shape) if wanted[0] else None,
            _ForInput.apply(gradient, x, weight, ctx.shape) if wanted[1] else None,
            None,
            None,
        )


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> Tensor:
    """`torch.nn.functional.conv2d`, quicker where gradients are differentiated.

    Parameters
    ----------
    x
        (N, C, H, W).
    weight, bias
        (C', C / groups, k, k) and (C',); in autocast's type where that is on.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    result: Tensor = _Convolve.apply(x, weight, bias, Shape(stride, padding, groups))
    return result


class Conv2d(torch.nn.Conv2d):
    """`torch.nn.Conv2d` by way of `conv2d`; square kernels, strides and paddings."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        stride, padding = int(self.stride[0]), int(self.padding[0])
        return conv2d(x, self.weight, self.bias, stride=stride, padding=padding, groups=self.groups)
