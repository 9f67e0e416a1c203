"""Numbers and classes of a set: where they come from, and every sentence on bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.conditions import Number
from galgen.data import loading
from galgen.data.module import CutoutDataModule
from galgen.data.sersic import simulate
from galgen.data.sets import CutoutSet, open_set
from galgen.errors import ConfigError, DataError, UserError
from galgen.measure.quantities import measure_numbers
from tiny import classes_folder

COUNT = 20


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Simulated galaxies in FITS, with redshifts in the headers and a table."""
    folder = tmp_path / "survey"
    folder.mkdir()
    flux, truth = simulate(COUNT, size=24)
    for k, image in enumerate(flux):
        header = fits.Header(
            [
                ("BANDS", "g,r,i"),
                ("BUNIT", "nanomaggy"),
                ("EXPTIME", 30),
                ("Z", float(truth["redshift"][k])),
            ]
        )
        fits.PrimaryHDU(image, header).writeto(folder / f"galaxy_{k:02d}.fits")
    rows = [
        f"galaxy_{k:02d}.fits,{truth['mag_g'][k]:.6f},{truth['mag_r'][k]:.6f},{10 + k % 7},"
        f"{'disk' if k % 3 else 'bulge'},{k}"
        for k in range(COUNT)
    ]
    write(folder / "catalog.csv", "file,mag_g,mag_r,snr,kind,number", *rows)
    return folder


def write(path: Path, *rows: str) -> None:
    path.write_text("\n".join(rows) + "\n")


def with_values(folder: Path, name: str, values: dict[int, str], table: str = "more.csv") -> None:
    """A table whose column counts from 1, but for some galaxies."""
    rows = [f"galaxy_{k:02d},{values.get(k, str(k + 1))}" for k in range(COUNT)]
    write(folder / table, f"file,{name}", *rows)


def reasons(cutouts: CutoutSet) -> dict[str, str]:
    return {Path(file).stem: reason for file, reason in cutouts.bad}


def test_numbers_come_from_images_tables_and_headers(survey: Path) -> None:
    _, truth = simulate(COUNT, size=24)
    with_values(survey, "age", {})
    found = open_set(
        survey, condition=("measure:mag_r,r_half", "header:z", "mag_g", "more.csv:AGE", ":snr")
    )
    assert found.numbers == (
        Number("mag_r", "measure"),
        Number("r_half", "measure"),
        Number("z", "header"),
        Number("mag_g", "catalogue"),
        Number("AGE", "more.csv"),
        Number("snr", "catalogue"),
    )
    assert found.values is not None
    assert found.values.dtype == np.float64
    flux = found.read(range(COUNT))
    np.testing.assert_array_equal(
        found.values[:, :2], measure_numbers(flux, found.spec, ["mag_r", "r_half"])
    )
    np.testing.assert_allclose(found.values[:, 2], truth["redshift"])
    np.testing.assert_allclose(found.values[:, 3], truth["mag_g"], atol=1e-6)
    np.testing.assert_array_equal(found.values[:, 4], np.arange(1, COUNT + 1))
    assert not found.bad


def test_a_colour_is_a_difference_of_magnitudes(survey: Path) -> None:
    _, truth = simulate(COUNT, size=24)
    values = open_set(survey, condition="g-r").values
    assert values is not None
    np.testing.assert_allclose(values[:, 0], truth["mag_g"] - truth["mag_r"], atol=3e-6)
    Table({"file": [f"galaxy_{k:02d}" for k in range(COUNT)], "u": truth["mag_g"],
           "R": truth["mag_r"], "g-i": np.arange(COUNT)}).write(survey / "u.fits")  # fmt: skip
    values = open_set(survey, condition="u.fits:u-r,g-i").values
    assert values is not None
    np.testing.assert_allclose(values[:, 0], truth["mag_g"] - truth["mag_r"])
    np.testing.assert_array_equal(values[:, 1], np.arange(COUNT))


def test_one_text_is_cut_at_blanks_and_semicolons(survey: Path) -> None:
    found = open_set(survey, condition="measure:mag_r, g-r; catalog.csv:snr header:Z")
    assert [(n.source, n.name) for n in found.numbers] == [
        ("measure", "mag_r"), ("measure", "g-r"), ("catalog.csv", "snr"), ("header", "Z"),
    ]  # fmt: skip
    same = open_set(survey, condition="measure:mag_r,g-r,catalog.csv:snr,header:Z")
    assert same.numbers == found.numbers
    none = open_set(survey, condition="none")
    assert (none.numbers, none.values) == ((), None)


