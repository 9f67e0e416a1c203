"""Features `galaxy` of images, from a network that was trained on galaxies.

The network sees colour composites of 64 pixels under the stretch of the real set, so that what
changes brightness, colour, sharpness or noise changes the features, and a turn or a flip
hardly does. How it was trained and what it measures is in ``weights/galaxy.md``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galgen.bands import ImageSpec
from galgen.errors import GalgenError
from galgen.measure.composite import composite_planes, display_stretch
from galgen.metrics.galaxy_network import N_FEATURES, SIDE, GalaxyNetwork
from galgen.randomness import generator
from galgen.stretch import Stretch

WEIGHTS = Path(__file__).parent / "weights" / "galaxy.safetensors"
_CHUNK = 128
#: Spread of a random network's feature below this is rounding.
_LEAST_SPREAD = 1e-6


class GalaxyFeatures:
    """The network's 64 numbers of flux images, a `galgen.metrics.features.FeatureExtractor`.

    Parameters
    ----------
    spec
        Size and bands; 1 to 7 bands become a composite of 3 colours.
    stretch
        Of the composite, the same for real and generated images; pictures need none.
    network
        Another one with the same input and output; by default that of the package.

    Examples
    --------
    >>> import torch
    >>> images = torch.randn(8, 3, 32, 32)
    >>> features = GalaxyFeatures.fit(images, ImageSpec(32, ("g", "r", "i")))
    >>> features(images).shape
    torch.Size([8, 64])
    """

    name = "galaxy"
    n_features = N_FEATURES

    def __init__(
        self,
        spec: ImageSpec,
        stretch: Stretch | None = None,
        network: GalaxyNetwork | None = None,
    ) -> None:
        if stretch is None and not spec.display:
            raise ValueError("fluxes need a stretch that is the same for real and generated ones")
        self.spec = spec
        self.stretch = stretch
        self._network = load_network() if network is None else network

    @classmethod
    def fit(cls, real: Tensor, spec: ImageSpec, random: int | None = None) -> GalaxyFeatures:
        """Take the stretch from the real set, (N, C, H, W) in flux.

        Parameters
        ----------
        real, spec
            The real set.
        random
            Seed of a randomly initialised network of the same shape instead of the trained
            one, to tell what the training brought; its features are standardised on `real`.
        """
        stretch = None if spec.display else display_stretch(real, spec)
        if random is None:
            return cls(spec, stretch)
        network = random_network(random)
        features = cls(spec, stretch, network)(real).double()
        network = network.to(real.device)
        network.mean.copy_(features.mean(0))
        network.scale.copy_(features.std(0).clamp_min(_LEAST_SPREAD))
        return cls(spec, stretch, network)

    @torch.no_grad()
    def __call__(self, flux: Tensor) -> Tensor:
        """Features (N, 64), float32, finite for any input; on the device of `flux`."""
        if flux.ndim != 4 or flux.shape[1] != self.spec.n_bands:
            raise ValueError(f"expected (N, {self.spec.n_bands}, H, W), got {tuple(flux.shape)}")
        if next(self._network.parameters()).device != flux.device:
            self._network = self._network.to(flux.device)
        rows = []
        for chunk in flux.split(_CHUNK):
            planes = resized(composite_planes(chunk, self.spec, self.stretch))
            rows.append(self._network(planes.contiguous(memory_format=torch.channels_last)))
        return torch.cat(rows) if rows else flux.new_zeros(0, N_FEATURES, dtype=torch.float32)


def resized(planes: Tensor, side: int = SIDE) -> Tensor:
    """Images (N, C, H, W) at `side` pixels, bilinear; smaller ones are averaged without aliases.

    As two matrix products, which every device has.
    """
    if tuple(planes.shape[-2:]) == (side, side):
        return planes
    rows, columns = (_resizing(n, side).to(planes) for n in planes.shape[-2:])
    return rows @ planes @ columns.T


@cache
def _resizing(before: int, after: int) -> Tensor:
    """Matrix (after, before) that resizes a column of pixels."""
    with torch.inference_mode(False):
        columns = torch.eye(before)[None, None]
        return F.interpolate(columns, (after, before), mode="bilinear", antialias=True)[0, 0]


def load_network(path: str | Path = WEIGHTS) -> GalaxyNetwork:
    """The trained network, for use.

    Raises
    ------
    GalgenError
        If the file is missing or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = _initialised()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise GalgenError(
            f"{path} is not the galaxy network ({type(error).__name__}): install galgen again."
        ) from error
    return _for_use(network)


def random_network(seed: int = 0) -> GalaxyNetwork:
    """A network of the same shape with random weights, which has never seen a galaxy.

    The weights are those of He et al. 2015 (arXiv:1502.01852), without which little of an image
    would come through.
    """
    network = _initialised()
    draw = generator(seed, "galaxy network weights")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return _for_use(network)


def _initialised() -> GalaxyNetwork:
    # torch's own start draws from the generator that others draw from.
    with torch.random.fork_rng(devices=[]):
        return GalaxyNetwork().folded()


def _for_use(network: GalaxyNetwork) -> GalaxyNetwork:
    network = network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
