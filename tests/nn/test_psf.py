"""The PSF layer against plain loops in float64, and what it keeps: light, moments, gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from galgen.nn import psf as module
from galgen.nn.psf import Psf, convolve
from galgen.stretch import Stretch


def kernels(bands: int, side: int, symmetric: bool = True) -> torch.Tensor:
    random = np.random.default_rng(side)
    values = random.uniform(0.1, 1, (bands, side, side))
    if symmetric:
        values = values + values[:, ::-1]
        values = values + values[:, :, ::-1]
    return torch.tensor(values / values.sum(axis=(1, 2), keepdims=True))


def by_hand(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Every pixel's light spread by the kernel, at the edges from a mirror image."""
    r, (height, width) = len(kernel) // 2, image.shape
    wide = np.pad(image, r, mode="symmetric")
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for dy in range(-r, r + 1):
                for dx in range(-r, r + 1):
                    out[y, x] += kernel[r + dy, r + dx] * wide[r + y - dy, r + x - dx]
    return out


def asinh_stretch(bands: int) -> Stretch:
    spread = torch.arange(1.0, bands + 1)
    return Stretch("asinh", 0.1 * spread, 0.02 * spread, 30 * spread)


def layer(bands: int, side: int, stretch: Stretch | None = None) -> Psf:
    made = Psf(bands)
    made.set_kernels(kernels(bands, side, symmetric=False))
    made.set_stretch(stretch)
    return made


