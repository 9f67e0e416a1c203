"""Networks of packages that pip installs, each as a generator of z and a critic of images."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn

from peers.environment import hollow, stand_ins

Pair = tuple[nn.Module, nn.Module]


class Peer(NamedTuple):
    """A generator of z and a critic of images, and its own training loop if that is to run: it
    takes the number of iterations and the images.
    """

    generator: nn.Module
    critic: nn.Module
    train: Callable[[int, Tensor], None] | None = None


class Lucidrains(nn.Module):
    """Mapping and synthesis of lucidrains' StyleGAN2 as one generator."""

    def __init__(self, size: int, latent: int, depth: int, capacity: int, most: int) -> None:
        super().__init__()
        package = _lucidrains()
        self.size, self.latent = size, latent
        self.mapping = package.StyleVectorizer(latent, depth, lr_mul=0.1)
        self.synthesis = package.Generator(size, latent, network_capacity=capacity, fmap_max=most)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        noise = torch.rand(len(z), self.size, self.size, 1, device=z.device)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.num_layers, -1), noise)


class First(nn.Module):
    """The first of a critic's outputs, its scores."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, x: Tensor) -> Tensor:
        return self.critic(x)[0]


def _lucidrains():
    # It asserts at import that there is a GPU, and needs none.
    with stand_ins("torchvision", "aim", "fire"), patch("torch.cuda.is_available", lambda: True):
        return import_module("stylegan2_pytorch.stylegan2_pytorch")


def stylegan2(size: int, latent: int, depth: int, width: int, most: int) -> Pair:
    """lucidrains' StyleGAN2 with `width` feature maps at full size, as initialised by it."""
    package = _lucidrains()
    # A generator of capacity c has 2 c maps at full size, a critic 4 c.
    generator = Lucidrains(size, latent, depth, width // 2, most)
    critic = package.Discriminator(size, network_capacity=width // 4, fmap_max=most)
    for network in (generator, critic):
        for module in network.modules():
            if type(module) in {nn.Conv2d, nn.Linear}:
                nn.init.kaiming_normal_(module.weight, a=0, nonlinearity="leaky_relu")
    return generator, First(critic)


class Flat(nn.Module):
    """Scores (N, 1) as (N,)."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, x: Tensor) -> Tensor:
        return self.critic(x).flatten()


def wgan_gp(size: int, latent: int, width: int) -> Pair:
    """mimicry's residual WGAN-GP with `width` feature maps at the coarsest resolution."""
    hollow("torch_mimicry", "torch_mimicry.nets")
    module = import_module(f"torch_mimicry.nets.wgan_gp.wgan_gp_{size}")
    generator = getattr(module, f"WGANGPGenerator{size}")(nz=latent, ngf=width)
    generator.latent = latent
    return generator, Flat(getattr(module, f"WGANGPDiscriminator{size}")(ndf=width))


class Column(nn.Module):
    """A generator that takes z as images of one pixel."""

    def __init__(self, generator: nn.Module, latent: int) -> None:
        super().__init__()
        self.generator, self.latent = generator, latent

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z[:, :, None, None])


def dcgan(latent: int, maps: int, bands: int) -> Pair:
    """The DCGAN networks of lightning-bolts, 64 px, with scores in place of probabilities."""
    hollow("pl_bolts", "pl_bolts.models", "pl_bolts.models.gans", "pl_bolts.models.gans.dcgan")
    module = import_module("pl_bolts.models.gans.dcgan.components")
    generator = module.DCGANGenerator(latent, maps, bands)
    critic = module.DCGANDiscriminator(maps, bands)
    critic.disc[-1][-1] = nn.Identity()
    for network in (generator, critic):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
    return Column(generator, latent), critic
