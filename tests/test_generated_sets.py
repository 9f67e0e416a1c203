"""Sets of generated galaxies: the samples in any order and process, real ones beside them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

import galgen
from galgen import GeneratedDataset, GeneratedStream, RealDataset, mixed
from galgen.checkpoint import TrainedModel, load
from galgen.data.module import CutoutDataModule
from galgen.errors import CheckpointError, ConfigError
from galgen.generated import datasets
from galgen.generated.drawing import Drawing
from tiny import KINDS, OPTIONS, classes_folder, run


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model of fluxes that ends in a PSF."""
    folder = tmp_path_factory.mktemp("seen")
    options = {**OPTIONS, "psf": "0.7"}
    return load(run(folder, model__options=options, recipe__lr=0.01, train__images=48).run)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes with two numbers."""
    return classes_folder(tmp_path_factory.mktemp("data") / "blobs")


@pytest.fixture(scope="module")
def asked(blobs: Path) -> TrainedModel:
    """A model of those pictures."""
    settings = {f"data__{name}": value for name, value in KINDS["both"].items()}
    settings |= {"recipe__lr": 0.01, "recipe__label_dropout": 0.1, "data__count": None}
    settings |= {"train__images": 48, "data__source": str(blobs)}
    return load(run(blobs.parent / "runs", **settings).run)


def module_of(blobs: Path, **changes: Any) -> CutoutDataModule:
    settings = {"size": 16, "condition": KINDS["both"]["condition"], "holdout": 0.25}
    return CutoutDataModule(blobs, **(settings | changes))


# -- the samples as a set -----------------------------------------------------------------


def test_items_are_the_samples_in_any_order(asked: TrainedModel) -> None:
    flux = asked.sample(80, seed=6)
    made = GeneratedDataset(asked, 70, seed=6, start=5)
    assert len(made) == 70
    one = made[69]
    assert torch.equal(one["images"], asked.stretch(flux[74:75])[0])
    assert (one["index"], one["generated"], made[-1]["index"]) == (74, True, 74)
    assert one["label"] == int(one["condition"][:2].argmax())
    with pytest.raises(IndexError):
        made[70]
    # Also where nothing may be kept, and where several are asked for at once.
    plain = GeneratedDataset(asked, 70, seed=6, start=5, space="flux", cache_bytes=1)
    places = [69, 3, 35, 3]
    for many in (plain.__getitems__(places), [plain[k] for k in places]):
        assert torch.equal(torch.stack([item["images"] for item in many]), flux[5:75][places])
    loader = DataLoader(plain, batch_size=16, shuffle=True)
    batches = list(loader)
    numbers = torch.cat([batch["index"] for batch in batches])
    assert sorted(numbers.tolist()) == list(range(5, 75))
    assert torch.equal(torch.cat([batch["images"] for batch in batches]), flux[numbers])


def test_no_galaxy_is_drawn_twice_while_there_is_room(
    asked: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = Drawing.draw

    def counted(self: Drawing, indices: Any) -> Any:
        drawn.extend(indices)
        return draw(self, indices)

    monkeypatch.setattr(Drawing, "draw", counted)
    made = GeneratedDataset(asked, 50, start=20)
    list(DataLoader(made, batch_size=8, shuffle=True))
    list(DataLoader(made, batch_size=8))
    assert sorted(drawn) == list(range(20, 70))
    # With room for a single chunk, in order, each is drawn once a pass.
    drawn.clear()
    small = GeneratedDataset(asked, 50, start=20, cache_bytes=1)
    for place in range(50):
        small[place]
    assert sorted(drawn) == list(range(20, 70))
    # What a caller does to an item stays with the caller.
    made[0]["images"].zero_()
    made[0]["condition"].zero_()
    assert made[0]["images"].any()
    assert made[0]["condition"].any()


def test_workers_draw_the_same_galaxies(asked: TrainedModel) -> None:
    made = GeneratedDataset(asked, 48, seed=6, space="flux", transform=pair)
    flux, labels = zip(*DataLoader(made, batch_size=16, num_workers=2), strict=True)
    assert torch.equal(torch.cat(flux), asked.sample(48, seed=6))
    assert set(torch.cat(labels).tolist()) == {0, 1}


def pair(item: dict[str, Any]) -> tuple[torch.Tensor, int]:
    return item["images"], item["label"]


def test_a_set_is_sent_to_other_processes_by_its_file(asked: TrainedModel, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    shutil.copy(asked.path, copy)
    model = load(copy)
    made = GeneratedDataset(model, 40, seed=6, transform=pair)
    wanted = made[39][0]
    sent = pickle.dumps(made)
    assert len(sent) < 20_000
    again = pickle.loads(sent)
    assert torch.equal(again[39][0], wanted)
    assert again.model.path == copy
    # The run has gone on in between.
    other = asked.path.with_name("previous.ckpt")
    assert other.read_bytes() != copy.read_bytes()
    shutil.copy(other, copy)
    with pytest.raises(CheckpointError, match="was written anew since it was loaded"):
        pickle.loads(sent)


def test_workers_leave_the_device_of_their_parent_alone(
    asked: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(asked.path)
    made = GeneratedDataset(model, 4, space="flux")
    # As in a process that was forked from one with a GPU.
    monkeypatch.setattr(model.module, "_device", torch.device("cuda", 0))
    monkeypatch.setattr(datasets, "get_worker_info", lambda: object())
    assert torch.equal(made[3]["images"], asked.sample(4)[3])
    assert made.model.module.device.type == "cpu"


@pytest.mark.slow
def test_workers_that_are_spawned_draw_the_same_galaxies(asked: TrainedModel) -> None:
    made = GeneratedDataset(asked, 40, seed=6, space="flux")
    loader = DataLoader(made, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    flux = torch.cat([batch["images"] for batch in loader])
    assert torch.equal(flux, asked.sample(40, seed=6))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_is_shared_out_without_duplicates(asked: TrainedModel, workers: int) -> None:
    flux = asked.sample(150, seed=2)
    found: dict[int, torch.Tensor] = {}
    for rank in range(2):
        stream = GeneratedStream(asked, 140, seed=2, start=10, space="flux", rank=rank, world=2)
        for batch in DataLoader(stream, batch_size=5, num_workers=workers):
            for index, image in zip(batch["index"].tolist(), batch["images"], strict=True):
                assert index not in found
                found[index] = image
    assert sorted(found) == list(range(10, 150))
    assert all(torch.equal(image, flux[index]) for index, image in found.items())


def test_a_stream_without_an_end(asked: TrainedModel) -> None:
    stream = iter(GeneratedStream(asked, label="round"))
    items = [next(stream) for _ in range(70)]
    assert [item["index"] for item in items] == list(range(70))
    assert {item["label"] for item in items} == {asked.classes.index("round")}
    with pytest.raises(ConfigError, match="replicas are counted from 0"):
        GeneratedStream(asked, rank=2, world=2)


# -- beside real galaxies ------------------------------------------------------------------


def test_real_items_have_the_form_of_generated_ones(asked: TrainedModel, blobs: Path) -> None:
    data = module_of(blobs)
    made = GeneratedDataset(asked, 20)
    real = RealDataset(data, beside=made)
    assert len(real) == len(data.split[0])
    assert real[0].keys() == made[0].keys()
    batches = list(DataLoader(ConcatDataset([real, made]), batch_size=8, shuffle=True))
    assert sum(int(batch["generated"].sum()) for batch in batches) == 20
    assert sum(len(batch["images"]) for batch in batches) == len(real) + 20
    # A module that stands alone gives what it trains on.
    alone = RealDataset(data)
    batch = data.train_set[0, [3, 8]]
    side = slice(data.margin, data.margin + 16)
    for place, k in ((0, 3), (1, 8)):
        assert torch.equal(alone[k]["images"], batch["images"][place][:, side, side])
        assert torch.equal(alone[k]["condition"], batch["condition"][place])
    held = RealDataset(data, space="flux", held_out=True)
    flux = torch.from_numpy(data.cutouts.read(data.split[1].tolist()))
    assert torch.equal(torch.stack([held[k]["images"] for k in range(len(held))]), flux)


def test_the_galaxies_that_a_model_learnt_from_stand_beside_it(asked: TrainedModel) -> None:
    made = GeneratedDataset(asked, 4, space="flux")
    real, held = (RealDataset(None, beside=made, held_out=out) for out in (False, True))
    names = real.cutouts.names
    assert [names[row] for row in held.rows] == list(asked.holdout)
    assert len(real) + len(held) == len(names) == 36
    assert {real[k]["label"] for k in range(len(real))} == {0, 1}
    rows = torch.stack([real[k]["condition"] for k in range(len(real))])
    assert rows[:, -1].all()
    assert abs(float(rows[:, 2:4].mean())) < 1e-5
    with pytest.raises(ConfigError, match="name the folder of real galaxies"):
        RealDataset(None)


def test_classes_are_those_of_the_model_by_name(asked: TrainedModel, tmp_path: Path) -> None:
    # Alone, 'round' would be number 0.
    source = classes_folder(tmp_path / "other", {"round": 6, "zoo": 6})
    made = GeneratedDataset(asked, 4)
    merged = {"edge": ["zoo"]}
    real = RealDataset(source, beside=made, merge=merged)
    assert asked.classes == ("edge", "round")
    names = [real.cutouts.classes[number] for number in real.cutouts.labels]
    assert [real.classes[real[k]["label"]] for k in range(12)] == names
    # The numbers that the model knows are not known here.
    assert not real[0]["condition"][2:].any()
    with pytest.raises(ConfigError, match="has the class zoo, and the model knows edge, round"):
        RealDataset(source, beside=made)


def test_sets_that_cannot_stand_beside_each_other(
    asked: TrainedModel, seen: TrainedModel, blobs: Path
) -> None:
    made = GeneratedDataset(asked, 4)
    with pytest.raises(ConfigError, match=r"has the size 12 and the generated galaxies 16"):
        RealDataset(module_of(blobs, size=12), beside=made)
    with pytest.raises(ConfigError, match=r"has the bands g,r,i and the generated galaxies R,G,B"):
        RealDataset(galgen.open_set("sersic", size=16, count=8), beside=made)
    with pytest.raises(ConfigError, match="needs a stretch"):
        RealDataset(galgen.open_set("sersic", size=16, count=8))
    flux = RealDataset(blobs, space="flux", size=16)
    with pytest.raises(ConfigError, match="give both the same space and transform"):
        mixed(RealDataset(module_of(blobs)), GeneratedDataset(seen, 4), 0.5)
    with pytest.raises(ConfigError, match="take a map-style dataset"):
        mixed(flux, GeneratedStream(asked, 4), 0.5)
    with pytest.raises(ConfigError, match="a probability between 0 and 1"):
        mixed(flux, made, 1.5)


def test_a_part_of_the_real_galaxies_is_replaced(asked: TrainedModel, blobs: Path) -> None:
    made = GeneratedDataset(asked, 10, seed=3)
    real = RealDataset(blobs, beside=made, condition=KINDS["both"]["condition"])
    half = mixed(real, made, 0.5, seed=1)
    assert len(half) == len(real) == 36
    for place in range(36):
        taken = bool(half.replaced[place])
        source = made[place % 10] if taken else real[place]
        assert half[place]["generated"] is taken
        assert torch.equal(half[place]["images"], source["images"])
    several = half.__getitems__([30, 2, 2, 17])
    assert [item["index"] for item in several] == [half[k]["index"] for k in (30, 2, 2, 17)]
    # More of them with a larger alpha, and those of a smaller one among them.
    more = mixed(real, made, 0.8, seed=1)
    assert (more.replaced >= half.replaced).all()
    assert 8 < int(half.replaced.sum()) < int(more.replaced.sum())
    assert not mixed(real, made, 0).replaced.any()
    assert mixed(real, made, 1).replaced.all()
    assert not torch.equal(mixed(real, made, 0.5, seed=2).replaced, half.replaced)
    longer = mixed(ConcatDataset([real] * 30), made, 0.3, seed=1)
    assert float(longer.replaced.double().mean()) == pytest.approx(0.3, abs=0.045)
    assert (longer.replaced[:36] == mixed(real, made, 0.3, seed=1).replaced).all()
