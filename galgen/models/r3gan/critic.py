"""Critic of the `r3gan` pair."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from galgen.models.r3gan.stage import Basis, Shape, Stage, make_stages, scaled_start
from galgen.nn.convolution import Conv2d
from galgen.nn.layers import projected_score
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.units import Layer


class Critic(nn.Module):
    """The generator's mirror: one input convolution, residual stages, the overlap with a
    learned basis and a dense score (Huang et al. 2024, arXiv:2501.05441, section 3).

    Parameters
    ----------
    size, bands, width, max_width, shape
        As of the generator.
    classes
        Number of classes; the label then enters by projection (Miyato and Koyama 2018,
        arXiv:1802.05637).
    """

    def __init__(
        self,
        size: int,
        bands: int,
        *,
        width: int = 32,
        max_width: int = 128,
        shape: Shape | None = None,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.bands, self.classes = size, bands, classes
        base, doublings = exact_levels(size, "r3gan")
        widths = doubling_widths(doublings, width, max_width)[::-1]
        self.from_bands = Conv2d(bands, widths[0], 1)
        scaled_start(self.from_bands, 1.0)
        self.stages = make_stages(widths, shape or Shape())
        self.basis = Basis(widths[-1], base, std=1 / base)
        self.score = nn.Linear(widths[-1], 1)
        scaled_start(self.score, 1.0)
        self.embedding = nn.Embedding(classes, widths[-1]) if classes else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=widths[-1] ** -0.5)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to scores (N,)."""
        x = self.from_bands(x)
        for level, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            # The mean of 2x2 pixels is bilinear interpolation at half the side.
            x = stage(stage.adapt(F.avg_pool2d(x, 2)) if level else x)
        x = self.basis.gather(x)
        return projected_score(self.score, self.embedding, x, labels)

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
        head = (self.score,) if self.embedding is None else (self.score, self.embedding)
        layers.append(Layer(f"{block} score", block, head))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("from_bands.weight", 1)]
