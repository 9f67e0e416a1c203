"""Styles in training: mixing them, and keeping the path from style to image even."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from galgen.losses import path_lengths
from galgen.nn.style import StyleGenerator
from galgen.randomness import StepStreams

#: Weight of the present mean in the running mean of path lengths.
PATH_DECAY = 0.01


def mixed_styles(
    generator: StyleGenerator,
    z: Tensor,
    condition: Tensor | None,
    probability: float,
    streams: StepStreams,
) -> Tensor:
    """Styles (N, L, W), with those of a second latent from a random layer on (Karras et al. 2019,
    arXiv:1812.04948, section 3.1), in a fraction `probability` of the images.
    """
    count = generator.style_layers
    other = streams.normal("second latent", generator.latent).to(z)
    draw = streams.uniform("mixing", 2).to(z)
    place = 1 + (draw[:, 1] * (generator.active_styles - 1)).floor()
    place = torch.where(draw[:, 0] < probability, place, float(count))
    first = torch.arange(count, device=z.device) < place[:, None]
    one, two = (generator.spread(generator.map(latents, condition)) for latents in (z, other))
    return torch.where(first[..., None], one, two)


def path_penalty(
    generator: StyleGenerator, condition: Tensor | None, streams: StepStreams, mean: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Path length regularisation :math:`E (\|J_w^T y\| - a)^2` (Karras et al. 2020,
    arXiv:1912.04958, section 3.2), in float32, and the lengths (N,).

    Parameters
    ----------
    condition
        Rows (N, width) of this replica.
    mean
        Running mean a of the path lengths over all replicas, 0-dim.
    """
    z = streams.normal("path latent", generator.latent).to(mean)
    with torch.autocast(z.device.type, enabled=False):
        styles = generator.spread(generator.map(z, condition))
        if not styles.requires_grad:
            # The mapping is frozen; the path begins here all the same.
            styles.requires_grad_()
        images = generator.synthesise(styles)
        draw = streams.normal("path", *images.shape[1:]).to(images) / math.sqrt(
            images.shape[2] * images.shape[3]
        )
        lengths = path_lengths(images, styles, draw)
        # The root of a mean over layers: those that a growing generator does not use have no part.
        lengths = lengths * math.sqrt(generator.style_layers / generator.active_styles)
    return (lengths - mean).square().mean(), lengths.detach()


def next_path_mean(mean: Tensor, total: Tensor, count: Tensor) -> Tensor:
    """The running mean after lengths of that sum and number; what is not finite is left out."""
    following = torch.lerp(mean, total / count, PATH_DECAY)
    return following.where(torch.isfinite(following), mean)
