"""The `stylegan` pair as a LightningModule."""

from __future__ import annotations

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.progan.critic import Critic
from galgen.models.stylegan.generator import Generator
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings


class StyleGAN(AdversarialModule):
    """A pair whose generator takes a style at every layer, and which grows.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z and of the style w),
    ``depth`` (layers of the mapping), ``width`` and ``max_width`` (feature maps at the finest
    resolution, and at most).

    Examples
    --------
    >>> model = StyleGAN(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "stylegan"
    grows = True
    has_styles = True

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 128,
        depth: int = 8,
        width: int = 32,
        max_width: int = 128,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        generator = Generator(size, bands, latent, depth, width, max_width, given, end)
        critic = Critic(
            size, bands, width, max_width, generator.first_level, given, name="stylegan"
        )
        return generator, critic
