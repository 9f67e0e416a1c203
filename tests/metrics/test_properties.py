"""Distances property by property, their groups and their noise floor."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm, wasserstein_distance
from torch import Tensor

from galgen import open_set
from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.metrics.properties import PropertyDistances, properties_family, property_scores
from galgen.metrics.property_rows import MORPHOLOGY, measure_rows, property_names

GRI = ImageSpec(32, ("g", "r", "i"), "nanomaggy", (22.5, 22.5, 22.5))
NAMES = property_names(GRI)


def rows(n: int, seed: int, names: tuple[str, ...] = NAMES) -> np.ndarray:
    """Rows of independent Gaussians of many widths; angles at random."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, len(names))) * (1 + np.arange(len(names)))
    if "orientation" in names:
        table[:, names.index("orientation")] = rng.uniform(-np.pi / 2, np.pi / 2, n)
    return table


def test_columns_of_a_set() -> None:
    assert NAMES[:3] == ("magnitude", "colour", "r-i")
    assert set(MORPHOLOGY) | {"bulge"} <= set(NAMES)
    assert NAMES[-1] == "spectrum_14"
    few = property_names(ImageSpec(16, ("r",)), morphology=False, spectrum=False)
    assert few == ("magnitude", "r_half", "ellipticity")


def test_each_distance_is_that_of_scipy_in_units_of_the_reference() -> None:
    real, fake = rows(200, 0), rows(150, 1)
    fake[:, 0] += 0.3
    fake[::4, 3] = np.nan
    found = properties_family(NAMES).between(real, fake)
    for k, name in enumerate(NAMES):
        if name == "orientation" or name.startswith("spectrum_"):
            continue
        other = fake[:, k][np.isfinite(fake[:, k])]
        want = wasserstein_distance(real[:, k], other) / real[:, k].std()
        assert found[f"wasserstein_{name}"] == pytest.approx(want, rel=1e-9)
    morphology = np.mean([found[f"wasserstein_{name}"] for name in MORPHOLOGY])
    assert found["morphology"] == pytest.approx(morphology)
    rings = [k for k, name in enumerate(NAMES) if name.startswith("spectrum_")]
    # The rings are in dex, not in units of their spread.
    dex = np.mean([wasserstein_distance(real[:, k], fake[:, k]) for k in rings])
    assert found["spectrum"] == pytest.approx(dex)
    groups = [found[name] for name in ("morphology", "spectrum", "bulge")]
    assert found["wasserstein"] == pytest.approx(np.mean(groups))


def test_colours_of_early_and_late_types_are_compared_apart() -> None:
    names = ("colour", "bulge")
    real, fake = rows(400, 0, names), rows(400, 1, names)
    fake[fake[:, 1] >= 0, 0] += 0.5
    found = properties_family(names).between(real, fake)
    for which, sign in (("early", 1), ("late", -1)):
        one, two = (x[sign * x[:, 1] >= 0, 0] for x in (real, fake))
        want = wasserstein_distance(one, two) / one.std()
        assert found[f"wasserstein_colour_{which}"] == pytest.approx(want, rel=1e-9)
    assert found["wasserstein_colour_early"] > 3 * found["wasserstein_colour_late"]
    three = ("wasserstein_bulge", "wasserstein_colour_early", "wasserstein_colour_late")
    assert found["bulge"] == pytest.approx(np.mean([found[name] for name in three]))
    assert found["wasserstein"] == found["bulge"]


def test_a_rare_type_is_left_out_of_the_mean_and_says_so() -> None:
    names = ("colour", "bulge")
    real, fake = rows(400, 0, names), rows(400, 1, names)
    for x in (real, fake):
        x[:, 1] = -np.abs(x[:, 1])
        x[:7, 1] *= -1
    found = property_scores(real, fake, names)
    assert "too few" in str(found["wasserstein_colour_early"].get("reason"))
    pair = ("wasserstein_bulge", "wasserstein_colour_late")
    mean = np.mean([found[name]["value"] for name in pair])
    assert found["bulge"]["value"] == pytest.approx(mean)


