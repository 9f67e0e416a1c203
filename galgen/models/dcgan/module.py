"""The `dcgan` pair as a LightningModule."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.dcgan.critic import Critic
from galgen.models.dcgan.generator import Generator
from galgen.nn.ending import EndSettings


class DCGAN(AdversarialModule):
    """A convolutional pair small enough for a laptop.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``widths`` (feature
    maps of the generator per resolution, coarse to fine) and ``critic_widths`` (fine to coarse).

    Examples
    --------
    >>> model = DCGAN(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "dcgan"

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        classes: int,
        *,
        end: EndSettings,
        latent: int = 64,
        widths: Sequence[int] | None = None,
        critic_widths: Sequence[int] | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        return (
            Generator(size, bands, latent, widths, classes, end),
            Critic(size, bands, critic_widths, classes),
        )
