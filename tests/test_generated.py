"""Galaxies for other programs: the same ones as images, rows, streams and data sets."""

from __future__ import annotations

import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable
from torch.utils.data import ConcatDataset, DataLoader

import galgen
from galgen import GeneratedDataset, GeneratedStream, RealDataset, mixed
from galgen.checkpoint import TrainedModel, load
from galgen.data.module import CutoutDataModule
from galgen.errors import CheckpointError, ConfigError
from galgen.generated.drawing import Drawing
from galgen.generated.units import astropy_unit
from galgen.io.header import read_provenance
from galgen.sample import sample
from galgen.telescope import Telescope
from tiny import KINDS, OPTIONS, classes_folder, run

#: What a test calls a method with, and part of the sentence that comes of it.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"n": 0}, "n = 0: ask for at least one galaxy"),
    ({"n": 2.0}, "n = 2.0: give a whole number"),
    ({"start": -1}, "start = -1: galaxies are counted from 0"),
    ({"seed": 0.5}, "seed = 0.5: give a whole number"),
    ({"label": "spiral"}, "spiral is not a class of this model"),
    ({"trunc": 0.5}, "did you mean truncation"),
    ({"where": {"height": 1e6}}, "the model was trained on height from"),
    ({"telescope": "hubbel"}, "--instrument hubbel"),
    ({"telescope": 0.7}, "give a galgen.telescope.Telescope"),
    ({"noise": "sigma=1"}, "that of a detector is a telescope's"),
    ({"psf": "2px", "telescope": Telescope.of(psf="2px")}, "it is the telescope's to say"),
]


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


# -- streams -------------------------------------------------------------------------------


def test_a_stream_goes_on_from_any_galaxy_in_batches_of_any_size(asked: TrainedModel) -> None:
    wanted = torch.cat([flux for _, flux in asked.sample_chunks(range(90), seed=3)])
    assert torch.equal(asked.sample(83, seed=3, start=7), wanted[7:])
    for start, batch in ((0, 32), (5, 7), (40, 33), (31, 1)):
        stream = asked.stream(seed=3, start=start, batch=batch)
        drawn = [next(stream) for _ in range((90 - start) // batch)]
        numbers = [index for part in drawn for index in part.indices]
        assert numbers == list(range(start, start + len(numbers)))
        assert torch.equal(torch.cat([part.flux for part in drawn]), wanted[numbers])
    first = next(asked.stream(batch=3, label="edge", where="height=5..6"))
    assert first.labels == ("edge",) * 3
    assert ((first.numbers["height"] >= 5) & (first.numbers["height"] <= 6)).all()
    assert set(first.numbers) == {"height", "width"}


def test_any_galaxies_in_any_order_are_the_samples(asked: TrainedModel) -> None:
    wanted, numbers = asked.sample(70, seed=1), [69, 3, 35, 3]
    drawn = Drawing(asked, 1).draw(numbers)
    assert drawn.indices == (69, 3, 35, 3)
    assert torch.equal(drawn.flux, wanted[numbers])


def test_an_endless_stream_needs_no_more_memory_as_it_goes(asked: TrainedModel) -> None:
    stream = asked.stream(batch=100)
    next(stream)
    tracemalloc.start()
    for _ in range(2):
        next(stream)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(18):
        next(stream)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000


# -- images and tables of astropy ----------------------------------------------------------


def test_images_have_the_cards_of_the_files(seen: TrainedModel, workdir: Path) -> None:
    sample(seen, n=3, seed=4, out="files")
    images = seen.sample_ccd(3, seed=4)
    assert [list(one) for one in images] == [["g", "r", "i"]] * 3
    with fits.open("files/galaxy_000002.fits") as hdus:
        for band, image in images[2].items():
            assert np.array_equal(image.data, hdus[band].data)
            assert image.data.dtype == np.float32
            assert (image.unit, image.mask) == (units.nanomaggy, None)
            pointing = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "RADESYS")
            cards = {
                card.keyword: card.value
                for hdu in (hdus[0], hdus[band])
                for card in hdu.header.cards
                if not card.keyword.startswith(pointing)
            }
            kept = {"SIMPLE", "BITPIX", "EXTEND", "XTENSION", "PCOUNT", "GCOUNT"}
            kept |= {"CHECKSUM", "DATASUM", "NAXIS", "NAXIS1", "NAXIS2"}
            assert dict(image.meta) == {k: v for k, v in cards.items() if k not in kept}
            assert list(image.wcs.wcs.crpix) == [8.5, 8.5]
            assert image.wcs.wcs.cdelt[1] == pytest.approx(seen.spec.pixel_scale / 3600)


def test_an_image_that_is_written_says_where_it_comes_from(
    seen: TrainedModel, workdir: Path
) -> None:
    image = seen.sample_ccd(2, seed=4, psf="none", noise=False)[1]["r"]
    image[2:14, 2:14].write("r.fits")
    again = CCDData.read("r.fits")
    assert (again.unit, again.shape) == (units.nanomaggy, (12, 12))
    assert list(again.wcs.wcs.crpix) == [6.5, 6.5]
    cards = {k: v for k, v in image.meta.items() if k != "BUNIT"}
    assert {k: again.meta[k] for k in cards} == cards
    about = read_provenance("r.fits")
    assert (about["index"], about["seed"], about["psf"]) == (1, 4, "none")
    assert about["checkpoint"] == seen.digest


def test_images_of_pictures_have_no_unit_and_say_so(asked: TrainedModel, workdir: Path) -> None:
    images = asked.sample_ccd(2, label="edge", where="height=5.5")
    image = images[1]["G"]
    assert image.unit == units.dimensionless_unscaled
    assert image.meta["BUNIT"] == "display"
    assert "dimensionless" in image.meta.comments["BUNIT"]
    assert (image.meta["LABEL"], image.meta["COND1"]) == ("edge", "height")
    assert image.meta["CVAL1"] == 5.5
    assert image.wcs is None
    image.write("G.fits")
    assert fits.getheader("G.fits")["LABEL"] == "edge"
    # Each image is its own, to be changed at will.
    image.meta["LABEL"], image.data[:] = "other", 0
    assert images[0]["G"].meta["LABEL"] == images[1]["R"].meta["LABEL"] == "edge"
    assert images[1]["R"].data.any()


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("nanomaggy", "nmgy"), ("MJy/sr", "MJy / sr"), ("count", "ct"), ("Counts", "ct"),
        ("counts/s", "ct / s"), ("ADU", "adu"), ("e-/s", "electron / s"), ("uJy", "uJy"),
        ("electrons s-1", "electron / s"), ("nanomaggies", "nmgy"), ("MJY", None),
        ("display", None), ("", None), ("relative", None),
    ],
)  # fmt: skip
def test_units_of_headers(text: str, unit: str | None) -> None:
    found = astropy_unit(text)
    assert found == (None if unit is None else units.Unit(unit))


