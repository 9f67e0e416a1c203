"""The command's own face: help without torch, a version, and no traceback for a wrong word."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import galgen
from galgen_cli import console
from galgen_cli.main import app


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], []])
def test_talking_about_itself_loads_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from galgen_cli.main import app\n"
        f"try:\n    app({arguments!r})\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'astropy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).strip()


def test_help_names_the_verbs_and_every_option_of_the_design() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    assert all(verb in text for verb in ("train", "finetune", "sample", "evaluate"))
    shared = ["--seed", "--json", "--dry-run", "--debug"]
    options = {
        "train": "--model --size --crop --bands --labels --images --minutes --batch --devices "
        "--nodes --compile --precision --logger --out --resume --config --set",
        "finetune": "--freeze --freeze-unit --freeze-critic --images --batch --config --set",
        "sample": "-n --fits --png --jpg --cube --label --out",
        "evaluate": "--real --metrics --against -n --crop --size --bands --out",
    }
    for verb, words in options.items():
        text = CliRunner().invoke(app, [verb, "--help"]).output
        assert [w for w in (*words.split(), *shared) if w not in text] == []


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"galgen {galgen.__version__}\n")


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--imges", "3"], ["sample", "-n", "x"]])
def test_a_wrong_word_is_the_users_mistake(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_stages_without_a_terminal_are_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LINE_SECONDS", 0.0)
    with console.Talk().stages() as show:
        show("classifier", 64, 24_000)
    assert capsys.readouterr().out == "classifier: 64 of 24,000\n"
    monkeypatch.setattr(console, "LINE_SECONDS", 1e9)
    with console.Talk().stages() as show:
        show("classifier", 64, 24_000)
    assert capsys.readouterr().out == ""
