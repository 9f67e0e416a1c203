"""The configurations in examples/ run through the command, shortened, on the data they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from galgen_cli.main import app

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Each example with its data (None: built in) and the example whose run it starts from.
NEEDS: dict[str, tuple[str | None, str | None]] = {
    "pretrain-grizy": (None, None),
    "pretrain-nircam": (None, None),
    "hsc": ("hsc_grizy_fits_32", "pretrain-grizy"),
    "ceers": ("ceers_7band_fits", "pretrain-nircam"),
    "radio": ("radio_first_png", None),
    "sdss": ("sdss_gri_jpg", None),
}
SHORT = [
    "--images", "32", "--batch", "8", "--precision", "32",
    "--set", "train.metric_images=16", "--set", "train.metric_samples=16",
]  # fmt: skip


def short_run(name: str, *arguments: str, count: int = 40) -> Path:
    """Run the example for 32 images with narrow networks; gives the run folder."""
    config = EXAMPLES / f"{name}.yaml"
    size = yaml.safe_load(config.read_text(encoding="utf-8"))["data"].get("size", 32)
    command = [*arguments, "--config", str(config), *SHORT, "--out", f"runs/{name}"]
    if arguments[0] == "train":
        widths = [4] * (4 if size == 32 else 5)
        command += ["--set", f"model.options.widths={widths}"]
        command += ["--set", f"model.options.critic_widths={widths}"]
    command += ["--set", f"data.count={count}"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (run,) = Path("runs", name).iterdir()
    return run


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_runs(name: str, real_data: Callable[[str], Path], workdir: Path) -> None:
    folder, base = NEEDS[name]
    source = [] if folder is None else [str(real_data(folder))]
    if name == "radio":
        source = [str(Path(source[0]) / "train")]
    if base is None:
        run = short_run(name, "train", *source)
    else:
        start = short_run(base, "train")
        run = short_run(name, "finetune", str(start), *source)
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert kept["data"]["bands"]
