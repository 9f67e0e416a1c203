"""``galgen sample`` and ``galgen finetune`` as a person types them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from typer.testing import CliRunner, Result

from galgen import checkpoint
from galgen_cli.main import app
from tiny import KINDS, OPTIONS, classes_folder, run

RUN = "runs/00001-dcgan-sersic-16px"
STYLED = "styled/00001-stylegan2-sersic-16px"
ASKED = "asked/00001-dcgan-blobs-16px"


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run in it, and beside it one of a pair with styles that ends in a PSF and
    one with classes, numbers and codes.
    """
    folder = tmp_path_factory.mktemp("place")
    run(folder / "runs", recipe__lr=0.01)
    options = {"latent": 8, "width": 4, "max_width": 8, "psf": "auto"}
    run(folder / "styled", model__name="stylegan2", model__options=options, train__images=16)
    settings = {f"data__{name}": value for name, value in KINDS["both"].items()}
    settings |= {"data__source": str(classes_folder(folder / "blobs")), "data__count": None}
    settings |= {"recipe__lr": 0.01, "recipe__label_dropout": 0.1, "train__images": 32}
    run(folder / "asked", model__options={**OPTIONS, "codes": 2}, **settings)
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(place)
    before = set(place.rglob("*"))
    yield
    import shutil

    for path in set(place.rglob("*")) - before:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def test_without_a_checkpoint_it_takes_the_newest_run_and_says_so() -> None:
    result = galgen("sample", "-n", "2", "--fits")
    assert result.exit_code == 0, result.output
    assert (
        "model: runs/00001-dcgan-sersic-16px/checkpoints/last.ckpt (dcgan, 16 px" in result.output
    )
    names = {p.name for p in Path("samples-00001").iterdir() if p.suffix != ".parquet"}
    assert names == {
        "catalogue.fits", "galaxy_000000.fits", "galaxy_000001.fits", "overview.png",
        "sampling.json",
    }  # fmt: skip


def test_with_no_run_it_takes_the_model_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = galgen("sample", "-n", "2", "--png", "--json", "--out", "out")
    assert result.exit_code == 0, result.output
    assert checkpoint.PACKAGED in json.loads(result.stdout)["model"]
    assert len(list(Path("out").glob("galaxy_*.png"))) == 2


def test_the_same_galaxy_whatever_n_and_batch() -> None:
    want = checkpoint.load(RUN).sample(40, seed=3)[17].numpy()
    for n, batch, cube in ((18, 8, False), (40, 64, False), (40, 1, True)):
        out = f"out-{n}-{batch}"
        options = ["--batch", str(batch), "--seed", "3", "--out", out, *(["--cube"] * cube)]
        assert galgen("sample", "-n", str(n), "--fits", *options).exit_code == 0
        path = f"{out}/galaxy_000017.fits"
        got = fits.getdata(path) if cube else np.stack([fits.getdata(path, k) for k in (1, 2, 3)])
        assert np.array_equal(got, want)


def test_json_stands_alone_and_a_dry_run_writes_nothing() -> None:
    plan = galgen("sample", "-n", "2", "--dry-run")
    assert plan.exit_code == 0
    assert "would draw 2 galaxies of seed 0" in plan.output
    assert not Path("samples-00001").exists()
    result = json.loads(galgen("sample", "-n", "2", "--jpg", "--json").stdout)
    assert result["count"] == 2
    assert Path(result["folder"], "galaxy_000001.jpg").is_file()


def test_looks() -> None:
    source = checkpoint.load(STYLED)
    looks = {
        "truncated": (["--truncation", "0.5"], {"truncation": 0.5}),
        "bare": (["--psf", "none", "--no-noise"], {"psf": "none", "noise": False}),
        "typed": (["--psf", "0.9"], {"psf": "0.9"}),
        "set": (["--set", "sample.psf=0.9"], {"psf": "0.9"}),
        "listed": (["--set", "sample.psf=[0.9, 0.8, 0.7]"], {"psf": "0.9,0.8,0.7"}),
    }
    for name, (arguments, look) in looks.items():
        result = galgen("sample", STYLED, "-n", "2", "--cube", *arguments, "--out", name)
        assert result.exit_code == 0, result.output
        want = source.sample(2, **look)[1].numpy()
        assert np.array_equal(fits.getdata(f"{name}/galaxy_000001.fits"), want)


