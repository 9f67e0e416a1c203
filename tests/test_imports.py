"""Imports only point up the house of DESIGN, and the light parts stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "galgen"

# Floors of the house from the top down; parts that share a floor may use each other.
HOUSE: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("config", "sections", "bands", "conditions", "randomness", "runs"),
    ("io",),
    ("stretch",),
    ("measure", "telescope"),
    ("data",),
    ("nn",),
    ("losses",),
    ("metrics",),
    ("training",),
    ("models",),
    ("report",),
    ("callbacks",),
    (
        "checkpoint",
        "export",
        "exported",
        "generated",
        "hub",
        "plan",
        "recovery",
        "sampling",
        "specialists",
        "stored",
    ),
    (
        "fitting",
        "resuming",
        "train",
        "finetune",
        "transfer",
        "carry",
        "stages",
        "chain",
        "sample",
        "replay",
        "styles",
        "film",
        "sweep",
        "sides",
        "galsim",
        "evaluate",
    ),
    ("studies",),
)
FLOOR = {part: number for number, parts in enumerate(HOUSE) for part in parts}
LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
HEAVY = {"torch", "lightning", "torchmetrics", "pytorch_lightning"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too, as a dotted name."""
    package = ["galgen", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def breaches(path: Path) -> list[str]:
    """Sentences, one for each import that breaks a rule of the house."""
    part, found = part_of(path), []
    relative = path.relative_to(PACKAGE)
    pure = part in {"io", "measure", "nn", "losses", "metrics"} or (
        part == "data" and relative.name != "module.py"
    )
    pure = pure or (part == "models" and relative.name in {"generator.py", "critic.py"})
    for name in imports(path):
        root = name.split(".")[0]
        if root in {"galgen_cli", "typer"}:
            found.append(f"{relative} imports {name}: the library does not know its command")
        if pure and root in LIGHTNING:
            found.append(f"{relative} imports {name}: Lightning stays out of networks and data")
        if root == "torchmetrics" and part not in {"metrics", "callbacks", "evaluate"}:
            found.append(f"{relative} imports {name}: torchmetrics belongs to metrics")
        if root == "galgen" and part != "__init__" and "." in name:
            other = name.split(".")[1]
            if other in FLOOR and FLOOR[other] > FLOOR[part]:
                found.append(f"{relative} imports {name}, which stands below it in the house")
    return found


def test_every_part_has_its_floor() -> None:
    unplaced = {part_of(path) for path in modules()} - set(FLOOR) - {"__init__"}
    assert not unplaced, f"give {unplaced} a floor in HOUSE, as DESIGN draws it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up_the_house(path: Path) -> None:
    assert breaches(path) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("io/x.py", "import lightning.pytorch as pl"),
        ("data/x.py", "from galgen.models import registry"),
        ("data/x.py", "from galgen import models"),
        ("data/x.py", "from ..models import registry"),
        ("models/x/generator.py", "from lightning.pytorch import LightningModule"),
        ("bands.py", "def f():\n    from galgen.train import train"),
        ("train.py", "import typer"),
        ("report/x.py", "from galgen_cli.console import table"),
        ("losses.py", "import torchmetrics"),
    ],
)
def test_the_rules_catch_a_breach(
    place: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import math\nfrom galgen import errors\n")
    assert breaches(path) == []
    path.write_text(line)
    assert len(breaches(path)) == 1


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after the code."""
    code += "\nimport sys; print('\\n'.join(sorted({m.split('.')[0] for m in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_galgen_is_light() -> None:
    loaded = loaded_by("import galgen; galgen.__version__, galgen.ConfigError, dir(galgen)")
    assert "galgen" in loaded
    assert not loaded & (HEAVY | {"numpy", "astropy", "matplotlib"})


def test_image_spec_needs_no_torch() -> None:
    assert not loaded_by("from galgen import ImageSpec; ImageSpec(32, ('g',))") & HEAVY


def test_help_is_light() -> None:
    code = (
        "from typer.testing import CliRunner\n"
        "from galgen_cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "assert 'train' in result.output\n"
    )
    assert not loaded_by(code) & (
        HEAVY | {"astropy", "photutils", "skimage", "matplotlib", "wandb"}
    )


def test_every_public_name_exists() -> None:
    import galgen

    for name in galgen.__all__:
        assert getattr(galgen, name) is not None
        assert name in dir(galgen)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        galgen.nonsense  # noqa: B018


def test_verbs_stay_modules() -> None:
    import galgen

    assert not {"train", "finetune", "sample", "evaluate"} & set(galgen.__all__)
