"""Copies are flagged whatever was done to them, fresh galaxies are not, and nothing is a NaN."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.data.sets import open_set
from galgen.metrics.copies import (
    COPIES,
    COPYING,
    CopyAudit,
    mann_whitney_z,
    nearer,
    nearest_training,
)
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frames import Framing, turned
from galgen.metrics.nearest import nearest_rows
from galgen.metrics.scorecard import scores
from galgen.metrics.spaces import FeatureSpace, PolarSpace, fit_spaces

Galaxies = Callable[..., Tensor]


def distances(n: int, seed: int) -> NDArray[np.float64]:
    """Fresh relative distances (n, 1)."""
    return np.random.default_rng(seed).beta(8, 3, (n, 1))


def all_of_it(images: Tensor, noise: Tensor, seed: int = 0) -> Tensor:
    """Turned by any angle, shifted by 2 to 3 pixels, with new noise."""
    generator = torch.Generator().manual_seed(seed)
    n = len(images)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    sign = 1 - 2 * torch.randint(2, (n, 2), generator=generator)
    shift = sign * torch.randint(2, 4, (n, 2), generator=generator)
    added = torch.randn(images.shape, generator=generator)
    return turned(images, angle, shift) + noise.view(-1, 1, 1) * added


def c_t(train: Tensor, held: Tensor, sets: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """C_T of generated sets by space."""
    spaces = fit_spaces(train)
    sides = {"held": [held], **{name: images.split(64) for name, images in sets.items()}}
    found = nearest_training(spaces, sides, train.split(100))
    return {
        space: {name: COPIES.between(of["held"].rows, of[name].rows)["copies"] for name in sets}
        for space, of in found.items()
    }


@pytest.mark.parametrize(("n", "m", "ties"), [(9, 20, False), (60, 40, True), (500, 300, True)])
def test_c_t_is_the_u_of_scipy(n: int, m: int, ties: bool) -> None:
    rng = np.random.default_rng(n)
    one, two = rng.normal(0, 1, n), rng.normal(0.4, 1, m)
    if ties:
        one, two = one.round(1), two.round(1)
    for a, b in ((one, two), (two, one)):
        z = mann_whitney_z(a, b)
        reference = mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
        assert 2 * norm.sf(abs(z)) == pytest.approx(reference.pvalue, rel=1e-6)
        assert np.sign(z) == np.sign(reference.statistic - n * m / 2)


def test_nearer_counts_against_the_first_percentile() -> None:
    held = np.arange(1000.0)
    assert nearer(held, held) == pytest.approx(0.01)
    fake = np.concatenate([np.full(30, -1.0), np.full(70, 500.0)])
    assert nearer(fake, held) == pytest.approx(0.3)


@pytest.mark.parametrize("n", [16, pytest.param(40, marks=pytest.mark.slow), 200])
def test_fresh_galaxies_are_calibrated(n: int) -> None:
    z: list[float] = []
    for seed in range(30):
        card = scores(
            COPIES, distances(n, seed), distances(n, 1000 + seed), bootstraps=2, seed=seed
        )
        values = [score["z"] for score in card.values() if score["z"] is not None]
        assert abs(card["copies"]["value"] or 0) < 4.5
        z += values[:1]
    assert np.abs(z).max() < 3
    assert abs(np.mean(z)) < 0.4


def test_one_copy_in_five_is_seen() -> None:
    held, fake = distances(1000, 0), distances(1000, 1)
    fake[:200] *= 0.05
    card = scores(COPIES, held, fake)
    for name in ("copies", "nearer"):
        assert (card[name]["z"] or 0) > 3
    assert (card["copies"]["value"] or 0) < COPYING
    assert card["nearer"]["value"] == pytest.approx(0.2, abs=0.02)
    # Farther than held-out galaxies is no copying, and better, not worse.
    far = scores(COPIES, held, 0.5 + distances(1000, 1))["copies"]
    assert (far["value"] or 0) > 3
    assert (far["z"] or 0) < -3


@pytest.mark.parametrize(("held", "fake"), [(0, 100), (2, 2), (4, 100), (15, 100), (100, 7)])
def test_too_few_are_a_sentence(held: int, fake: int) -> None:
    card = scores(COPIES, distances(held, 0), distances(fake, 1))
    for score in card.values():
        assert score["value"] is None
        assert "few" in score["reason"] or "cannot show" in score["reason"]


def test_with_the_fewest_a_set_of_copies_is_still_seen() -> None:
    card = scores(COPIES, distances(16, 0), np.zeros((8, 1)))
    assert (card["copies"]["value"] or 0) < COPYING
    assert np.isfinite([v for s in card.values() for v in (s["value"], s["floor"])]).all()


def test_equal_distances_are_a_sentence() -> None:
    card = scores(COPIES, np.ones((50, 1)), np.ones((50, 1)))
    assert card["copies"]["value"] is None
    assert "equally far" in card["copies"]["reason"]


def test_sersic_copies_are_flagged_and_fresh_ones_pass() -> None:
    cutouts = open_set("sersic", size=48, count=260)
    images = torch.from_numpy(cutouts.read(range(260)))
    train, held, fresh = images[:140], images[140:200], images[200:]
    noise = Framing.fit(train).sky_noise
    sets = {"copies": all_of_it(train[:60], noise), "fresh": fresh}
    for found in c_t(train, held, sets).values():
        assert found["copies"] < COPYING
        assert abs(found["fresh"]) < 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("gz1_jpg", {"crop": 212, "size": 48, "count": 260}, marks=pytest.mark.slow),
        ("hsc_grizy_fits_32", {}),
    ],
)
def test_real_copies_are_flagged_and_fresh_ones_pass(
    name: str, options: dict[str, int], real_data: Callable[[str], Path]
) -> None:
    cutouts = open_set(real_data(name), **options)
    images = torch.from_numpy(cutouts.read(range(len(cutouts))))
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(1))]
    n = len(images) // 4
    train, held, fresh = images[2 * n :], images[:n], images[n : 2 * n]
    noise = Framing.fit(train).sky_noise
    still, here = torch.zeros(n), torch.zeros(n, 2)
    copied = train[:n]
    sets = {
        "turned": turned(copied, torch.linspace(0.2, 6, n), here),
        "shifted": turned(copied, still, here + torch.tensor([3.0, -2.0])),
        "noisy": copied + noise.view(-1, 1, 1) * torch.randn(copied.shape),
        "all": all_of_it(copied, noise),
        "fresh": fresh,
    }
    for found in c_t(train, held, sets).values():
        assert abs(found.pop("fresh")) < 3
        assert max(found.values()) < COPYING


def test_raw_pixels_miss_what_the_spaces_see(galaxies: Galaxies) -> None:
    images = galaxies(300, size=32, flux=20000.0)
    train, held = images[:200], images[200:]
    copies = turned(train[:100], torch.full((100,), 1.0), torch.full((100, 2), 3.0))
    found = c_t(train, held, {"copies": copies})
    assert max(of["copies"] for of in found.values()) < COPYING
    flat = train.flatten(1)
    raw = [nearest_rows(x.flatten(1), flat).distance[:, 0].numpy() for x in (copies, held)]
    assert mann_whitney_z(*raw) > 3


def test_a_set_with_every_galaxy_eight_times_shows_its_copies(galaxies: Galaxies) -> None:
    images = galaxies(150, size=32, bands=1, flux=20000.0)
    train, held = images[:100], images[100:]
    eight = torch.cat([turned(train, torch.full((100,), k * 0.8), torch.zeros(100, 2))
                       for k in range(8)])  # fmt: skip
    copies = turned(train[:50], torch.full((50,), 1.1), torch.zeros(50, 2))
    for found in c_t(eight, held, {"copies": copies}).values():
        assert found["copies"] < COPYING


def test_fainter_galaxies_are_no_copies(galaxies: Galaxies) -> None:
    images = galaxies(400, size=32, flux=20000.0)
    train, held, fresh = images[:200], images[200:300], images[300:]
    for found in c_t(train, held, {"fainter": 0.8 * fresh}).values():
        assert found["fainter"] > COPYING


def test_images_without_light_are_left_out(galaxies: Galaxies) -> None:
    train, held = galaxies(40, seed=1), galaxies(30, seed=2)
    empty = torch.zeros(5, 3, 32, 32)
    spaces = fit_spaces(train)
    sides = {"held": [held], "fake": [empty, held[:20]], "nothing": [empty], "none": []}
    found = nearest_training(spaces, sides, [empty, train])
    for of in found.values():
        assert of["fake"].left_out == 5
        assert of["fake"].index[:5].tolist() == [-1] * 5
        assert np.isnan(of["fake"].distance[:5]).all()
        # Positions count the five training images without light too.
        assert of["held"].index.min() >= 5
        np.testing.assert_array_equal(of["fake"].index[5:], of["held"].index[:20])
        assert of["nothing"].rows.shape == of["none"].rows.shape == (0, 1)
        assert "reason" in scores(COPIES, of["held"].rows, of["nothing"].rows)["copies"]
    with pytest.raises(ValueError, match="no training image with light"):
        nearest_training(spaces, sides, [empty])


def filled(images: Tensor, **kwargs: object) -> CopyAudit:
    """An audit of half of the images as training ones, copies as generated ones."""
    audit = CopyAudit(PolarSpace.fit(images), **kwargs)
    n = len(images) // 4
    audit.update(images[2 * n :], side="train")
    audit.update(images[:n], side="held")
    audit.update(images[-n:].rot90(1, (2, 3)), side="fake")
    return audit


def test_metric_equals_the_stream(galaxies: Galaxies) -> None:
    images = galaxies(120)
    audit = filled(images)
    audit.update(torch.zeros(3, 3, 32, 32), side="fake")
    sides = {"held": [images[:30]], "fake": [images[-30:].rot90(1, (2, 3))]}
    stream = nearest_training([audit._of], sides, images[60:].split(7))["polar"]
    expected = COPIES.between(stream["held"].rows, stream["fake"].rows)
    values = audit.compute()
    assert {k: float(v) for k, v in values.items()} == pytest.approx(expected)
    assert expected["copies"] < COPYING
    assert audit.left_out.tolist() == [0, 0, 3]
    card = audit.score()
    assert card["copies"]["n"] == 15
    assert (card["copies"]["value"] or 0) < COPYING
    audit.reset()
    assert audit.left_out.sum() == 0
    audit.update(images[:30], side="held")
    with pytest.raises(ValueError, match="no training image"):
        audit.compute()
    with pytest.raises(ValueError, match="take one of train, held, fake"):
        audit.update(images, side="real")  # type: ignore[arg-type]


def test_a_network_of_features_stays_out_of_checkpoints(galaxies: Galaxies) -> None:
    images = galaxies(20)
    extractor = PhysicsFeatures.fit(images, ImageSpec(32, ("g", "r", "i")))
    holder = nn.ModuleDict({"audit": CopyAudit(FeatureSpace.fit(extractor, images))})
    assert not holder.state_dict()
    assert not list(holder.parameters())


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    data = torch.load(f"{folder}/data.pt", weights_only=True)
    audit = CopyAudit(PolarSpace.fit(data))
    n = len(data) // 4
    # Unequal shares, and no generated image on the second rank.
    audit.update(data[2 * n :][: n // 2] if rank else data[2 * n :][n // 2 :], side="train")
    audit.update(data[:n][rank::2], side="held")
    if rank == 0:
        audit.update(data[-n:].rot90(1, (2, 3)), side="fake")
    values = audit.compute()
    card = audit.score()
    if rank == 0:
        torch.save((values, {k: dict(v) for k, v in card.items()}), f"{folder}/found.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo over a file needs POSIX paths")
def test_two_processes_equal_one(tmp_path: Path, galaxies: Galaxies) -> None:
    images = galaxies(96)
    torch.save(images, tmp_path / "data.pt")
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    values, card = torch.load(tmp_path / "found.pt", weights_only=True)
    audit = filled(images)
    for name, value in audit.compute().items():
        assert float(values[name]) == pytest.approx(float(value), rel=1e-6, abs=1e-9)
    for name, score in audit.score().items():
        other = card[name]
        assert other.pop("interval") == pytest.approx(score["interval"], rel=1e-6, abs=1e-9)
        assert other == pytest.approx({k: v for k, v in score.items() if k != "interval"}, rel=1e-6)
