"""The features `galaxy`: any input, the same answer, and distances that grow with distortions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.data.sets import open_set
from galgen.errors import GalgenError
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.frechet import frechet_between
from galgen.metrics.galaxy import WEIGHTS, GalaxyFeatures, load_network, random_network, resized
from galgen.metrics.galaxy_network import GalaxyNetwork
from galgen.metrics.nearest import ORIENTATIONS, orient

NAMES = ("u", "g", "r", "i", "z", "y", "j")


@cache
def hubble() -> tuple[Tensor, ImageSpec]:
    cutouts = open_set("hubble", size=32, count=160)
    return torch.from_numpy(cutouts.read(range(len(cutouts)))), cutouts.spec


@cache
def sersic() -> tuple[Tensor, Tensor]:
    """Flux of 400 galaxies, and their kinds."""
    flux, catalogue = simulate(400, seed=11)
    return torch.from_numpy(flux), torch.from_numpy(catalogue["kind"])


def blurred(flux: Tensor, sigma: float) -> Tensor:
    axis = torch.arange(-8, 9, dtype=torch.float32)
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(flux.shape[1], 1, 1, -1)
    flux = F.pad(flux, (8,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(flux, kernel, groups=3), kernel.mT, groups=3)


@pytest.mark.parametrize("bands", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("size", [16, 64, 99])
def test_any_bands_and_sizes(galaxies: Callable[..., Tensor], bands: int, size: int) -> None:
    images = galaxies(3, bands, size)
    features = GalaxyFeatures.fit(images, ImageSpec(size, NAMES[:bands]))
    out = features(images)
    assert isinstance(features, FeatureExtractor)
    assert (features.name, features.n_features) == ("galaxy", 64)
    assert out.shape == (3, 64)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert out.std(0).min() > 0


def test_the_largest_size_and_none(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(2, 1, 256)
    features = GalaxyFeatures.fit(images, ImageSpec(256, ("r",)))
    assert torch.isfinite(features(images)).all()
    assert features(images[:0]).shape == (0, 64)


@pytest.mark.parametrize("display", [False, True])
def test_finite_for_any_image(galaxies: Callable[..., Tensor], display: bool) -> None:
    images = galaxies(9, 5, 20)
    features = GalaxyFeatures.fit(images, ImageSpec(20, NAMES[:5], display=display))
    images[0] = 0
    images[1] = 5
    images[2] = -1e6
    images[3] = float("nan")
    images[4] = float("inf")
    images[5, :, 10, 10] = 1e30
    images[6, 0] = float("-inf")
    images[7, :, :, 3:] = float("nan")
    out = features(images)
    assert torch.isfinite(out).all()
    assert out.abs().max() < 1e4


def test_an_image_does_not_depend_on_the_others_nor_on_the_call() -> None:
    flux, spec = hubble()
    features = GalaxyFeatures.fit(flux, spec)
    together = features(flux[:40])
    assert torch.equal(features(flux[:40]), together)
    torch.testing.assert_close(features(flux[7:9]), together[7:9], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(GalaxyFeatures(spec)(flux[:40]), together)


def test_the_global_generator_stays_as_it_is() -> None:
    before = torch.get_rng_state()
    random_network(3)
    load_network()
    assert torch.equal(torch.get_rng_state(), before)


def test_fakes_are_drawn_with_the_stretch_of_the_real_ones() -> None:
    flux, _ = sersic()
    features = GalaxyFeatures.fit(flux, sersic_spec())
    alone = features(flux[:20] * 3)
    both = features(torch.cat([flux[:20] * 3, flux]))[:20]
    torch.testing.assert_close(alone, both, atol=1e-4, rtol=1e-4)
    assert (alone - features(flux[:20])).abs().mean() > 0.2


def test_fluxes_need_a_stretch_and_the_bands_must_fit() -> None:
    with pytest.raises(ValueError, match="need a stretch"):
        GalaxyFeatures(ImageSpec(32, ("g", "r")))
    features = GalaxyFeatures(ImageSpec(32, ("R", "G", "B"), display=True))
    with pytest.raises(ValueError, match="expected"):
        features(torch.zeros(2, 1, 32, 32))


def test_resizing_is_that_of_torch() -> None:
    planes = torch.rand(2, 3, 100, 100)
    expected = F.interpolate(planes, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(resized(planes), expected, atol=1e-5, rtol=1e-5)
    planes = planes[..., :32, :32]
    expected = F.interpolate(planes, (64, 64), mode="bilinear")
    torch.testing.assert_close(resized(planes), expected, atol=1e-5, rtol=1e-5)


def test_turns_change_less_than_another_galaxy() -> None:
    flux, spec = hubble()
    features = GalaxyFeatures(spec)
    turned = torch.stack([features(orient(flux[:100], k)) for k in range(ORIENTATIONS)])
    assert turned.var(0).mean() < 0.15 * turned.flatten(0, 1).var(0).mean()


@pytest.mark.parametrize("what", ["blur", "noise", "dim", "red"])
def test_distance_grows_with_the_distortion(what: str) -> None:
    flux, spec = hubble()
    real, other = flux[::2], flux[1::2]
    features = GalaxyFeatures.fit(real, spec)
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))
    made = {
        "blur": [blurred(other, s) for s in (0.5, 1.0, 2.0)],
        "noise": [(other + s * noise).clamp(0, 255) for s in (4, 10, 25)],
        "dim": [other * g for g in (0.85, 0.7, 0.5)],
        "red": [other * torch.tensor([1, g, g])[:, None, None] for g in (0.9, 0.8, 0.6)],
    }[what]
    distances = [frechet_between(features(real), features(x)) for x in [other, *made]]
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


def test_it_tells_kinds_apart_better_than_random_weights() -> None:
    flux, kinds = sersic()
    rows = torch.nonzero(kinds < 2).flatten()
    errors = {}
    for name, seed in (("trained", None), ("random", 0)):
        x = GalaxyFeatures.fit(flux, sersic_spec(), random=seed)(flux[rows]).double()
        x = torch.cat([x, torch.ones(len(x), 1)], 1)
        y = kinds[rows].double() * 2 - 1
        half = len(rows) // 2
        ridge = x[:half].T @ x[:half] + 10 * torch.eye(x.shape[1])
        weights = torch.linalg.solve(ridge, x[:half].T @ y[:half])
        errors[name] = float(((x[half:] @ weights).sign() != y[half:]).double().mean())
    assert errors["trained"] < 0.8 * errors["random"]


def test_random_networks_are_standardised_and_differ_by_seed() -> None:
    flux, _ = sersic()
    one, two = (GalaxyFeatures.fit(flux, sersic_spec(), random=s)(flux) for s in (0, 1))
    torch.testing.assert_close(one.mean(0), torch.zeros(64), atol=1e-3, rtol=0)
    torch.testing.assert_close(one.std(0), torch.ones(64), atol=1e-3, rtol=0)
    assert not torch.allclose(one, two)


def test_folding_the_normalisations_changes_no_feature() -> None:
    network = GalaxyNetwork().train()
    planes = torch.rand(16, 3, 64, 64)
    for _ in range(3):
        network(planes)
    network.eval()
    torch.testing.assert_close(network.folded()(planes), network(planes), atol=1e-4, rtol=1e-4)


def test_the_file_is_small_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert WEIGHTS.stat().st_size < 8e6
    assert (WEIGHTS.parent / "galaxy.md").is_file()
    (tmp_path / "x.safetensors").write_bytes(b"no weights")
    for name in ("x.safetensors", "absent.safetensors"):
        with pytest.raises(GalgenError, match=name):
            load_network(tmp_path / name)


@pytest.mark.slow
def test_blur_and_noise_on_sdss(real_data: Callable[[str], Path]) -> None:
    cutouts = open_set(real_data("sdss_gri_jpg"), crop=212, size=64, count=800)
    flux = torch.from_numpy(cutouts.read(range(800)))
    features = GalaxyFeatures.fit(flux, cutouts.spec)
    rows = features(flux)
    noise = torch.randn(400, 3, 64, 64)
    for made in ([blurred(flux[400:], s) for s in (0.5, 1, 2)],
                 [(flux[400:] + s * noise).clamp(0, 255) for s in (2, 5, 15)]):  # fmt: skip
        distances = [frechet_between(rows[:400], features(x)) for x in made]
        distances = [frechet_between(rows[:400], rows[400:]), *distances]
        assert distances == sorted(distances)
