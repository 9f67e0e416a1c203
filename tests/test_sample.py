"""Sample i of seed s is the same galaxy, however it is asked for, and its files say what it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

from galgen import checkpoint
from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel
from galgen.errors import CheckpointError, ConfigError, OutputError
from galgen.export import Sharing, export
from galgen.io.header import read_provenance
from galgen.sample import sample
from galgen.sampling.sinks import picture
from galgen.stretch import Stretch
from tiny import KINDS, classes_folder, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a model of simulated galaxies."""
    folder = tmp_path_factory.mktemp("sampling")
    return run(folder, train__snapshot_images=48, recipe__lr=0.01).run


@pytest.fixture(scope="module")
def classed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a conditional model of pictures."""
    folder = tmp_path_factory.mktemp("classed")
    source = classes_folder(folder / "blobs", {"edge": 8, "round": 24})
    return run(folder, data__source=str(source), data__count=None, recipe__lr=0.01).run


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a model with classes and numbers, which are left out now and then."""
    folder = tmp_path_factory.mktemp("measured")
    source = classes_folder(folder / "blobs", {"edge": 12, "round": 24})
    settings = {f"data__{name}": value for name, value in KINDS["both"].items()}
    settings |= {"recipe__lr": 0.01, "recipe__label_dropout": 0.1, "data__count": None}
    return run(folder, data__source=str(source), **settings).run


def test_any_window_of_any_length_is_a_part_of_the_same_stream(trained: Path) -> None:
    model = checkpoint.load(trained)
    whole = model.sample(80, seed=5)
    assert whole.dtype == torch.float32
    assert whole.shape == (80, *model.spec.shape)
    assert len({galaxy.numpy().tobytes() for galaxy in whole}) == 80
    for n, start in ((1, 0), (1, 17), (33, 0), (20, 31), (3, 63), (5, 75)):
        assert torch.equal(model.sample(n, seed=5, start=start), whole[start : start + n])
    picked = list(model.sample_chunks([70, 3, 41], seed=5))
    for members, flux in picked:
        for index, galaxy in zip(members, flux, strict=True):
            assert torch.equal(galaxy, whole[index])
    assert sorted(i for members, _ in picked for i in members) == [3, 41, 70]
    assert not torch.equal(model.sample(4, seed=6), whole[:4])


