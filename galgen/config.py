"""The description of a run: frozen, validated, and the same in YAML, Python and checkpoints.

Precedence: defaults < the model's preset < file < ``--set`` < option.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from galgen.errors import ConfigError

#: Keys that have an option of their own on the command line, which messages then name.
OPTIONS = {
    "data.size": "--size",
    "data.crop": "--crop",
    "data.bands": "--bands",
    "data.labels": "--labels",
    "model.name": "--model",
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


class Section(BaseModel):
    """One frozen part of the configuration; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(Section):
    """Which images, and how they are read, split, stretched and turned."""

    source: str = Field("hubble", description="folder, pack or built-in name (hubble, sersic)")
    size: int | None = Field(None, ge=16, le=256, description="side length in pixels")
    crop: int | None = Field(None, ge=1, description="central crop before a resize, in pixels")
    bands: tuple[str, ...] | None = Field(None, description="bands to use, in this order")
    labels: str | None = Field(None, description="FILE:COLUMN with class labels, or 'none'")
    group: str | None = Field(None, description="FILE:COLUMN or header:KEY that must not be split")
    select: str | None = Field(None, description="FILE:column>number,... keeps those galaxies")
    redshift: str | None = Field(None, description="FILE:COLUMN or header:KEY with redshifts")
    unit: str | None = Field(None, description="flux unit where the files do not say")
    magzero: float | tuple[float, ...] | None = Field(None, description="AB zero point(s)")
    pixscale: float | None = Field(None, gt=0, description="arcsec per pixel")
    psf_fwhm: float | tuple[float, ...] | None = Field(None, description="PSF FWHM in arcsec")
    count: int | None = Field(None, ge=2, description="galaxies of a simulated set")
    bad_fraction: float = Field(0.25, ge=0, le=1, description="bad files that stop the run")
    stretch: Literal["auto", "asinh", "minmax", "linear"] = "auto"
    holdout: float = Field(0.1, ge=0, lt=1, description="fraction of galaxies never trained on")
    rotate: Literal["none", "quarter", "45", "any"] = "quarter"
    flip: bool = True
    shift: int = Field(2, ge=0, description="random shifts of up to so many pixels")
    fill: Literal["constant", "reflect", "none"] = "reflect"
    workers: int = Field(0, ge=0, description="reader processes, for sets larger than memory")

    @model_validator(mode="before")
    @classmethod
    def _split_bands(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("bands"), str):
            bands = tuple(b.strip() for b in values["bands"].split(",") if b.strip())
            values = {**values, "bands": bands}
        if isinstance(values, dict) and isinstance(values.get("rotate"), int):
            values = {**values, "rotate": str(values["rotate"])}
        return values


class ModelConfig(Section):
    """Which pair, and its networks' own options."""

    name: str = "dcgan"
    options: dict[str, Any] = Field(default_factory=dict)


class Recipe(Section):
    """How the two networks play: loss, penalties, optimizers, average.

    `r1`, `r2` and `gp` are the weights of the penalties; ``auto`` chooses gamma from the size.
    """

    loss: Literal["bce", "logistic", "relativistic", "wasserstein"] = "relativistic"
    label_noise: float = Field(0.0, ge=0, le=0.5)
    r1: float | Literal["auto"] = "auto"
    r2: float | Literal["auto"] = "auto"
    gp: float = Field(0.0, ge=0)
    drift: float = Field(0.0, ge=0)
    penalty_every: int = Field(4, ge=1, description="critic steps between penalties")
    critic_steps: int = Field(1, ge=1, description="critic steps per generator step")
    lr: float = Field(1e-3, gt=0, description="learning rate of the generator")
    lr_critic: float | None = Field(None, gt=0, description="of the critic; None for the same")
    lr_decay: float = Field(
        0.1, gt=0, le=1, description="cosine schedule down to this fraction at --images; 1 for none"
    )
    betas: tuple[float, float] = (0.0, 0.99)
    beta2_start: float | None = Field(
        None, ge=0, lt=1, description="cosine schedule from this to the second of betas"
    )
    gamma_decay: float = Field(
        1.0, gt=0, le=1, description="cosine schedule of R1 and R2 down to this fraction"
    )
    ema_images: float = Field(2000, ge=0, description="half-life of the average, in images")
    mixing: float = Field(0.0, ge=0, le=1, description="images with the styles of two latents")
    path_length: float = Field(0.0, ge=0, description="weight of path length regularisation")
    path_every: int = Field(4, ge=1, description="generator steps between path lengths")
    ada: bool = Field(False, description="adaptive augmentation in front of the critic")
    ada_target: float = Field(0.6, ge=0, le=1, description="sure critics make p rise above this")
    ada_images: int = Field(100_000, ge=1, description="in which p can rise from 0 to 1")
    ada_max: float = Field(0.8, ge=0, le=1, description="p rises no higher")
    grow_images: int | Literal["auto"] = Field(
        "auto", description="full size begins here; auto for half of --images, 0 for the start"
    )

    @model_validator(mode="after")
    def _known_weights(self) -> Recipe:
        for name in ("r1", "r2"):
            weight = getattr(self, name)
            if weight != "auto" and weight < 0:
                raise ValueError(f"{name} must not be negative")
        if self.grow_images != "auto" and self.grow_images < 0:
            raise ValueError("grow_images must not be negative")
        return self


