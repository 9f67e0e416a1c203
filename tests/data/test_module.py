"""The data module: split, stretch, exact position, and turns keyed by that position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from galgen.data import module, stretched
from galgen.data.augment import Augmentation
from galgen.data.module import CutoutDataModule
from galgen.data.stretched import Batch, StretchedCutouts
from galgen.errors import ConfigError, DataError
from galgen.randomness import generator
from galgen.stretch import Stretch
from tiny import classes_folder


def simulated(**changes: object) -> CutoutDataModule:
    options = {"size": 16, "count": 40, "batch": 8, "shift": 2, **changes}
    return CutoutDataModule("sersic", **options)


def batches(data: CutoutDataModule, count: int) -> list[Batch]:
    """Batches as training sees them, over the ends of epochs."""
    data.setup("fit")
    loader = data.train_dataloader()
    found: list[Batch] = []
    while len(found) < count:
        for batch in loader:
            found.append(data.on_after_batch_transfer(batch, 0))
            if len(found) == count:
                break
    return found


def test_batches_are_stretched_training_galaxies() -> None:
    data = simulated(rotate="none", flip=False, shift=0)
    first, second = batches(data, 2)
    assert first["images"].shape == (8, 3, 16, 16)
    assert first["images"].dtype == torch.float32
    assert (first["position"], second["position"]) == (0, 8)
    assert data.state_dict() == {"position": 16}
    train, held = data.split
    assert len(train) == 36
    assert len(held) == 4
    assert data.holdout_names == [data.cutouts.names[i] for i in held]
    flux = torch.from_numpy(data.cutouts.read(train.tolist()))
    known = {image.numpy().tobytes() for image in data.stretch(flux)}
    assert all(image.numpy().tobytes() in known for image in first["images"])


def test_the_stretch_sees_training_galaxies_alone() -> None:
    data = simulated()
    flux = torch.from_numpy(data.cutouts.read(data.split[0].tolist()))
    assert data.stretch == Stretch.fit(flux, "asinh")
    everyone = torch.from_numpy(data.cutouts.read(range(40)))
    assert data.stretch != Stretch.fit(everyone, "asinh")
    assert simulated(stretch="minmax").stretch == Stretch.fit(flux, "minmax")
    given = Stretch("linear", torch.zeros(3), torch.ones(3), torch.full((3,), 9.0))
    assert simulated(stretch=given).stretch is given


def test_pictures_are_linear_and_have_classes(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs", {"edge": 6, "round": 14})
    data = CutoutDataModule(folder, size=16, batch=4, holdout=0.2)
    assert data.stretch.kind == "linear"
    assert data.classes == ("edge", "round")
    assert sum(data.conditions.counts) == len(data.split[0]) == 16
    data.setup("fit")
    for batch in batches(data, 6):
        assert batch["condition"].shape == (4, 2)
        assert batch["condition"].dtype == torch.float32
    rows = data.split[0][[3, 1]]
    item = data.train_set[0, [3, 1]]
    assert item["condition"].argmax(1).tolist() == data.cutouts.labels[rows].tolist()


@pytest.mark.parametrize("rotate", ["quarter", "any"])
def test_turns_are_keyed_by_position_whatever_came_before(rotate: str) -> None:
    whole = batches(simulated(rotate=rotate), 12)
    resumed = simulated(rotate=rotate)
    resumed.load_state_dict({"position": 56})
    torch.manual_seed(5)
    for old, new in zip(whole[7:], batches(resumed, 5), strict=True):
        assert old["position"] == new["position"]
        assert torch.equal(old["images"], new["images"])
    plain = batches(simulated(rotate="none", flip=False, shift=0), 3)[2]["images"]
    draws = Augmentation(rotate=rotate, shift=2).draw(8, generator(0, "augment", 16))
    want = Augmentation(rotate=rotate, shift=2).apply(plain, draws, size=16)
    assert torch.equal(want, whole[2]["images"])


def test_reader_processes_change_nothing() -> None:
    one, two = (batches(simulated(workers=workers), 7) for workers in (0, 1))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a["images"], b["images"])


def test_named_galaxies_are_held_out() -> None:
    names = simulated().cutouts.names[5:9]
    data = simulated(holdout=list(names))
    assert data.holdout_names == list(names)
    assert len(data.split[0]) == 36
    assert simulated(holdout=0.0).holdout_names == []


def test_too_few_to_train_on() -> None:
    data = simulated()
    with pytest.raises(DataError, match="leaves 1 galaxies to train on"):
        _ = simulated(holdout=list(data.cutouts.names[1:])).split


def test_a_batch_that_does_not_divide() -> None:
    data = simulated(batch=9)
    data.trainer = type("Two", (), {"global_rank": 0, "world_size": 2})()
    with pytest.raises(ConfigError, match="--batch 9 does not divide over 2 devices"):
        data.train_dataloader()


def test_turned_frames_without_fill_come_from_larger_cutouts(tmp_path: Path) -> None:
    from galgen.io.header import write_galaxy

    spec = simulated().spec.replace(size=40)
    random = np.random.default_rng(0)
    for i in range(6):
        flux = 5 + random.normal(size=(3, 40, 40)).astype(np.float32)
        write_galaxy(tmp_path / f"{i}.fits", flux, spec, {})
    data = CutoutDataModule(
        tmp_path, size=16, batch=4, rotate="any", fill="none", holdout=0.0, stretch="minmax"
    )
    assert data.margin >= 4
    images = batches(data, 3)[-1]["images"]
    assert images.shape == (4, 3, 16, 16)
    # Every corner holds sky of the larger frame: nothing was filled in.
    corners = images[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    assert bool((corners != 0).all())


def test_a_set_too_large_to_keep_gives_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, read = simulated(stretch="minmax"), simulated(stretch="minmax")
    expected = batches(kept, 7)
    assert kept.train_set.kept is not None
    monkeypatch.setattr(stretched, "memory", lambda: 2000)
    monkeypatch.setattr(module, "KEEP_BYTES", 2000)
    found = batches(read, 7)
    assert read.train_set.kept is None
    assert read.stretch == kept.stretch
    for one, two in zip(expected, found, strict=True):
        assert torch.equal(one["images"], two["images"])


def test_large_sets_are_fitted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIT_VALUES", 10 * 3 * 16 * 16)
    data = simulated()
    rows = data.split[0][::4]
    flux = torch.from_numpy(data.cutouts.read(rows.tolist()))
    assert len(flux) == 9
    assert data.stretch == Stretch.fit(flux, "asinh")
    assert data.variance == float(data.stretch(flux).var(dim=0, unbiased=False).mean())


def test_a_set_stays_on_the_device_where_a_quarter_of_it_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = torch.device("meta")
    data = simulated()
    data.setup("fit")
    one = data.train_set
    assert one.kept is not None
    size = 4 * one.kept.numel()
    monkeypatch.setattr(stretched, "device_memory", lambda asked: 4 * size - 1)
    one.settle(device)
    assert one.kept.device.type == "cpu"
    monkeypatch.setattr(stretched, "device_memory", lambda asked: 4 * size)
    one.settle(device)
    assert one.kept.device == device
    assert one.resident
    # What it takes there is no reason to give it up when a training goes on.
    monkeypatch.setattr(stretched, "device_memory", lambda asked: 0)
    one.settle(device)
    assert one.kept.device == device
    # Larger than what memory keeps, and still it fits there.
    monkeypatch.setattr(stretched, "KEEP_BYTES", 0)
    monkeypatch.setattr(stretched, "device_memory", lambda asked: 4 * size)
    fresh = StretchedCutouts(data.cutouts, data.split[0], data.stretch)
    fresh.settle(device)
    assert fresh.resident


@pytest.mark.parametrize("condition", [(), ("redshift",)])
def test_batches_from_a_device_are_those_from_memory(
    condition: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = batches(simulated(condition=condition), 7)
    monkeypatch.setattr(StretchedCutouts, "resident", True)
    data = simulated(condition=condition, workers=2)
    data.setup("fit")
    loader = data.train_dataloader()
    assert loader.num_workers == 0
    first = next(iter(loader))
    assert first["rows"].shape == (8,)
    assert "images" not in first
    for one, two in zip(expected, batches(data, 7), strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(two[name]))
