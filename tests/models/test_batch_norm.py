"""Batch norm in `dcgan`: the contract, and the norm of the global batch against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from contract import Case, PairContract
from galgen import DCGAN
from galgen.nn.norm import BatchNorm
from galgen.nn.pyramid import levels

PLAIN = {"loss": "logistic", "r1": 0, "r2": 0, "gp": 0, "lr": 0.005}


def options(size: int) -> dict[str, object]:
    widths = [8] * (levels(size, "dcgan")[1] + 1)
    return {"latent": 8, "widths": widths, "critic_widths": widths, "norm": "batch"}


@pytest.fixture
def case() -> Case:
    return Case("dcgan", options, sizes=(16, 37), overfit=(1600, 0.85), recipe=PLAIN)


class TestBatchNorm(PairContract):
    pass


def test_where_the_norms_are() -> None:
    model = DCGAN(16, recipe={"loss": "logistic"}, **options(16))
    norms = {
        which: [name for name, module in network.named_modules() if isinstance(module, BatchNorm)]
        for which, network in (("generator", model.generator), ("critic", model.critic))
    }
    assert norms["generator"] == ["norm", "stages.0.norm", "stages.1.norm", "stages.2.norm"]
    assert norms["critic"] == ["norms.1", "norms.2", "mix_norm"]


def test_one_process_has_torchs_own() -> None:
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5) * 3 + 1
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