def test_conditions() -> None:
    source = checkpoint.load(ASKED)
    asked = {
        "where": (["--where", "width=1.8..2.2, height=2"], {"where": "width=1.8..2.2, height=2"}),
        "class": (["--label", "edge"], {"label": "edge"}),
        "both": (["--label", "edge", "--where", "width=2"],
                 {"label": "edge", "where": {"width": 2}}),
        "nothing": (["--no-condition"], {"no_condition": True}),
        "set": (["--set", "sample.where='width=2'"], {"where": "width=2"}),
        "nested": (["--set", "sample.where={width: [1.8, 2.2], height: 2}"],
                   {"where": "width=1.8..2.2, height=2"}),
    }  # fmt: skip
    for name, (arguments, conditions) in asked.items():
        result = galgen("sample", ASKED, "-n", "2", "--cube", *arguments, "--out", name)
        assert result.exit_code == 0, result.output
        want = source.sample(2, **conditions)[1].numpy()
        assert np.array_equal(fits.getdata(f"{name}/galaxy_000001.fits"), want)
    header = fits.getheader("both/galaxy_000001.fits")
    assert (header["LABEL"], header["COND2"], header["CVAL2"]) == ("edge", "width", 2.0)
    mixed = galgen("sample", ASKED, "--interpolate", "0,1", "--frames", "2", "--where", "width=2")
    assert mixed.exit_code == 0, mixed.output


def test_sweeps() -> None:
    plan = galgen("sample", ASKED, "--sweep", "width=1.8..2.2", "--dry-run", "--json")
    assert plan.exit_code == 0, plan.output
    assert (json.loads(plan.stdout)["n"], json.loads(plan.stdout)["frames"]) == (4, 8)
    assert "would vary width of 4 galaxies of seed 0 in 8 steps" in plan.stderr
    assert not Path("samples-00001").exists()
    options = ["-n", "2", "--start", "3", "--frames", "3", "--label", "round", "--fits"]
    result = galgen("sample", ASKED, "--sweep", "width=1.8..2.2", *options)
    assert result.exit_code == 0, result.output
    assert "picture: samples-00001/sweep.png (width: 1.8, 2, 2.2)" in result.output
    assert "wrote 6 galaxies to samples-00001 (sweep_000003_00.fits, ...)" in result.output
    header = fits.getheader("samples-00001/sweep_000004_02.fits")
    cards = ("SAMPLE", "LABEL", "SWEEP", "SWEEPVAL", "COND2", "CVAL2")
    assert [header[card] for card in cards] == [4, "round", "width", 2.2, "width", 2.2]
    for what, values in (("label", ["edge", "round"]), ("code2", [-2.0, 2.0]), ("height", None)):
        arguments = ["--sweep", what, "-n", "2", *(["--frames", "2"] * (what != "label"))]
        told = json.loads(galgen("sample", ASKED, *arguments, "--json").stdout)
        assert Path(told["picture"]).is_file()
        assert (told["sweep"], told["count"], told["files"]) == (what, 4, [])
        assert values is None or told["values"] == values


