"""Who runs against whom: galgen's pairs and their peers, of the same widths and penalties."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from peers import checkouts, packages, reference, reference_stylegan2
from peers.packages import Peer

#: Widths of the style, growing and residual pairs: their defaults in galgen.
WIDTH, MOST = 32, 128
BANDS = 3

R1 = {"loss": "logistic", "r1": 0.1, "r2": 0.0, "penalty_every": 4}
WGAN_GP = {"loss": "wasserstein", "r1": 0.0, "r2": 0.0, "gp": 10.0, "penalty_every": 1}
RELATIVISTIC = {"loss": "relativistic", "r1": 0.1, "r2": 0.1, "penalty_every": 4}
BOTH = {"loss": "relativistic", "r1": 0.1, "r2": 0.1, "penalty_every": 1}
DRIFTING = {**WGAN_GP, "drift": 0.001}
BCE = {"loss": "bce", "r1": 0.0, "r2": 0.0}
#: Names that the aims go by.
NVLABS, LUCIDRAINS = "NVlabs stylegan2-ada, reference operations", "lucidrains stylegan2-pytorch"
ZOO, BOLTS = "pytorch_GAN_zoo, its own step", "lightning-bolts DCGAN"
OWN = "the same networks, a loop by hand"


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
        The other side for a size; None for copies of galgen's own networks.
    package, project
        Key of `peers.environment.PACKAGES` or of `peers.checkouts.PROJECTS` if the peer is one.
    sizes
        Sizes that the peer can make.
    """

    pair: str
    options: Callable[[int], Mapping[str, Any]]
    recipe: Mapping[str, Any]
    penalties: str
    peer: str
    build: Callable[[int], Peer | packages.Pair] | None = None
    package: str | None = None
    project: str | None = None
    sizes: tuple[int, ...] = field(default=(32, 64, 128))

    def ours(self, size: int) -> AdversarialModule:
        """galgen's side, without the grain that no peer has."""
        recipe = {"lr": 1e-4, "grow_images": 0, **self.recipe}
        return find(self.pair).load()(size, BANDS, recipe=recipe, grain=False, **self.options(size))

    def theirs(self, model: AdversarialModule) -> Peer:
        """The peer of such a pair."""
        if self.build is None:
            return Peer(copy.deepcopy(model.generator), copy.deepcopy(model.critic))
        return Peer(*self.build(model.spec.size))


def _reference_stylegan2(merged: bool) -> Callable[[int], packages.Pair]:
    def build(size: int) -> packages.Pair:
        return (
            reference_stylegan2.Generator(size, BANDS, 128, 2, WIDTH, MOST, merged),
            reference_stylegan2.Critic(size, BANDS, WIDTH, MOST, merged),
        )

    return build


def _mimicry_widths(size: int) -> dict[str, Any]:
    """Coarse to fine for the generator, fine to coarse for the critic, as mimicry has them."""
    widths = [64] * 4 if size == 32 else [256, 128, 64, 32, 16]
    return {"latent": 128, "widths": widths, "critic_widths": widths[::-1]}


def _bolts_widths(size: int) -> dict[str, Any]:
    """Its maps from 4 to 32 px; at 64 px, where it has its bands alone, as many maps."""
    widths = [128, 64, 32, 16, BANDS]
    return {"latent": 100, "widths": widths, "critic_widths": [16, 32, 64, 128, 128]}


def _style(size: int) -> dict[str, Any]:
    return {"latent": 128, "depth": 2, "width": WIDTH, "max_width": MOST}


MATCHES = (
    Match(
        "stylegan2", _style, R1, "R1 every 4th", NVLABS,
        lambda size: checkouts.stylegan2_ada(size, BANDS, 128, 2, WIDTH, MOST),
        project="stylegan2-ada",
    ),
    Match(
        "stylegan2", _style, R1, "R1 every 4th", LUCIDRAINS,
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
        "rosinality style-based-gan",
        lambda size: checkouts.style_based(size, BANDS, 128, 8, WIDTH, MOST),
        project="style-based-gan",
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
        DRIFTING, "WGAN-GP", ZOO,
        lambda size: checkouts.zoo(size, BANDS, 128, WIDTH, MOST, own_step=True),
        project="pytorch_GAN_zoo",
    ),
    Match(
        "progan", lambda size: {"latent": 128, "width": WIDTH, "max_width": MOST},
        DRIFTING, "WGAN-GP", "pytorch_GAN_zoo, its networks",
        lambda size: checkouts.zoo(size, BANDS, 128, WIDTH, MOST, own_step=False),
        project="pytorch_GAN_zoo",
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
    Match("dcgan", lambda size: {}, RELATIVISTIC, "R1 and R2 every 4th", OWN),
    Match(
        "dcgan", _mimicry_widths, WGAN_GP, "WGAN-GP",
        "torch-mimicry WGAN-GP",
        lambda size: packages.wgan_gp(size, 128, 64 if size == 32 else 256),
        package="torch-mimicry", sizes=(32, 64),
    ),
    Match(
        "dcgan", _bolts_widths, BCE, "none", BOLTS,
        lambda size: packages.dcgan(100, 16, BANDS),
        package="lightning-bolts", sizes=(64,),
    ),
    Match(
        "dcgan", lambda size: {**_bolts_widths(size), "norm": "batch"}, BCE, "none",
        BOLTS + ", both with batch norm",
        lambda size: packages.dcgan(100, 16, BANDS),
        package="lightning-bolts", sizes=(64,),
    ),
    Match(
        "dcgan-course",
        lambda size: {"latent": 100, "widths": [32, 16, 8], "critic_widths": [16, 32, 64]},
        BCE, "none",
        BOLTS,
        lambda size: packages.dcgan(100, 16, BANDS),
        package="lightning-bolts", sizes=(64,),
    ),
    Match(
        "dcgan-course",
        lambda size: {"latent": 100, "widths": [32, 16, 8], "critic_widths": [16, 32, 64]},
        BCE, "none", OWN,
    ),
    Match(
        "radiogan", lambda size: {"width": WIDTH, "critic_width": WIDTH}, WGAN_GP, "WGAN-GP", OWN,
    ),
)  # fmt: skip

#: How many times as fast as a peer galgen means to be, by pair and peer.
AIMS = {
    ("stylegan2", NVLABS): 2.5,
    ("stylegan2", LUCIDRAINS): 1.3,
    ("progan", ZOO): 2.0,
    ("dcgan", BOLTS): 1.0,
}
