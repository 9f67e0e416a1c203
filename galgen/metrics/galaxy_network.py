"""The network behind the features `galaxy`: a colour composite in, 64 numbers out.

Nine convolutions in four resolutions. The vector is made from the mean of every map of every
resolution, over the image and around its centre: fine maps hold noise and blur, coarse ones
the galaxy. Nothing is normalised by the image, so brightness and colour stay in the numbers.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: Side of the images that the network sees.
SIDE = 64
N_FEATURES = 64
_WIDTHS = (32, 64, 128, 192)
_HIDDEN = 256
#: Width of the Gaussian around the centre, as a fraction of the side.
_CENTRE = 0.12


class Unit(nn.Module):
    """Convolution, batch normalisation while training, rectifier; adds its input if it can."""

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2)
        self.norm: nn.Module = nn.BatchNorm2d(after)
        self.adds = before == after and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H', W')."""
        y = F.relu(self.norm(self.conv(x)))
        return x + y if self.adds else y


class GalaxyNetwork(nn.Module):
    """Composites (N, 3, 64, 64), values 0 to 1, to features (N, 64).

    Features are standardised with the buffers `mean` and `scale`: on the galaxies that the
    network was trained on each has mean 0 and standard deviation 1.
    """

    mean: Tensor
    scale: Tensor
    around: Tensor

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = _WIDTHS
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Unit(3, one, 5, 2), Unit(one, one)),
                nn.Sequential(Unit(one, two, 3, 2), Unit(two, two)),
                nn.Sequential(Unit(two, three, 3, 2), Unit(three, three)),
                nn.Sequential(Unit(three, four, 3, 2), Unit(four, four)),
            ]
        )
        pooled = 2 * sum(_WIDTHS)
        self.pooled_norm: nn.Module = nn.BatchNorm1d(pooled)
        self.hidden = nn.Linear(pooled, _HIDDEN)
        self.features = nn.Linear(_HIDDEN, N_FEATURES)
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("scale", torch.ones(N_FEATURES))

    def forward(self, planes: Tensor) -> Tensor:
        """Standardised features."""
        x, parts = 2 * planes - 1, []
        for stage in self.stages:
            x = stage(x)
            weights = _around_centre(x.shape[-1], x.device)
            flat = x.flatten(2).float()
            parts += [flat.mean(2), flat @ weights]
        pooled = self.pooled_norm(torch.cat(parts, 1))
        features = self.features(F.relu(self.hidden(pooled))).float()
        # The asinh draws in odd galaxies, of which a few would rule the covariance of a set.
        return (torch.asinh(features) - self.mean) / self.scale

    def folded(self) -> GalaxyNetwork:
        """A copy for use: every normalisation is part of the layer before or after it."""
        network = copy.deepcopy(self).eval()
        for unit in network.modules():
            if isinstance(unit, Unit) and isinstance(unit.norm, nn.BatchNorm2d):
                unit.conv = fuse_conv_bn_eval(unit.conv, unit.norm)
                unit.norm = nn.Identity()
        norm = network.pooled_norm
        if isinstance(norm, nn.BatchNorm1d):
            gain = norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()
            shift = norm.bias - cast(Tensor, norm.running_mean) * gain
            with torch.no_grad():
                network.hidden.bias.add_(network.hidden.weight @ shift)
                network.hidden.weight.mul_(gain)
            network.pooled_norm = nn.Identity()
        return network


def _around_centre(side: int, device: torch.device) -> Tensor:
    """Weights (side * side,) of a Gaussian around the middle of a map, of sum 1."""
    axis = (torch.arange(side, device=device) - (side - 1) / 2) / side
    row = torch.exp(-(axis**2) / (2 * _CENTRE**2))
    weights = (row[:, None] * row).flatten()
    return weights / weights.sum()
