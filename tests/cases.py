"""The pairs as tests train them: networks small enough, and what of their recipes is worth it."""

from __future__ import annotations

from typing import Any

from contract import Case
from galgen.nn.pyramid import levels


def dcgan(size: int) -> dict[str, Any]:
    widths = [8] * (levels(size, "dcgan")[1] + 1)
    return {"latent": 8, "widths": widths, "critic_widths": widths}


def growing(size: int) -> dict[str, Any]:
    return {"latent": 8, "width": 8, "max_width": 8}


def stylegan(size: int) -> dict[str, Any]:
    # The mapping's weights are of order 100; at the 0.1 of a test, labels fade from layer to layer.
    return {**growing(size), "depth": 1}


def r3gan(size: int) -> dict[str, Any]:
    return {"latent": 8, "width": 8, "max_width": 8, "group": 4}


def radio(size: int) -> dict[str, Any]:
    return {"latent": 8, "width": 16, "critic_width": 16, "clamp": False}


def course(size: int) -> dict[str, Any]:
    return {"latent": 8, "widths": [8, 8, 8], "critic_widths": [8, 8, 8], "grain": False}


CASES = [
    Case(
        "dcgan",
        dcgan,
        sizes=(16, 37, 100),
        resumed={"recipe__loss": "bce", "recipe__label_noise": 0.1},
    ),
    Case(
        "dcgan-course",
        course,
        sizes=(16, 40),
        overfit=(3200, 0.4),
        recipe={"label_noise": 0.0},
        resumed={"recipe__label_noise": 0.1},
    ),
    Case("progan", growing, sizes=(16, 48), recipe={"lr": 0.03, "grow_images": 64}),
    Case(
        "stylegan",
        stylegan,
        sizes=(16, 48),
        overfit=(3200, 0.4),
        recipe={"lr": 0.03, "grow_images": 64, "mixing": 0.9},
    ),
    Case(
        "stylegan2",
        growing,
        sizes=(16, 48),
        recipe={
            "lr": 0.03,
            "ada": True,
            "ada_images": 400,
            "mixing": 0.9,
            "path_length": 2.0,
            "path_every": 2,
        },
    ),
    Case(
        "r3gan",
        r3gan,
        sizes=(16, 48),
        overfit=(1600, 0.55),
        recipe={"lr": 0.02, "gamma_decay": 0.1, "beta2_start": 0.9},
    ),
    Case("radiogan", radio, sizes=(16, 48, 128), overfit=(4800, 0.55), recipe={"critic_steps": 1}),
]
