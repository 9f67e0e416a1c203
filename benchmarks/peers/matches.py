"""Who runs against whom: galgen's pairs and their peers, of the same widths and penalties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from peers import packages, reference, reference_stylegan2

#: Widths of the style, growing and residual pairs: their defaults in galgen.
WIDTH, MOST = 32, 128
BANDS = 3

R1 = {"loss": "logistic", "r1": 0.1, "r2": 0.0, "penalty_every": 4}
WGAN_GP = {"loss": "wasserstein", "r1": 0.0, "r2": 0.0, "gp": 10.0, "penalty_every": 1}
BOTH = {"loss": "relativistic", "r1": 0.1, "r2": 0.1, "penalty_every": 1}
BCE = {"loss": "bce", "r1": 0.0, "r2": 0.0}


@dataclass(frozen=True)
class Match:
    """One of galgen's pairs and one peer.

    Attributes
    ----------
    pair, options
        Name in the registry, and network options for a size.
    recipe, penalties
        Loss and penalties of both sides, and their words.
    peer
        Name of the other side.
    build
        Generator and critic of the other side for a size.
    package
        Key of `peers.environment.PACKAGES` if the peer is one.
    sizes
        Sizes that the peer can make.
    """

    pair: str
    options: Callable[[int], Mapping[str, Any]]
    recipe: Mapping[str, Any]
    penalties: str
    peer: str
    build: Callable[[int], tuple[nn.Module, nn.Module]]
    package: str | None = None
    sizes: tuple[int, ...] = field(default=(32, 64, 128))

    def ours(self, size: int) -> AdversarialModule:
        """galgen's side, without the grain that no peer has."""
        recipe = {"lr": 1e-4, "grow_images": 0, **self.recipe}
        return find(self.pair).load()(size, BANDS, recipe=recipe, grain=False, **self.options(size))


def _reference_stylegan2(merged: bool) -> Callable[[int], tuple[nn.Module, nn.Module]]:
    def build(size: int) -> tuple[nn.Module, nn.Module]:
        return (
            reference_stylegan2.Generator(size, BANDS, 128, 2, WIDTH, MOST, merged),
            reference_stylegan2.Critic(size, BANDS, WIDTH, MOST, merged),
        )

    return build


def _mimicry_widths(size: int) -> dict[str, Any]:
    """Coarse to fine for the generator, fine to coarse for the critic, as mimicry has them."""
    widths = [64] * 4 if size == 32 else [256, 128, 64, 32, 16]
    return {"latent": 128, "widths": widths, "critic_widths": widths[::-1]}


def _style(size: int) -> dict[str, Any]:
    return {"latent": 128, "depth": 2, "width": WIDTH, "max_width": MOST}


MATCHES = (
    Match(
        "stylegan2", _style, R1, "R1 every 4th",
        "lucidrains stylegan2-pytorch",
        lambda size: packages.stylegan2(size, 128, 2, WIDTH, MOST),
        package="lucidrains stylegan2-pytorch",
    ),
    Match(
        "stylegan2", _style, R1, "R1 every 4th",
        "reference operations, plain", _reference_stylegan2(merged=False),
    ),
    Match(
        "stylegan2", _style, R1, "R1 every 4th",
        "reference operations, merged", _reference_stylegan2(merged=True),
    ),
    Match(
        "stylegan", lambda size: {**_style(size), "depth": 8}, WGAN_GP, "WGAN-GP",
        "plain form of its paper",
        lambda size: (
            reference.StyleGANGenerator(size, BANDS, 128, 8, WIDTH, MOST),
            reference.GrownCritic(size, BANDS, WIDTH, MOST),
        ),
    ),
    Match(
        "progan", lambda size: {"latent": 128, "width": WIDTH, "max_width": MOST},
        WGAN_GP, "WGAN-GP",
        "plain form of its paper",
        lambda size: (
            reference.ProGANGenerator(size, BANDS, 128, WIDTH, MOST),
            reference.GrownCritic(size, BANDS, WIDTH, MOST),
        ),
    ),
    Match(
        "r3gan",
        lambda size: {
            "latent": 64, "width": WIDTH, "max_width": MOST,
            "blocks": 1, "group": 16, "expansion": 2,
        },
        BOTH, "R1 and R2",
        "plain form of its paper",
        lambda size: (
            reference.R3GANGenerator(size, BANDS, 64, WIDTH, MOST, 16, 2),
            reference.R3GANCritic(size, BANDS, WIDTH, MOST, 16, 2),
        ),
    ),
    Match(
        "dcgan", _mimicry_widths, WGAN_GP, "WGAN-GP",
        "torch-mimicry WGAN-GP",
        lambda size: packages.wgan_gp(size, 128, 64 if size == 32 else 256),
        package="torch-mimicry", sizes=(32, 64),
    ),
    Match(
        "dcgan",
        lambda size: {
            "latent": 100, "norm": "batch",
            "widths": [128, 64, 32, 16, 8], "critic_widths": [16, 32, 64, 128, 128],
        },
        BCE, "none",
        "lightning-bolts DCGAN",
        lambda size: packages.dcgan(100, 16, BANDS),
        package="lightning-bolts", sizes=(64,),
    ),
    Match(
        "dcgan-course",
        lambda size: {"latent": 100, "widths": [32, 16, 8], "critic_widths": [16, 32, 64]},
        BCE, "none",
        "lightning-bolts DCGAN",
        lambda size: packages.dcgan(100, 16, BANDS),
        package="lightning-bolts", sizes=(64,),
    ),
)  # fmt: skip
