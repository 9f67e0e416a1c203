"""One latent of a generator that ends in a PSF layer, under several telescopes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from photutils.morphology import data_properties

from galgen import DCGAN, ImageSpec
from galgen.models.sampling import Look
from galgen.telescope import Telescope, prepare

SPEC = ImageSpec(16, ("g", "r"), "nanomaggy", (22.5, 22.5), 0.2, (0.7, 0.7))


@pytest.fixture(scope="module")
def model() -> DCGAN:
    torch.manual_seed(3)
    made = DCGAN(size=16, bands=SPEC.bands, widths=[8, 8, 8], critic_widths=[8, 8, 8], psf="auto")
    made.make_psf(SPEC)
    return made


def test_moments_and_light_of_one_latent(model: DCGAN) -> None:
    """Second moments differ by those of the PSFs to 2 %, the light by less than 1e-3."""
    views = [
        prepare(Telescope.of(**what), SPEC, layered=True, grained=True)
        for what in (
            {"psf": "0.7", "size": 64},
            {"psf": "1.3", "size": 64},
            {"psf": "1.3", "size": 40, "pixel_scale": 0.31},
        )
    ]
    assert {view.look_psf for view in views} == {"none"}
    bare = model.sample(4, psf=views[0].look_psf, noise=views[0].look_noise)
    # photutils takes light below 0 for none.
    bare = bare.abs()
    narrow, wide, coarse = (view.apply(bare, range(4), 0).double().numpy() for view in views)
    want = (1.3**2 - 0.7**2) / (8 * np.log(2)) / 0.2**2
    for galaxy in zip(narrow, wide, coarse, bare.double().numpy(), strict=True):
        for a, b, c, d in zip(*galaxy, strict=True):
            assert [x.sum() / d.sum() for x in (a, b, c)] == pytest.approx([1, 1, 1], abs=1e-3)
            difference = (data_properties(b).covariance - data_properties(a).covariance).value
            assert difference == pytest.approx(np.diag([want, want]), abs=0.02 * want)


def test_a_layer_and_a_telescope_of_the_same_psf_agree(model: DCGAN) -> None:
    view = prepare(Telescope.of(psf="moffat:3px"), SPEC, layered=True, grained=True)
    bare = model.sample(3, psf="none", noise=False)
    # Untrained, so in network space, where a linear stretch leaves convolution as it is.
    own = model.sample(3, psf="moffat:3px", noise=False)
    assert torch.allclose(view.apply(bare, range(3), 0), own, atol=1e-5)
    with_layer = Look(psf="moffat:3px", own_psf="0.7", noise=False)
    assert torch.equal(next(model.stream(range(3), None, 0, with_layer))[1], own)
