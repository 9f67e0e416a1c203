"""Data parallel training of two networks without the wrapper that breaks on them.

``DistributedDataParallel`` expects one forward and one backward a step and fails for every
adversarial pair (Lightning #20328, #20866). Here parameters are broadcast once at the start,
and the gradients of each optimizer step are averaged by one flat all-reduce, which also carries the
few numbers that all replicas must agree on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch import distributed as dist

from galgen.errors import GalgenError


class ReplicaStrategy(DDPStrategy):
    """DDP's processes and devices, with the module left unwrapped.

    `galgen.models.base.AdversarialModule` averages the gradients itself.
    """

    def configure_ddp(self) -> None:
        """Broadcast rank 0's weights instead of wrapping the module."""
        module = self.lightning_module
        if module is not None and met():
            broadcast(module)

    def _setup_model(self, model: nn.Module) -> Any:
        return model

    def setup(self, trainer: Any) -> None:
        """As DDPStrategy does, less the wrapper."""
        super().setup(trainer)
        self.configure_ddp()


def met() -> bool:
    """Whether there are several processes, and they have found each other."""
    return dist.is_available() and dist.is_initialized()


def world() -> tuple[int, int]:
    """(rank, number of replicas)."""
    if met():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def of_all(value: Any) -> list[Any]:
    """A plain value of every replica, by rank; all of them must ask."""
    _, replicas = world()
    values: list[Any] = [value] * replicas
    if replicas > 1:
        dist.all_gather_object(values, value)
    return values


def is_first() -> bool:
    """True on the one process that writes files and talks, also before the processes meet."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


@torch.no_grad()
def broadcast(module: nn.Module) -> None:
    """Give every replica rank 0's parameters and buffers."""
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.data, src=0)


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter], extras: Tensor) -> Tensor:
    """Average gradients over the replicas, and sum a few numbers, in one all-reduce.

    Parameters
    ----------
    parameters
        Those of one optimizer; what has no gradient on any replica stays without.
    extras
        (n,) float32, this replica's.

    Returns
    -------
    Tensor
        Sums of `extras` over the replicas.

    Raises
    ------
    GalgenError
        If the replicas hold gradients for different parameters, which would mix up tensors.
    """
    _, replicas = world()
    if replicas == 1:
        return extras
    gradients = [p.grad for p in parameters if p.grad is not None]
    have = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32)
    # Places for all, so that replicas that disagree still send the same number of values.
    sizes = [p.numel() for p in parameters]
    flat = extras.new_zeros(sum(sizes) + len(sizes) + len(extras))
    *places, flags, sums = flat.split([*sizes, len(sizes), len(extras)])
    # In the order in which a parameter lies in memory, so that nothing is transposed.
    views = [
        place.as_strided(p.shape, p.stride())
        for place, p in zip(places, parameters, strict=True)
        if p.grad is not None
    ]
    if gradients:
        torch._foreach_copy_(views, gradients)
    flags.copy_(have, non_blocking=True)
    sums.copy_(extras)
    dist.all_reduce(flat)
    look = flat.device.type == "cpu" or _is_new(have)
    if look and not torch.equal(flags.cpu(), have * replicas):
        raise GalgenError(
            "the replicas hold gradients for different parameters; please report this as a bug."
        )
    # Where nobody looks, a step of which parts are missing counts as bad, on all of them.
    sums[0] += ((flags > 0) & (flags < replicas)).sum()
    torch._foreach_div_(views, replicas)
    if gradients:
        torch._foreach_copy_(gradients, views)
    return sums.clone()


_seen: set[bytes] = set()


def _is_new(have: Tensor) -> bool:
    """Whether these parameters have gradients for the first time; asking a GPU costs a wait."""
    pattern = bytes(have.bool().tolist())
    known = pattern in _seen
    _seen.add(pattern)
    return not known
