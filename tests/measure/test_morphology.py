"""Morphology against closed forms, symmetries and statmorph itself."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.errors import ConfigError
from galgen.measure.morphology import QUANTITIES, core, measure_morphology, shape
from galgen.measure.morphology.sources import find_sources
from galgen.measure.photometry import measure
from galgen.measure.reference import NAMES, statmorph_morphology
from profiles import noisy, one_band, sersic

#: Those that no turn, shift or flip changes.
SCALARS = tuple(name for name in QUANTITIES if name != "orientation")


def of(image: Tensor) -> dict[str, float]:
    """The numbers of one image (1, H, W)."""
    columns = measure_morphology(image[None], one_band(image.shape[-1]))
    assert columns["measured"].all()
    return {name: float(column[0]) for name, column in columns.items()}


def test_gini_of_known_pixels() -> None:
    rows = torch.tensor([[1.0, 1, 1, 1, 0, 0], [0, 0, 0, 5, 0, 0], [4, 2, 1, 3, 0, 0]])
    # Equal ones; all in one; 1 to n, of which it is 1/3 for every n.
    found = shape.gini(rows, torch.tensor([4, 4, 4]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 1 / 3]))
    # By the absolute value, and not by where the zeros that fill a row up stand.
    torch.testing.assert_close(shape.gini(-rows, torch.tensor([4, 4, 4])), found)


def test_m20_of_known_pixels() -> None:
    light = torch.tensor([[1.0, 4, 4, 1]])
    x, y = torch.tensor([[7.0, 9, 11, 13]]), torch.tensor([[5.0, 5, 5, 5]])
    value, good = shape.m20(light, x, y)
    assert good.all()
    assert float(value) == pytest.approx(math.log10(8 / 26))
    assert not shape.m20(-light, x, y)[1].any()


@pytest.mark.parametrize(("n", "radius"), [(0.5, 8.0), (1.0, 9.0), (4.0, 8.0)])
def test_profiles_have_their_radii(n: float, radius: float) -> None:
    b = gammaincinv(2 * n, 0.5)

    def within(r: float) -> float:
        return float(gammainc(2 * n, b * (r / radius) ** (1 / n)))

    def brightness(r: float) -> float:
        # d(light)/d(area), in units of the total over r_e^2.
        step = 1e-4 * r
        return (within(r + step) - within(r - step)) / (4 * math.pi * r * step)

    def radius_of(fraction: float, outer: float) -> float:
        return brentq(lambda r: within(r) - fraction * within(outer), 1e-3, 200)

    petro = brentq(
        lambda r: brightness(r) / (within(r) / (math.pi * r * r)) - 0.2, 0.5 * radius, 10 * radius
    )
    # A de Vaucouleurs profile is wide: what reaches the border counts as sky.
    found = of(noisy(sersic(n, radius, 256 if n > 2 else 96), 0.3))
    assert found["r_petro"] == pytest.approx(petro, rel=0.02)
    ratio = radius_of(0.8, 1.5 * petro) / radius_of(0.2, 1.5 * petro)
    # The pixels themselves widen a cusp.
    tolerance = 0.15 if n > 2 else 0.03
    assert found["concentration"] == pytest.approx(5 * math.log10(ratio), abs=tolerance)
    # Half of what is above the noise: of a de Vaucouleurs profile a good part is not.
    low, high = (0.7, 1.0) if n > 2 else (0.97, 1.02)
    assert low * radius < found["r_half"] < high * radius
    assert abs(found["asymmetry"]) < 0.01
    assert found["ellipticity"] < 0.02


def test_a_gaussian_has_its_half_light_radius() -> None:
    found = of(noisy(sersic(0.5, 1.17741 * 4, 64)))
    assert found["r_half"] == pytest.approx(1.17741 * 4, rel=0.01)
    assert found["concentration"] == pytest.approx(
        2.5 * math.log10(math.log(5) / math.log(1.25)), abs=0.03
    )


@pytest.mark.parametrize("angle", [0.5, -1.2])
def test_an_inclined_galaxy(angle: float) -> None:
    found = of(noisy(sersic(1, 7, x=0.3, y=-0.7, ratio=0.5, angle=angle)))
    assert found["ellipticity"] == pytest.approx(0.5, abs=0.02)
    assert found["orientation"] == pytest.approx(angle, abs=0.01)
    assert found["x"] == pytest.approx(47.5 + 0.3, abs=0.1)
    assert found["y"] == pytest.approx(47.5 - 0.7, abs=0.1)
    # Circles and ellipses of one galaxy: the ellipse of an inclined disk is its face-on circle.
    face_on = of(noisy(sersic(1, 7)))
    assert found["r_petro_ellip"] == pytest.approx(face_on["r_petro"], rel=0.05)
    assert found["r_petro"] < 0.85 * found["r_petro_ellip"]


def test_asymmetry_sees_a_companion_and_not_the_noise() -> None:
    alone = sersic(1, 6, 64)
    clump = 3 * sersic(0.5, 1.5, 64, x=7, y=3)
    assert abs(of(noisy(alone, 1))["asymmetry"]) < 0.01
    assert of(noisy(alone + clump, 1))["asymmetry"] > 0.1
    # Noise that would alone make 2 sigma / sqrt(pi) a pixel.
    loud = [of(noisy(alone, 60, seed))["asymmetry"] for seed in range(4)]
    assert abs(np.mean(loud)) < 0.06


def test_smoothness_sees_clumps() -> None:
    disk = sersic(1, 12, 96)
    clumps = disk.clone()
    for x, y in ((10, 3), (-8, 9), (-5, -11), (12, -8)):
        clumps += 2 * sersic(0.5, 1.5, 96, x=x, y=y)
    assert of(noisy(clumps))["smoothness"] > of(noisy(disk))["smoothness"] + 0.02


def test_the_bulge_statistic() -> None:
    found = [of(noisy(sersic(n, 8, 64))) for n in (0.7, 4)]
    for row in found:
        want = -0.693 * row["m20"] + 4.95 * row["gini"] - 3.96
        assert row["bulge"] == pytest.approx(want, abs=1e-4)
    assert found[0]["bulge"] < 0 < found[1]["bulge"]


def test_quarter_turns_change_the_orientation_alone(some: tuple[Tensor, ImageSpec]) -> None:
    flux, spec = some
    plain = measure_morphology(flux, spec)
    for turns in (1, 2):
        other = measure_morphology(flux.rot90(turns, (2, 3)), spec)
        # The square of sky is another one, which A and S of faint galaxies notice.
        tolerances = {"asymmetry": 0.05, "smoothness": 0.03, "m20": 0.02, "bulge": 0.03}
        for name in SCALARS:
            torch.testing.assert_close(
                other[name], plain[name], rtol=0.02, atol=tolerances.get(name, 0.01), msg=name
            )
        difference = plain["orientation"] - other["orientation"] - turns * math.pi / 2
        clear = plain["ellipticity"] > 0.1
        assert torch.sin(difference[clear]).abs().max() < 0.02


def test_gain_and_pedestal_change_nothing(some: tuple[Tensor, ImageSpec]) -> None:
    flux, spec = some
    plain = measure_morphology(flux, spec)
    for other in (flux * 1e5, flux * 1e-8, flux * 1e25, flux + 100):
        found = measure_morphology(other, spec)
        for name in QUANTITIES:
            torch.testing.assert_close(found[name], plain[name], rtol=1e-2, atol=5e-3, msg=name)


def test_a_batch_is_one_by_one(
    some: tuple[Tensor, ImageSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    flux, spec = some
    flux = torch.cat([flux[:2], torch.zeros(1, *spec.shape), flux[2:], flux[:3].flip(2)])
    whole = measure_morphology(flux, spec)
    single = [measure_morphology(image[None], spec) for image in flux]
    monkeypatch.setattr(core, "_CHUNK", 1)
    chunks = measure_morphology(flux, spec)
    for name, column in whole.items():
        for other in (torch.cat([s[name] for s in single]), chunks[name]):
            torch.testing.assert_close(
                other, column, rtol=1e-4, atol=1e-4, equal_nan=True, msg=name
            )


def test_threads_change_nothing(some: tuple[Tensor, ImageSpec]) -> None:
    flux, spec = some[0].repeat(3, 1, 1, 1), some[1]
    alone = measure_morphology(flux, spec)
    torch.set_num_threads(2)
    try:
        together = measure_morphology(flux.requires_grad_(), spec)
        with torch.no_grad():
            assert not measure_morphology(flux, spec)["gini"].requires_grad
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    for name, column in alone.items():
        torch.testing.assert_close(together[name], column, rtol=1e-4, atol=1e-4)
    together["asymmetry"].sum().backward()
    assert flux.grad is not None
    assert flux.grad.isfinite().all()


def test_whole_numbers_will_do() -> None:
    image = noisy(sersic(1, 6, 64)).round().clamp(0, 255)
    spec = one_band(64).replace(display=True)
    plain, found = (measure_morphology(v[None], spec) for v in (image, image.byte()))
    for name, column in plain.items():
        torch.testing.assert_close(found[name], column)


def test_the_source_is_that_of_photometry(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(4, size=64)
    images[1, :, 3:8, 3:8] += 500
    images[2] = 0
    spec = ImageSpec(64, ("g", "r", "i"))
    columns = measure(images, spec, method="aperture")
    sources = find_sources(images, spec)
    assert sources.detected.tolist() == columns["detected"].tolist()
    assert sources.other[1, 5, 5]
    assert not sources.other[0].any()
    assert (sources.segment[:, 32, 32] == sources.detected).all()


def test_a_neighbour_is_left_out() -> None:
    alone = sersic(1, 5, 64)
    crowd = alone + 30 * sersic(0.5, 1.5, 64, x=-24, y=20)
    first, second = of(noisy(alone)), of(noisy(crowd))
    for name in SCALARS:
        assert second[name] == pytest.approx(first[name], abs=0.05, rel=0.02), name


def test_a_reference_image_will_do(some: tuple[Tensor, ImageSpec]) -> None:
    flux, spec = some
    light = find_sources(flux, spec).light
    plain, found = measure_morphology(flux, spec), measure_morphology(light, spec)
    # The sky of the sum is not the sum of the skies, to which a round galaxy's angle is sensitive.
    for name in SCALARS:
        torch.testing.assert_close(found[name], plain[name], rtol=1e-2, atol=0.1, msg=name)


def test_statmorph_measures_the_same() -> None:
    pytest.importorskip("statmorph")
    flux, spec = torch.from_numpy(simulate(4, size=48, start=10)[0]), sersic_spec(48)
    flux = torch.cat([flux, torch.zeros(1, *spec.shape)])
    heard: list[tuple[int, int]] = []
    theirs = statmorph_morphology(
        flux, spec, processes=1, progress=lambda done, total: heard.append((done, total))
    )
    assert heard[-1] == (5, 5)
    assert heard[0] == (1, 5)
    assert theirs["flag"][4] == 4
    assert theirs["measured"].tolist() == [True] * 4 + [False]
    ours = measure_morphology(flux, spec)
    assert set(theirs) == {*NAMES, "measured", "flag"}
    assert ours.keys() | {"flag"} == set(theirs)
    good = theirs["flag"] == 0
    assert good.sum() >= 3
    # Of a number as large as one; radii to a few hundredths of themselves.
    tolerances = {
        "gini": 0.04, "m20": 0.05, "concentration": 0.1, "asymmetry": 0.03, "smoothness": 0.05,
        "ellipticity": 0.02, "orientation": 0.05, "bulge": 0.2,
    }  # fmt: skip
    for name, tolerance in tolerances.items():
        np.testing.assert_allclose(
            ours[name].numpy()[good], theirs[name][good], atol=tolerance, err_msg=name
        )
    for name in ("r_petro", "r_petro_ellip", "r_half"):
        np.testing.assert_allclose(
            ours[name].numpy()[good], theirs[name][good], rtol=0.06, err_msg=name
        )
    for name in ("x", "y"):
        np.testing.assert_allclose(
            ours[name].numpy()[good], theirs[name][good], atol=0.5, err_msg=name
        )


@pytest.mark.slow
def test_statmorph_in_processes_of_its_own() -> None:
    pytest.importorskip("statmorph")
    flux, spec = torch.from_numpy(simulate(5, size=32)[0]), sersic_spec(32)
    heard: list[tuple[int, int]] = []
    two = statmorph_morphology(
        flux, spec, processes=2, progress=lambda done, total: heard.append((done, total))
    )
    assert [total for _, total in heard] == [5] * len(heard)
    assert heard[-1] == (5, 5)
    one = statmorph_morphology(flux, spec, processes=1)
    for name, column in one.items():
        np.testing.assert_array_equal(two[name], column, err_msg=name)


def test_statmorph_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install galgen\[morphology\]"):
        statmorph_morphology(torch.zeros(1, 1, 8, 8), one_band(8))


def test_on_real_galaxies(real_data: Callable[[str], Path]) -> None:
    from astropy.io import fits

    paths = sorted(real_data("hsc_grizy_fits_48").glob("*.fits"))[:40]
    flux = torch.from_numpy(np.stack([fits.getdata(path).astype(np.float32) for path in paths]))
    spec = ImageSpec(48, ("g", "r", "i", "z", "y"), "count", (27.0,) * 5, 0.168)
    columns = measure_morphology(flux, spec)
    good = columns["measured"]
    assert good.float().mean() > 0.5
    limits = {
        "gini": (0.2, 0.9), "m20": (-3, 0), "concentration": (0.5, 5.5), "asymmetry": (-1, 2),
        "ellipticity": (0, 1), "r_petro": (1, 48), "r_half": (0.5, 30),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        assert ((columns[name][good] >= low) & (columns[name][good] <= high)).all(), name