def test_the_floor_of_1000_against_1000() -> None:
    # SCIENCE 1.H: 0.055 standard deviations. Between samples of N, F differs by a Gaussian of
    # variance 2 F (1 - F) / N, whose mean modulus is sqrt(4 F (1 - F) / (pi N)).
    integral = quad(lambda x: math.sqrt(norm.cdf(x) * norm.sf(x)), -10, 10)[0]
    expected = math.sqrt(4 / math.pi / 1000) * integral
    assert expected == pytest.approx(0.055, abs=0.004)
    names = tuple(f"property_{k}" for k in range(60))
    one, two = (np.random.default_rng(seed).normal(size=(1000, 60)) for seed in (0, 1))
    found = properties_family(names).between(one, two)
    assert np.mean(list(found.values())) == pytest.approx(expected, abs=0.007)
    scored = property_scores(np.concatenate([one, two]), two, names)
    floors = [float(score["floor"] or 0) for score in scored.values()]
    assert np.mean(floors) == pytest.approx(expected, abs=0.004)


def test_a_second_real_sample_is_at_its_floor() -> None:
    found = property_scores(rows(1000, 0), rows(500, 1), NAMES)
    assert all(score["n"] == 500 for score in found.values())
    # Means of many properties are nearly Gaussian; one alone is skewed, and may lie higher.
    for name, score in found.items():
        assert abs(score["z"] or 0) < (6 if name.startswith("wasserstein_") else 4)
    worse = rows(500, 1)
    worse[:, NAMES.index("m20")] *= 0.5
    found = property_scores(rows(1000, 0), worse, NAMES)
    assert (found["wasserstein_m20"]["z"] or 0) > 5
    assert abs(found["wasserstein_gini"]["z"] or 0) < 5


def test_one_absurd_value_does_not_rule_a_distance() -> None:
    real, fake = rows(400, 0), rows(200, 1)
    k = NAMES.index("smoothness")
    plain = properties_family(NAMES).between(real, fake)["wasserstein_smoothness"]
    fake[7, k] = 1e6
    one = properties_family(NAMES).between(real, fake)["wasserstein_smoothness"]
    assert plain < one < plain + 0.1
    real[3, k] = -1e6
    assert properties_family(NAMES).between(real, fake)["wasserstein_smoothness"] < plain + 0.1
    # Where all lie there, they are as far as that.
    fake[:, k] = 1e6
    far = properties_family(NAMES).between(real, fake)["wasserstein_smoothness"]
    assert far == pytest.approx(10, rel=0.25)


def test_halves_of_real_galaxies_agree(real_data: Callable[[str], Path]) -> None:
    cutouts = open_set(str(real_data("sdss_ugriz_fits")))
    flux = torch.from_numpy(cutouts.read(range(len(cutouts))))
    names = property_names(cutouts.spec)
    table = measure_rows(flux, cutouts.spec).double().numpy()
    assert np.isfinite(table[:, names.index("gini")]).mean() > 0.9
    order = np.random.default_rng(0).permutation(len(table))
    half = len(table) // 2
    found = property_scores(table[order[:half]], table[order[half:]], names)
    for group in ("morphology", "spectrum", "bulge", "wasserstein"):
        assert abs(found[group]["z"] or 0) < 4
    reddened = flux.clone()
    reddened[:, cutouts.spec.bands.index("g")] *= 0.6
    changed = measure_rows(reddened[order[half:]], cutouts.spec, morphology=False).double().numpy()
    bare = property_names(cutouts.spec, morphology=False)
    same = [names.index(name) for name in bare]
    worse = property_scores(table[order[:half]][:, same], changed, bare)
    before = found["wasserstein_colour"]["value"] or 0
    assert (worse["wasserstein_colour"]["value"] or 0) > 2 * before


