"""Residual stages that both networks of the `r3gan` pair are built of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.convolution import Conv2d
from galgen.nn.layers import LEAK, leaky_relu_
from galgen.nn.units import Layer

#: Gain that keeps the variance through a leaky ReLU (He et al. 2015, arXiv:1502.01852).
LEAKY_GAIN = math.sqrt(2 / (1 + LEAK**2))


@dataclass(frozen=True)
class Shape:
    """Shape of the residual stages.

    Attributes
    ----------
    blocks
        Residual blocks at each resolution.
    group
        Feature maps in each group of the 3x3 convolution; the largest common divisor with the
        number that there are.
    expansion
        Width inside a block, in units of the width outside.
    """

    blocks: int = 1
    group: int = 16
    expansion: int = 2

    def check(self) -> None:
        """Refuse numbers below 1.

        Raises
        ------
        ConfigError
            Naming the option.
        """
        for name in ("blocks", "group", "expansion"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"model.options.{name} must be 1 or more, not {value}.")


class Residual(nn.Module):
    r"""One residual block: :math:`x + C\,\phi(B\,\phi(A x))`, A and C 1x1, B a grouped 3x3,
    :math:`\phi` a leaky ReLU (Huang et al. 2024, arXiv:2501.05441, section 3.2).

    No normalisation. So that the depth does not decide the variance, the weights start as in
    Zhang et al. 2019 (arXiv:1901.09321, section 3): C at zero, A and B at He's scale times
    :math:`L^{-1/(2m-2)}`, for L blocks in the network of m = 3 layers each.

    Parameters
    ----------
    features
        Feature maps in and out.
    shape
        Group size and expansion.
    depth
        Residual blocks of the whole network, L.
    """

    def __init__(self, features: int, shape: Shape, depth: int) -> None:
        super().__init__()
        inner = features * shape.expansion
        groups = inner // math.gcd(inner, shape.group)
        self.expand = Conv2d(features, inner, 1)
        self.grouped = Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.project = Conv2d(inner, features, 1, bias=False)
        for conv in (self.expand, self.grouped):
            scaled_start(conv, LEAKY_GAIN * depth**-0.25)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        y = leaky_relu_(self.expand(x))
        y = leaky_relu_(self.grouped(y))
        return x + self.project(y)


class Stage(nn.Module):
    """The residual blocks of one resolution, and the change of width on the way to it.

    Parameters
    ----------
    features_in, features
        Feature maps of the trunk before and in the stage.
    shape, depth
        As of `Residual`.
    """

    def __init__(self, features_in: int, features: int, shape: Shape, depth: int) -> None:
        super().__init__()
        same = features_in == features
        self.transition = None if same else Conv2d(features_in, features, 1, bias=False)
        if self.transition is not None:
            scaled_start(self.transition, 1.0)
        self.blocks = nn.ModuleList(Residual(features, shape, depth) for _ in range(shape.blocks))

    def adapt(self, x: Tensor) -> Tensor:
        """The change of width. It commutes with resampling, so it is done at the smaller side."""
        return x if self.transition is None else self.transition(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        for block in self.blocks:
            x = block(x)
        return x

    def layers(self, side: int) -> list[Layer]:
        """Units of freezing."""
        name, layers = f"{side}x{side}", []
        if self.transition is not None:
            layers.append(Layer(f"{name} transition", name, (self.transition,)))
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Residual)
            which = f"{name} block {number}" if len(self.blocks) > 1 else name
            layers += [
                Layer(f"{which} expansion", name, (block.expand,)),
                Layer(f"{which} grouped convolution", name, (block.grouped,)),
                Layer(f"{which} projection", name, (block.project,)),
            ]
        return layers


class Basis(nn.Module):
    """Learned maps, one per feature, of the coarsest resolution.

    Parameters
    ----------
    features, side
        Shape of the maps.
    std
        Standard deviation that the maps start with.
    """

    def __init__(self, features: int, side: int, std: float) -> None:
        super().__init__()
        self.maps = nn.Parameter(std * torch.randn(features, side, side))

    def spread(self, strength: Tensor) -> Tensor:
        """Strengths (N, features) to feature maps (N, features, side, side)."""
        return strength[:, :, None, None] * self.maps

    def gather(self, x: Tensor) -> Tensor:
        """Feature maps (N, features, side, side) to their overlap with the basis (N, features)."""
        return (x * self.maps).sum(dim=(2, 3))


def scaled_start(conv: nn.Conv2d | nn.Linear, gain: float) -> None:
    """Weights normal with standard deviation ``gain / sqrt(fan_in)``, biases zero."""
    nn.init.normal_(conv.weight, std=gain / math.sqrt(conv.weight[0].numel()))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def make_stages(widths: Sequence[int], shape: Shape) -> nn.ModuleList:
    """One stage per entry of `widths`, in the order that they are passed."""
    shape.check()
    depth = shape.blocks * len(widths)
    pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
    return nn.ModuleList(Stage(a, b, shape, depth) for a, b in pairs)
