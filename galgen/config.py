"""The description of a run: frozen, validated, and the same in YAML, Python and checkpoints.

Precedence: defaults < the model's preset < file < ``--set`` < option.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from galgen.errors import ConfigError
from galgen.sections import (
    DataConfig,
    EvaluateConfig,
    FinetuneConfig,
    ModelConfig,
    Recipe,
    SampleConfig,
    Section,
    TrainConfig,
)

#: Keys that have an option of their own on the command line, which messages then name.
OPTIONS = {
    "data.size": "--size",
    "data.crop": "--crop",
    "data.bands": "--bands",
    "data.labels": "--labels",
    "data.condition": "--condition",
    "model.name": "--model",
    "sample.redraws": "--redraws",
    "sample.compress": "--compress",
    "train.images": "--images",
    "train.minutes": "--minutes",
    "train.batch": "--batch",
    "train.devices": "--devices",
    "train.precision": "--precision",
    "train.logger": "--logger",
    "finetune.freeze": "--freeze",
    "finetune.freeze_unit": "--freeze-unit",
    "finetune.freeze_critic": "--freeze-critic",
    "finetune.keep": "--keep",
    "sample.n": "-n",
    "sample.start": "--start",
    "sample.label": "--label",
    "sample.where": "--where",
    "sample.no_condition": "--no-condition",
    "sample.sweep": "--sweep",
    "sample.truncation": "--truncation",
    "sample.psf": "--psf",
    "sample.mix": "--mix",
    "sample.mix_layer": "--mix-layer",
    "sample.interpolate": "--interpolate",
    "sample.frames": "--frames",
    "sample.cube": "--cube",
    "sample.batch": "--batch",
    "evaluate.n": "-n",
    "seed": "--seed",
}


class RunConfig(Section):
    """Everything that decides what a run does.

    Examples
    --------
    >>> config = RunConfig.build({"train": {"images": "20k"}}, {"data.size": 32})
    >>> config.train.images, config.data.size
    (20000, 32)
    """

    seed: int = Field(0, ge=0)
    data: DataConfig = Field(default_factory=lambda: DataConfig())
    model: ModelConfig = Field(default_factory=lambda: ModelConfig())
    recipe: Recipe = Field(default_factory=lambda: Recipe())
    train: TrainConfig = Field(default_factory=lambda: TrainConfig())
    finetune: FinetuneConfig | None = None
    sample: SampleConfig = Field(default_factory=lambda: SampleConfig())
    evaluate: EvaluateConfig = Field(default_factory=lambda: EvaluateConfig())

    @classmethod
    def build(cls, *layers: Mapping[str, Any]) -> RunConfig:
        """Merge layers, later ones win; keys are nested or dotted (``train.images``).

        Raises
        ------
        ConfigError
            For an unknown key or a wrong value, with the nearest known key.
        """
        merged = merge(*layers)
        _read_counts(merged)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    def replace(self, changes: Mapping[str, Any]) -> RunConfig:
        """A copy with some (dotted or nested) values changed."""
        return self.build(self.to_dict(), changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The text of config.yaml."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Layers as one nested dict, later ones win; keys are nested or dotted.

    >>> merge({"data": {"size": 32}}, {"data.bands": "g,r"})
    {'data': {'size': 32, 'bands': 'g,r'}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, _nested(layer))
    return merged


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Nested dict of a YAML file.

    Raises
    ------
    ConfigError
        If it cannot be read, is no YAML, or holds no mapping.
    """
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): give a YAML file to --config."
        ) from None
    except yaml.YAMLError as error:
        place = str(error).replace("\n", " ")
        raise ConfigError(f"{path} is not valid YAML: {place}.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold keys such as 'train:', not a {type(value).__name__}.")
    return value


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``["train.batch=64"]`` to ``{"train.batch": 64}``; values are read as YAML."""
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ConfigError(
                f"--set {setting}: write key=value, for example --set train.batch=64."
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if isinstance(value, str):
            value = _number(value)
        values[name.strip()] = value
    return values


def parse_count(text: str | int, option: str = "--images") -> int:
    """``200k``, ``1.5M`` or a plain number of images.

    >>> parse_count("200k"), parse_count("1.5M"), parse_count(640)
    (200000, 1500000, 640)
    """
    factors = {"k": 1_000, "m": 1_000_000}
    cleaned = str(text).strip().lower().replace("_", "").replace(",", "")
    factor = factors.get(cleaned[-1:], 1)
    try:
        count = float(cleaned[:-1] if factor > 1 else cleaned) * factor
    except ValueError:
        count = 0
    if not 1 <= count < 1e15:
        raise ConfigError(f"{option} {text}: give a number of images such as 40000, 200k or 1.5M.")
    return round(count)


def _read_counts(values: dict[str, Any]) -> None:
    """Numbers of images may be written ``10k``, in every key that is one."""
    for section in ("train", "recipe"):
        inner = values.get(section)
        if not isinstance(inner, dict):
            continue
        for name, value in inner.items():
            counts = name.endswith("images") or name == "metric_samples"
            if isinstance(value, str) and counts and value != "auto":
                key = f"{section}.{name}"
                inner[name] = parse_count(value, OPTIONS.get(key, key))


def _number(text: str) -> Any:
    """YAML 1.1 reads 1e-3 as a string; people mean the number."""
    try:
        return float(text) if any(c in text.lower() for c in ".e") else text
    except ValueError:
        return text


def _nested(layer: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in layer.items():
        *parents, last = str(name).split(".")
        place = nested
        for parent in parents:
            inner = place.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{name}: {parent} is a value, not a section.")
            place = inner
        if isinstance(value, Mapping) and last != "options":
            place.setdefault(last, {})
            _merge(place[last], _nested(value))
        else:
            place[last] = dict(value) if isinstance(value, Mapping) else value
    return nested


def _merge(into: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for name, value in extra.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: ValidationError) -> str:
    """One sentence for the first mistake."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, _known_keys(RunConfig), n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"the sections are {', '.join(RunConfig.model_fields)}."
        )
        return f"unknown configuration key {place}: {hint}"
    value = first.get("input")
    shown = f", got {value!r}" if not isinstance(value, dict) else ""
    for key, option in OPTIONS.items():
        if place == key or place.startswith(f"{key}."):
            place = f"{key} ({option} {value})" if not isinstance(value, dict | list) else place
            shown = ""
            break
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{place}: {message}{shown}."


def _known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        kind = field.annotation
        kinds = [kind, *getattr(kind, "__args__", ())]
        for inner in kinds:
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += _known_keys(inner, f"{prefix}{name}.")
    return keys
