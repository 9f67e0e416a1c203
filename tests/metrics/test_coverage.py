"""Precision, recall, density and coverage against plain loops and known sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.metrics.coverage import NAMES, Coverage, coverage_between, radii
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.scorecard import coverage_scores


def plain(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """The papers' sums, one pair of galaxies at a time."""
    spread = real.std(dim=0, correction=1)
    r, g = ((x / spread).tolist() for x in (real, fake))

    def apart(a: list[float], b: list[float]) -> float:
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5

    def reach(rows: list[list[float]]) -> list[float]:
        return [
            sorted(apart(a, b) for j, b in enumerate(rows) if j != i)[k - 1]
            for i, a in enumerate(rows)
        ]

    real_reach, fake_reach = reach(r), reach(g)
    precise = recalled = dense = covered = 0
    for b in g:
        balls = sum(apart(a, b) <= limit for a, limit in zip(r, real_reach, strict=True))
        precise, dense = precise + (balls > 0), dense + balls
    for a, limit in zip(r, real_reach, strict=True):
        recalled += any(apart(a, b) <= far for b, far in zip(g, fake_reach, strict=True))
        covered += any(apart(a, b) <= limit for b in g)
    return {
        "precision": precise / len(g),
        "recall": recalled / len(r),
        "density": dense / (k * len(g)),
        "coverage": covered / len(r),
    }


def cloud(n: int, seed: int, features: int = 4, width: float = 1.0, shift: float = 0.0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return width * torch.randn(n, features, generator=source) + shift


@pytest.mark.parametrize(("n", "m", "k"), [(40, 30, 5), (30, 50, 3), (7, 6, 5)])
def test_equals_the_plain_sums(n: int, m: int, k: int) -> None:
    units = torch.tensor([1.0, 50.0, 0.7, 9.0])
    real, fake = cloud(n, 1) * units + 300, cloud(m, 2, width=0.8, shift=0.5) * units + 300
    found = coverage_between(real, fake, k)
    assert found == pytest.approx(plain(real, fake, k), abs=1e-6)
    assert 0 < found["coverage"] < 1 or n == 7


def test_the_nearest_neighbour_of_a_galaxy_is_another() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(line, 1).tolist() == [1, 1, 2, 4]
    assert radii(line, 2).tolist() == [3, 2, 3, 6]
    with pytest.raises(ValueError, match="4 images are too few for 4"):
        radii(line, 4)


def test_equal_sets_have_everything() -> None:
    real = cloud(60, 0)
    found = coverage_between(real, real)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # Each galaxy lies in its own ball and in those that hold it among their five.
    assert found["density"] == pytest.approx(1 + 1 / 5)


def test_a_far_set_has_nothing() -> None:
    assert set(coverage_between(cloud(60, 0), cloud(60, 1, shift=100)).values()) == {0.0}


def test_a_collapsed_generator_is_precise_and_covers_little() -> None:
    real = cloud(300, 0)
    found = coverage_between(real, real.mean(0) + cloud(300, 1, width=0.05))
    assert found["precision"] == 1
    assert found["recall"] < 0.05
    assert found["coverage"] < 0.3
    assert found["density"] > 1.2


def test_half_the_kinds_are_covered_by_half() -> None:
    kinds = torch.cat([cloud(200, 0), cloud(200, 1, shift=40)])
    one = cloud(200, 2)
    found = coverage_between(kinds, one)
    assert found["precision"] > 0.9
    assert found["recall"] == pytest.approx(0.5, abs=0.05)
    assert found["coverage"] == pytest.approx(0.5, abs=0.05)
    other = coverage_between(one, kinds)
    assert other["precision"] == pytest.approx(0.5, abs=0.05)
    assert other["recall"] > 0.9


def test_batches_add_up_and_real_ones_can_be_kept(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(40, seed=1), galaxies(30, seed=2, flux=2000.0)
    features = PhysicsFeatures.fit(real, ImageSpec(32, ("g", "r", "i")))
    metric = Coverage(features, reset_real_features=False)
    for part in real.split(7):
        metric.update(part, real=True)
    for part in fake.split(11):
        metric.update(part, real=False)
    expected = coverage_between(features(real), features(fake))
    assert {k: float(v) for k, v in metric.compute().items()} == pytest.approx(expected)
    assert not metric.state_dict()
    metric.reset()
    with pytest.raises(ValueError, match="0 images are too few"):
        metric.compute()
    metric.update(features(real), real=False)
    assert float(metric.compute()["coverage"]) == 1
    whole = Coverage(features)
    whole.update(real, real=True)
    whole.reset()
    assert [len(block) for block in whole.real_features] == [0]


def test_scores_of_equal_and_narrow_sets() -> None:
    real, equal = cloud(200, 0).numpy(), cloud(100, 1).numpy()
    found = coverage_scores(real, equal)
    assert tuple(found) == NAMES
    for name, score in found.items():
        assert score["n"] == 100, name
        assert score["z"] is not None
        assert abs(score["z"]) < 3.5
        assert score["interval"] is not None
        assert score["value"] is not None
        assert score["interval"][0] <= score["value"] <= score["interval"][1]
        assert score["interval"][1] <= 1 or name == "density"
    narrow = coverage_scores(real, 0.3 * equal)
    assert narrow["recall"]["z"] is not None
    assert narrow["recall"]["z"] > 5
    assert narrow["density"]["z"] is not None
    assert narrow["density"]["z"] < -5
    assert narrow["coverage"]["value"] < found["coverage"]["value"]  # type: ignore[operator]


def test_too_few_galaxies_say_so() -> None:
    found = coverage_scores(cloud(10, 0).numpy(), cloud(30, 1).numpy())
    assert {score["value"] for score in found.values()} == {None}
    assert found["coverage"]["reason"] == "5 images are too few for 5 nearest neighbours of each"


class Columns:
    """Features that are the images themselves."""

    name = "columns"
    n_features = 4

    def __call__(self, flux: Tensor) -> Tensor:
        return flux.flatten(1)


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    blocks = torch.load(f"{folder}/blocks.pt")
    metric = Coverage(Columns())
    metric.update(blocks["real"][rank::2], real=True)
    # The second process has no generated image at all.
    if rank == 0:
        metric.update(blocks["fake"], real=False)
    torch.save(torch.stack(list(metric.compute().values())), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo over a file needs POSIX paths")
@pytest.mark.filterwarnings("ignore")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    blocks = {"real": cloud(40, 0), "fake": cloud(30, 1, shift=0.2)}
    torch.save(blocks, tmp_path / "blocks.pt")
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(one, two)
    expected = coverage_between(blocks["real"], blocks["fake"])
    assert np.allclose(one.numpy(), list(expected.values()), atol=1e-6)
