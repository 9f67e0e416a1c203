"""Trains a pair on one or two CPU processes and saves what they ended with.

Run as ``python replicas_script.py JOB.json OUT.pt``; Lightning starts the second process by
running the same command again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import nn

from galgen.data.module import CutoutDataModule
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.nn.style import StyleGenerator
from galgen.train import quiet_lightning
from galgen.training.replicas import ReplicaStrategy


def without_layer_noise(model: AdversarialModule) -> list[torch.Tensor]:
    """Layer noise of zeros, and dropout that drops nothing: both are keyed by rank.

    Gives the list of latents that the generator is going to be asked for.
    """
    generator = model.generator
    latents: list[torch.Tensor] = []

    def silenced(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def without(x: torch.Tensor, *condition: torch.Tensor | None) -> torch.Tensor:
            return make(x, *condition, [x.new_zeros(len(x), *s) for s in generator.noise_shapes])

        return without

    def watched(ask: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def watch(z: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
            latents.append(z.detach().clone())
            return ask(z, condition)

        return watch

    if isinstance(generator, StyleGenerator):
        drawn = generator.synthesise
        # Without the noise that forward passes on, which is none in training.
        generator.synthesise = lambda styles, noise=None: silenced(drawn)(styles)
        generator.map = watched(generator.map)
    else:
        generator.forward = watched(silenced(generator.forward))
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return latents


def plain_descent(model: AdversarialModule) -> None:
    """Adam divides by the gradient's size, so where that is 0 it turns rounding into full steps."""
    networks, lr = (model.generator, model.critic), model.recipe.lr
    model.configure_optimizers = lambda: [torch.optim.SGD(n.parameters(), lr=lr) for n in networks]


def main(job: dict, out: Path) -> None:
    """Fit and save (rank 0), with the latents that each rank drew."""
    torch.set_num_threads(1)
    quiet_lightning()
    data = CutoutDataModule(job["source"], **job["data"])
    torch.manual_seed(3)
    model = find(job["pair"]).load()(
        data.spec.size,
        data.spec.bands,
        classes=data.conditions.classes,
        numbers=data.conditions.names,
        recipe=job["recipe"],
        **job["options"],
    )
    plain_descent(model)
    # Where there is adaptive augmentation, it has something to do from the first step.
    model.ada.p = torch.tensor(0.5)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    latents = without_layer_noise(model)
    devices = job["devices"]
    trainer = L.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=ReplicaStrategy(process_group_backend="gloo") if devices > 1 else "auto",
        max_steps=job["steps"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, data)
    torch.save(torch.stack(latents), out.with_suffix(f".rank{trainer.global_rank}.pt"))
    if trainer.is_global_zero:
        ended = {"state": model.state_dict(), "ema": model.average.state()}
        steered = {"p": model.ada.p, "path_mean": model.path_mean}
        torch.save({"start": start, "steered": steered, **ended}, out)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
