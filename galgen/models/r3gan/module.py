"""The `r3gan` pair as a LightningModule."""

from __future__ import annotations

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.r3gan.critic import Critic
from galgen.models.r3gan.generator import Generator
from galgen.models.r3gan.stage import Shape
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings


class R3GAN(AdversarialModule):
    """Residual stages without normalisation under a relativistic loss with R1 and R2.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``width`` and
    ``max_width`` (feature maps at the finest resolution, and their most), ``blocks`` (residual
    blocks at each resolution), ``group`` (feature maps in a group of the 3x3 convolution) and
    ``expansion`` (of the width inside a block).

    Examples
    --------
    >>> model = R3GAN(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "r3gan"

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 64,
        width: int = 32,
        max_width: int = 128,
        blocks: int = 1,
        group: int = 16,
        expansion: int = 2,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        shape = Shape(blocks, group, expansion)
        return (
            Generator(
                size,
                bands,
                end,
                latent=latent,
                width=width,
                max_width=max_width,
                shape=shape,
                given=given,
            ),
            Critic(size, bands, width=width, max_width=max_width, shape=shape, given=given),
        )
