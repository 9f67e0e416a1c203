"""The `progan` pair: progressive growing."""

from galgen.models.progan.module import ProGAN

__all__ = ["ProGAN"]
