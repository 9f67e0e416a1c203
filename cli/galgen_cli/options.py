"""Options that several commands share, in the same words."""

from __future__ import annotations

from pathlib import Path as Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from galgen.sections import DataConfig

RUN, MACHINE, MORE = "Run", "Machine", "Everywhere"


def _option(*names: str, help: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


Model = Annotated[str | None, _option("--model", help="generator/critic pair [dcgan]")]
Size = Annotated[int | None, _option("--size", help="side length in pixels")]
Crop = Annotated[int | None, _option("--crop", help="central crop, before pictures are resized")]
Bands = Annotated[str | None, _option("--bands", help="bands in order, for example g,r,i")]
Labels = Annotated[str | None, _option("--labels", help="FILE:COLUMN with classes, or none")]
Condition = Annotated[
    list[str] | None,
    _option("--condition", help="numbers to ask for: measure:mag_r,g-r or FILE:COLUMN,COLUMN"),
]
Images = Annotated[
    str | None, _option("--images", help="length: images shown to the critic, 200k", panel=RUN)
]
Minutes = Annotated[
    float | None, _option("--minutes", help="stop early after so many minutes", panel=RUN)
]
Batch = Annotated[int | None, _option("--batch", help="batch over all devices [32]", panel=RUN)]
Devices = Annotated[
    str | None, _option("--devices", help="how many of a node, or auto", panel=MACHINE)
]
Nodes = Annotated[
    str | None, _option("--nodes", help="how many, under torchrun or srun, or auto", panel=MACHINE)
]
Precision = Annotated[str | None, _option("--precision", help="auto, 32 or bf16", panel=MACHINE)]
Compile = Annotated[
    str | None, _option("--compile", help="compiled networks: auto, on or off", panel=MACHINE)
]
Logger = Annotated[
    str | None, _option("--logger", help="csv, tensorboard, wandb, with commas", panel=RUN)
]
Out = Annotated[Path | None, _option("--out", help="folder for run folders [runs]", panel=RUN)]
Seed = Annotated[int | None, _option("--seed", help="decides every random number [0]", panel=MORE)]
Config = Annotated[Path | None, _option("--config", help="YAML file with settings", panel=MORE)]
Set = Annotated[
    list[str] | None,
    _option("--set", help="any setting, for example train.snapshot_images=640", panel=MORE),
]
Json = Annotated[bool, _option("--json", help="print the result alone, as JSON", panel=MORE)]
DryRun = Annotated[
    bool, _option("--dry-run", help="print what would be done, and stop", panel=MORE)
]
Debug = Annotated[bool, _option("--debug", help="show the traceback of an error", panel=MORE)]


def layers(config: Path | None, settings: list[str] | None, **options: Any) -> list[dict[str, Any]]:
    """Layers of a configuration in their order of precedence: file, ``--set``, options.

    Options are named section__key; None means not given.
    """
    from galgen.config import load_yaml, parse_count, parse_settings

    given = {k.replace("__", "."): v for k, v in options.items() if v is not None}
    if "data.condition" in given:
        given["data.condition"] = ";".join(given["data.condition"])
    if "train.images" in given:
        given["train.images"] = parse_count(given["train.images"])
    for name in ("devices", "nodes"):
        if given.get(f"train.{name}", "auto") != "auto":
            given[f"train.{name}"] = _count(f"--{name}", given[f"train.{name}"])
    return [
        load_yaml(config) if config is not None else {},
        parse_settings(settings or []),
        given,
    ]


def _count(option: str, text: str) -> int:
    from galgen.errors import ConfigError

    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: give a number, or auto.") from None


def reading(data: DataConfig) -> dict[str, Any]:
    """What was said about reading images, for `galgen.evaluate.evaluate`; the rest is left open."""
    from galgen.sides import READING

    said = data.model_fields_set & set(READING)
    return {name: getattr(data, name) for name in READING if name in said}
