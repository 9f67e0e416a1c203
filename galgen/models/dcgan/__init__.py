"""The `dcgan` pair: convolutional, small, stable."""

from galgen.models.dcgan.module import DCGAN

__all__ = ["DCGAN"]