@pytest.fixture(params=["sum", "spectrum"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPECTRAL_SIDE", 99 if request.param == "sum" else 3)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("side", "shape"), [(3, (6, 7)), (7, (9, 8)), (9, (8, 8)), (15, (8, 8))])
def test_convolution_by_hand(side: int, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    k = kernels(3, side, symmetric=False)
    want = [[by_hand(b.numpy(), q.numpy()) for b, q in zip(i, k, strict=True)] for i in x]
    assert np.abs(convolve(x, k).numpy() - np.array(want)).max() < 1e-12
    assert np.abs(convolve(x.float(), k.float()).numpy() - np.array(want)).max() < 1e-5


@pytest.mark.usefixtures("_way")
def test_light_is_kept_to_a_millionth() -> None:
    x = torch.randn(2, 3, 32, 32) ** 2
    for side in (5, 9, 21):
        seen = convolve(x, kernels(3, side).float())
        assert torch.allclose(seen.sum((2, 3)), x.sum((2, 3)), rtol=1e-6, atol=0)
    # Of any kernel, what is nowhere near the edges.
    inner = torch.zeros(1, 2, 32, 32)
    inner[:, :, 12:20, 12:20] = torch.rand(8, 8) + 1
    seen = convolve(inner, kernels(2, 9, symmetric=False).float())
    assert torch.allclose(seen.sum((2, 3)), inner.sum((2, 3)), rtol=1e-6, atol=0)
    flat = torch.full((1, 2, 16, 16), 3.5)
    assert torch.allclose(convolve(flat, kernels(2, 9, symmetric=False).float()), flat, rtol=1e-6)


def moments(image: np.ndarray) -> np.ndarray:
    """Mean and covariance of the light of an image."""
    y, x = np.indices(image.shape)
    weights = image.ravel() / image.sum()
    points = np.stack([y.ravel(), x.ravel()])
    mean = points @ weights
    apart = points - mean[:, None]
    return np.concatenate([mean, (weights * apart @ apart.T).ravel()])


@pytest.mark.usefixtures("_way")
def test_second_moments_add() -> None:
    image = torch.zeros(1, 1, 48, 48)
    image[0, 0, 18:30, 20:29] = torch.rand(12, 9)
    kernel = kernels(1, 11, symmetric=False)
    seen = moments(convolve(image, kernel.float())[0, 0].double().numpy())
    parts = [moments(image[0, 0].double().numpy()), moments(kernel[0].numpy())]
    parts[1][:2] -= 5
    assert np.allclose(seen, sum(parts), rtol=1e-6, atol=1e-5)


def test_kernels_have_the_sum_1_and_nothing_to_train() -> None:
    made = Psf(2)
    made.set_kernels(7.3 * kernels(2, 5))
    assert made.kernels is not None
    assert made.kernels.dtype == torch.float32
    assert (made.kernels.double().sum((1, 2)) - 1).abs().max() < 1e-7
    assert list(made.parameters()) == []
    for wrong in (torch.ones(2, 4, 4), torch.ones(3, 3, 3), torch.ones(2, 3, 5), torch.ones(3, 3)):
        with pytest.raises(ValueError, match="kernels"):
            made.set_kernels(wrong)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("kind", ["asinh", "minmax", "linear"])
def test_it_works_in_flux(kind: str) -> None:
    fitted = asinh_stretch(3)
    scale = fitted.scale if kind == "asinh" else torch.ones(3)
    stretch = Stretch(kind, fitted.low, scale, fitted.top)
    made = layer(3, 7, stretch)
    picture = torch.randn(4, 3, 16, 16) * 0.4
    flux = stretch.inverse(picture.double())
    assert made.kernels is not None
    want = stretch(convolve(flux, made.kernels.double()))
    assert (made(picture) - want).abs().max() < 1e-5
    kept = stretch.inverse(layer(3, 1, stretch)(picture).double()).sum((2, 3))
    assert torch.allclose(kept, flux.sum((2, 3)), rtol=1e-6)


def test_left_out_and_swapped() -> None:
    made, picture = layer(2, 5, asinh_stretch(2)), torch.randn(1, 2, 12, 12)
    first = made(picture)
    made.set_kernels(None)
    assert torch.equal(made(picture), picture)
    made.set_kernels(kernels(2, 9, symmetric=False))
    assert (made(picture) - first).abs().max() > 0.01
    with pytest.raises(ValueError, match="set_kernels"):
        Psf(2)(picture)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("stretch", [None, asinh_stretch(2)], ids=["linear", "asinh"])
def test_gradients_pass(stretch: Stretch | None) -> None:
    made = layer(2, 5, stretch).double()
    picture = (torch.randn(1, 2, 6, 7, dtype=torch.float64) * 0.2).requires_grad_()
    assert torch.autograd.gradcheck(made, picture)
    assert torch.autograd.gradgradcheck(made, picture)


@pytest.mark.usefixtures("_way")
def test_gradients_of_a_bright_star_on_a_faint_sky() -> None:
    stretch = asinh_stretch(1)
    made = layer(1, 5, stretch)
    picture = torch.randn(1, 1, 16, 16) * 0.02
    # A hundred thousand times the sky noise.
    picture[0, 0, 8, 8] = 12.2 / float(torch.asinh((stretch.top - stretch.low) / stretch.scale))
    weights = torch.randn(1, 1, 16, 16)
    single, double = picture.requires_grad_(), picture.detach().double().requires_grad_()
    (made(single) * weights).sum().backward()
    (copy.deepcopy(made).double()(double) * weights).sum().backward()
    assert single.grad is not None
    assert double.grad is not None
    assert (single.grad - double.grad).abs().max() < 1e-4 * double.grad.abs().max()
    assert (double.grad != 0).all()


def test_wild_pictures_do_not_overflow() -> None:
    made = layer(2, 5, asinh_stretch(2))
    picture = (torch.randn(2, 2, 16, 16) * 1e4).requires_grad_()
    image = made(picture)
    image.sum().backward()
    assert image.isfinite().all()
    assert picture.grad is not None
    assert picture.grad.isfinite().all()
    bright = torch.full((1, 2, 8, 8), 50.0, requires_grad=True)
    (slope,) = torch.autograd.grad(made(bright).sum(), bright)
    assert (slope > 0).all()


def test_it_stays_in_float32_under_autocast() -> None:
    made, picture = layer(2, 5, asinh_stretch(2)), torch.randn(1, 2, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made(picture), layer(2, 5, asinh_stretch(2))(picture))
        assert made(picture.bfloat16()).dtype == torch.float32


def test_the_state_holds_kernels_of_any_size() -> None:
    source, fresh = layer(2, 7), Psf(2)
    fresh.load_state_dict(source.state_dict())
    assert torch.equal(fresh.kernels, source.kernels)
    other = layer(2, 3)
    other.load_state_dict(source.state_dict())
    assert torch.equal(other.kernels, source.kernels)
    assert other.kernels.data_ptr() != source.kernels.data_ptr()
    # A model that had none does not take one's own away.
    other.load_state_dict({})
    assert torch.equal(other.kernels, source.kernels)
    half = {name: value.half() for name, value in source.state_dict().items()}
    assert (half["kernels"].double().sum((1, 2)) - 1).abs().max() > 1e-6
    fresh.load_state_dict({name: value.float() for name, value in half.items()})
    assert (fresh.kernels.double().sum((1, 2)) - 1).abs().max() < 1e-6
