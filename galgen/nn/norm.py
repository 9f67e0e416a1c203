"""Batch norm whose statistics are those of the global batch, on every device."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

#: Values of the option ``norm``.
Norm = Literal["none", "batch"]


class _SumOverReplicas(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        total = cast(Tensor, gradients[0]).clone()
        dist.all_reduce(total)
        return total


class BatchNorm(nn.BatchNorm2d):
    """Batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1) over all replicas.

    `torch.nn.SyncBatchNorm` does it on CUDA alone; this does it by two differentiable sums
    wherever replicas run, so that two processes equal one. With one process it is
    `torch.nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        replicas = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if not self.training or replicas == 1:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            mean = _SumOverReplicas.apply(x.mean(dim=(0, 2, 3))) / replicas
            centred = x - mean[:, None, None]
            variance = _SumOverReplicas.apply(centred.square().mean(dim=(0, 2, 3))) / replicas
            self._follow(mean.detach(), variance.detach(), replicas * x[:, 0].numel())
            scale = self.weight * torch.rsqrt(variance + self.eps)
            y = centred * scale[:, None, None] + self.bias[:, None, None]
        return y.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as `torch.nn.BatchNorm2d` does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        self.num_batches_tracked.add_(1)


def make_norm(norm: Norm, features: int) -> nn.Module:
    """The norm of that name for so many feature maps."""
    return BatchNorm(features) if norm == "batch" else nn.Identity()
