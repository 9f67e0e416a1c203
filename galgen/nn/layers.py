"""Small layers that several pairs share."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.leaky_relu_(x, LEAK)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_dirty(inputs[0])
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (gradient,), (y,) = gradients, ctx.saved_tensors
        return cast(Tensor, _Slopes.apply(gradient, y.detach()))


class _Slopes(torch.autograd.Function):
    """A gradient times the slopes of a leaky ReLU that gave y."""

    @staticmethod
    def forward(gradient: Tensor, y: Tensor) -> Tensor:
        return torch.ops.aten.leaky_relu_backward(gradient, y, LEAK, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *second: Any) -> Any:
        return _Slopes.apply(second[0], *ctx.saved_tensors), None


def leaky_relu_(x: Tensor) -> Tensor:
    """Leaky ReLU in place of x, for critics, whose gradient penalties differentiate.

    Its slopes do not depend on x but where they jump, so a second derivative does not go back
    into the forward pass. torch's own sends zeros there, through every convolution.
    """
    if not x.requires_grad or torch.compiler.is_compiling():
        return F.leaky_relu_(x, LEAK)
    return cast(Tensor, _LeakyReLU.apply(x))


class _Inject(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        if pixels.is_contiguous():
            pixels.view(-1, x.shape[1]).addmm_(noise.reshape(-1, 1), strength[None])
            return x
        return x.addcmul_(noise, strength.view(1, -1, 1, 1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_dirty(inputs[0])
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,), (noise, strength) = gradients, ctx.saved_tensors
        of_noise = of_strength = None
        if ctx.needs_input_grad[1]:
            of_noise = (gradient * strength.view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
        if ctx.needs_input_grad[2]:
            # Image by image, which is quicker for few channels in bfloat16.
            pixels = gradient.permute(0, 2, 3, 1).flatten(1, 2)
            of_strength = (noise.flatten(2) @ pixels).sum(dim=(0, 1))
        return gradient, of_noise, of_strength


class NoiseInjection(nn.Module):
    """Adds one noise map with a learned strength per channel (Karras et al. 2019,
    arXiv:1812.04948, section 2), starting at 0.

    Parameters
    ----------
    channels
        Feature maps C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, C, H, W) plus noise (N, 1, H, W), drawn here when none is given; in place of x,
        unless that is a leaf or pixels of it share memory.
        """
        if noise is None:
            noise = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        strength, noise = self.strength.to(x.dtype), noise.to(x.dtype).expand(len(x), -1, -1, -1)
        if x.is_leaf or 0 in x.stride() or torch.compiler.is_compiling():
            return torch.addcmul(x, noise, strength.view(1, -1, 1, 1))
        return cast(Tensor, _Inject.apply(x, noise, strength))


class MinibatchStd(nn.Module):
    """One map with the mean standard deviation over a group of neighbours in the batch
    (Karras et al. 2018, arXiv:1710.10196, section 3), in float32.

    Groups are contiguous, so that a replica's slice of a batch keeps them whole.

    Parameters
    ----------
    group
        Images a group; a batch that it does not divide takes the largest divisor below.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def group_of(self, batch: int) -> int:
        """Images a group in such a batch."""
        return max(d for d in range(1, self.group + 1) if batch % d == 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + 1, H, W)."""
        n = x.shape[0]
        group = self.group_of(n)
        # As rows in the order of memory: thirty times as fast as a variance of (N, C, H, W).
        y = x.float().permute(0, 2, 3, 1).reshape(n // group, group, -1)
        y = y - y.mean(dim=1, keepdim=True)
        std = (y.square().mean(dim=1) + 1e-8).sqrt().mean(dim=1)
        maps = std.repeat_interleave(group).to(x.dtype).view(n, 1, 1, 1)
        return torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], dim=1)


def upsample(x: Tensor) -> Tensor:
    """Twice the side length, bilinear."""
    if torch.compiler.is_compiling():
        return cast(Tensor, _doubled(x))
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


# Left as they are by torch's compiler, which makes slow loops of this interpolation on a CPU, and
# gradients of 0 for the coarser parts of a sum of pictures (torch 2.13, see pytorch #185509).


@torch.library.custom_op("galgen::doubled", mutates_args=())
def _doubled(x: Tensor) -> Tensor:
    y = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return y.contiguous(memory_format=_layout(x))


@torch.library.custom_op("galgen::doubled_backward", mutates_args=())
def _doubled_backward(gradient: Tensor) -> Tensor:
    n, c, h, w = gradient.shape
    x = torch.ops.aten.upsample_bilinear2d_backward(
        gradient, [h, w], [n, c, h // 2, w // 2], False, 2.0, 2.0
    )
    return cast(Tensor, x.contiguous(memory_format=_layout(gradient)))


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


@_doubled.register_fake
def _(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.new_empty(n, c, 2 * h, 2 * w).contiguous(memory_format=_layout(x))


@_doubled_backward.register_fake
def _(gradient: Tensor) -> Tensor:
    n, c, h, w = gradient.shape
    return gradient.new_empty(n, c, h // 2, w // 2).contiguous(memory_format=_layout(gradient))


_doubled.register_autograd(lambda ctx, gradient: _doubled_backward(gradient))


def centre(x: Tensor, size: int) -> Tensor:
    """Central (size, size) part of the last two axes."""
    top = (x.shape[-2] - size) // 2
    left = (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]


class _ClampInward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        # Descent moves against the gradient: below 0 a negative one leads back, above 1 a positive.
        outward = ((x < 0) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return cast(Tensor, gradient.masked_fill(outward, 0.0))


def clamp_inward(x: Tensor) -> Tensor:
    """Clamp to [0, 1]; outside, the gradient passes where it leads back inside.

    A plain clamp has none outside, so a generator that once falls below a black sky everywhere
    would never learn again; the gradient of the identity lets values run off to infinity.
    """
    return cast(Tensor, _ClampInward.apply(x))
