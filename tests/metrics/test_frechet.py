"""The Frechet distance against scipy, over batches and over processes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from scipy.linalg import sqrtm
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.metrics.colour_magnitude import ColourMagnitude
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import (
    FrechetDistance,
    frechet_between,
    frechet_distance,
    moments,
    standard_scale,
)


class Linear(nn.Module):
    """A network as extractor: the metric must not adopt its weights."""

    name = "linear"
    n_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, flux: Tensor) -> Tensor:
        return self.layer(flux.mean((2, 3)))


def reference(a: Tensor, b: Tensor) -> float:
    """The textbook formula with scipy's general matrix root."""
    (m1, s1), (m2, s2) = moments(a), moments(b)
    root = sqrtm((s1 @ s2).numpy())
    return float((m1 - m2).square().sum() + (s1 + s2).trace()) - 2 * float(np.trace(root).real)


@pytest.mark.parametrize("features", [1, 5, 40])
def test_equals_the_general_root(features: int) -> None:
    generator = torch.Generator().manual_seed(features)
    mix = torch.randn(features, features, generator=generator, dtype=torch.float64)
    a = torch.randn(300, features, generator=generator, dtype=torch.float64) @ mix
    b = torch.randn(200, features, generator=generator, dtype=torch.float64) + 0.5
    value = float(frechet_distance(*moments(a), *moments(b)))
    assert value == pytest.approx(reference(a, b), rel=1e-6)


def test_gaussians_with_a_known_answer() -> None:
    # Diagonal covariances: sum of (mu1 - mu2)^2 + (sigma1 - sigma2)^2.
    one, two = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 4.0, 1.0])
    mean = torch.tensor([1.0, 0.0, 2.0])
    value = frechet_distance(mean, one.diag(), torch.zeros(3), two.diag())
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(5 + 1 + 0 + 4)


def test_equal_sets_are_at_zero_and_singular_ones_are_fine() -> None:
    a = torch.randn(6, 20, dtype=torch.float64)
    assert float(frechet_distance(*moments(a), *moments(a))) == pytest.approx(0, abs=1e-6)
    b = torch.randn(5, 20, dtype=torch.float64)
    assert np.isfinite(frechet_between(a, b))
    assert frechet_between(a, b) > 0


def test_units_of_features_do_not_matter() -> None:
    a, b = torch.randn(100, 4), torch.randn(80, 4) + 0.3
    units = torch.tensor([1.0, 1e3, 50.0, 7.0])
    assert frechet_between(a * units, b * units) == pytest.approx(frechet_between(a, b), rel=1e-5)
    # A shift by one standard deviation in one feature is a distance of 1.
    shifted = a.double().clone()
    shifted[:, 1] += standard_scale(moments(a)[1])[1]
    assert frechet_between(a.double(), shifted) == pytest.approx(1, rel=1e-6)


def test_a_constant_feature_does_not_divide_by_zero() -> None:
    a = torch.randn(50, 3)
    a[:, 2] = 4
    assert frechet_between(a, a + 1e-6) < 1e-3


def test_batches_add_up(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(60, seed=1), galaxies(40, seed=2, flux=1000.0)
    features = PhysicsFeatures.fit(real, ImageSpec(32, ("g", "r", "i")))
    metric = FrechetDistance(features)
    for part in real.split(7):
        metric.update(part, real=True)
    for part in fake.split(11):
        metric.update(part, real=False)
    expected = frechet_between(features(real), features(fake))
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    again = FrechetDistance(features)
    again.update(features(real), real=True)
    again.update(features(fake), real=False)
    assert float(again.compute()) == pytest.approx(expected, rel=1e-6)


def test_real_sums_can_be_kept() -> None:
    kept = FrechetDistance(Linear(), reset_real_features=False)
    kept.update(torch.randn(20, 4), real=True)
    kept.update(torch.randn(20, 4), real=False)
    kept.compute()
    kept.reset()
    assert float(kept.real_n) == 20
    assert float(kept.fake_n) == 0
    kept.update(torch.randn(20, 4), real=False)
    assert float(kept.compute()) > 0
    whole = FrechetDistance(Linear())
    whole.update(torch.randn(20, 4), real=True)
    whole.reset()
    assert float(whole.real_n) == 0


def test_the_extractor_stays_out_of_checkpoints() -> None:
    extractor = Linear()
    metric = FrechetDistance(extractor)
    holder = nn.ModuleDict({"metric": metric})
    assert not list(holder.parameters())
    assert not holder.state_dict()
    holder.to(torch.float16)
    assert metric.real_outer.dtype == torch.float64
    metric.update(torch.randn(5, 3, 4, 4), real=True)
    assert float(metric.real_n) == 5
    clone = copy.deepcopy(metric)
    assert float(clone.real_n) == 5


def test_too_few_images_are_named() -> None:
    metric = FrechetDistance(Linear())
    metric.update(torch.randn(5, 4), real=True)
    with pytest.raises(ValueError, match="two fake images"):
        metric.compute()


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    blocks = torch.load(f"{folder}/blocks.pt")
    frechet = FrechetDistance(Linear())
    colour = ColourMagnitude(ImageSpec(8, ("g", "r")))
    # The second process has no image at all.
    if rank == 0:
        for name, real in (("real", True), ("fake", False)):
            frechet.update(blocks[name], real=real)
            colour.update(blocks[name][:, :2], real=real)
    values = torch.stack([frechet.compute(), colour.compute()["ratio"].double()])
    torch.save(values, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo over a file needs POSIX paths")
@pytest.mark.filterwarnings("ignore")
def test_a_process_without_an_image(tmp_path: Path) -> None:
    blocks = {"real": torch.randn(40, 4), "fake": torch.randn(30, 4) + 0.2}
    torch.save(blocks, tmp_path / "blocks.pt")
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(one, two)
    assert float(one[0]) == pytest.approx(frechet_between(blocks["real"], blocks["fake"]), rel=1e-6)
    assert torch.isfinite(one[1])