def test_a_table_of_mixed_styles() -> None:
    options = ["--mix", "12,77:3,4,5", "--mix-layer", "4", "--seed", "2"]
    plan = galgen("sample", STYLED, *options, "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "would mix 2 x 3 galaxies of seed 2 at layer 4 to ./samples-00001" in plan.output
    assert not Path("samples-00001").exists()
    result = galgen("sample", STYLED, *options, "--fits", "--png")
    assert result.exit_code == 0, result.output
    assert "wrote 6 galaxies to samples-00001 (mix_000012_000003.fits, ...)" in result.output
    assert "picture: samples-00001/mix.png (styles 1 to 4 from the rows)" in result.output
    assert len(list(Path("samples-00001").glob("mix_*.png"))) == 6
    assert fits.getheader("samples-00001/mix_000077_000005.fits")["MIXCOL"] == 5
    told = json.loads(galgen("sample", STYLED, *options, "--json").stdout)
    assert Path(told["picture"]).is_file()
    assert (told["rows"], told["columns"], told["layer"]) == ([12, 77], [3, 4, 5], 4)
    assert (told["count"], told["files"]) == (6, [])


def test_a_quoted_table_and_repeats() -> None:
    result = galgen("sample", STYLED, "--set", "sample.mix='3:2'", "--out", "quoted", "--json")
    assert json.loads(result.stdout)["count"] == 1
    result = galgen("sample", STYLED, "--mix", "3,3:1,2", "--fits", "--out", "twice", "--json")
    assert json.loads(result.stdout)["count"] == len(list(Path("twice").glob("mix_*.fits"))) == 2


def test_a_psf_file_is_named_in_ascii_without_its_folder() -> None:
    Path("größe").mkdir()
    kernel = np.zeros((5, 5))
    kernel[2, 1:4] = 1
    fits.writeto("größe/psf_übung_ß.fits", kernel)
    arguments = ["--psf", "größe/psf_übung_ß.fits", "-n", "1", "--fits", "--out", "größe/out"]
    result = galgen("sample", STYLED, *arguments)
    assert result.exit_code == 0, result.output
    assert fits.getheader("größe/out/galaxy_000000.fits")["PSF"] == "psf_ubung_?.fits"


def test_a_film() -> None:
    options = ["--interpolate", "12,77", "--frames", "3"]
    plan = galgen("sample", *options, "--dry-run", "--json")
    assert json.loads(plan.stdout)["interpolate"] == "12,77"
    assert "would go through 2 galaxies of seed 0 in 3 frames each" in plan.stderr
    assert not Path("samples-00001").exists()
    result = galgen("sample", *options, "--out", "film", "--fits")
    assert result.exit_code == 0, result.output
    assert "animation: film/interpolation.gif" in result.output
    assert len(list(Path("film").glob("frame_*.fits"))) == 6
    told = json.loads(galgen("sample", STYLED, *options, "--json").stdout)
    assert Path(told["animation"]).is_file()
    assert (told["numbers"], told["frames"], told["count"]) == ([12, 77], 3, 6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "0"], "-n 0: ask for at least one galaxy"),
        (["--batch", "0"], "--batch 0"),
        (["--start", "-4"], "--start -4"),
        (["--label", "edge"], "--label edge: this model was trained without classes"),
        (["none.ckpt"], "none.ckpt does not exist"),
        (["empty"], "empty holds no checkpoint"),
        (["text.ckpt"], "text.ckpt is no checkpoint"),
        (["other.ckpt"], "other.ckpt is a checkpoint of another kind"),
        (["bomb.ckpt"], "bomb.ckpt holds objects that would run code"),
        (["--out", "text.ckpt/below"], "give another folder to --out"),
        (["--truncation", "-1"], "--truncation -1"),
        (
            ["--psf", "none"],
            "trained without a PSF layer, so its galaxies carry the data's own PSF",
        ),
        ([STYLED, "--psf", "round"], "--psf round"),
        ([STYLED, "--psf", "nowhere.fits"], "--psf nowhere.fits does not exist"),
        (["--mix", "1,2"], "dcgan has no styles to mix, train one that has (stylegan, stylegan2)"),
        ([STYLED, "--mix", "1,x"], "--mix 1,x: give sample numbers"),
        (
            [STYLED, "--mix", "1,2", "--mix-layer", "6"],
            "--mix-layer 6: this model has the layers 1",
        ),
        ([STYLED, "--mix", "1,2", "-n", "4"], "--mix names its galaxies: leave -n out"),
        (["--interpolate", "1,2", "--start", "4"], "leave --start out"),
        (["--mix", "1,2", "--interpolate", "1,2"], "--mix and --interpolate are two things"),
        (["--interpolate", "1,2", "--sweep", "label"], "--interpolate and --sweep are two things"),
        (
            ["--mix", "1", "--interpolate", "1,2", "--sweep", "label"],
            "--mix and --interpolate and --sweep are three things",
        ),
        (["--where", "mag_r=18"], "--where mag_r: this model was trained without numbers"),
        (["--no-condition"], "--no-condition: this model was trained without conditions"),
        (["--sweep", "mag_r"], "trained without classes, numbers and codes"),
        ([ASKED, "--label", "ring"], "--label ring is not a class of this model: choose one of e"),
        ([ASKED, "--where", "width=30"], "--where width=30: the model was trained on width from"),
        ([ASKED, "--where", "width=30", "--dry-run"], "--where width=30: the model was trained"),
        ([ASKED, "--where", "widht=2"], "--where widht: did you mean width?"),
        ([ASKED, "--where", "width=2.2..1.8"], "the range ends before it begins"),
        ([ASKED, "--where", "width"], "--where width: give numbers or ranges by name"),
        ([ASKED, "--where", ""], "--where : give numbers or ranges by name"),
        ([ASKED, "--set", "sample.where=7"], "--where"),
        ([ASKED, "--where", "width=wide"], "--where width=wide: give a number or a range"),
        ([ASKED, "--no-condition", "--where", "width=2"], "leave --where out"),
        ([ASKED, "--interpolate", "1,2", "--where", "width=9"], "--where width=9: the model was"),
        ([ASKED, "--sweep", "mag_r"], "--sweep mag_r: this model can vary height, width, label, c"),
        ([ASKED, "--sweep", "code3"], "did you mean code"),
        ([ASKED, "--sweep", "width=2..99"], "--sweep width=2..99: the model was trained on"),
        ([ASKED, "--sweep", "width=2..99", "--dry-run"], "--sweep width=2..99: the model was"),
        ([ASKED, "--sweep", "width", "--where", "width=2"], "leave one out"),
        ([ASKED, "--sweep", "width", "--where", "width=2", "--dry-run"], "leave one out"),
        ([ASKED, "--sweep", "label", "--label", "edge"], "--sweep label varies what --label hold"),
        ([ASKED, "--sweep", "label", "-n", "0"], "-n 0: ask for at least one galaxy"),
        ([ASKED, "--sweep", "width", "--frames", "1"], "--frames 1: a sweep has at least 2"),
        ([ASKED, "--sweep", "label", "--frames", "3"], "a sweep over label shows all of them"),
        ([ASKED, "--sweep", "label", "--mix-layer", "2"], "--mix-layer belongs to --mix"),
        ([ASKED, "--sweep", "label", "--out", "runs", "--dry-run"], "runs holds files already"),
        (["--mix-layer", "2"], "--mix-layer belongs to --mix"),
        (["--frames", "2"], "--frames belongs to --interpolate and --sweep"),
        (["--interpolate", "1,2", "--frames", "1"], "--frames 1"),
        (["--interpolate", "1"], "--interpolate 1: give two or more"),
        (["-n", "0", "--dry-run"], "-n 0: ask for at least one galaxy"),
        (["--out", "styled", "--dry-run"], "styled holds files already"),
        ([STYLED, "--mix", "1,2", "--out", "runs", "--dry-run"], "runs holds files already"),
        (
            [STYLED, "--interpolate", "1,2", "--out", "runs", "--dry-run"],
            "runs holds files already",
        ),
        (["--out", "text.ckpt", "--dry-run"], "text.ckpt is a file"),
        (["--mix", ""], "--mix : give sample numbers"),
        (["--interpolate", ""], "--interpolate : give two or more"),
        (["--set", "sample.mix=12:3"], "YAML reads mix as the number 723, so quote it"),
        (["--set", "sample.interpolate=7"], "YAML reads interpolate as the number 7, so quote it"),
        (["--psf", "none", "--dry-run"], "trained without a PSF layer"),
        (["--label", "edge", "--dry-run"], "trained without classes"),
        (["--interpolate", "1,2", "--frames", "1", "--dry-run"], "--frames 1"),
        ([STYLED, "--mix", "1,2", "--truncation", "-1", "--dry-run"], "--truncation -1"),
    ],
)
def test_mistakes_are_one_sentence(arguments: Sequence[str], words: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return os.mkdir, ("canary",)

    Path("empty").mkdir()
    Path("text.ckpt").write_text("not a checkpoint")
    torch.save({"weight": torch.zeros(2)}, "other.ckpt")
    torch.save({"galgen": Bomb(), "ema": {}}, "bomb.ckpt")
    result = galgen("sample", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("canary").exists()
    assert not Path("samples-00001").exists()


SHORT = ["--images", "16", "--batch", "8", "--precision", "32", "--set", "data.count=24"]


def test_a_lone_argument_is_a_checkpoint_if_there_is_one_else_data() -> None:
    for argument, data in ((RUN, "sersic"), ("sersic", "sersic"), ("hubble", "hubble")):
        result = galgen("finetune", argument, *SHORT, "--json", "--out", "tuned")
        assert result.exit_code == 0, result.output
        tuned = checkpoint.load(json.loads(result.stdout)["run"])
        assert tuned.config["finetune"]["checkpoint"] == f"{RUN}/checkpoints/last.ckpt"
        assert tuned.config["data"]["source"] == data
        assert tuned.spec.bands == (("R", "G", "B") if data == "hubble" else ("g", "r", "i"))


def test_freezing_is_listed() -> None:
    options = ["--freeze", "2", "--freeze-critic", "1", "--out", "tuned"]
    result = galgen("finetune", *SHORT, *options)
    assert result.exit_code == 0, result.output
    frozen = "frozen: generator mapping, generator 4x4 dense, critic 16x16 convolution"
    assert frozen in result.output.splitlines()
    blocks = ["--freeze", "2", "--freeze-unit", "block", "--out", "tuned"]
    listed = galgen("finetune", *SHORT, *blocks).output
    assert "generator 4x4 convolution" in listed.split("training:")[0]


def test_a_plan_of_fine_tuning_changes_nothing() -> None:
    before = sorted(Path().rglob("*"))
    result = galgen("finetune", "hubble", "--dry-run", "--json", "--freeze", "2")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert plan["finetune"]["freeze"] == 2
    assert plan["data"]["size"] == 16
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--freeze", "99"], "--freeze 99 asks for more than the network has: choose 0 to"),
        (["--freeze-critic", "99"], "--freeze-critic 99 asks for more"),
        (["--freeze", "-1"], "freeze"),
        (["--freeze-unit", "stage"], "stage"),
        (["--size", "32"], "makes 16 px images: choose --size 16"),
        (["nowhere"], "nowhere"),
        (["none.ckpt", "sersic"], "none.ckpt does not exist"),
    ],
)
def test_mistakes_of_fine_tuning(arguments: Sequence[str], words: str) -> None:
    result = galgen("finetune", *arguments, *SHORT, "--out", "tuned")
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("tuned").exists()
