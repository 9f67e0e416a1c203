"""``galgen replay`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits
from typer.testing import CliRunner, Result

from galgen_cli.main import app
from tiny import run

RUN = "runs/00001-dcgan-sersic-16px"


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a set of its galaxies."""
    folder = tmp_path_factory.mktemp("place")
    run(folder / "runs", recipe__lr=0.01, train__images=32)
    result = galgen("sample", str(folder / RUN), "-n", "7", "--fits", "--out", str(folder / "set"))
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_a_set_is_what_its_headers_say() -> None:
    result = galgen("replay", "set")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"model: {RUN}/checkpoints/last.ckpt",
        "7 of 7 files are identical to what their headers say",
    ]


def test_json_of_what_differs_and_exit_code_1(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.fits").write_bytes(Path("set/galaxy_000002.fits").read_bytes())
    fits.setval(tmp_path / "b.fits", "SAMPLE", value=3)
    raw = (tmp_path / "c.fits").read_bytes()
    (tmp_path / "c.fits").write_bytes(raw[:-2880])
    result = galgen("replay", str(tmp_path), "--json", "--write", str(tmp_path / "new"))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [found[key] for key in ("files", "identical", "close", "different", "damaged")] == [
        3, 1, 0, 1, 1,
    ]  # fmt: skip
    assert [one["state"] for one in found["results"]] == ["identical", "different", "damaged"]
    assert found["results"][1]["of_peak"] > 0.01
    result = galgen("replay", str(tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path}/b.fits: by up to" in result.output
    assert f"{tmp_path}/c.fits: is truncated" in result.output
    assert galgen("replay", str(tmp_path / "new")).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.fits"], "nowhere.fits does not exist"),
        ([f"{RUN}/config.yaml"], "cannot be replayed: only FITS files"),
        ([RUN], "holds no FITS files"),
        (["set/catalogue.fits"], "was not written by galgen"),
        (["set", "--checkpoint", "nowhere"], "nowhere does not exist"),
        (["set", "--write", "set"], "set holds files already"),
    ],
)
def test_one_sentence_and_exit_code_2(arguments: list[str], words: str) -> None:
    before = sorted(Path("set").iterdir())
    result = galgen("replay", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert words in line
    assert sorted(Path("set").iterdir()) == before
