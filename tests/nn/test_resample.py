"""Resampling against its definition: insert zeros, pad, convolve, keep every second pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch import Tensor

from galgen.nn.layers import upsample
from galgen.nn.resample import average2, blur, downsample2, upsample2

ROW = np.array([1, 3, 3, 1]) / 8
KERNEL = np.outer(ROW, ROW)


def by_plane(x: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([[change(plane) for plane in image] for image in x.double().numpy()])


def plain_blur(plane: np.ndarray, padding: int) -> np.ndarray:
    return convolve2d(np.pad(plane, padding), KERNEL, mode="valid")


def plain_down(plane: np.ndarray) -> np.ndarray:
    return plain_blur(plane, 1)[::2, ::2]


def plain_up(plane: np.ndarray) -> np.ndarray:
    spread = np.zeros([2 * n for n in plane.shape])
    spread[::2, ::2] = plane
    return convolve2d(np.pad(spread, ((2, 1), (2, 1))), 4 * KERNEL, mode="valid")


CASES = {
    "average": (average2, lambda plane: plane.reshape(len(plane) // 2, 2, -1, 2).mean((1, 3))),
    "down": (downsample2, plain_down),
    "up": (upsample2, plain_up),
    "blur1": (lambda x: blur(x, 1), lambda plane: plain_blur(plane, 1)),
    "blur2": (lambda x: blur(x, 2), lambda plane: plain_blur(plane, 2)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_resampling_is_its_definition_also_at_the_edges(
    name: str, layout: torch.memory_format
) -> None:
    fast, plain = CASES[name]
    x = torch.randn(2, 3, 10, 14).contiguous(memory_format=layout)
    want = by_plane(x, plain)
    got = fast(x)
    assert got.shape == want.shape
    assert np.allclose(got.numpy(), want, atol=1e-6)
    assert got.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("name", CASES)
def test_low_precision_is_float32_to_its_rounding(name: str) -> None:
    fast, _ = CASES[name]
    x = torch.randn(2, 3, 10, 14).bfloat16()
    got = fast(x)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), fast(x.float()), atol=0.02)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_first_and_second_order(name: str) -> None:
    fast, _ = CASES[name]
    x = torch.randn(1, 2, 4, 6, dtype=torch.double, requires_grad=True)

    def curved(x: Tensor) -> Tensor:
        return fast(x).sin()

    assert torch.autograd.gradcheck(curved, (x,))
    assert torch.autograd.gradgradcheck(curved, (x,))


def test_doubling_is_bilinear_inside() -> None:
    x = torch.randn(2, 3, 6, 6)
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(upsample2(x)[inside], upsample(x)[inside], atol=1e-6)
