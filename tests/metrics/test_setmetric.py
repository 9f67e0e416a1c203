"""Metrics of sets as torchmetrics: order of batches, replicas, and what is kept."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from clouds import Columns, Linear, cloud, images
from galgen.metrics.coverage import Coverage
from galgen.metrics.extrapolation import FrechetInfinity
from galgen.metrics.frechet import FRECHET, FrechetDistance
from galgen.metrics.kernel import KernelDistance
from galgen.metrics.radio import RadioDistance
from galgen.metrics.scorecard import scores, single
from galgen.metrics.setmetric import SetMetric

METRICS = (FrechetDistance, FrechetInfinity, KernelDistance, Coverage)
REAL, FAKE = images(cloud(80, 0)), images(cloud(40, 1, shift=0.3))


def radio(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 99, (n, 1, 8, 8))).float()


def everything(metric: SetMetric) -> dict[str, Any]:
    """Values, and scores without their sentences."""
    values = {name: float(value) for name, value in metric.compute().items()}
    return {"values": values, "scores": metric.score(seed=2)}


@pytest.mark.parametrize("kind", METRICS)
def test_order_and_size_of_batches_do_not_matter(kind: type[FrechetDistance]) -> None:
    one, two = kind(Columns()), kind(Columns())
    one.update(REAL, real=True)
    one.update(FAKE, real=False)
    for block in FAKE.flip(0).split(7):
        two.update(block, real=False)
    for block in REAL[torch.randperm(80)].split(11):
        two.update(block, real=True)
    assert everything(one) == everything(two)


def test_scores_are_those_of_the_rows() -> None:
    metric = FrechetDistance(Columns())
    metric.update(REAL, real=True)
    metric.update(FAKE, real=False)
    found = metric.score()["frechet"]
    wanted = scores(FRECHET, REAL.flatten(1).numpy(), FAKE.flatten(1).numpy())["frechet"]
    # Other rows are in each split, so only what it stands for is equal.
    assert found["n"] == wanted["n"] == 40
    assert found["value"] == pytest.approx(wanted["value"], rel=0.2)
    assert found["floor"] == pytest.approx(wanted["floor"], rel=0.2)
    rows = (np.array(sorted(x.flatten(1).tolist())) for x in (REAL, FAKE))
    assert found == scores(FRECHET, *rows)["frechet"]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_kept_real_rows_outlive_a_reset() -> None:
    metric = FrechetDistance(Columns(), reset_real_features=False)
    metric.update(REAL, real=True)
    metric.update(FAKE, real=False)
    first = metric.compute()
    metric.reset()
    with pytest.raises(ValueError, match="no generated images"):
        metric.compute()
    metric.update(FAKE, real=False)
    assert metric.compute() == first
    forgetful = FrechetDistance(Columns())
    forgetful.update(REAL, real=True)
    forgetful.reset()
    forgetful.update(FAKE, real=False)
    with pytest.raises(ValueError, match="no real images"):
        forgetful.compute()


def test_networks_stay_where_they_are() -> None:
    metric = FrechetDistance(Linear())
    assert not list(metric.parameters())
    assert not metric.state_dict()
    metric.half()
    metric.update(torch.randn(5, 3, 4, 4), real=True)
    metric.update(torch.randn(5, 3, 4, 4), real=False)
    assert copy.deepcopy(metric).compute() == metric.compute()


def test_any_rows_will_do() -> None:
    family = single("brighter", lambda one, two: float(two.mean() - one.mean()))
    metric = SetMetric(family, lambda flux: flux.mean((2, 3)), 4)
    metric.update(REAL, real=True)
    metric.update(REAL + 1, real=False)
    assert float(metric.compute()["brighter"]) == pytest.approx(1, rel=1e-6)


def _filled(metric: SetMetric, blocks: dict[str, Tensor], rank: int | None) -> dict[str, Any]:
    real, fake = blocks["real"], blocks["fake"]
    if rank is None:
        metric.update(real, real=True)
        metric.update(fake, real=False)
    else:
        metric.update(real[rank::2], real=True)
        # The second process has no generated image at all.
        if rank == 0:
            metric.update(fake, real=False)
    return everything(metric)


def _all(rank: int | None) -> dict[str, Any]:
    feature_blocks = {"real": REAL, "fake": FAKE}
    found = {k.__name__: _filled(k(Columns()), feature_blocks, rank) for k in METRICS}
    pictures = {"real": radio(40, 0), "fake": radio(20, 1)}
    return {**found, "radio": _filled(RadioDistance(), pictures, rank)}


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    torch.save(_all(rank), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo over a file needs POSIX paths")
@pytest.mark.filterwarnings("ignore")
def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert one == two
    alone = _all(None)
    for kind, found in alone.items():
        assert one[kind]["values"] == pytest.approx(found["values"], rel=1e-6), kind
        for name, score in found["scores"].items():
            assert score["value"] is not None, name
            again = one[kind]["scores"][name]
            assert again.keys() == score.keys()
            for key, number in score.items():
                # A floor without spread has no z.
                wanted = None if number is None else pytest.approx(number, rel=1e-6)
                assert again[key] == wanted, (name, key)
