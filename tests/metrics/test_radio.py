"""Histograms of radio images and RMAE against numpy, by hand, and over processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from numpy.typing import NDArray
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.metrics.radio import (
    BINS,
    EDGES,
    RADIO,
    RadioDistance,
    RadioHistograms,
    histograms,
    image_counts,
    rmae,
    rmae_of,
    why_not,
)
from galgen.metrics.scorecard import scores


def blobs(n: int, seed: int = 0, side: int = 32, flux: float = 200.0) -> Tensor:
    """Bright cores on an empty sky, whole numbers as in 8-bit files."""
    random = np.random.default_rng(seed)
    axis = np.arange(side) - side / 2
    radius = axis[:, None] ** 2 + axis[None, :] ** 2
    widths = random.uniform(2, 6, (n, 1, 1))
    images = flux * random.uniform(0.3, 1, (n, 1, 1)) * np.exp(-radius / widths**2)
    return torch.from_numpy(images.round().astype(np.float32))[:, None]


def by_numpy(images: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """The three histograms, the long way: numpy's last bin is closed, so nothing may lie there."""
    flat = images.reshape(len(images), -1)
    found = []
    for values, edges in (
        (flat.ravel(), list(range(257))),
        ((flat >= 1).sum(1), [*np.linspace(0, 500, 10), 600, 700, 800, 900, 1000, 2000]),
        (flat.sum(1), [*np.linspace(0, 25000, 15), 50000, 75000]),
    ):
        counts, _ = np.histogram(values, np.asarray(edges))
        density = counts / np.diff(edges)
        found.append(density / density.sum())
    return found


def test_histograms_are_those_of_numpy() -> None:
    images = blobs(50, side=64)
    assert float(images.max()) > 100
    found = histograms(image_counts(images).sum(0).numpy())
    wanted = by_numpy(images.numpy().astype(np.int64))
    assert [len(h) for h in found.values()] == [256, 15, 16]
    assert sum(len(h) for h in found.values()) == BINS
    for one, two in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)
        assert one.sum() == pytest.approx(1)


def test_rmae_by_hand() -> None:
    # Bins 2|1-3|/4 = 1, 2|1-1|/2 = 0, 2|0-2|/2 = 2; the last is empty in both and does not count.
    assert rmae(np.array([1, 1, 0, 0]), np.array([3, 1, 2, 0])) == pytest.approx(1)
    a = np.array([0.2, 0.8, 0.0])
    assert rmae(a, a) == 0
    assert rmae(a, np.array([0, 0, 1.0])) == 2
    assert rmae(a, np.zeros(3)) == 2
    assert np.isnan(rmae(np.zeros(3), np.zeros(3)))
    b = np.array([0.5, 0.1, 0.4])
    assert rmae(a, b) == rmae(b, a)


def test_equal_sets_are_at_0_and_disjoint_ones_at_2() -> None:
    images = blobs(40)
    counts = image_counts(images).sum(0).numpy()
    assert set(rmae_of(counts, counts).values()) == {0.0}
    twice = image_counts(torch.cat([images, images])).sum(0).numpy()
    assert max(rmae_of(counts, twice).values()) < 1e-12
    full = image_counts(torch.full((9, 1, 32, 32), 40.0)).sum(0).numpy()
    empty = image_counts(torch.zeros(9, 1, 32, 32)).sum(0).numpy()
    assert rmae_of(full, empty) == {"intensities": 2.0, "activated": 2.0, "sumI": 2.0}


def test_turns_flips_shifts_and_order_do_not_matter() -> None:
    images = blobs(20)
    counts = image_counts(images)
    for other in (images.rot90(1, (2, 3)), images.flip(3), images.roll((5, 3), (2, 3))):
        assert torch.equal(image_counts(other), counts)
    assert torch.equal(image_counts(images.flip(0)), counts.flip(0))


