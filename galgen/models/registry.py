"""The only list of generator/critic pairs: name -> module and the defaults of its preset."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from galgen.errors import ConfigError

if TYPE_CHECKING:
    from galgen.models.base import AdversarialModule


@dataclass(frozen=True)
class Pair:
    """One entry of the registry.

    Attributes
    ----------
    path
        ``module:class``, imported at first use.
    summary
        One line for people.
    preset
        Configuration that differs from the defaults, nested.
    """

    path: str
    summary: str
    preset: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> type[AdversarialModule]:
        """The LightningModule class."""
        module, _, name = self.path.partition(":")
        loaded: type[AdversarialModule] = getattr(import_module(module), name)
        return loaded


#: WGAN-GP as in Karras et al. 2018. With another loss and no `gp`, R1 alone.
_GROWING = {
    "loss": "wasserstein",
    "gp": 10.0,
    "drift": 0.001,
    "r2": 0.0,
    "penalty_every": 1,
    "lr_decay": 1.0,
    "ema_images": 10_000,
}

#: As in Karras et al. 2020 with adaptive augmentation; the average shorter, and R1 twice as often,
#: for short runs.
_STYLEGAN2 = {
    "loss": "logistic",
    "r2": 0.0,
    "penalty_every": 8,
    "lr": 2.5e-3,
    "lr_decay": 1.0,
    "ema_images": 5000,
    "mixing": 0.9,
    "ada": True,
}

#: As in Rustige et al. 2023 (arXiv:2212.08504).
_RADIO = {
    "loss": "wasserstein",
    "gp": 10.0,
    "r1": 0.0,
    "r2": 0.0,
    "penalty_every": 1,
    "critic_steps": 5,
    "lr": 1e-4,
    "lr_decay": 1.0,
    "betas": (0.0, 0.9),
    "ema_images": 0.0,
}

PAIRS: dict[str, Pair] = {
    "dcgan": Pair(
        "galgen.models.dcgan:DCGAN", "convolutional, small, stable: a laptop, hundreds of galaxies"
    ),
    "dcgan-course": Pair(
        "galgen.models.dcgan:CourseDCGAN",
        "the course recipe of ASTR 21100: cross entropy with noisy labels",
        preset={
            "model": {"options": {"grain": False}},
            "recipe": {
                "loss": "bce",
                "label_noise": 0.05,
                "r1": 0.0,
                "r2": 0.0,
                "lr": 1e-4,
                "lr_decay": 1.0,
                "betas": (0.9, 0.999),
                "ema_images": 0.0,
            },
        },
    ),
    "progan": Pair(
        "galgen.models.progan:ProGAN",
        "grows from 4 px to full size, WGAN-GP",
        preset={"recipe": _GROWING},
    ),
    "stylegan": Pair(
        "galgen.models.stylegan:StyleGAN",
        "a style for every layer, growing from 8 px, WGAN-GP",
        preset={"recipe": {**_GROWING, "mixing": 0.9}},
    ),
    "stylegan2": Pair(
        "galgen.models.stylegan2:StyleGAN2",
        "modulated convolutions, adaptive augmentation for few galaxies",
        preset={"recipe": _STYLEGAN2},
    ),
    "r3gan": Pair(
        "galgen.models.r3gan:R3GAN",
        "residual stages without norm, relativistic loss with R1 and R2",
        preset={"recipe": {"gamma_decay": 0.1, "beta2_start": 0.9}},
    ),
    "radiogan": Pair(
        "galgen.models.radiogan:RadioGAN",
        "radio galaxies by class: label planes, WGAN-GP, five critic steps",
        preset={
            "data": {"rotate": "any", "fill": "constant", "shift": 0},
            "model": {"options": {"clamp": True, "grain": False, "smear": False}},
            "recipe": _RADIO,
        },
    ),
}


def find(name: str) -> Pair:
    """The pair of that name.

    Raises
    ------
    ConfigError
        With the nearest names, if there is none.
    """
    if name in PAIRS:
        return PAIRS[name]
    near = difflib.get_close_matches(name, PAIRS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(PAIRS)}."
    raise ConfigError(f"--model {name} is not known: {hint}")
