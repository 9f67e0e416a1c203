"""The clamp that a generator can come back from."""

from __future__ import annotations

import torch

from galgen.nn.layers import clamp_inward


def test_values_are_clamped_and_gradients_lead_inside_only() -> None:
    x = torch.tensor([-1.0, -1.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    y = clamp_inward(x)
    assert y.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    # A descent step is -gradient: up, down, up, down, up, down.
    y.backward(torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [-1, 0, -1, 1, 0, 1]