def test_pixels_become_integers_as_in_an_8_bit_file() -> None:
    pixels = [0.0, 0.9, 1.0, 99.99999, 254.999, 255.0, 300.0, -4.0, float("nan"), float("inf")]
    image = torch.tensor(pixels).view(1, 1, 1, -1)
    counts = image_counts(image)[0]
    values = {v: int(c) for v, c in enumerate(counts[:256]) if c}
    # Fractions are cut off, what lies outside is clamped, rounding errors do not count.
    assert values == {0: 4, 1: 1, 100: 1, 255: 4}
    assert int(counts[256:271].nonzero()[0]) == 0
    assert int(counts[271:].nonzero()[0]) == 0
    assert image_counts(torch.full((1, 1, 1, 1), 254.99))[0, 254] == 1


@pytest.mark.parametrize(
    ("lit", "place"),
    [(0, 0), (55, 0), (56, 1), (500, 9), (599, 9), (600, 10), (1999, 14), (2000, None)],
)
def test_edges_of_the_activated_pixels(lit: int, place: int | None) -> None:
    image = torch.zeros(1, 1, 64, 64)
    image.view(-1)[:lit] = 1
    bins = image_counts(image)[0, 256:271].nonzero().flatten().tolist()
    assert bins == ([] if place is None else [place])