def test_a_table_has_the_columns_of_a_catalogue(asked: TrainedModel, workdir: Path) -> None:
    sample(asked, n=40, seed=2, start=3, out="files")
    with fits.open("files/catalogue.fits") as hdus:
        catalogue = hdus[1].data
        table = asked.sample_table(40, seed=2, start=3)
        shared = [name for name in catalogue.names if name not in ("file", "sha256")]
        assert table.colnames == shared
        for name in shared:
            value = table[name]
            plain = np.asarray(getattr(value, "value", value))
            if plain.dtype.kind == "S":
                plain = plain.astype(str)
            assert np.array_equal(plain, catalogue[name], equal_nan=plain.dtype.kind == "f"), name
    assert table["sample"][0] == 3
    assert table["x"].unit == units.pix
    assert table.meta["MODEL"] == "dcgan"
    assert table.meta["CKPTHASH"] == asked.digest
    assert (table.meta["BANDS"], table.meta["FLUXUNIT"]) == ("R,G,B", "display")


def test_fluxes_of_a_table_have_units_and_come_back_from_a_file(
    seen: TrainedModel, workdir: Path
) -> None:
    table = seen.sample_table(5, images=True, telescope=Telescope.of(psf="1.5", pixel_scale=0.4))
    assert table["image"].shape == (5, 3, 8, 8)
    assert table["image"].unit == table["flux_r"].unit == units.nanomaggy
    assert table["mag_r"].unit == units.mag
    assert table.meta["PIXSCALE"] == 0.4
    table.write("table.ecsv")
    again = QTable.read("table.ecsv")
    assert again.colnames == table.colnames
    assert (again["image"] == table["image"]).all()
    assert again.meta["CKPTHASH"] == seen.digest


def test_a_telescope_sees_each_galaxy_by_itself(seen: TrainedModel) -> None:
    telescope = Telescope.of(psf="1.2", pixel_scale=0.4, noise="sigma=0.01")
    wanted = seen.sample(40, telescope=telescope)
    assert wanted.shape == (40, 3, 8, 8)
    some = GeneratedDataset(seen, 3, start=36, space="flux", telescope=telescope)
    assert torch.equal(torch.stack([item["images"] for item in some]), wanted[36:39])
    assert some.spec.pixel_scale == 0.4
    header = seen.sample_ccd(1, telescope=telescope)[0]["r"].meta
    assert (header["PSF"], header["TELSIZE"]) == ("1.2", 8)


@pytest.mark.parametrize(("given", "sentence"), BAD, ids=[str(list(g)) for g, _ in BAD])
def test_what_cannot_be_drawn_is_refused_at_once(
    given: dict[str, Any], sentence: str, asked: TrainedModel
) -> None:
    calls: list[Callable[..., Any]] = [asked.sample, asked.sample_ccd, asked.sample_table]
    calls += [lambda n, **more: GeneratedDataset(asked, n, **more)]
    calls += [lambda n, **more: GeneratedStream(asked, n, **more)]
    if "n" not in given:
        calls += [lambda n, **more: asked.stream(**more)]
    for call in calls:
        with pytest.raises(ConfigError, match=sentence):
            call(**({"n": 2} | given))


# -- data sets -----------------------------------------------------------------------------


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
