"""Means over an interval."""

from __future__ import annotations

import torch

from galgen.training.means import Means


def test_sums_of_a_checkpoint_go_on_on_another_device() -> None:
    means = Means()
    means.load({"loss": [3.0, 2.0]})
    means.note("loss", torch.ones((), device="meta"))
    assert means.sums["loss"].is_meta
    means.load({"loss": [3.0, 2.0]})
    means.note("loss", torch.tensor(6.0))
    assert means.state() == {"loss": [9.0, 3.0]}
    mark = means.mark()
    means.note("loss", torch.tensor(70.0))
    means.note("other", torch.tensor(1.0))
    means.reset(mark)
    assert means.take() == {"loss": 3.0}
    assert means.take() == {}
