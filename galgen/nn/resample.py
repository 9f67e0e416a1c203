r"""Blurring, halving and doubling with the kernel [1, 3, 3, 1] (Karras et al. 2020,
arXiv:1912.04958, section 4.1 and its code's default), which keeps aliases out.

The two-dimensional kernel k is the outer product of [1, 3, 3, 1] / 8 with itself, its sum 1, and
images are 0 beyond their edges. Each operation's gradient is another one of the three, so that
gradients of any order take the forward forms, which are the fast ones.
"""

# Measured with 32 images of 32 channels at 32 px, channels_last, on one core with AVX512 and AMX,
# forward and backward in milliseconds, float32 / bfloat16:
#   halving   depthwise stride-2 convolution 0.8 / 1.1 (16 / 16 in bfloat16 where autograd takes
#             oneDNN's own gradient), two one-dimensional ones 1.2 / 18, three 2x2 averages 4 / 7
#   doubling  depthwise transposed convolution in float32 2.9 / 4.0 (40 in bfloat16), bilinear
#             interpolation 6.6 / 7.1, nearest neighbours and [1, 2, 1] 9.1 / 5.5
# With a 3x3 convolution beside it (64 -> 32 maps), forward and backward, and R1's double backward:
#   halving   blur, then convolve with stride 2: 7.5 / 3.1, R1 33 / 12
#             convolve, then halve: 21 / 5.0, R1 94 / 31
#   doubling  transposed convolution, then blur: 8.4 / 3.9, second derivatives 32 / 15
#             double, then convolve: 28 / 5.3, second derivatives 85 / 30

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = (1.0, 3.0, 3.0, 1.0)


@cache
def _kernel(channels: int, gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kernel k times gain, (channels, 1, 4, 4), for a depthwise convolution."""
    with torch.inference_mode(False):
        row = torch.tensor(KERNEL, device=device, dtype=dtype) / sum(KERNEL)
        return (gain * row[:, None] * row).expand(channels, 1, -1, -1)


def _kernel_for(x: Tensor, gain: float) -> Tensor:
    return _kernel(x.shape[1], gain, x.device, x.dtype)


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, _kernel_for(x, 1.0), padding=padding, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.padding = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return cast(Tensor, _Blur.apply(gradients[0], len(KERNEL) - 1 - ctx.padding)), None


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, gain: float) -> Tensor:
        return F.conv2d(x, _kernel_for(x, gain), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.gain = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return cast(Tensor, _Double.apply(gradients[0], ctx.gain)), None


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, gain: float) -> Tensor:
        y = x.float() if x.dtype == torch.bfloat16 else x
        kernel = _kernel_for(y, gain)
        return F.conv_transpose2d(y, kernel, stride=2, padding=1, groups=x.shape[1]).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.gain = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return cast(Tensor, _Halve.apply(gradients[0], ctx.gain)), None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        return cast(Tensor, _Spread.apply(gradients[0]))


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.interpolate(0.25 * x, scale_factor=2, mode="nearest")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        return cast(Tensor, _Average.apply(gradients[0]))


def average2(x: Tensor) -> Tensor:
    """Means of 2x2 pixels, (N, C, 2H, 2W) to (N, C, H, W).

    As `torch.nn.functional.avg_pool2d`, whose second derivatives send zeros back into the
    forward pass.
    """
    if torch.compiler.is_compiling():
        return F.avg_pool2d(x, 2)
    return cast(Tensor, _Average.apply(x))


def blur(x: Tensor, padding: int) -> Tensor:
    """(N, C, H, W) convolved with k.

    Parameters
    ----------
    padding
        Rows and columns of zeros on each side: the result is H + 2 padding - 3 high.
    """
    return cast(Tensor, _Blur.apply(x, padding))


def downsample2(x: Tensor) -> Tensor:
    """Half the side length, (N, C, 2H, 2W) to (N, C, H, W): convolved with k, every second
    pixel kept.
    """
    return cast(Tensor, _Halve.apply(x, 1.0))


def upsample2(x: Tensor) -> Tensor:
    """Twice the side length: zeros between the pixels, convolved with 4 k.

    Away from the edges this is bilinear interpolation, `galgen.nn.layers.upsample`.
    """
    return cast(Tensor, _Double.apply(x, 4.0))