def test_orientation_is_a_circle_in_units_of_random_angles() -> None:
    names = ("orientation",)
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(math.pi / 2, 0.1, (500, 1)) for _ in range(2))
    # Half of the real angles are written from the other side.
    real[::2] -= math.pi
    same = properties_family(names).between(real, fake)["wasserstein_orientation"]
    turned = properties_family(names).between(real, fake + 0.5)["wasserstein_orientation"]
    assert same < 0.05
    assert turned == pytest.approx(0.5 / (math.pi / math.sqrt(12)), abs=0.05)


def test_what_a_set_lacks_has_no_score() -> None:
    one_band = property_names(ImageSpec(32, ("r",)))
    scores = properties_family(one_band).scales
    assert "wasserstein_colour" not in scores
    assert "bulge" not in scores
    assert {"morphology", "spectrum", "wasserstein", "wasserstein_bulge"} <= set(scores)
    bare = properties_family(property_names(GRI, morphology=False, spectrum=False)).scales
    assert not {"morphology", "spectrum", "bulge", "wasserstein"} & set(bare)
    chosen = properties_family(NAMES, groups=("spectrum",)).scales
    assert "spectrum" in chosen
    assert "morphology" not in chosen
    with pytest.raises(ConfigError, match="no group 'shape'"):
        properties_family(NAMES, groups=("shape",))


def test_a_property_that_was_not_measured_is_named_and_the_others_stay() -> None:
    real, fake = rows(60, 0), rows(40, 1)
    fake[1:, NAMES.index("gini")] = np.nan
    real[:, NAMES.index("r-i")] = 0.4
    found = property_scores(real, fake, NAMES)
    reason = "only 1 of 40 generated galaxies have a measured gini"
    assert found["wasserstein_gini"].get("reason") == reason
    assert found["morphology"].get("reason") == reason
    assert found["wasserstein"].get("reason") == reason
    assert "same" in str(found["wasserstein_r-i"].get("reason"))
    assert found["wasserstein_m20"]["value"] is not None
    assert found["spectrum"]["value"] is not None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("which", ["real", "generated", "both"])
def test_sets_in_which_nothing_is_detected(which: str, galaxies: Callable[..., Tensor]) -> None:
    images = {"real": galaxies(12), "generated": galaxies(6, seed=1)}
    for name in images:
        if which in (name, "both"):
            images[name] = torch.zeros_like(images[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = (measure_rows(x, GRI).double().numpy() for x in images.values())
        found = property_scores(one, two, NAMES)
    for name, score in found.items():
        assert (score["value"] is None) == (name != "spectrum")
    assert "galaxies have a measured" in str(found["morphology"].get("reason"))
    json.dumps(found, allow_nan=False)
    bare = property_names(GRI, spectrum=False)
    with pytest.raises(ValueError, match=r"only 0 of \d+ (real|generated) galaxies"):
        properties_family(bare).between(one[:, : len(bare)], two[:, : len(bare)])


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_tiny_sets_give_numbers_or_sentences(n: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = property_scores(rows(n, 0), rows(n, 1), NAMES)
    for score in found.values():
        assert score["value"] is not None or score.get("reason")
    json.dumps(found, allow_nan=False)


def test_metric_sees_size_and_colour_and_forgets_order(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(48, seed=1), galaxies(48, seed=2)
    red = fake.clone()
    red[:, 1] *= 1.5
    values = []
    for block, batches in ((fake, 7), (fake.flip(0), 48), (red, 7)):
        metric = PropertyDistances(GRI)
        metric.update(real, real=True)
        for part in block.split(batches):
            metric.update(part, real=False)
        values.append({k: float(v) for k, v in metric.compute().items()})
    for name, value in values[0].items():
        assert value == pytest.approx(values[1][name], rel=1e-4, abs=1e-6)
    assert values[2]["wasserstein_colour"] > 3 * values[0]["wasserstein_colour"]
    assert values[2]["wasserstein_ellipticity"] < 3 * values[0]["wasserstein_ellipticity"] + 0.1
