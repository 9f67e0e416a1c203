"""What pip is told agrees with itself."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import galgen

REPOSITORY = Path(__file__).resolve().parents[1]
PYPROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]


def constraints() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    tested = [*extras["dev"], *extras["docs"], *extras["tensorboard"]]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *tested]]


@pytest.mark.parametrize(
    "requirement", [r for r in requirements() if r.name != "galgen"], ids=lambda r: r.name
)
def test_the_tested_version_lies_in_the_allowed_range(requirement: Requirement) -> None:
    version = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_constraints_are_plain_releases() -> None:
    assert not [v for v in constraints().values() if "+" in v]


def test_every_lower_bound_has_its_reason_above_it() -> None:
    lines = PYPROJECT.splitlines()
    end = lines.index("[project.scripts]")
    bounds = [n for n, line in enumerate(lines[:end]) if re.search(r">=[\d.]+\"", line)]
    assert len(bounds) > 20
    for n in bounds:
        above = lines[n - 1]
        while above.lstrip().startswith('"'):  # one reason for neighbours that share it
            n -= 1
            above = lines[n - 1]
        assert above.lstrip().startswith("# "), f"no reason above: {lines[n]}"


def test_the_citation_has_the_version() -> None:
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {galgen.__version__}\n" in citation


def makefile_copy(folder: Path) -> None:
    """The Makefile with a package to set up that is nothing but a name."""
    (folder / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    (folder / "constraints.txt").touch()
    (folder / "pyproject.toml").write_text("")


def fake_python(folder: Path, pip_fails: bool) -> Path:
    """Stands for Python: makes a venv of itself, and its pip only takes notes."""
    path = folder / "fake-python"
    path.write_text(
        "#!/usr/bin/env bash\n"
        f'echo "$*" >> {folder}/calls\n'
        'if [ "$2" = venv ]; then rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi\n'
        f'if [ "$3" = install ]; then exit {int(pip_fails)}; fi\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=folder, capture_output=True, text=True, env=clean, check=False
    )


def calls(folder: Path) -> list[str]:
    """The calls to Python since the last look, as venv, install or other."""
    path = folder / "calls"
    words = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [w for line in words for w in ("venv", "install") if f" {w} " in line]


def test_make_repairs_an_install_that_was_interrupted(tmp_path: Path) -> None:
    makefile_copy(tmp_path)
    python = fake_python(tmp_path, pip_fails=True)
    assert make(tmp_path, "install", f"PYTHON={python}").returncode != 0
    assert calls(tmp_path) == ["venv", "install"]

    fake_python(tmp_path, pip_fails=False)
    result = make(tmp_path, "install", f"PYTHON={python}")
    assert result.returncode == 0, result.stderr
    assert calls(tmp_path) == ["venv", "install"], "the half-made venv must go"

    make(tmp_path, "install", f"PYTHON={python}")
    assert calls(tmp_path) == [], "nothing to do"

    later = (tmp_path / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(tmp_path / "constraints.txt", (later, later))
    make(tmp_path, "install", f"PYTHON={python}")
    assert calls(tmp_path) == ["install"], "new constraints go on top of a good venv"


def test_make_without_a_python_says_what_to_do(tmp_path: Path) -> None:
    makefile_copy(tmp_path)
    result = make(tmp_path, "install", "PYTHON=")
    assert result.returncode == 2
    assert "Python 3.11 or newer" in result.stderr
