"""The sections of a run's configuration, one class each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Weight of the past in one of Adam's averages.
Momentum = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """One frozen part of the configuration; unknown keys are mistakes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


def split_conditions(text: str | Sequence[str]) -> tuple[str, ...]:
    """Parts of ``--condition``: a plain text is cut at blanks and semicolons, not at commas.

    >>> split_conditions("measure:mag_r, g-r; catalog.csv:z")
    ('measure:mag_r,g-r', 'catalog.csv:z')
    >>> split_conditions("none")
    ()
    """
    if not isinstance(text, str):
        return tuple(text)
    closed = re.sub(r"\s*([,:])\s*", r"\1", text)
    parts = tuple(part for part in re.split(r"[\s;]+", closed) if part)
    return () if parts == ("none",) else parts


class DataConfig(Section):
    """Which images, and how they are read, split, stretched and turned."""

    source: str = Field("hubble", description="folder, pack or built-in name (hubble, sersic)")
    size: int | None = Field(None, ge=16, le=256, description="side length in pixels")
    crop: int | None = Field(None, ge=1, description="central crop before a resize, in pixels")
    bands: tuple[str, ...] | None = Field(None, description="bands to use, in this order")
    labels: str | None = Field(None, description="FILE:COLUMN with class labels, or 'none'")
    merge: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="class name: classes that become one of that name"
    )
    condition: tuple[str, ...] = Field(
        (), description="numbers to be conditional on, each [SOURCE:]name,name"
    )
    balance: bool = Field(False, description="as many images of each class, however rare")
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
        if isinstance(values, dict) and isinstance(values.get("condition"), str):
            values = {**values, "condition": split_conditions(values["condition"])}
        if isinstance(values, dict) and isinstance(values.get("rotate"), int):
            values = {**values, "rotate": str(values["rotate"])}
        return values

    @field_validator("merge", mode="before")
    @classmethod
    def _read_merge(cls, values: Any) -> Any:
        lists = values.values() if isinstance(values, dict) else [values]
        names = [name for each in lists if isinstance(each, list | tuple) for name in each]
        good = all(isinstance(name, str | int) for name in names)
        if (
            not isinstance(values, dict)
            or not all(isinstance(each, list | tuple) for each in lists)
            or not good
        ):
            raise ValueError(
                "write a new name and the classes that become it, for example "
                "--set 'data.merge={AGN: [FRI, FRII]}'"
            )
        # Classes may be called by numbers, which YAML reads as such.
        return {str(new): [str(name) for name in each] for new, each in values.items()}


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
    betas: tuple[Momentum, Momentum] = (0.0, 0.99)
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
    auxiliary: float = Field(1.0, ge=0, description="weight of conditions read from the image")
    information: float = Field(1.0, ge=0, description="weight of codes read from the image")
    label_dropout: float = Field(0.0, ge=0, lt=1, description="galaxies without their conditions")
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
    nodes: int | Literal["auto"] = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"
    compile: Literal["auto", "on", "off"] = Field("auto", description="compiled networks")
    micro_batch: int | None = Field(
        None, ge=1, description="images at a time on a device, of its part of the batch"
    )
    nonfinite_steps: int = Field(
        10, ge=1, description="steps without a finite gradient that send a run back to its snapshot"
    )
    logger: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv",)
    log_images: int = Field(1000, ge=1)
    grid_images: int = Field(10_000, ge=0, description="0 for never")
    snapshot_images: int = Field(10_000, ge=1)
    metric_images: int = Field(10_000, ge=0, description="0 for never")
    metric_samples: int = Field(512, ge=2)
    best: Literal["frechet", "frechet_galaxy", "rmae"] = Field(
        "frechet", description="what chooses best.ckpt"
    )
    best_per_class: bool = Field(False, description="a best snapshot of each class too")

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("logger"), str):
            names = tuple(n.strip() for n in values["logger"].split(",") if n.strip())
            values = {**values, "logger": names}
        if isinstance(values, dict) and isinstance(values.get("precision"), int):
            values = {**values, "precision": str(values["precision"])}
        if isinstance(values, dict) and isinstance(values.get("compile"), bool):
            # YAML reads on and off as truth values.
            values = {**values, "compile": "on" if values["compile"] else "off"}
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

    n: int | None = Field(None, description="galaxies; None for 16, and for 4 rows of a sweep")
    start: int = Field(0, ge=0, description="number of the first galaxy")
    label: str | None = Field(None, description="class; None for the training set's mix")
    where: str | None = Field(None, description="numbers, NAME=VALUE or NAME=LOW..HIGH, ...")
    no_condition: bool = Field(False, description="ask for nothing")
    bands: tuple[str, ...] | None = Field(None, description="those that are wanted; None for all")
    accept: str | None = Field(
        None, description="draw anew what is measured farther from the request, 0.1 or NAME=0.1,..."
    )
    redraws: int = Field(50, ge=0, description="how often, before a galaxy is left out")
    truncation: float = Field(1.0, description="1 for none, 0 for the mean galaxy")
    psf: str | None = Field(None, description="in place of the model's own, or 'none'")
    own_psf: str | None = Field(
        None, description="that of a model without a layer for one; None for what its data say"
    )
    noise: bool | str = Field(
        True, description="false for none, or another: sigma=0.02, sky=0.1,gain=4"
    )
    noise_seed: int | None = Field(None, description="of that noise; None for the seed")
    instrument: str | None = Field(None, description="preset of PSF, pixels and noise, hsc")
    pixel_scale: str | None = Field(None, description="arcsec; None for the model's own")
    stamp: str | None = Field(None, description="pixels of a side; None for the same field of view")
    same_galaxy: bool = Field(
        False, description="each galaxy under several telescopes: hsc,lsst or values with ; between"
    )
    mix: str | None = Field(None, description="samples whose styles to mix, ROWS or ROWS:COLUMNS")
    mix_layer: int | None = Field(None, description="style layers from the row; None for half")
    interpolate: str | None = Field(None, description="samples to go through")
    sweep: str | None = Field(None, description="what to vary, NAME or NAME=LOW..HIGH")
    frames: int | None = Field(
        None, description="pictures from one to the next; None for 16, and for 8 of a sweep"
    )
    formats: tuple[Literal["fits", "png", "jpg"], ...] = Field(
        (), description="none for FITS of fluxes and PNG of pictures"
    )
    cube: bool = Field(False, description="one (band, y, x) image rather than one a band")
    compress: Literal["rice"] | None = Field(None, description="of FITS, with its error stated")
    pack: bool = Field(False, description="one pack rather than a file a galaxy")
    batch: int = Field(64, ge=1, description="galaxies in memory at a time")
    devices: int | Literal["auto"] = Field(
        "auto", description="auto: all of a CUDA machine, else one"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: Any) -> Any:
        """Numbers and lists of them, which YAML makes of what is a text on the command line."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if isinstance(values.get("bands"), str):
            values["bands"] = tuple(b.strip() for b in values["bands"].split(",") if b.strip())
        if isinstance(values.get("where"), dict):
            values["where"] = ",".join(
                f"{name}={'..'.join(map(str, v)) if isinstance(v, list | tuple) else v}"
                for name, v in values["where"].items()
            )
        for name in ("psf", "own_psf", "mix", "interpolate", "accept", "pixel_scale", "stamp"):
            value = values.get(name)
            if name in ("mix", "interpolate") and type(value) in (int, float):
                # YAML reads 12:3 as the sexagesimal number 723.
                raise ValueError(
                    f"YAML reads {name} as the number {value}, so quote it, as in "
                    f"--set \"sample.{name}='12,77'\""
                )
            parts = value if isinstance(value, list | tuple) else [value]
            if value is not None and all(type(part) in (int, float) for part in parts):
                values[name] = ",".join(map(str, parts))
        return values


class EvaluateConfig(Section):
    """What ``galgen evaluate`` draws; how real galaxies are read stands under ``data``."""

    n: int = Field(1000, description="generated galaxies")
    metrics: tuple[str, ...] = Field((), description="names; +NAME and -NAME change the default")
    against: str | None = Field(None, description="a second checkpoint or folder beside the first")
    classifier: bool = Field(True, description="learn the classes of real galaxies, as a judge")
    photometry: Literal["kron", "dilated", "aperture"] = Field(
        "kron", description="how fluxes are measured"
    )
    inception: str | None = Field(None, description="file with the weights for inception")
    extractor_size: int | None = Field(
        None, ge=8, le=1024, description="side in pixels that a network of your own wants"
    )

    @model_validator(mode="before")
    @classmethod
    def _split_metrics(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("metrics"), str):
            names = tuple(n.strip() for n in values["metrics"].split(",") if n.strip())
            values = {**values, "metrics": names}
        return values