def test_a_set_larger_than_memory_is_measured_from_its_files(
    survey: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = open_set(survey, condition="measure:mag_r snr")
    monkeypatch.setattr(loading, "KEEP_BYTES", 1000)
    monkeypatch.setattr("galgen.data.measured._CHUNK", 7)
    streamed = open_set(survey, condition="measure:mag_r snr")
    assert any("read from its files" in note for note in streamed.notes)
    np.testing.assert_array_equal(streamed.values, kept.values)


def test_galaxies_without_a_value_are_left_out_and_listed(survey: Path) -> None:
    with_values(survey, "age", {2: "", 5: "NaN", 9: "inf", 11: "N/A"})
    table = (survey / "more.csv").read_text().splitlines()
    write(survey / "more.csv", *(row for row in table if not row.startswith("galaxy_14")))
    plain = open_set(survey)
    found = open_set(survey, condition="measure:mag_r more.csv:age", group="catalog.csv:kind",
                     labels="catalog.csv:kind")  # fmt: skip
    assert reasons(found) == {
        "galaxy_02": "age is missing in more.csv",
        "galaxy_05": "age is missing in more.csv",
        "galaxy_09": "age is missing in more.csv",
        "galaxy_11": "age is missing in more.csv",
        "galaxy_14": "no row in more.csv",
    }
    rows = [k for k in range(COUNT) if k not in (2, 5, 9, 11, 14)]
    # All that is kept of a galaxy stays together.
    assert list(found.names) == [plain.names[k] for k in rows]
    np.testing.assert_array_equal(found.read(range(15)), plain.read(rows))
    assert found.values is not None
    assert found.values[:, 1].tolist() == [k + 1.0 for k in rows]
    assert found.catalogue["number"].tolist() == rows
    assert found.labels is not None
    assert [found.classes[k] for k in found.labels] == list(found.groups)
    with pytest.raises(DataError, match=r"5 of 20 galaxies.*age is missing.*bad_fraction=0\.25"):
        open_set(survey, condition="more.csv:age", bad_fraction=0.2)


def test_a_galaxy_that_is_not_found_is_left_out(survey: Path) -> None:
    with fits.open(survey / "galaxy_03.fits", mode="update") as hdus:
        hdus[0].data[:] = np.random.default_rng(0).normal(size=(3, 24, 24))
    found = open_set(survey, condition="measure:mag_r,g-r")
    assert reasons(found) == {"galaxy_03": "no galaxy is found in it to measure mag_r, g-r of"}
    assert found.values is not None
    assert np.isfinite(found.values).all()
    assert found.values.shape == (COUNT - 1, 2)


def test_marks_of_missing_values_count_as_missing(survey: Path) -> None:
    with_values(survey, "mag", {k: f"{18 + k / 10}" for k in range(COUNT)} | {4: "-99", 6: "99.0"})
    found = open_set(survey, condition="more.csv:mag")
    assert reasons(found) == {
        "galaxy_04": "mag is -99 in more.csv, a mark of missing values",
        "galaxy_06": "mag is 99 in more.csv, a mark of missing values",
    }
    assert any("mag is 99 once in more.csv, far from the rest" in note for note in found.notes)
    # A magnitude missing in one band makes no colour.
    rows = [f"galaxy_{k:02d},{20 + k / 9},{-99 if k == 7 else 19 + k / 10}" for k in range(COUNT)]
    write(survey / "more.csv", "file,mag_g,mag_r", *rows)
    assert list(reasons(open_set(survey, condition="more.csv:g-r"))) == ["galaxy_07"]
    # Among values of that order 99 is a value.
    with_values(survey, "x", {k: str(5 * k) for k in range(COUNT)} | {4: "99"})
    found = open_set(survey, condition="more.csv:x")
    assert not found.bad
    assert found.values is not None
    assert found.values[4, 0] == 99


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("kind", "catalog.csv holds the text 'bulge' in kind, where numbers are wanted"),
        ("kind", "--labels catalogue:kind"),
        ("sn", "no column 'sn' (--condition); did you mean 'snr'"),
        ("velocity", "it has file, mag_g, mag_r, snr, kind, number"),
        ("mag_i", "did you mean 'mag_r', or measure it: --condition measure:mag_i"),
        ("other.csv:z", "the table other.csv is neither in"),
        ("header:ZZ", "the header has no column 'ZZ'"),
        ("header:EXPTIME", "every galaxy has the same value, 30"),
        ("measure:mag_z", "no band 'z' to measure 'mag_z' in: the bands are g, r, i"),
        ("measure:redshift", "'redshift' is nothing that can be measured"),
        ("snr,mag_r,snr", "names 'snr' twice"),
        ("measure:mag_r;catalog.csv:mag_r", "names 'mag_r' twice"),
        ("measure:", "lacks a name"),
        ("snr,,mag_r", "lacks a name"),
        ("catalog.csv", "--condition 'catalog.csv' lacks a name: write SOURCE:name"),
    ],
)
def test_mistakes_are_one_sentence(survey: Path, condition: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        open_set(survey, condition=condition)
    text = str(caught.value)
    assert words in text
    assert text.endswith(".")
    assert "\n" not in text
    assert caught.value.exit_code == 2


def test_numbers_without_a_catalogue(survey: Path) -> None:
    (survey / "catalog.csv").unlink()
    with pytest.raises(ConfigError, match=r"holds no table called catalogue\.csv.*measure it"):
        open_set(survey, condition="mag_r")
    with pytest.raises(ConfigError, match=r"--labels catalogue:kind: .* holds no table"):
        open_set(survey, labels="catalogue:kind")


def test_pictures_without_headers_say_so(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs")
    with pytest.raises(ConfigError, match="have no headers"):
        open_set(folder, condition="header:Z")
    found = open_set(folder, condition="measure:r_half,R-B")
    assert found.values is not None
    assert found.values[found.labels == 0, 0].mean() > 1.3 * found.values[found.labels == 1].mean()


def test_the_built_in_sets_have_catalogues(survey: Path) -> None:
    sersic = open_set("sersic", count=12, size=16, labels="catalogue:kind", condition="g-r,r_half")
    _, truth = simulate(12, size=16)
    kinds = ("elliptical", "spiral", "irregular")
    assert sersic.labels is not None
    assert [sersic.classes[k] for k in sersic.labels] == [kinds[k] for k in truth["kind"]]
    assert sersic.values is not None
    want = np.column_stack([truth["mag_g"] - truth["mag_r"], truth["r_half"]])
    np.testing.assert_allclose(sersic.values, want)
    hubble = open_set("hubble", count=5, condition="brightness")
    assert hubble.values is not None
    np.testing.assert_array_equal(hubble.values[:, 0], hubble.catalogue["brightness"])
    for options, words in (
        ({"condition": "header:Z"}, "the set sersic has no files"),
        ({"condition": "catalog.csv:z"}, r"measure:mag_g.*r_half"),
        ({"condition": "redshit"}, "did you mean 'redshift'"),
        ({"labels": "catalogue:kidn"}, "did you mean 'kind'"),
        ({"labels": "a.csv:kind"}, "catalogue:COLUMN"),
        ({"condition": "seed"}, "every galaxy has the same value"),
    ):
        with pytest.raises(ConfigError, match=words):
            open_set("sersic", count=12, size=16, **options)
    with pytest.raises(DataError, match="pitch is missing in the catalogue of sersic"):
        open_set("sersic", count=12, size=16, condition="pitch")
    spirals = open_set("sersic", count=12, size=16, condition="pitch", bad_fraction=0.9)
    assert len(spirals) == int((truth["kind"] == 1).sum())
    assert all(name.startswith("sersic_") for name, _ in spirals.bad)


def test_labels_that_are_missing_or_are_numbers(survey: Path) -> None:
    assert open_set(survey, labels="catalogue:kind").classes == ("bulge", "disk")
    with pytest.raises(ConfigError, match="20 different numbers for 20 galaxies, which are no cl"):
        open_set(survey, labels="catalogue:mag_r")
    with_values(survey, "kind", {k: "ab"[k % 2] for k in range(COUNT)} | {4: "nan", 5: ""})
    found = open_set(survey, labels="more.csv:kind")
    assert reasons(found) == dict.fromkeys(["galaxy_04", "galaxy_05"], "no label in more.csv:kind")
    for k in range(COUNT):
        with fits.open(survey / f"galaxy_{k:02d}.fits", mode="update") as hdus:
            if k != 3:
                hdus[0].header["KIND"] = "ab"[k % 2]
    found = open_set(survey, labels="header:kind", condition="header:z")
    assert reasons(found) == {"galaxy_03": "no label in header:kind"}
    assert found.labels is not None
    assert found.labels.tolist() == [k % 2 for k in range(COUNT) if k != 3]
    assert found.values is not None
    truth = simulate(COUNT, size=24)[1]["redshift"]
    np.testing.assert_allclose(found.values[:, 0], np.delete(truth, 3))
    with_values(survey, "kind", dict.fromkeys(range(COUNT), "a"))
    single = open_set(survey, labels="more.csv:kind")
    assert any("every label in more.csv:kind is a" in note for note in single.notes)


def test_what_turns_and_mirrors_change_is_said(survey: Path) -> None:
    notes = open_set("sersic", count=9, size=16, condition="position_angle,ellipticity").notes
    assert [note for note in notes if "ellipticity" in note] == []
    assert any("position_angle changes as images are turned" in note for note in notes)
    with_values(survey, "s", {k: ("clockwise", "anticlockwise")[k % 2] for k in range(COUNT)})
    notes = open_set(survey, labels="more.csv:s").notes
    assert any("data.flip=false" in note for note in notes)


def module(source: str | Path = "sersic", **options: object) -> CutoutDataModule:
    size = {"size": 16, "count": 40} if str(source) == "sersic" else {}
    return CutoutDataModule(source, **{**size, "batch": 8, **options})


def test_conditions_are_those_of_the_training_galaxies() -> None:
    data = module(labels="catalogue:kind", condition="mag_r,g-r")
    rows = data.split[0]
    found = data.conditions
    assert found.classes == ("elliptical", "irregular", "spiral")
    assert data.cutouts.labels is not None
    assert data.cutouts.values is not None
    assert found.counts == tuple(np.bincount(data.cutouts.labels[rows], minlength=3))
    assert [number.mean for number in found.numbers] == pytest.approx(
        data.cutouts.values[rows].mean(0).tolist()
    )
    data.setup("fit")
    item = data.train_set[0, [3, 1]]
    labels, values = found.decode(item["condition"].numpy())
    assert labels.tolist() == data.cutouts.labels[rows[[3, 1]]].tolist()
    np.testing.assert_allclose(values, data.cutouts.values[rows[[3, 1]]], atol=1e-5)
    assert "labels" not in item


def test_without_classes_and_numbers_batches_have_no_condition() -> None:
    data = module()
    data.setup("fit")
    assert not data.conditions
    assert set(data.train_set[0, [0]]) == {"images", "position"}


def test_numbers_of_a_checkpoint_keep_their_standard() -> None:
    first = module(condition="mag_r,redshift").conditions.numbers
    data = module(condition="redshift,measure:mag_r", seed=5, standard=first)
    redshift, magnitude = data.conditions.numbers
    assert (magnitude.mean, magnitude.std) == (first[0].mean, first[0].std)
    assert (redshift.mean, redshift.std) == (first[1].mean, first[1].std)
    assert magnitude.source == "measure"
    assert magnitude.low != first[0].low


def test_a_class_with_fewer_than_two_training_images(survey: Path, tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs", {"edge": 1, "round": 14})
    with pytest.raises(DataError, match=r"the class 'edge' has [01] images? to train on.*none"):
        _ = module(folder).conditions
    assert not module(folder, labels="none").conditions
    three = classes_folder(tmp_path / "three", {"edge": 3, "round": 14})
    for seed in range(8):
        assert min(module(three, holdout=0.5, seed=seed).conditions.counts) >= 2
    names = [name for name in module(three).cutouts.names if "edge" in name][:2]
    with pytest.raises(DataError, match=r"has 1 image to train on \(2 more held out\), and at lea"):
        _ = module(three, holdout=names).conditions
    with_values(survey, "k", {k: "ab"[k % 2] for k in range(COUNT)} | {3: "rare"})
    with pytest.raises(DataError, match=r"'rare' has 1 image .*data\.select=more\.csv:k!=rare'"):
        _ = module(survey, labels="more.csv:k", holdout=0.0).conditions
    # The way out works.
    data = module(survey, labels="more.csv:k", select="more.csv:k!=rare", holdout=0.0)
    assert data.conditions.counts == (10, 9)


def test_balance_shows_each_class_as_often_and_keeps_the_frequencies(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs", {"edge": 3, "round": 21})
    data = module(folder, holdout=0.0, balance=True)
    data.setup("fit")
    shown = [batch["condition"].sum(0).tolist() for batch in data.train_dataloader()]
    assert shown == [[4.0, 4.0]] * 3
    assert data.conditions.counts == (3, 21)
    for source, options in ((folder, {"labels": "none"}), ("sersic", {})):
        with pytest.raises(ConfigError, match=r"data\.balance needs two classes or more"):
            _ = module(source, balance=True, **options).conditions


def test_real_galaxy_zoo_and_hsc(real_data: Callable[[str], Path]) -> None:
    zoo = CutoutDataModule(
        real_data("gz1_jpg"), labels="labels.csv:label", condition="measure:r_half,mag_G",
        crop=212, size=32, count=200, balance=True,
    )  # fmt: skip
    assert len(zoo.conditions.classes) == 5
    assert [number.name for number in zoo.conditions.numbers] == ["r_half", "mag_G"]
    hsc = open_set(
        real_data("hsc_grizy_fits_32"),
        condition="catalog.csv:i_peak_snr,dist_to_next_peak_pix",
        select="i_peak_snr>10",
    )
    assert hsc.values is not None
    assert hsc.values.shape == (len(hsc), 2)
    assert hsc.values[:, 0].min() > 10


def test_real_radio_classes(real_data: Callable[[str], Path]) -> None:
    radio = CutoutDataModule(
        real_data("radio_first_png") / "valid", size=32, crop=150, count=60, balance=True, batch=8
    )
    assert radio.conditions.classes == ("Bent", "Compact", "FRI", "FRII")
    radio.setup("fit")
    batch = next(iter(radio.train_dataloader()))
    assert batch["condition"].sum(0).tolist() == [2.0] * 4


def test_a_file_named_twice_is_noted_and_refused_where_its_rows_differ(survey: Path) -> None:
    rows = (survey / "catalog.csv").read_text().splitlines()
    write(survey / "catalog.csv", *rows, rows[3], rows[4], rows[4])
    asked = {"labels": "catalog.csv:kind", "condition": "catalog.csv:snr"}
    found = open_set(survey, **asked)
    assert len(found) == COUNT
    told = "catalog.csv names galaxy_02 twice and 1 more file more than once: the first row counts."
    assert [note for note in found.notes if "names" in note] == [told]
    assert told in open_set(survey, condition="catalog.csv:snr").notes
    name, *_, number = rows[4].split(",")
    write(survey / "catalog.csv", *rows, f"{name},20,19,99,odd,{number}")
    for each in asked:
        with pytest.raises(DataError, match=r"2 rows for galaxy_03, which differ in (kind|snr)"):
            open_set(survey, **{each: asked[each]})
    assert open_set(survey, condition="catalog.csv:number").values is not None


def test_files_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "galaxies", {"a": 3, "b": 3})
    for name in ("a", "b"):
        for k, path in enumerate(sorted((folder / name).iterdir())):
            path.rename(folder / name / f"{k}.png")
    rows = [f"{name}/{k}.png,{ord(name) + k}" for name in "ab" for k in range(3)]
    write(folder / "catalogue.csv", "file,number", *rows)
    found = open_set(folder, condition="number")
    assert found.values is not None
    assert found.values[:, 0].tolist() == [97, 98, 99, 98, 99, 100]
    assert not any("names" in note for note in found.notes)


def test_a_text_among_numbers_is_named(survey: Path) -> None:
    with_values(survey, "age", {4: "faint"})
    with pytest.raises(ConfigError, match=r"'faint' in age for galaxy_04.*mend it, or leave"):
        open_set(survey, condition="more.csv:age")
    with_values(survey, "age", {4: ""})
    assert list(reasons(open_set(survey, condition="more.csv:age"))) == ["galaxy_04"]
