"""One optimizer step, and the schedules of what it depends on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from galgen.sections import Recipe
from galgen.training.replicas import average_gradients


def cosine(done: float, end: float) -> float:
    """From 1 down to `end` as `done` goes from 0 to 1.

    >>> cosine(0, 0.1), round(cosine(0.5, 0.1), 6), cosine(1, 0.1)
    (1.0, 0.55, 0.1)
    """
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def schedule(optimizers: Sequence[Any], recipe: Recipe, done: float, scale: float = 1.0) -> None:
    """Set learning rates and momenta of generator and critic, a function of the clock.

    Parameters
    ----------
    done
        Fraction of the run, 0 to 1.
    scale
        Factor on both rates.
    """
    factor = scale * cosine(done, recipe.lr_decay)
    first, last = recipe.betas
    if recipe.beta2_start is not None:
        last += (recipe.beta2_start - last) * cosine(done, 0.0)
    rates = (recipe.lr, recipe.lr_critic or recipe.lr)
    for optimizer, rate in zip(optimizers, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = rate * factor, (first, last)


def descend(optimizer: Any, extras: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of one network along its gradients; one that is not finite leaves it as it is.

    Nothing here waits for the device.

    Parameters
    ----------
    optimizer
        Its parameters hold this replica's gradients.
    extras
        (n,) float32, to be summed over the replicas; the first is above 0 where the loss was not
        finite.

    Returns
    -------
    tuple
        Norm of the gradient (0 where it was not finite), 1 where it or the loss was not finite,
        else 0, and the sums.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    extras = average_gradients(parameters, extras)
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    bad = (~torch.isfinite(norm) | (extras[0] > 0)).float()
    inner = getattr(optimizer, "optimizer", optimizer)
    if inner.defaults.get("fused"):
        # As gradient scalers tell it, which are not used here: the kernel itself skips the step.
        inner.found_inf = bad
        optimizer.step()
    elif not bad:
        optimizer.step()
    # Autocast would go on with its low precision copies of the weights before the step.
    torch.clear_autocast_cache()
    return norm.nan_to_num(0.0, 0.0, 0.0), bad, extras


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """No gradients into this network; what was frozen before is frozen afterwards."""
    recorded = [(p, p.requires_grad) for p in network.parameters()]
    try:
        for parameter, _ in recorded:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in recorded:
            parameter.requires_grad_(flag)
