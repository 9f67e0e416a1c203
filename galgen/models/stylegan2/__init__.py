"""Modulated convolutions, skip generator and residual critic; see README.md beside this file."""

from galgen.models.stylegan2.module import StyleGAN2

__all__ = ["StyleGAN2"]
