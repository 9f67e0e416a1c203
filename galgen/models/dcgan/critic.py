"""Critic of the `dcgan` pair."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from galgen.nn.condition import Given
from galgen.nn.layers import MinibatchStd, leaky_relu_
from galgen.nn.norm import Norm, make_norm
from galgen.nn.pyramid import pyramid
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer


class Critic(ScoringCritic):
    """Strided convolutions, a minibatch standard deviation and a dense score.

    Parameters
    ----------
    size, bands
        As of the images.
    widths
        Feature maps per resolution, fine to coarse; None for 32 growing to 128.
    given
        What it is given beside the image.
    norm
        ``batch`` for batch norm after each convolution but the first (Radford et al. 2016,
        arXiv:1511.06434). It couples the images of a batch, so that a penalty on the gradient of
        one image's score is not defined with it.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        widths: Sequence[int] | None = None,
        given: Given | None = None,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.size, self.bands = size, bands
        features = pyramid(size, widths, "critic_widths", "dcgan", fine_first=True)[1]
        plain = norm == "none"
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1, bias=plain or level == 0)
            for level, (a, b) in enumerate(zip([bands, *features[:-1]], features, strict=True))
        )
        self.norms = nn.ModuleList(
            make_norm(norm if level else "none", width) for level, width in enumerate(features)
        )
        self.minibatch_std = MinibatchStd()
        self.mix = nn.Conv2d(features[-1] + 1, features[-1], 3, padding=1, bias=plain)
        self.mix_norm = make_norm(norm, features[-1])
        side = size // 2 ** len(features)
        inputs = features[-1] * side**2
        self.add_head(nn.Linear(inputs, 1), inputs, given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, F)."""
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = leaky_relu_(norm(stage(x)))
        return leaky_relu_(self.mix_norm(self.mix(self.minibatch_std(x)))).flatten(1)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        layers, side = [], self.size
        for parts in zip(self.stages, self.norms, strict=True):
            layers.append(Layer(f"{side}x{side} convolution", f"{side}x{side}", parts))
            side //= 2
        block = f"{side}x{side}"
        layers.append(Layer(f"{block} mixing convolution", block, (self.mix, self.mix_norm)))
        layers.append(Layer(f"{block} score", block, self.head))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("stages.0.weight", 1)]
