"""The `stylegan2` pair as a LightningModule."""

from __future__ import annotations

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.stylegan2.critic import Critic
from galgen.models.stylegan2.generator import Generator
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings


class StyleGAN2(AdversarialModule):
    """Modulated convolutions, a skip generator and a residual critic.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z and of the styles w),
    ``depth`` (layers of the mapping), ``width`` (feature maps at full resolution, doubled at each
    resolution below) and ``max_width``.

    Examples
    --------
    >>> model = StyleGAN2(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "stylegan2"
    has_styles = True

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 128,
        depth: int = 2,
        width: int = 32,
        max_width: int = 128,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        return (
            Generator(size, bands, latent, depth, width, max_width, given, end),
            Critic(size, bands, width, max_width, given),
        )
