"""The `radiogan` pair as a LightningModule."""

from __future__ import annotations

from typing import Literal

from galgen.models.base import AdversarialModule
from galgen.models.radiogan.critic import Critic, DenseCritic
from galgen.models.radiogan.generator import Generator
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings
from galgen.nn.scoring import ScoringCritic


class RadioGAN(AdversarialModule):
    """Radio galaxies by class, as published.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``width`` and
    ``critic_width`` (feature maps at half the images' side), ``critic`` (``convolutional`` or
    ``dense``) and ``dense_width`` (units of the dense critic's layers).

    Examples
    --------
    >>> model = RadioGAN(size=32, bands=1, classes=["FRI", "FRII"], clamp=True, grain=False)
    >>> model.sample(2, seed=0, label="FRII").shape
    torch.Size([2, 1, 32, 32])
    """

    name = "radiogan"

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 100,
        width: int = 64,
        critic: Literal["convolutional", "dense"] = "convolutional",
        critic_width: int = 64,
        dense_width: int = 250,
    ) -> tuple[Generator, ScoringCritic]:
        """Generator and critic."""
        generator = Generator(size, bands, end, latent=latent, width=width, given=given)
        if critic == "dense":
            return generator, DenseCritic(size, bands, width=dense_width, given=given)
        return generator, Critic(size, bands, width=critic_width, given=given)
