"""What generators with styles share: the mapping, and where styles enter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.nn.condition import Entrance, Given
from galgen.nn.equalised import EqualisedLinear, pixel_norm
from galgen.nn.layers import LEAK
from galgen.randomness import generator as keyed

#: Latents whose mean style is the centre of truncation.
CENTRE_LATENTS = 4096


class Mapping(nn.Module):
    """Dense layers from the latent z to the style w (Karras et al. 2019, arXiv:1812.04948,
    section 2), in float32.

    z is scaled to a mean square of 1, as in the published code.

    Parameters
    ----------
    latent, width
        Lengths of z and w.
    depth
        Number of layers.
    rate
        Learning rate relative to the rest of the network.
    given
        What it is given beside z, and added to it.
    """

    def __init__(
        self,
        latent: int,
        width: int,
        depth: int,
        rate: float = 0.01,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        lengths = [latent] + [width] * depth
        self.layers = nn.ModuleList(
            EqualisedLinear(a, b, gain=2**0.5, rate=rate) for a, b in pairwise(lengths)
        )
        self.entrance = Entrance(latent, given or Given())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents (N, latent) and conditions (N, length of a row) to styles (N, width)."""
        with torch.autocast(z.device.type, enabled=False):
            w, offset = pixel_norm(z.float()), self.entrance.offset(z, condition)
            if offset is not None:
                w = w + offset
            for layer in self.layers:
                w = F.leaky_relu(layer(w), LEAK)
        return w


class StyleGenerator(nn.Module):
    """A generator whose images follow from one style per layer.

    A subclass sets `latent`, `style_layers` and `mapping`, and writes `synthesise`.

    Attributes
    ----------
    style_layers
        Places L where a style enters, coarse to fine.
    """

    latent: int
    style_layers: int
    mapping: Mapping

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents (N, latent) and conditions (N, width) to styles (N, W)."""
        return cast(Tensor, self.mapping(z, condition))

    @property
    def active_styles(self) -> int:
        """Styles in use, fewer than `style_layers` while a generator grows."""
        return self.style_layers

    def synthesise(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Styles (N, style_layers, W) to images (N, bands, side, side) in network space."""
        raise NotImplementedError

    def forward(
        self, z: Tensor, condition: Tensor | None = None, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Latents (N, latent) to images (N, bands, side, side) in network space."""
        return self.synthesise(self.spread(self.map(z, condition)), noise)

    def spread(self, w: Tensor) -> Tensor:
        """One style (N, W) for all layers, (N, style_layers, W)."""
        return w[:, None].expand(-1, self.style_layers, -1)

    @torch.no_grad()
    def mean_style(self, condition: Tensor | None = None) -> Tensor:
        """Mean style (N, W) per row of conditions, or (1, W) without: the centre of truncation.

        The mean over fixed latents, so it follows from the weights and needs no running average.
        """
        device = next(self.parameters()).device
        z = torch.randn(CENTRE_LATENTS, self.latent, generator=keyed(0, "centre")).to(device)
        if condition is None:
            return self.map(z).mean(dim=0, keepdim=True)
        present, places = condition.unique(dim=0, return_inverse=True)
        means = [self.map(z, row.expand(CENTRE_LATENTS, -1)).mean(dim=0) for row in present]
        return torch.stack(means)[places]
