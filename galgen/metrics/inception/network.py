"""The Inception network of FID, in plain torch.

Inception-v3 (Szegedy et al. 2015, arXiv:1512.00567, table 1 and figures 5 to 7) as its authors
released it in December 2015, which is the network of the Fréchet Inception distance (Heusel et
al. 2017, arXiv:1706.08500). It differs from the paper and from later releases in three places:

- average pooling does not count the padding;
- the pooling branch of the last block takes the maximum, not the average;
- there are 1008 classes and no auxiliary classifier.

Modules are named as in the weight file that the field shares (`galgen.metrics.inception.weights`),
key for key, so that it loads as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048
CLASSES = 1008
#: Side of the images that it was trained on, in pixels.
SIDE = 299
_EPSILON = 1e-3


class Conv(NamedTuple):
    """One convolution with norm and ReLU: stride 1 keeps the size, stride 2 has no padding."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


#: What a branch does in turn: a convolution, several side by side, or a pooling.
Step = Conv | tuple[Conv, ...] | Callable[[Tensor], Tensor]

_average = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
_maximum = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
_halve = partial(F.max_pool2d, kernel_size=3, stride=2)


class FixedNorm(nn.Module):
    """Batch norm with the training set's statistics, which never change here."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=_EPSILON
        )


class ConvUnit(nn.Module):
    """Convolution without bias, norm, ReLU: (N, inputs, H, W) to (N, channels, H', W')."""

    def __init__(
        self, inputs: int, channels: int, kernel: tuple[int, int], stride: int, padded: bool
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, padding, bias=False)
        self.bn = FixedNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches over the same input, their channels joined in the order given."""

    def __init__(self, inputs: int, branches: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self._branches = branches
        self.channels = 0
        for branch in branches:
            width = inputs
            for step in branch:
                if callable(step):
                    continue
                convolutions = (step,) if isinstance(step, Conv) else step
                for c in convolutions:
                    unit = ConvUnit(width, c.channels, c.kernel, c.stride, padded=c.stride == 1)
                    self.add_module(c.name, unit)
                width = sum(c.channels for c in convolutions)
            self.channels += width

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._along(branch, x) for branch in self._branches], 1)

    def _along(self, branch: Sequence[Step], x: Tensor) -> Tensor:
        for step in branch:
            if callable(step):
                x = step(x)
            elif isinstance(step, Conv):
                x = self.get_submodule(step.name)(x)
            else:
                x = torch.cat([self.get_submodule(c.name)(x) for c in step], 1)
        return x


def _fine(pool: int) -> list[list[Step]]:
    """35 x 35: figure 5, with the 5 x 5 branch kept."""
    return [
        [Conv("branch1x1", 64)],
        [Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))],
        [
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ],
        [_average, Conv("branch_pool", pool)],
    ]


def _to_middle() -> list[list[Step]]:
    """35 x 35 to 17 x 17: figure 10."""
    return [
        [Conv("branch3x3", 384, (3, 3), 2)],
        [
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3), 2),
        ],
        [_halve],
    ]


def _middle(inner: int) -> list[list[Step]]:
    """17 x 17: figure 6, rows and columns of 7 in turn."""
    row, column = (1, 7), (7, 1)
    return [
        [Conv("branch1x1", 192)],
        [
            Conv("branch7x7_1", inner),
            Conv("branch7x7_2", inner, row),
            Conv("branch7x7_3", 192, column),
        ],
        [
            Conv("branch7x7dbl_1", inner),
            Conv("branch7x7dbl_2", inner, column),
            Conv("branch7x7dbl_3", inner, row),
            Conv("branch7x7dbl_4", inner, column),
            Conv("branch7x7dbl_5", 192, row),
        ],
        [_average, Conv("branch_pool", 192)],
    ]


def _to_coarse() -> list[list[Step]]:
    """17 x 17 to 8 x 8."""
    return [
        [Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), 2)],
        [
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), 2),
        ],
        [_halve],
    ]


def _coarse(pool: Callable[[Tensor], Tensor]) -> list[list[Step]]:
    """8 x 8: figure 7, where a branch ends in a row and a column side by side."""
    row, column = (1, 3), (3, 1)
    return [
        [Conv("branch1x1", 320)],
        [
            Conv("branch3x3_1", 384),
            (Conv("branch3x3_2a", 384, row), Conv("branch3x3_2b", 384, column)),
        ],
        [
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, (3, 3)),
            (Conv("branch3x3dbl_3a", 384, row), Conv("branch3x3dbl_3b", 384, column)),
        ],
        [pool, Conv("branch_pool", 192)],
    ]


class InceptionNetwork(nn.Module):
    """Images (N, 3, 299, 299) in [-1, 1] to the 2048 means of the last block.

    Sizes from 75 px on work too. In training as in evaluation it computes the same, since its
    norms are fixed.

    Examples
    --------
    >>> import torch
    >>> tuple(InceptionNetwork()(torch.zeros(1, 3, 75, 75)).shape)
    (1, 2048)
    """

    def __init__(self) -> None:
        super().__init__()
        three = (3, 3)
        self.Conv2d_1a_3x3 = ConvUnit(3, 32, three, 2, padded=False)
        self.Conv2d_2a_3x3 = ConvUnit(32, 32, three, 1, padded=False)
        self.Conv2d_2b_3x3 = ConvUnit(32, 64, three, 1, padded=True)
        self.Conv2d_3b_1x1 = ConvUnit(64, 80, (1, 1), 1, padded=False)
        self.Conv2d_4a_3x3 = ConvUnit(80, 192, three, 1, padded=False)
        blocks = {
            "Mixed_5b": _fine(32),
            "Mixed_5c": _fine(64),
            "Mixed_5d": _fine(64),
            "Mixed_6a": _to_middle(),
            "Mixed_6b": _middle(128),
            "Mixed_6c": _middle(160),
            "Mixed_6d": _middle(160),
            "Mixed_6e": _middle(192),
            "Mixed_7a": _to_coarse(),
            "Mixed_7b": _coarse(_average),
            "Mixed_7c": _coarse(_maximum),
        }
        self._blocks = tuple(blocks)
        width = 192
        for name, branches in blocks.items():
            block = Mixed(width, branches)
            self.add_module(name, block)
            # A block that halves the size passes its input on through the pooling.
            width = block.channels
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 2048)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halve(x)))
        x = _halve(x)
        for name in self._blocks:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))

    def logits(self, x: Tensor) -> Tensor:
        """Scores (N, 1008) of the classes, before the softmax."""
        scores: Tensor = self.fc(self(x))
        return scores
