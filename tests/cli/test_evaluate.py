"""``galgen evaluate`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from galgen_cli.main import app
from tiny import run

RUN = "runs/00001-dcgan-sersic-16px"


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in it, and FITS of its galaxies."""
    folder = tmp_path_factory.mktemp("place")
    run(folder / "runs")
    made = CliRunner().invoke(
        app, ["sample", str(folder / RUN), "-n", "24", "--fits", "--out", str(folder / "made")]
    )
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_the_newest_run_against_its_own_data() -> None:
    result = galgen("-n", "20", "--metrics", "physics,photometry", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["metrics"]["frechet_physics"]["n"] == 20
    assert set(found["questions"]) == {"real", "physical", "new"}
    assert Path(found["report"]).parent == Path(RUN).absolute() or Path(found["report"]).is_file()
    # The result alone is on standard output, the answers are on the other.
    assert "Is it real?" in result.stderr


def test_two_generators_against_other_galaxies() -> None:
    result = galgen("made", "--against", RUN, "--real", "sersic", "--size", "16", "-n", "24",
                    "--metrics", "physics", "--out", "both", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["generated"]["source"] == "made"
    assert found["against"]["generated"]["n"] == found["generated"]["n"] == 24
    assert found["bands"] == ["g", "r", "i"]
    assert Path("both/report.html").is_file()


def test_a_dry_run_says_what_it_would_take() -> None:
    result = galgen("--metrics", "-galaxy,-physics", "--dry-run", "--json")
    told = json.loads(result.stdout)
    assert told["metrics"] == [
        "conditions",
        "copies",
        "morphology",
        "photometry",
        "radio",
        "spectrum",
    ]
    assert told["n"] == 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--metrics", "fid"], "--metrics fid: there is no such metric"),
        (["--metrics", "mine.pt"], "mine.pt"),
        (["--against", "nowhere"], "nowhere does not exist"),
        (["-n", "1"], "-n 1"),
        (["made"], "--real"),
        (["--set", "evaluate.photometry=sextractor"], "evaluate.photometry"),
        (["--metrics", "inception", "--set", "evaluate.inception=none.pth"], "none.pth"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(arguments: list[str], says: str) -> None:
    before = set(Path().rglob("*"))
    result = galgen(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert set(Path().rglob("*")) == before
