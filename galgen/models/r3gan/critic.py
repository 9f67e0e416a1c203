"""Critic of the `r3gan` pair."""

from __future__ import annotations

from torch import Tensor, nn

from galgen.models.r3gan.stage import Basis, Shape, Stage, make_stages, scaled_start
from galgen.nn.condition import Given
from galgen.nn.convolution import Conv2d
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.resample import average2
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer


class Critic(ScoringCritic):
    """The generator's mirror: one input convolution, residual stages, the overlap with a
    learned basis and a dense score (Huang et al. 2024, arXiv:2501.05441, section 3).

    Parameters
    ----------
    size, bands, width, max_width, shape
        As of the generator.
    given
        What it is given beside the image.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        *,
        width: int = 32,
        max_width: int = 128,
        shape: Shape | None = None,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        self.size, self.bands = size, bands
        base, doublings = exact_levels(size, "r3gan")
        widths = doubling_widths(doublings, width, max_width)[::-1]
        self.from_bands = Conv2d(bands, widths[0], 1)
        scaled_start(self.from_bands, 1.0)
        self.stages = make_stages(widths, shape or Shape())
        self.basis = Basis(widths[-1], base, std=1 / base)
        score = nn.Linear(widths[-1], 1)
        scaled_start(score, 1.0)
        self.add_head(score, widths[-1], given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, F)."""
        x = self.from_bands(x)
        for level, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            # The mean of 2x2 pixels is bilinear interpolation at half the side.
            x = stage(stage.adapt(average2(x)) if level else x)
        return self.basis.gather(x)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        side = self.size
        layers = [Layer(f"{side}x{side} from bands", f"{side}x{side}", (self.from_bands,))]
        for level, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            side = self.size // 2**level
            layers += stage.layers(side)
        block = f"{side}x{side}"
        layers.append(Layer(f"{block} basis", block, (self.basis,)))
        layers.append(Layer(f"{block} score", block, self.head))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("from_bands.weight", 1)]
