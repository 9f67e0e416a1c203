"""Morphology of images that hold nothing, odd ones, and its gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.measure.morphology import QUANTITIES, core, measure_morphology
from galgen.measure.morphology.sources import find_sources
from profiles import one_band, sersic


@pytest.mark.parametrize("display", [False, True])
def test_images_that_hold_nothing(display: bool) -> None:
    flux = torch.zeros(6, 2, 32, 32)
    flux[1] = 7
    flux[2] = torch.nan
    flux[3] = torch.inf
    flux[4, 0] = torch.nan
    flux[5] = 0.01 * torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(3))
    columns = measure_morphology(flux.requires_grad_(), ImageSpec(32, ("a", "b"), display=display))
    assert not columns.pop("measured").any()
    assert set(QUANTITIES) < set(columns)
    assert all(column.isnan().all() for column in columns.values())


def test_no_images() -> None:
    columns = measure_morphology(torch.zeros(0, 3, 32, 32), sersic_spec(32))
    assert {len(column) for column in columns.values()} == {0}
    assert set(columns) > {*QUANTITIES, "measured"}


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        measure_morphology(torch.zeros(2, 2, 32, 32), sersic_spec(32))


def odd_images() -> list[tuple[str, Tensor, ImageSpec]]:
    flux, spec = torch.from_numpy(simulate(4, size=48)[0]), sersic_spec(48)
    holes = flux.clone()
    holes[:, :, 20:22] = torch.nan
    holes[1, 0] = torch.nan
    grey = (flux / flux.amax((1, 2, 3), keepdim=True) * 400).clamp(0, 255).round()
    dots = torch.zeros(3, 1, 32, 32)
    dots[0, 0, 15, 15], dots[1, 0, 14:18, 14:18], dots[2, 0, 15, 10:20] = 100, 50, 30
    return [
        ("plain", flux, spec),
        ("without noise", torch.from_numpy(simulate(4, size=48, noise=False)[0]), spec),
        ("pedestal", flux + 1000, spec),
        ("holes", holes, spec),
        ("clipped grey levels", grey, spec.replace(display=True)),
        ("dots", dots, one_band(32)),
        ("round", sersic(0.5, 6, 64)[None], one_band(64)),
        ("tiny", torch.from_numpy(simulate(4, size=8)[0]), sersic_spec(8)),
        ("fills the frame", 500 * sersic(1, 60, 48)[None], one_band(48)),
    ]


@pytest.mark.parametrize(
    ("name", "flux", "spec"), odd_images(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_gradients_are_finite(name: str, flux: Tensor, spec: ImageSpec) -> None:
    flux = flux.clone().requires_grad_()
    columns = measure_morphology(flux, spec)
    if name not in ("dots", "fills the frame", "tiny"):
        assert columns["measured"].all()
    for quantity in QUANTITIES:
        column = columns[quantity]
        assert (column.isfinite() == columns["measured"]).all()
        # NaN that is left out, as a mean over those measured leaves it out.
        (gradient,) = torch.autograd.grad(column.nansum(), flux, retain_graph=True)
        assert gradient.isfinite().all(), quantity
        if name == "plain" and quantity != "smoothness":
            assert (gradient.flatten(1).abs().amax(1) > 0).all(), quantity


def test_gradients_know_that_gain_changes_nothing(some: tuple[Tensor, ImageSpec]) -> None:
    # Euler: a function that no factor changes has a gradient at right angles to its argument.
    sources = find_sources(some[0].double(), some[1])
    light = sources.light.requires_grad_()
    values, good = core._measure(replace(sources, light=light))
    assert good.all()
    for name in QUANTITIES:
        (gradient,) = torch.autograd.grad(values[name].sum(), light, retain_graph=True)
        along = (gradient * light).sum((1, 2)).abs()
        size = gradient.flatten(1).norm(dim=1) * light.flatten(1).norm(dim=1)
        assert (along <= 1e-6 * size + 1e-9).all(), name


def test_the_gradient_is_the_slope(some: tuple[Tensor, ImageSpec]) -> None:
    flux, spec = some[0][:2].double(), some[1]
    step = 1e-7 * torch.randn(flux.shape, generator=torch.Generator().manual_seed(1)).double()
    # Of the sky's level, which the gradient takes as given, nothing may change.
    step[:, :, :6], step[:, :, -6:], step[..., :6], step[..., -6:] = 0, 0, 0, 0
    for name in ("gini", "m20", "bulge"):
        start = flux.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(measure_morphology(start, spec)[name].sum(), start)
        ahead, behind = (
            measure_morphology(flux + sign * step, spec)[name].sum() for sign in (1, -1)
        )
        want = float((ahead - behind) / 2)
        assert float((gradient * step).sum()) == pytest.approx(want, rel=0.02), name
