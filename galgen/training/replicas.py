"""Data parallel training of two networks without the wrapper that breaks on them.

``DistributedDataParallel`` expects one forward and one backward a step and fails for every
adversarial pair (Lightning #20328, #20866). Here parameters are broadcast once at the start,
and the gradients of each optimizer step are averaged by one flat all-reduce.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed as dist
from torch import nn

from galgen.errors import GalgenError


class ReplicaStrategy(DDPStrategy):
    """DDP's processes and devices, with the module left unwrapped.

    `galgen.models.base.AdversarialModule` averages the gradients itself.
    """

    def configure_ddp(self) -> None:
        """Broadcast rank 0's weights instead of wrapping the module."""
        module = self.lightning_module
        if module is not None and dist.is_initialized():
            broadcast(module)

    def _setup_model(self, model: nn.Module) -> Any:
        return model

    def setup(self, trainer: Any) -> None:
        """As DDPStrategy does, less the wrapper."""
        super().setup(trainer)
        self.configure_ddp()


def world() -> tuple[int, int]:
    """(rank, number of replicas)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_first() -> bool:
    """True on the one process that writes files and talks, also before the processes meet."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


@torch.no_grad()
def broadcast(module: nn.Module) -> None:
    """Give every replica rank 0's parameters and buffers."""
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.data, src=0)


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over the replicas in one all-reduce.

    Raises
    ------
    GalgenError
        If the replicas hold gradients for different parameters, which would mix up tensors.
    """
    _, replicas = world()
    if replicas == 1:
        return
    have = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
    device = parameters[0].device
    total = have.to(device, copy=True)
    dist.all_reduce(total)
    if not bool((total.cpu() == have * replicas).all()):
        raise GalgenError(
            "the replicas hold gradients for different parameters; please report this as a bug."
        )
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= replicas
    offset = 0
    for gradient in gradients:
        size = gradient.numel()
        gradient.copy_(flat[offset : offset + size].view_as(gradient))
        offset += size
