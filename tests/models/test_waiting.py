"""A training step never waits for the device: it asks for no value of a tensor on the host."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cases import CASES
from contract import Case, fit
from galgen.data.module import CutoutDataModule
from galgen.models.base import AdversarialModule

#: Operations that give the host a number, or whose result has a shape that only values decide.
ASKING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal")


class NoAsking(TorchDispatchMode):
    """Notes who asks for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        masks = name in ("index", "index_put", "index_put_") and any(
            place is not None and place.dtype == torch.bool for place in args[1]
        )
        if masks or name in ASKING or name.startswith(("unique_", "nonzero_")):
            lines = traceback.format_stack()
            here = [line for line in lines if "/galgen/" in line] or lines
            self.asked.append(f"{name}: {here[-1]}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pair)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits_for_the_device(
    case: Case, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    step = AdversarialModule.training_step

    def watched(self: Any, batch: Any, index: int) -> None:
        with NoAsking() as mode, pytest.MonkeyPatch.context() as patch:
            # Made on the host, and sent by a copy that waits.
            patch.setattr(Tensor, "new_tensor", lambda *_, **__: mode.asked.append("new_tensor"))
            step(self, batch, index)
        seen.append(mode.asked)

    monkeypatch.setattr(AdversarialModule, "training_step", watched)
    data = CutoutDataModule("sersic", size=16, batch=8, count=40, labels="catalogue:kind")
    model = case.build(16, classes=data.classes, recipe={"penalty_every": 2, "label_dropout": 0.1})
    data.epoch_images = 48
    fit(model, data, 6, precision=precision)
    assert seen == [[]] * 6


def test_the_test_sees_who_asks() -> None:
    with NoAsking() as mode:
        x = torch.ones(3)
        _ = float(x.sum()), bool((x > 0).all()), x[x > 0], torch.nonzero(x)
    assert len(mode.asked) >= 4
