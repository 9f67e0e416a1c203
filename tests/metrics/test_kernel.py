"""The kernel distance against scikit-learn's kernel and plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import galgen.metrics.pairs
from clouds import Columns, cloud
from galgen.metrics.kernel import (
    FARTHEST,
    KERNEL,
    KernelDistance,
    kernel_family,
    kernel_subsets,
)
from galgen.metrics.scorecard import scores

PLAIN = kernel_family(scaled=False)


def reference(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Equation 4 of the paper with scikit-learn's kernel."""
    polynomial_kernel = pytest.importorskip("sklearn.metrics.pairwise").polynomial_kernel
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    own = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return float(sum(own) - 2 * xy.mean())


@pytest.mark.parametrize(("n", "m", "features"), [(60, 40, 5), (20, 30, 64), (2, 2, 3)])
def test_equals_the_paper(n: int, m: int, features: int) -> None:
    x, y = cloud(n, 0, features) * 2 + 3, cloud(m, 1, features, shift=0.4)
    assert PLAIN.between(x, y)["kid"] == pytest.approx(reference(x, y), rel=1e-6)
    spread = np.maximum(x.std(0, ddof=1), 0.1)
    scaled = (np.clip((rows - x.mean(0)) / spread, -FARTHEST, FARTHEST) for rows in (x, y))
    wanted = reference(*scaled)
    assert KERNEL.between(x, y)["kid"] == pytest.approx(wanted, rel=1e-6)


def test_positions_that_repeat_are_rows_that_repeat() -> None:
    x, y = cloud(30, 0), cloud(20, 1, shift=0.5)
    one, two = (np.random.default_rng(k).integers(n, size=25) for k, n in ((0, 30), (1, 20)))
    found = PLAIN.over(x, y)(one, 30 + two)["kid"]
    assert found == pytest.approx(reference(x[one], y[two]), rel=1e-9)


def test_many_rows_are_not_kept_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = cloud(60, 0, 8), cloud(50, 1, 8, shift=0.2)
    whole = scores(KERNEL, x, y)
    monkeypatch.setattr(galgen.metrics.pairs, "KEPT", 10)
    monkeypatch.setattr(galgen.metrics.pairs, "_PAIRS", 100)
    parts = scores(KERNEL, x, y)
    assert parts["kid"]["value"] == pytest.approx(whole["kid"]["value"], rel=1e-9)
    assert parts["kid"]["interval"] == pytest.approx(whole["kid"]["interval"], rel=1e-9)


def test_it_is_unbiased_at_any_number() -> None:
    for n in (10, 40):
        values = [PLAIN.between(cloud(n, k, 16), cloud(n, 1000 + k, 16))["kid"] for k in range(80)]
        error = np.std(values, ddof=1) / len(values) ** 0.5
        assert abs(np.mean(values)) < 3.5 * error
        assert min(values) < 0


def test_a_shift_is_seen_and_units_do_not_matter() -> None:
    real, fake = cloud(300, 0, 8), cloud(150, 1, 8, shift=0.3)
    score = scores(KERNEL, real, fake)["kid"]
    assert score["z"] is not None
    assert score["z"] > 5
    assert score["floor"] == pytest.approx(0, abs=0.02)
    factors = np.array([1, 10, 1e4, 3, 5, 2, 7, 1.0])
    assert scores(KERNEL, real * factors + 9, fake * factors + 9)["kid"]["value"] == pytest.approx(
        score["value"], rel=1e-6
    )


def test_mean_over_subsets_is_the_whole() -> None:
    real, fake = cloud(200, 0, 8), cloud(200, 1, 8, shift=0.4)
    mean, spread = kernel_subsets(real, fake, size=50)
    whole = KERNEL.between(real, fake)["kid"]
    assert spread > 0
    assert mean == pytest.approx(whole, abs=3.5 * spread / 10)
    assert kernel_subsets(real, fake, size=50) == (mean, spread)
    all_of_them = kernel_subsets(real, fake, subsets=3)
    assert all_of_them[0] == pytest.approx(whole)
    assert all_of_them[1] == pytest.approx(0, abs=1e-12)


def test_constant_features_and_single_images() -> None:
    same = np.ones((9, 3))
    assert KERNEL.between(same, same)["kid"] == pytest.approx(0, abs=1e-9)
    assert scores(KERNEL, same, same)["kid"]["z"] is None
    with pytest.raises(ValueError, match="two images of each set, got 1"):
        KERNEL.between(same, same[:1])


def test_metric_equals_the_family() -> None:
    real, fake = cloud(60, 0), cloud(50, 1)
    for scaled, family in ((True, KERNEL), (False, PLAIN)):
        metric = KernelDistance(Columns(), scaled=scaled)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(fake), real=False)
        wanted = family.between(real, fake)["kid"]
        assert float(metric.compute()["kid"]) == pytest.approx(wanted, rel=1e-9)
