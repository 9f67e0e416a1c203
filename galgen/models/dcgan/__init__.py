"""The `dcgan` pair, convolutional, small and stable, and the `dcgan-course` pair beside it."""

from galgen.models.dcgan.module import DCGAN, CourseDCGAN

__all__ = ["DCGAN", "CourseDCGAN"]
