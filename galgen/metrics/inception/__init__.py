"""FID proper: features of the Inception network that the field compares itself by."""

from galgen.metrics.inception.extractor import InceptionFeatures

__all__ = ["InceptionFeatures"]
