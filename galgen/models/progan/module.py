"""The `progan` pair as a LightningModule."""

from __future__ import annotations

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.progan.critic import Critic
from galgen.models.progan.generator import Generator
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings


class ProGAN(AdversarialModule):
    """A pair that grows from small images to large ones.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``width`` and
    ``max_width`` (feature maps at the finest resolution, and at most) and ``pixel_norm``
    (normalise the generator's features).

    Examples
    --------
    >>> model = ProGAN(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "progan"
    grows = True

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 128,
        width: int = 32,
        max_width: int = 128,
        pixel_norm: bool = True,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        return (
            Generator(size, bands, latent, width, max_width, pixel_norm, given, end),
            Critic(size, bands, width, max_width, given=given),
        )
