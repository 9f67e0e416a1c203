"""Flux images to the 2048 features of FID's Inception."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.composite import composite_planes, display_stretch
from galgen.metrics.inception.network import FEATURES, SIDE, InceptionNetwork
from galgen.metrics.inception.weights import FILE, SHA256, checksum, find_weights, load_network
from galgen.stretch import Stretch

LOG = logging.getLogger("galgen.weights")
#: Images in the network at a time: about 1 GB.
_CHUNK = 32


class InceptionFeatures:
    """The features of the Fréchet Inception distance, for images of 1 to 7 bands.

    Bands become a colour composite under one fixed stretch, rounded to 8 bits as if it had been
    written to a picture and read back, which is what FID is defined on: the stretch decides
    what the network can see, and flux below a 255th of its range is lost. The picture is brought
    to 299 px as the publisher of the weights does it (pytorch-fid): bilinear between pixel
    centres, no antialiasing, then from [0, 1] to [-1, 1]. torch-fidelity instead imitates the
    corner-aligned resize of TensorFlow 1, and its numbers differ a little.

    The network has seen photographs of cats and cars, never a galaxy. Its distance is here
    because papers print it; what is said about galaxies rests on the other extractors.

    Parameters
    ----------
    network
        With its weights loaded.
    spec
        Size and bands of the images.
    stretch
        Of the composite; display pictures need none.

    Attributes
    ----------
    published
        True where the weights are the published file's, so that numbers compare with papers'.
    """

    name = "inception"
    n_features = FEATURES

    def __init__(
        self,
        network: InceptionNetwork,
        spec: ImageSpec,
        stretch: Stretch | None = None,
        published: bool = False,
    ) -> None:
        if stretch is None and not spec.display:
            raise ValueError("images in flux need a stretch: InceptionFeatures.fit takes one")
        self.spec = spec
        self.stretch = stretch
        self.published = published
        # This order of pixels in memory is quicker on processors.
        self._network = network.eval()
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def fit(
        cls, real: Tensor, spec: ImageSpec, weights: str | Path | None = None
    ) -> InceptionFeatures:
        """Load the network and take the composite's stretch from the real set.

        Parameters
        ----------
        real
            (N, C, H, W) in flux.
        spec
            Size and bands.
        weights
            The published file; by default the cache's, downloaded once where it is not there.

        Raises
        ------
        DataError
            If the file is not to be had, or is another.
        """
        path = find_weights(weights)
        network = load_network(path)
        published = checksum(path) == SHA256
        if not published:
            LOG.warning("%s fits, but its checksum is not that of %s", path, FILE)
        stretch = None if spec.display else display_stretch(real, spec)
        return cls(network, spec, stretch, published)

    @torch.no_grad()
    def __call__(self, flux: Tensor) -> Tensor:
        """Features (N, 2048), float32, on the device of `flux`, for finite pixels and others."""
        if flux.ndim != 4 or flux.shape[1] != self.spec.n_bands:
            raise ValueError(f"expected (N, {self.spec.n_bands}, H, W), got {tuple(flux.shape)}")
        self._network.to(flux.device)
        parts = [self._network(self.pictures(part)) for part in flux.split(_CHUNK)]
        return torch.cat(parts)

    def pictures(self, flux: Tensor) -> Tensor:
        """What the network sees, (N, 3, 299, 299) in [-1, 1]."""
        planes = composite_planes(flux, self.spec, self.stretch)
        planes = (planes * 255).round() / 255
        resized = F.interpolate(
            planes, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False
        )
        return (2 * resized - 1).contiguous(memory_format=torch.channels_last)
