"""The `stylegan` pair: a style for every layer."""

from galgen.models.stylegan.module import StyleGAN

__all__ = ["StyleGAN"]