def test_sampling_ignores_and_leaves_alone_the_global_generators(trained: Path) -> None:
    model = checkpoint.load(trained)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = model.sample(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(model.sample(3), first)


def test_every_way_to_a_model_gives_the_same_bits(trained: Path, tmp_path: Path) -> None:
    model = checkpoint.load(trained)
    exported = export(model, tmp_path / "exported")
    want = model.sample(20, seed=1)
    again = checkpoint.load(exported)
    assert again.card["spec"] == model.card["spec"]
    assert again.digest == model.digest
    assert torch.equal(again.sample(20, seed=1), want)
    assert torch.equal(checkpoint.load(trained / "checkpoints/last.ckpt").sample(20, seed=1), want)
    assert torch.equal(model.module.sample(20, seed=1), want)
    model.module.train()
    assert torch.equal(model.module.sample(20, seed=1), want)
    for source, out, more in (
        (model, "a", {}),
        (exported, "b", {"batch": 1}),
        (trained, "c", {"cube": True}),
    ):
        written = sample(source, 18, seed=1, formats=["fits"], out=tmp_path / out, **more)
        path = written.folder / "galaxy_000017.fits"
        pixels = [hdu.data for hdu in fits.open(path) if hdu.data is not None]
        pixels = pixels[0] if more.get("cube") else np.stack(pixels)
        assert np.array_equal(pixels, want[17].numpy())


def test_half_precision_export_is_half_the_size_and_close(trained: Path, tmp_path: Path) -> None:
    model = checkpoint.load(trained)
    full, half = (
        export(model, tmp_path / name, Sharing(half=name == "half")) for name in ("full", "half")
    )
    sizes = [(folder / checkpoint.WEIGHTS).stat().st_size for folder in (full, half)]
    assert sizes[1] < 0.75 * sizes[0]
    a, b = (checkpoint.load(folder).sample(8) for folder in (full, half))
    assert not torch.equal(a, b)
    assert (a - b).abs().max() < 0.02 * a.abs().max()


def test_a_class_that_is_not_ascii(classed: Path, tmp_path: Path) -> None:
    model = checkpoint.load(classed)
    conditions = model.module.conditions
    model.module.conditions = replace(conditions, classes=("élliptique", "round"))
    written = sample(model, 2, label="élliptique", formats=["fits"], out=tmp_path / "été")
    assert fits.getheader(written.folder / "galaxy_000001.fits")["LABEL"] == "elliptique"
    assert list(Table.read(written.catalogue)["label"]) == ["elliptique"] * 2


@pytest.mark.parametrize("cube", [False, True])
def test_files_are_valid_and_say_where_they_come_from(
    trained: Path, tmp_path: Path, cube: bool
) -> None:
    model = checkpoint.load(trained)
    written = sample(model, 3, seed=4, start=10, formats=["fits"], cube=cube, out=tmp_path / "out")
    assert written.count == 3
    assert sorted(p.name for p in written.folder.iterdir() if p.suffix != ".parquet") == [
        "catalogue.fits",
        *(f"galaxy_{i:06d}.fits" for i in (10, 11, 12)),
        "overview.png",
        "sampling.json",
    ]
    with fits.open(written.folder / "galaxy_000011.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)
        primary = hdus[0].header
        assert primary["SIMULATE"] is True
        assert (primary["SEED"], primary["SAMPLE"], primary["TRUNC"]) == (4, 11, 1.0)
        assert (primary["MODEL"], primary["CKPTHASH"]) == ("dcgan", model.digest)
        assert primary["STRETCH"] == "asinh"
        assert primary["GALGENV"]
        assert "LABEL" not in primary
        if cube:
            assert len(hdus) == 1
            assert hdus[0].data.dtype == np.dtype(">f4")
            assert hdus[0].data.shape == (3, 16, 16)
            assert primary["BANDS"] == "g,r,i"
        else:
            assert hdus[0].data is None
            assert [hdu.name.lower() for hdu in hdus[1:]] == ["g", "r", "i"]
            for hdu in hdus[1:]:
                assert hdu.data.dtype == np.dtype(">f4")
                assert hdu.header["BUNIT"] == "nanomaggy"
                assert hdu.header["MAGZERO"] == 22.5
                assert hdu.header["FILTER"] == hdu.header["EXTNAME"]
                assert hdu.header["PIXSCALE"] == model.spec.pixel_scale
                assert hdu.header["WCSDUMMY"] is True


def test_catalogue_names_every_file(trained: Path, tmp_path: Path) -> None:
    written = sample(trained, 4, seed=2, start=98, formats=["fits", "png"], out=tmp_path / "out")
    table = Table.read(written.catalogue)
    assert list(table["sample"]) == [98, 99, 100, 101]
    assert set(table["seed"]) == {2}
    assert all((written.folder / name).is_file() for name in table["file"])
    assert (written.folder / "galaxy_000101.png").is_file()
    assert table.meta["CKPTHASH"] == checkpoint.load(trained).digest


def test_labels(classed: Path, tmp_path: Path) -> None:
    model = checkpoint.load(classed)
    assert model.classes == ("edge", "round")
    one, other = model.sample(6, label="edge"), model.sample(6, label="round")
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    rows = model.module.sample_conditions(range(400), seed=0)
    assert rows is not None
    assert torch.equal(rows.sum(dim=1), torch.ones(400))
    labels = rows.argmax(dim=1)
    assert 0.15 < float((labels == 0).float().mean()) < 0.35
    assert torch.equal(model.module.sample_conditions([300, 7], seed=0), rows[[300, 7]])
    mixed = model.sample(6)
    for i in range(6):
        assert torch.equal(mixed[i], (one, other)[int(labels[i])][i])
    written = sample(model, 6, out=tmp_path / "mix", formats=["fits", "jpg"])
    table = Table.read(written.catalogue)
    assert [str(name) for name in table["label"]] == [model.classes[int(k)] for k in labels[:6]]
    for i in range(6):
        card = fits.getheader(written.folder / f"galaxy_{i:06d}.fits")["LABEL"]
        assert card == model.classes[int(labels[i])]
    named = sample(model, 2, label="edge", out=tmp_path / "edge", formats=["fits"])
    assert set(Table.read(named.catalogue)["label"]) == {"edge"}
    with pytest.raises(ConfigError, match=r"--label spiral .*edge, round"):
        sample(model, 1, label="spiral", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_numbers(measured: Path, tmp_path: Path) -> None:
    """Catalogue and headers say what was asked for, and samples follow from it alone."""
    model = checkpoint.load(measured)
    assert model.module.conditions.names == ("height", "width")
    where = "width=1.8..2.2, height=2"
    written = sample(model, 12, seed=3, where=where, formats=["fits"], out=tmp_path / "out")
    table = Table.read(written.catalogue)
    assert table.colnames[:7] == [
        "file", "sample", "seed", "sha256", "label", "height_requested", "width_requested",
    ]  # fmt: skip
    assert set(table["height_requested"]) == {2.0}
    widths = np.asarray(table["width_requested"])
    assert 1.8 <= widths.min() < 1.95 < 2.05 < widths.max() <= 2.2
    assert set(table["label"]) == {"round"}, "no elongated galaxy is so short"
    want = model.sample(12, seed=3, where={"height": 2, "width": (1.8, 2.2)})
    for i in (0, 7):
        path = written.folder / f"galaxy_{i:06d}.fits"
        assert np.array_equal(np.stack([fits.getdata(path, k) for k in (1, 2, 3)]), want[i])
        header = fits.getheader(path)
        assert (header["LABEL"], header["COND1"], header["CVAL1"]) == ("round", "height", 2.0)
        assert (header["COND2"], header["CVAL2"]) == ("width", widths[i])
        assert read_provenance(path)["conditions"] == {"height": 2.0, "width": widths[i]}
    one = model.sample(1, seed=3, start=7, where=where)
    assert torch.equal(one[0], want[7])
    exact = {"height": 2.0, "width": float(widths[7])}
    again = model.sample(1, seed=3, start=7, label="round", where=exact)
    assert torch.allclose(again[0], want[7], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(again[0], model.sample(1, seed=3, start=7, where="height=6")[0])


def test_nothing_is_asked_for(measured: Path, tmp_path: Path) -> None:
    model = checkpoint.load(measured)
    written = sample(model, 4, no_condition=True, formats=["fits"], out=tmp_path / "out")
    table = Table.read(written.catalogue)
    assert table["label"].mask.all()
    assert table["width_requested"].mask.all()
    assert "LABEL" not in (header := fits.getheader(written.folder / "galaxy_000002.fits"))
    assert "COND1" not in header
    assert header["ASKED"] is False
    assert read_provenance(written.folder / "galaxy_000002.fits")["asked"] is False
    assert "conditions" not in read_provenance(written.folder / "galaxy_000002.fits")
    zeros = torch.zeros(4, model.module.conditions.width)
    ((_, want),) = model.module.stream(range(4), zeros)
    assert torch.equal(model.sample(4, no_condition=True), want)
    assert not torch.equal(model.sample(4), want)


def test_conditions_survive_an_export(measured: Path, tmp_path: Path) -> None:
    model = checkpoint.load(measured)
    again = checkpoint.load(export(model, tmp_path / "exported"))
    where = "width=1.9..2.1"
    assert torch.equal(again.sample(5, where=where), model.sample(5, where=where))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"where": "width=30"}, "--where width=30: the model was trained on width from 1.5"),
        ({"where": "heights=2"}, "--where heights: did you mean height?"),
        ({"label": "ring"}, "--label ring is not a class of this model: choose one of edge, round"),
        ({"no_condition": True, "label": "edge"}, "--no-condition asks for nothing: leave --label"),
    ],
)
def test_conditions_that_cannot_be_met(
    measured: Path, tmp_path: Path, asked: dict, words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        sample(measured, 1, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_numbers_are_for_models_that_have_them(
    classed: Path, trained: Path, tmp_path: Path
) -> None:
    for source in (classed, trained):
        with pytest.raises(ConfigError, match=r"--where width: .* without numbers"):
            sample(source, 1, where="width=2", out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"--no-condition: .*recipe\.label_dropout"):
        sample(classed, 1, no_condition=True, out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"--no-condition: .* trained without conditions"):
        sample(trained, 1, no_condition=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_without_classes_takes_no_label(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without classes"):
        sample(trained, 1, label="edge", out=tmp_path / "none")


def test_pictures_of_display_models_are_the_default(classed: Path, tmp_path: Path) -> None:
    from PIL import Image

    written = sample(classed, 2, out=tmp_path / "out")
    assert written.files == ("galaxy_000000.png",)
    with Image.open(written.folder / "galaxy_000001.png") as image:
        shown = np.moveaxis(np.asarray(image).astype(float), -1, 0)
    flux = checkpoint.load(classed).sample(2)[1].clamp(0, 255).numpy()
    assert np.abs(shown - flux).max() <= 0.5


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"n": 0}, ConfigError, "-n 0"),
        ({"n": -3}, ConfigError, "-n -3"),
        ({"batch": 0}, ConfigError, "--batch 0"),
        ({"start": -1}, ConfigError, "--start -1"),
        ({"formats": ["tiff"]}, ConfigError, "tiff"),
    ],
)
def test_what_cannot_be_drawn(
    trained: Path, tmp_path: Path, changes: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        sample(trained, **{"n": 2, **changes}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_galaxies_are_never_overwritten(trained: Path, tmp_path: Path) -> None:
    sample(trained, 1, formats=["png"], out=tmp_path / "out")
    before = (tmp_path / "out/galaxy_000000.png").read_bytes()
    with pytest.raises(OutputError, match=r"galaxies of another request \(seed 0 and not 9\)"):
        sample(trained, 1, seed=9, formats=["png"], out=tmp_path / "out")
    assert (tmp_path / "out/galaxy_000000.png").read_bytes() == before


def test_folders_are_counted_up(trained: Path, workdir: Path) -> None:
    names = [sample(trained, 1, formats=["png"]).folder.name for _ in range(2)]
    assert names == ["samples-00001", "samples-00002"]


def test_a_model_that_never_saw_data_gives_network_space_but_no_files(tmp_path: Path) -> None:
    from galgen import DCGAN

    module = DCGAN(size=16, bands=2, latent=4, widths=[4, 4, 4], critic_widths=[4, 4, 4])
    raw = module.sample(5, seed=3)
    assert raw.shape == (5, 2, 16, 16)
    kinds = [torch.tensor(v) for v in ([1.0, 2.0], [1.0, 1.0], [3.0, 4.0])]
    module.stretch = Stretch("minmax", *kinds)
    assert torch.allclose(module.sample(5, seed=3), module.stretch.inverse(raw))
    module.stretch = None
    (tmp_path / "x.ckpt").touch()
    card = {"clock": module.clock.state()}
    with pytest.raises(CheckpointError, match="before it saw data"):
        sample(TrainedModel(module, card, tmp_path / "x.ckpt"), 1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_sample_17_of_a_hundred_and_of_a_thousand(trained: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    pixels = []
    for n, batch in ((100, 8), (1000, 64)):
        out = tmp_path / str(n)
        command = [sys.executable, "-m", "galgen_cli.main", "sample", str(trained), "--fits"]
        command += ["-n", str(n), "--batch", str(batch), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True)
        assert len(list(out.glob("galaxy_*.fits"))) == n
        pixels.append([fits.getdata(out / "galaxy_000017.fits", k) for k in (1, 2, 3)])
    assert np.array_equal(*pixels)


def test_a_picture_has_red_first_whatever_the_order_of_the_bands() -> None:
    red, green, blue = (torch.full((4, 4), value) for value in (200.0, 100.0, 50.0))
    planes = {"R": red, "G": green, "B": blue}
    stretch = Stretch.fit(torch.rand(4, 3, 4, 4) * 255, "linear")
    for bands in (("R", "G", "B"), ("B", "G", "R"), ("G", "B", "R")):
        spec = ImageSpec(size=4, bands=bands, display=True)
        shown = picture(np.stack([planes[band] for band in bands]), spec, stretch)
        assert shown[:, 0, 0].tolist() == [200, 100, 50]
    # Names of one's own are given to the places of a picture, which they keep.
    spec = ImageSpec(size=4, bands=("g", "r", "i"), display=True)
    shown = picture(np.stack([red, green, blue]), spec, stretch)
    assert shown[:, 0, 0].tolist() == [200, 100, 50]
