"""The `r3gan` pair: residual stages without normalisation, a modern baseline."""

from galgen.models.r3gan.module import R3GAN

__all__ = ["R3GAN"]