def test_edges_of_the_sums() -> None:
    assert EDGES["sumI"][[0, 14, 15, 16]].tolist() == [0, 25000, 50000, 75000]
    for total, place in ((24999, 13), (25000, 14), (74999, 15), (75000, None)):
        image = torch.zeros(1, 1, 32, 32)
        image.view(-1)[: total // 255] = 255
        image.view(-1)[-1] = total % 255
        bins = image_counts(image)[0, 271:].nonzero().flatten().tolist()
        assert bins == ([] if place is None else [place])


def test_sets_that_they_do_not_apply_to() -> None:
    assert why_not(ImageSpec(64, ("I",), display=True)) is None
    assert "3 bands (R, G, B)" in str(why_not(ImageSpec(64, ("R", "G", "B"), display=True)))
    assert "fluxes in nanomaggy" in str(why_not(ImageSpec(64, ("r",), unit="nanomaggy")))
    with pytest.raises(ValueError, match="expected"):
        image_counts(torch.zeros(2, 3, 8, 8))


def test_metric_adds_up_by_class() -> None:
    real, fake = blobs(60, 1), blobs(40, 2, flux=120.0)
    real_labels, fake_labels = torch.arange(60) % 2, torch.arange(40) % 2
    metric = RadioHistograms(2, reset_real_features=False)
    for images, labels in zip(real.split(7), real_labels.split(7), strict=True):
        metric.update(images, real=True, labels=labels)
    for number in (0, 1):
        metric.update(fake[fake_labels == number], real=False, labels=number)
    found = metric.compute()
    for number in (0, 1):
        one = image_counts(real[real_labels == number]).sum(0).numpy()
        two = image_counts(fake[fake_labels == number]).sum(0).numpy()
        wanted = list(rmae_of(one, two).values())
        assert found["by_histogram"][number].tolist() == pytest.approx(wanted)
        assert float(found["by_class"][number]) == pytest.approx(np.mean(wanted))
    assert float(found["rmae"]) == pytest.approx(float(found["by_class"].mean()))
    metric.reset()
    metric.update(real, real=False, labels=real_labels)
    assert float(metric.compute()["rmae"]) == 0
    with pytest.raises(ValueError, match="need labels"):
        metric.update(real, real=True)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_class_without_images_is_in_no_mean() -> None:
    metric = RadioHistograms(3)
    images = blobs(12)
    metric.update(images, real=True, labels=torch.arange(12) % 2)
    metric.update(images[::2], real=False, labels=0)
    found = metric.compute()
    assert found["by_class"][0] == 0
    assert found["by_class"].isnan().tolist() == [False, True, True]
    assert float(found["rmae"]) == 0
    metric.reset()
    assert torch.isnan(metric.compute()["rmae"])


def test_scores_follow_the_score_card() -> None:
    real, other = image_counts(blobs(80, 1)).numpy(), image_counts(blobs(60, 2, flux=60.0)).numpy()
    same = scores(RADIO, real, image_counts(blobs(60, 3)).numpy())
    worse = scores(RADIO, real, other)
    assert set(same) == {"rmae", "rmae_intensities", "rmae_activated", "rmae_sumI"}
    for found in (same["rmae"], worse["rmae"]):
        assert found["n"] == 40
        assert found["floor"] == same["rmae"]["floor"]
    assert worse["rmae"]["value"] > same["rmae"]["value"]  # type: ignore[operator]
    assert abs(same["rmae"]["z"]) < 3 < worse["rmae"]["z"]  # type: ignore[arg-type, operator]
    assert worse["rmae"] == scores(RADIO, real, other)["rmae"]
    assert scores(RADIO, real, other, seed=1)["rmae"] != worse["rmae"]
    parts = [worse[f"rmae_{name}"]["value"] for name in EDGES]
    assert worse["rmae"]["value"] == pytest.approx(np.mean(parts))  # type: ignore[arg-type]


def test_metric_with_a_floor_equals_the_histograms() -> None:
    real, fake = blobs(40, 1), blobs(30, 2, flux=120.0)
    metric, light = RadioDistance(), RadioHistograms()
    for images, is_real in ((real, True), (fake, False)):
        for part in images.split(9):
            metric.update(part, real=is_real)
            light.update(part, real=is_real)
    found = metric.compute()
    assert float(found["rmae"]) == pytest.approx(float(light.compute()["rmae"]), rel=1e-6)
    score = metric.score()["rmae"]
    assert score["n"] == 20
    assert score["z"] is not None


def test_scores_beyond_the_edges_have_a_reason() -> None:
    counts = image_counts(torch.full((8, 1, 64, 64), 200.0)).numpy()
    found = scores(RADIO, counts, counts)["rmae"]
    assert found["value"] is None
    assert "beyond the edges" in found["reason"]


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    metric = RadioHistograms(2)
    # The second process has no real image, and one class of the generated ones.
    if rank == 0:
        metric.update(blobs(30, 1), real=True, labels=torch.arange(30) % 2)
    metric.update(blobs(20, 2 + rank), real=False, labels=rank)
    torch.save(metric.compute(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo over a file needs POSIX paths")
@pytest.mark.filterwarnings("ignore")
def test_processes_add_up(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    metric = RadioHistograms(2)
    metric.update(blobs(30, 1), real=True, labels=torch.arange(30) % 2)
    for rank in (0, 1):
        metric.update(blobs(20, 2 + rank), real=False, labels=rank)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.equal(found[k], v) for k, v in metric.compute().items())


def test_radio_galaxies_of_one_class_are_near_their_own_floor(
    real_data: Callable[[str], Path],
) -> None:
    from galgen.data.sets import open_set

    folder = real_data("radio_first_png")
    sets = [open_set(folder / part, crop=128, size=128) for part in ("train", "valid")]
    counts = {}
    for number, cutouts in enumerate(sets):
        assert cutouts.labels is not None
        for name in ("Compact", "FRII"):
            rows = np.flatnonzero(cutouts.labels == cutouts.classes.index(name))[:200]
            images = torch.from_numpy(cutouts.read(rows.tolist()))
            assert torch.equal(images, images.round())
            counts[number, name] = image_counts(images).numpy()
    one = scores(RADIO, counts[0, "FRII"], counts[1, "FRII"])["rmae"]
    assert one["z"] is not None
    assert abs(one["z"]) < 4
    other = scores(RADIO, counts[0, "FRII"], counts[1, "Compact"])["rmae"]
    assert other["z"] is not None
    assert other["z"] > 10
