"""Networks of projects that pip does not install, from folders that the user gives.

Their code runs from there and stays there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from peers.environment import stand_ins
from peers.packages import Flat, Pair, Peer
from peers.plain import LEAK, widths_of

#: Names on the command line, and where the code was found in November 2026.
PROJECTS = {
    "stylegan2-ada": "github.com/NVlabs/stylegan2-ada-pytorch",
    "pytorch_GAN_zoo": "github.com/facebookresearch/pytorch_GAN_zoo",
    "style-based-gan": "github.com/rosinality/style-based-gan-pytorch",
}
#: Folder of each project, which the command line sets.
FOLDERS: dict[str, Path] = {}


@contextmanager
def _found(project: str) -> Iterator[None]:
    folder = str(FOLDERS[project])
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


class Unconditional(nn.Module):
    """A network that takes labels, without any."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.network, self.latent = network, latent

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, None)


def stylegan2_ada(size: int, bands: int, latent: int, depth: int, width: int, most: int) -> Pair:
    """NVlabs' networks; on a CPU its operations take their reference form."""
    with _found("stylegan2-ada"), stand_ins("requests"):
        networks = import_module("training.networks")
    widths = {"channel_base": width * size, "channel_max": most}
    generator = networks.Generator(
        z_dim=latent, c_dim=0, w_dim=latent, img_resolution=size, img_channels=bands,
        mapping_kwargs={"num_layers": depth}, synthesis_kwargs=widths,
    )  # fmt: skip
    critic = networks.Discriminator(c_dim=0, img_resolution=size, img_channels=bands, **widths)
    return Unconditional(generator, latent), Flat(Unconditional(critic, latent))


def zoo(size: int, bands: int, latent: int, width: int, most: int, *, own_step: bool) -> Peer:
    """The progressive GAN of pytorch_GAN_zoo, fully grown; with `own_step` its own training step,
    which draws the fakes of both turns anew.
    """
    with _found("pytorch_GAN_zoo"):
        base = import_module("models.progressive_gan").ProgressiveGAN

    class Float(base):
        """With betas that today's Adam takes."""

        def _adam(self, network: nn.Module) -> torch.optim.Adam:
            rate = self.config.learningRate
            return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.99))

        def getOptimizerD(self) -> torch.optim.Adam:
            return self._adam(self.netD)

        def getOptimizerG(self) -> torch.optim.Adam:
            return self._adam(self.netG)

    features = widths_of(size.bit_length() - 3, width, most)
    gan = Float(
        latent, depthScale0=features[0], miniBatchStdDev=True, dimOutput=bands, useGPU=False,
        baseLearningRate=1e-4, lossMode="WGANGP", lambdaGP=10.0, epsilonD=0.001,
    )  # fmt: skip
    for wide in features[1:]:
        gan.addScale(wide)
    gan.netG.latent = latent

    def train(iterations: int, images: Tensor) -> None:
        for _ in range(iterations):
            gan.optimizeParameters(images)

    return Peer(gan.netG, Flat(gan.netD), train if own_step else None)


class StyleGenerator(nn.Module):
    """rosinality's blocks, put together as its own generator does."""

    def __init__(self, blocks: Any, features: list[int], bands: int, latent: int, depth: int):
        super().__init__()
        self.latent = latent
        layers: list[nn.Module] = [blocks.PixelNorm()]
        for _ in range(depth):
            layers += [blocks.EqualLinear(latent, latent), nn.LeakyReLU(LEAK)]
        self.style = nn.Sequential(*layers)
        wide = [features[0], *features]
        self.blocks = nn.ModuleList(
            blocks.StyledConvBlock(
                wide[i], wide[i + 1], 3, 1, style_dim=latent, initial=i == 0, upsample=i > 0
            )
            for i in range(len(features))
        )
        self.to_bands = blocks.EqualConv2d(features[-1], bands, 1)

    def forward(self, z: Tensor) -> Tensor:
        w, x = self.style(z), z
        for level, block in enumerate(self.blocks):
            x = block(x, w, torch.randn(len(z), 1, 4 * 2**level, 4 * 2**level))
        return self.to_bands(x)


class StyleCritic(nn.Module):
    """The same of its discriminator."""

    def __init__(self, blocks: Any, features: list[int], bands: int) -> None:
        super().__init__()
        fine = features[::-1]
        self.from_bands = blocks.EqualConv2d(bands, fine[0], 1)
        self.blocks = nn.ModuleList(
            blocks.ConvBlock(a, b, 3, 1, downsample=True) for a, b in pairwise(fine)
        )
        self.last = blocks.ConvBlock(fine[-1] + 1, fine[-1], 3, 1, 4, 0)
        self.score = blocks.EqualLinear(fine[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.from_bands(x)
        for block in self.blocks:
            x = block(x)
        spread = torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean()
        x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1)
        return self.score(self.last(x).flatten(1)).squeeze(1)


def style_based(size: int, bands: int, latent: int, depth: int, width: int, most: int) -> Pair:
    """rosinality's StyleGAN at these widths."""
    with _found("style-based-gan"):
        blocks = import_module("model")
    features = widths_of(size.bit_length() - 3, width, most)
    return (
        StyleGenerator(blocks, features, bands, latent, depth),
        StyleCritic(blocks, features, bands),
    )