class TrainConfig(Section):
    """How long, on what, and how often the run is looked at; intervals in images."""

    images: int = Field(200_000, ge=1, description="images shown to the critic in all")
    minutes: float | None = Field(None, gt=0, description="stop early after so long")
    batch: int = Field(32, ge=2, description="global batch, over all devices")
    devices: int | Literal["auto"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    nodes: int = Field(1, ge=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    logger: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv",)
    log_images: int = Field(1000, ge=1)
    grid_images: int = Field(10_000, ge=0, description="0 for never")
    snapshot_images: int = Field(10_000, ge=1)
    metric_images: int = Field(10_000, ge=0, description="0 for never")
    metric_samples: int = Field(512, ge=2)

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("logger"), str):
            names = tuple(n.strip() for n in values["logger"].split(",") if n.strip())
            values = {**values, "logger": names}
        if isinstance(values, dict) and isinstance(values.get("precision"), int):
            values = {**values, "precision": str(values["precision"])}
        return values


class FinetuneConfig(Section):
    """Where a run starts from and what stays as it is."""

    checkpoint: str
    freeze: int = Field(0, ge=0, description="generator layers, counted from the latent")
    freeze_unit: Literal["layer", "block"] = "layer"
    freeze_critic: int = Field(0, ge=0, description="critic layers, counted from the image")
    keep: tuple[Literal["clock", "ema", "optimizers"], ...] = Field(
        (), description="what goes on from the checkpoint instead of starting anew"
    )

    @model_validator(mode="before")
    @classmethod
    def _split_keep(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("keep"), str):
            names = tuple(n.strip() for n in values["keep"].split(",") if n.strip())
            values = {**values, "keep": () if names == ("none",) else names}
        return values


class SampleConfig(Section):
    """What ``galgen sample`` draws and writes."""

    n: int = Field(16, description="galaxies")
    start: int = Field(0, ge=0, description="number of the first galaxy")
    label: str | None = Field(None, description="class; None for the training set's mix")
    truncation: float = Field(1.0, description="1 for none, 0 for the mean galaxy")
    psf: str | None = Field(None, description="in place of the model's own, or 'none'")
    noise: bool = Field(True, description="with the noise of sky and photons")
    mix: str | None = Field(None, description="samples whose styles to mix, ROWS or ROWS:COLUMNS")
    mix_layer: int | None = Field(None, description="style layers from the row; None for half")
    interpolate: str | None = Field(None, description="samples to go through")
    frames: int = Field(16, description="pictures from one of them to the next")
    formats: tuple[Literal["fits", "png", "jpg"], ...] = Field(
        (), description="none for FITS of fluxes and PNG of pictures"
    )
    cube: bool = Field(False, description="one (band, y, x) image rather than one a band")
    batch: int = Field(64, ge=1, description="galaxies in memory at a time")

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: Any) -> Any:
        """Numbers and lists of them, which YAML makes of what is a text on the command line."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for name in ("psf", "mix", "interpolate"):
            value = values.get(name)
            parts = value if isinstance(value, list | tuple) else [value]
            if value is not None and all(type(part) in (int, float) for part in parts):
                values[name] = ",".join(map(str, parts))
        return values


class EvaluateConfig(Section):
    """What ``galgen evaluate`` draws; how real galaxies are read stands under ``data``."""

    n: int = Field(1000, description="generated galaxies")


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
