"""Inception-v3 as the paper's tables and the FID release have it, written out step by step.

A second source for the tests: it shares no line with galgen's network. Pooling and norms are
their formulas, branches and their order are spelled out, and every tensor is looked up by
the name that the published file gives it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


class Reference:
    """Runs on a table of tensors; `used` collects the names that it looked up."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {key: value.double() for key, value in state.items()}
        self.used: set[str] = set()

    def of(self, name: str) -> Tensor:
        self.used.add(name)
        return self.state[name]

    def unit(self, x: Tensor, name: str, pad: tuple[int, int] = (0, 0), stride: int = 1) -> Tensor:
        x = F.conv2d(x, self.of(f"{name}.conv.weight"), stride=stride, padding=pad)
        mean, var, gamma, beta = (
            self.of(f"{name}.bn.{part}")[:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / torch.sqrt(var + 0.001) * gamma + beta).clamp_min(0)

    def chain(self, x: Tensor, *steps: tuple[str, tuple[int, int]]) -> Tensor:
        for name, pad in steps:
            x = self.unit(x, name, pad)
        return x

    def fine(self, x: Tensor, b: str) -> Tensor:
        one = self.unit(x, f"{b}.branch1x1")
        five = self.chain(x, (f"{b}.branch5x5_1", (0, 0)), (f"{b}.branch5x5_2", (2, 2)))
        three = self.chain(
            x,
            (f"{b}.branch3x3dbl_1", (0, 0)),
            (f"{b}.branch3x3dbl_2", (1, 1)),
            (f"{b}.branch3x3dbl_3", (1, 1)),
        )
        return torch.cat([one, five, three, self.unit(mean3(x), f"{b}.branch_pool")], 1)

    def to_middle(self, x: Tensor, b: str) -> Tensor:
        three = self.unit(x, f"{b}.branch3x3", stride=2)
        twice = self.chain(x, (f"{b}.branch3x3dbl_1", (0, 0)), (f"{b}.branch3x3dbl_2", (1, 1)))
        twice = self.unit(twice, f"{b}.branch3x3dbl_3", stride=2)
        return torch.cat([three, twice, windows(x, 2).amax(2)], 1)

    def middle(self, x: Tensor, b: str) -> Tensor:
        row, column = (0, 3), (3, 0)
        one = self.unit(x, f"{b}.branch1x1")
        seven = self.chain(
            x, (f"{b}.branch7x7_1", (0, 0)), (f"{b}.branch7x7_2", row), (f"{b}.branch7x7_3", column)
        )
        twice = self.chain(
            x,
            (f"{b}.branch7x7dbl_1", (0, 0)),
            (f"{b}.branch7x7dbl_2", column),
            (f"{b}.branch7x7dbl_3", row),
            (f"{b}.branch7x7dbl_4", column),
            (f"{b}.branch7x7dbl_5", row),
        )
        return torch.cat([one, seven, twice, self.unit(mean3(x), f"{b}.branch_pool")], 1)

    def to_coarse(self, x: Tensor, b: str) -> Tensor:
        three = self.unit(x, f"{b}.branch3x3_1")
        three = self.unit(three, f"{b}.branch3x3_2", stride=2)
        seven = self.chain(
            x,
            (f"{b}.branch7x7x3_1", (0, 0)),
            (f"{b}.branch7x7x3_2", (0, 3)),
            (f"{b}.branch7x7x3_3", (3, 0)),
        )
        seven = self.unit(seven, f"{b}.branch7x7x3_4", stride=2)
        return torch.cat([three, seven, windows(x, 2).amax(2)], 1)

    def coarse(self, x: Tensor, b: str, pooled: Tensor) -> Tensor:
        one = self.unit(x, f"{b}.branch1x1")
        three = self.unit(x, f"{b}.branch3x3_1")
        twice = self.chain(x, (f"{b}.branch3x3dbl_1", (0, 0)), (f"{b}.branch3x3dbl_2", (1, 1)))
        return torch.cat(
            [
                one,
                self.unit(three, f"{b}.branch3x3_2a", (0, 1)),
                self.unit(three, f"{b}.branch3x3_2b", (1, 0)),
                self.unit(twice, f"{b}.branch3x3dbl_3a", (0, 1)),
                self.unit(twice, f"{b}.branch3x3dbl_3b", (1, 0)),
                self.unit(pooled, f"{b}.branch_pool"),
            ],
            1,
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, 2048) of images (N, 3, H, W), float64."""
        x = self.unit(x.double(), "Conv2d_1a_3x3", stride=2)
        x = self.unit(x, "Conv2d_2a_3x3")
        x = self.unit(x, "Conv2d_2b_3x3", (1, 1))
        x = windows(x, 2).amax(2)
        x = self.unit(x, "Conv2d_3b_1x1")
        x = self.unit(x, "Conv2d_4a_3x3")
        x = windows(x, 2).amax(2)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.fine(x, block)
        x = self.to_middle(x, "Mixed_6a")
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.middle(x, block)
        x = self.to_coarse(x, "Mixed_7a")
        x = self.coarse(x, "Mixed_7b", mean3(x))
        # The release takes the maximum here, against the paper.
        x = self.coarse(x, "Mixed_7c", windows(padded(x, -torch.inf), 1).amax(2))
        return x.flatten(2).mean(2)

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.of("fc.weight").T + self.of("fc.bias")


def padded(x: Tensor, value: float) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), value=value)


def windows(x: Tensor, stride: int) -> Tensor:
    """All windows of 3 x 3 pixels, (N, C, 9, H', W')."""
    return x.unfold(2, 3, stride).unfold(3, 3, stride).flatten(4).movedim(4, 2)


def mean3(x: Tensor) -> Tensor:
    """Mean of the pixels in 3 x 3 windows that lie inside the image."""
    total = windows(padded(x, 0.0), 1).sum(2)
    return total / windows(padded(torch.ones_like(x), 0.0), 1).sum(2)
