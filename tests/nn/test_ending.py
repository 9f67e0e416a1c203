"""What generators end in: the order of the steps, their noise, and what they must be told."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import clamp_inward
from galgen.nn.psf import Psf
from galgen.nn.smear import Smear
from galgen.stretch import Stretch

KERNELS = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(3))
STRETCH = Stretch("asinh", torch.zeros(3), torch.full((3,), 0.05), torch.full((3,), 20.0))


def end(**settings: Any) -> End:
    """An end that has something to do at each of its steps."""
    torch.manual_seed(5)
    made = End(4, 3, EndSettings(**settings))
    if made.grain is not None:
        torch.nn.init.normal_(made.grain.strength.weight, std=0.2)
    if made.psf is not None:
        made.set_kernels(KERNELS)
        made.stretch = STRETCH
    return made


def inputs(made: End) -> tuple[Tensor, Tensor, list[Tensor]]:
    torch.manual_seed(6)
    noise = [torch.randn(2, *shape) for shape in made.noise_shapes(12)]
    return torch.randn(2, 4, 12, 12), torch.randn(2, 3, 12, 12) * 0.3 + 0.5, noise


def test_every_step_in_its_order() -> None:
    made = end(psf="0.7", smear=True, clamp=True)
    x, picture, noise = inputs(made)
    psf = Psf(3)
    psf.set_kernels(KERNELS)
    psf.set_stretch(STRETCH)
    seen = psf(picture)
    assert made.grain is not None
    seen = seen + made.grain(x, seen, noise[0])
    smeared = Smear()(seen, noise[1])
    assert (smeared > 1).any()
    assert torch.equal(made(x, picture, noise), clamp_inward(smeared))


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ({}, [(3, 12, 12)]),
        ({"smear": True}, [(3, 12, 12), (1, 1, 1)]),
        ({"smear": True, "grain": False}, [(1, 1, 1)]),
        ({"grain": False, "psf": "0.7"}, []),
    ],
)
def test_noise_is_what_it_takes_and_all_that_it_takes(
    settings: Mapping[str, Any], shapes: list[tuple[int, ...]]
) -> None:
    made = end(**settings)
    x, picture, noise = inputs(made)
    assert [tuple(part.shape[1:]) for part in noise] == shapes == made.noise_shapes(12)
    want = made(x, picture, noise)
    torch.manual_seed(9)
    assert torch.equal(made(x, picture, noise), want)
    assert torch.equal(made(x, picture), want) == (not shapes)


def test_grain_can_be_left_out_without_touching_the_rest() -> None:
    made = end(smear=True)
    x, picture, noise = inputs(made)
    made.quiet = True
    assert torch.equal(made(x, picture, noise), Smear()(picture, noise[1]))


def test_fading_in_starts_from_the_picture_alone() -> None:
    made = end(psf=2.5, smear=True)
    x, picture, noise = inputs(made)
    assert torch.equal(made(x, picture, noise, amount=0.0), picture)
    steps = [made(x, picture, noise, amount=a) for a in (0.25, 0.5, 0.999999, 1.0)]
    away = [float((step - picture).detach().abs().mean()) for step in steps]
    assert away == sorted(away)
    assert torch.allclose(steps[2], steps[3], atol=1e-4)


def test_a_psf_has_to_be_set_and_a_layer_to_be_there() -> None:
    x, picture, noise = inputs(end())
    with pytest.raises(ValueError, match="not set"):
        End(4, 3, EndSettings(psf="auto"))(x, picture, noise)
    for absent in (None, "none", " None "):
        made = end(psf=absent)
        assert made.psf is None
        made(x, picture, noise)
        with pytest.raises(ValueError, match="no point spread function"):
            made.set_kernels(KERNELS)


def test_a_copy_and_a_state_carry_the_psf() -> None:
    made = end(psf="0.7")
    x, picture, noise = inputs(made)
    want = made(x, picture, noise)
    assert torch.equal(copy.deepcopy(made)(x, picture, noise), want)
    fresh = End(4, 3, EndSettings(psf="psf.fits"))
    fresh.load_state_dict(made.state_dict())
    fresh.stretch = STRETCH
    assert fresh.stretch is STRETCH
    assert torch.equal(fresh(x, picture, noise), want)
    assert set(made.state_dict()) - set(end().state_dict()) == {"psf.kernels"}
    other = end(psf="0.7")
    other.set_kernels(None)
    other.quiet = True
    assert torch.equal(other(x, picture, noise), picture)


@pytest.mark.parametrize(
    "wrong", [{"grain": 1}, {"smear": "yes"}, {"psf": True}, {"psf": ["a"]}, {"blur": True}]
)
def test_settings_are_checked(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EndSettings(**wrong)
