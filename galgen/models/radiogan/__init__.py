"""The `radiogan` pair: radio galaxies by class, as published."""

from galgen.models.radiogan.module import RadioGAN

__all__ = ["RadioGAN"]
