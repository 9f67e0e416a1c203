"""Galaxies for other programs: the same ones as images, rows, streams and data sets."""

from __future__ import annotations

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

from galgen import GeneratedDataset, GeneratedStream
from galgen.checkpoint import TrainedModel, load
from galgen.errors import ConfigError
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
    ({"colour": 0.5}, "choose of label, where, no_condition, telescope, truncation, psf, noise"),
    ({"telescop": "x"}, "did you mean telescope"),
    ({"truncation": "0.5"}, "truncation='0.5': give a number"),
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
            kept |= {"CHECKSUM", "DATASUM", "NAXIS", "NAXIS1", "NAXIS2", "NEXTEND"}
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
