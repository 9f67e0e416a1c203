"""Noise of a detector: its statistics, and that it is the same whatever else is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from galgen.errors import ConfigError
from galgen.telescope.noise import Noise

BANDS = ("g", "r")


def draws(noise: Noise, flux: np.ndarray, n: int = 400) -> np.ndarray:
    return np.stack([noise.add(flux, 3, index) for index in range(n)])


def test_texts_and_back() -> None:
    assert Noise.read_text("sigma=0.02", BANDS) == Noise(sigma=(0.02, 0.02))
    assert Noise.read_text(" sigma = 0.02/0.03 ", BANDS) == Noise(sigma=(0.02, 0.03))
    noise = Noise.read_text("gain=4,sky=0.1/0.3,read=5", BANDS)
    assert noise == Noise(sky=(0.1, 0.3), gain=(4, 4), read=(5, 5))
    assert Noise.read_text("sky=0,gain=2", BANDS).read == (0, 0)
    for made in (noise, Noise(sigma=(1 / 3, 0.0)), Noise.read_text("sky=0,gain=2", BANDS)):
        assert Noise.read_text(made.text(), BANDS) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing is none"),
        ("0.02", "0.02 is none, write sigma=0.02, or sky=0.1,gain=4"),
        ("rms=1", "rms=1 is none"),
        ("sigma=x", "x is no number"),
        ("sigma=", "nothing is no number"),
        ("sigma=nan", "nan is no number"),
        ("sigma=-1", "0 or more"),
        ("sigma=1,sky=2,gain=1", "write sigma"),
        ("sky=1", "write sigma"),
        ("sky=1,gain=0", "gain is electrons per unit of flux, above 0"),
        ("sky=1,gain=2,gain=3", "gain=3 is none"),
        ("sigma=1/2/3", "one number for sigma, or one for each of g, r"),
    ],
)
def test_what_is_not_understood(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Noise.read_text(text, BANDS)
    assert str(caught.value).startswith(f"--noise {text}")
    assert str(caught.value).count(". ") == 0


def test_gaussian_noise_of_each_band() -> None:
    flux = np.zeros((2, 16, 16)) + 7
    seen = draws(Noise.read_text("sigma=0.02/3", BANDS), flux)
    assert seen.std(axis=(0, 2, 3)) == pytest.approx([0.02, 3], rel=0.01)
    assert seen.mean(axis=(0, 2, 3)) == pytest.approx([7, 7], abs=0.03)
    assert abs(np.corrcoef(seen[:, 0].ravel(), seen[:, 1].ravel())[0, 1]) < 0.01


def test_photons_of_galaxy_and_sky() -> None:
    """Mean and variance in bins of brightness, of a tenth of an electron to a hundred thousand."""
    flux = np.geomspace(0.01, 2e4, 32)[None, :, None] * np.ones((2, 32, 200))
    noise = Noise.read_text("sky=0.02/3,gain=5,read=0/4", BANDS)
    seen = draws(noise, flux, 100)
    want = (flux[:, :, 0] + np.array([[0.02], [3]])) / 5 + np.array([[0], [4 / 5]]) ** 2
    variance = seen.transpose(1, 2, 0, 3).reshape(2, 32, -1).var(axis=2)
    assert np.abs(variance / want - 1).max() < 0.05
    mean = seen.mean(axis=(0, 3))
    assert np.abs((mean - flux[:, :, 0]) / np.sqrt(want / 20000)).max() < 4.5


def test_few_photons_are_counted() -> None:
    """No Gaussian: whole electrons, and the chance of none is that of Poisson."""
    flux = np.full((1, 100, 100), 0.1)
    seen = draws(Noise.read_text("sky=0.1,gain=2", ("g",)), flux, 20)
    electrons = (seen + 0.1) * 2
    assert np.allclose(electrons, np.round(electrons), atol=1e-9)
    assert (np.round(electrons) == 0).mean() == pytest.approx(np.exp(-0.4), rel=0.01)


def test_light_below_nothing() -> None:
    flux = np.full((1, 4, 4), -5.0)
    assert np.array_equal(Noise.read_text("sky=1,gain=3", ("g",)).add(flux, 0, 0), flux * 0 - 1)
    with pytest.raises(ConfigError, match="more than can be drawn"):
        Noise.read_text("sky=1,gain=1e20", ("g",)).add(-flux, 0, 0)


def test_the_same_noise_for_the_same_seed_and_sample() -> None:
    flux = np.ones((2, 8, 8))
    for text in ("sigma=1", "sky=9,gain=2,read=1"):
        noise = Noise.read_text(text, BANDS)
        first = noise.add(flux, 4, 17)
        assert np.array_equal(noise.add(flux, 4, 17), first)
        for other in ((5, 17), (4, 18), (4, 17, "sdss"), (4, 17, "hsc"), (4, 17, "", 1)):
            assert not np.array_equal(noise.add(flux, *other), first)
        assert np.array_equal(noise.add(flux, 4, 17, "", 0), first)


def test_telescopes_and_attempts_have_noise_of_their_own() -> None:
    flux, noise = np.zeros((1, 32, 32)), Noise(sigma=(1.0,))
    seen = [
        noise.add(flux, 4, 17, name, attempt).ravel()
        for name in ("", "sdss", "hsc", "\u00e9t\u00e9")
        for attempt in (0, 1, 2)
    ]
    assert np.abs(np.corrcoef(seen) - np.eye(len(seen))).max() < 0.15
    # As a header spells it, which a replay goes by.
    assert np.array_equal(noise.add(flux, 4, 17, "ete").ravel(), seen[9])
