"""What the freezing study is told: its settings, from a file and the command's options."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from galgen.config import load_yaml, merge, parse_count, parse_settings
from galgen.errors import ConfigError
from galgen.io.atomic import replacing
from galgen.runs import make_folder
from galgen.sections import Section
from galgen.stages import check_sections

RECORD = "study.yaml"


class FreezingConfig(Section):
    """What is trained, and how long."""

    model: str | None = Field(None, description="generator/critic pair")
    depths: tuple[int, ...] = Field((0, 1, 2, 3, 4, 5), description="layers to freeze")
    unit: Literal["layer", "block"] = "layer"
    seeds: tuple[int, ...] = Field((0,), description="one run of each depth for each seed")
    n: int = Field(500, ge=2, description="generated galaxies of an evaluation")
    checkpoint: str | None = Field(None, description="to start from instead of pre-training")
    pretrain: dict[str, Any] = Field(default_factory=dict, description="settings of that run")
    finetune: dict[str, Any] = Field(
        default_factory=dict, description="settings of the others, the control too"
    )

    @field_validator("depths", "seeds")
    @classmethod
    def _once(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(numbers))

    @property
    def named_data(self) -> str | None:
        """The real galaxies as they were named."""
        source: str | None = merge(self.finetune).get("data", {}).get("source")
        return source

    @property
    def fixed(self) -> dict[str, Any]:
        """What holds for every run: the pair, and one device."""
        pair = {} if self.model is None else {"model.name": self.model}
        return {**pair, "train.devices": 1}


def validate(config: Mapping[str, Any]) -> FreezingConfig:
    """The settings of a study.

    Raises
    ------
    ConfigError
        For an unknown or wrong one, and where the real galaxies are not named.
    """
    try:
        settings = FreezingConfig.model_validate(dict(config))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        known = ", ".join(FreezingConfig.model_fields)
        raise ConfigError(
            f"{place}: {first['msg'].removeprefix('Value error, ')}; the study has {known}."
        ) from None
    for name in ("pretrain", "finetune"):
        try:
            check_sections(getattr(settings, name))
        except ConfigError as error:
            raise ConfigError(f"{name}.{error}") from None
    if settings.named_data is None:
        raise ConfigError("the study has no real galaxies: name them by --data FOLDER.")
    return settings


def same_for_every_seed(settings: FreezingConfig) -> None:
    """Refuse sets of which each seed would see other galaxies.

    Raises
    ------
    ConfigError
        With the way out.
    """
    data = merge(settings.finetune).get("data", {})
    drawn = data.get("count") is not None or data.get("source") == "sersic"
    if drawn and len(settings.seeds) > 1:
        raise ConfigError(
            "--seeds: data.count and the set sersic give each seed other galaxies; choose one "
            "seed, or a folder without data.count."
        )


def refuse_mixing(folder: Path, settings: FreezingConfig) -> dict[str, Any]:
    """What a folder keeps of the settings; refuse to mix two studies in one.

    Raises
    ------
    ConfigError
        If the folder holds another study.
    """
    mixed = {"depths", "seeds", "n"}
    now = json.loads(json.dumps(settings.model_dump(mode="json", exclude=mixed)))
    record = folder / RECORD
    if record.is_file() and load_yaml(record) != now:
        raise ConfigError(
            f"{folder} holds a study with other settings ({RECORD}): give another --out."
        )
    return dict(now)


def keep_to(folder: Path, settings: FreezingConfig) -> None:
    """Note the settings in the folder, once everything was checked."""
    now = refuse_mixing(folder, settings)
    make_folder(folder)
    with replacing(folder / RECORD) as path:
        path.write_text(yaml.safe_dump(now, sort_keys=False), encoding="utf-8")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m galgen.studies.freezing",
        description="Fine-tune with 0, 1, 2, ... frozen layers and compare.",
    )
    add = parser.add_argument
    add("--config", help="YAML file with the study's settings, see examples/freezing.yaml")
    add("--out", default="freezing", help="folder for runs, table and plot [freezing]")
    add("--model", help="generator/critic pair [dcgan]")
    add("--data", help="real galaxies, in place of the file's")
    add("--checkpoint", help="start from this model instead of pre-training")
    add("--pretrain-images", help="length of the pre-training")
    add("--images", help="length of every other run")
    add("--depths", help="layers to freeze [0,1,2,3,4,5]")
    add("--unit", help="layer or block [layer]")
    add("--seeds", help="one run of each depth for each [0]")
    add("-n", help="generated galaxies of an evaluation [500]")
    add("--set", action="append", default=[], help="any setting: finetune.train.batch=16")
    return parser.parse_args(arguments)


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """The file under ``--set`` under the options."""
    options = {
        "model": given.model,
        "finetune.data.source": given.data,
        "checkpoint": given.checkpoint,
        "unit": given.unit,
        "n": given.n and parse_count(given.n, "-n"),
        "pretrain.train.images": given.pretrain_images
        and parse_count(given.pretrain_images, "--pretrain-images"),
        "finetune.train.images": given.images and parse_count(given.images),
        "depths": given.depths and _numbers(given.depths, "--depths"),
        "seeds": given.seeds and _numbers(given.seeds, "--seeds"),
    }
    file = load_yaml(given.config) if given.config else {}
    said = {key: value for key, value in options.items() if value is not None}
    return merge(file, parse_settings(given.set), said)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text}: give whole numbers with commas.") from None
