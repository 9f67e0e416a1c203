"""The verb ``finetune``: go on from a checkpoint, on other galaxies, with layers frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.data.source import canonical
from galgen.errors import ConfigError
from galgen.models.base import AdversarialModule
from galgen.models.registry import check_options, find
from galgen.runs import RUNS
from galgen.train import Outcome, Say, make_data, make_model, refreeze, start
from galgen.training.machine import IMAGES, find_accelerator

#: Learning rates of fine-tuning are no higher, unless the user says so.
GENTLE = 5e-4


def prepare(source: TrainedModel, data: str | None = None, *layers: Mapping[str, Any]) -> RunConfig:
    """The configuration of a fine-tuning run.

    The pair, its options and the recipe come from the checkpoint; the data too, unless named.

    Raises
    ------
    ConfigError
        For unknown keys and values, or no data at all.
    """
    old = source.config
    recipe = dict(source.card["recipe"])
    recipe["grow_images"] = 0 if find(source.name).load().grows else "auto"
    recipe["lr"] = min(recipe["lr"], GENTLE)
    if recipe["lr_critic"] is not None:
        recipe["lr_critic"] = min(recipe["lr_critic"], GENTLE)
    base: dict[str, Any] = {
        "model": {"name": source.name, "options": dict(source.card["options"])},
        "recipe": recipe,
        "finetune": {"checkpoint": str(source.path)},
        "data": {"size": source.spec.size},
    }
    own = data is None or is_own(source, data)
    if own:
        if not old.get("data"):
            raise ConfigError(
                f"{source.path} does not say what it was trained on: name the data, "
                "galgen finetune CKPT DATA."
            )
        base["data"] = old["data"]
        base["seed"] = old.get("seed", 0)
    else:
        base["data"]["source"] = data
    accelerator = find_accelerator(str(RunConfig.build(base, *layers).train.accelerator))
    start = {"finetune.checkpoint": str(source.path)}
    config = RunConfig.build({"train": {"images": IMAGES[accelerator] // 2}}, base, *layers, start)
    if config.model.name != source.name:
        raise ConfigError(
            f"--model {config.model.name} is not the checkpoint's {source.name}: leave it out."
        )
    if config.data.size not in (None, source.spec.size):
        raise ConfigError(_other_size(source, config.data.size))
    check_options(find(source.name), config.model.options)
    return config


def _other_size(source: TrainedModel, size: int | None) -> str:
    side = source.spec.size
    return f"{source.path} makes {side} px images: choose --size {side}, not {size}."


@dataclass(frozen=True)
class Transfer:
    """What a fine-tuning run takes over.

    Attributes
    ----------
    frozen, training
        Names of layers of both networks.
    bands
        New band to where its weights come from.
    """

    frozen: tuple[str, ...]
    training: tuple[str, ...]
    bands: dict[str, str]

    def sentences(self) -> list[str]:
        """For a person."""
        lines = [
            "frozen: " + (", ".join(self.frozen) or "nothing"),
            "training: " + ", ".join(self.training),
        ]
        if any(new != old for new, old in self.bands.items()):
            pairs = ", ".join(f"{new} from {old}" for new, old in self.bands.items())
            lines.append(f"bands: {pairs}")
        return lines


def transfer(source: TrainedModel, model: AdversarialModule, config: RunConfig) -> Transfer:
    """Copy the checkpoint's weights into a fresh model and freeze what the run says.

    The generator starts from the averaged weights. A band that both know keeps its weights; a
    new one takes the mean of the old bands. Class embeddings are taken over where the class
    names agree.

    Raises
    ------
    ConfigError
        If the sizes differ, or more is to be frozen than there is.
    """
    old, new = source.spec, model.spec
    if old.size != new.size:
        raise ConfigError(_other_size(source, new.size))
    rows = _band_rows(old.bands, new.bands)
    generator = dict(source.module.average.state())
    critic = dict(source.module.critic.state_dict())
    for state, network, gain in ((generator, model.generator, 1.0), (critic, model.critic, 0.0)):
        for name, axis in network.band_parameters():  # type: ignore[operator]
            state[name] = _pick(state[name], axis, rows, sum_kept=gain == 0.0)
        _match_classes(state, network.state_dict(), source.classes == model.classes)
        network.load_state_dict(state)
    model.average.restart(model.generator)
    refreeze(model, config)
    frozen = {id(layer.modules[0]) for layer in model.frozen}
    both = [("generator", model.generator), ("critic", model.critic)]
    names = [
        (f"{which} {layer.name}", id(layer.modules[0]) in frozen)
        for which, network in both
        for layer in network.layers()  # type: ignore[operator]
    ]
    come_from = {
        band: old.bands[row] if row is not None else "the mean of the old bands"
        for band, row in zip(new.bands, rows, strict=True)
    }
    return Transfer(
        tuple(name for name, cold in names if cold),
        tuple(name for name, cold in names if not cold),
        come_from,
    )


def _band_rows(old: tuple[str, ...], new: tuple[str, ...]) -> list[int | None]:
    if old == new:
        return list(range(len(old)))
    exact = {band: row for row, band in enumerate(old)}
    folded = {band.lower(): row for row, band in enumerate(old)}
    return [exact.get(band, folded.get(band.lower())) for band in new]


def _pick(weight: Tensor, axis: int, rows: list[int | None], *, sum_kept: bool) -> Tensor:
    """Rearrange a parameter along its band axis; new bands take the mean.

    An input layer's response is a sum over bands, so where their number changes it is scaled to
    stay the same for a grey image.
    """
    if rows == list(range(weight.shape[axis])):
        return weight
    mean = weight.mean(dim=axis, keepdim=True)
    parts = [mean if row is None else weight.narrow(axis, row, 1) for row in rows]
    picked = torch.cat(parts, dim=axis)
    return picked * (weight.shape[axis] / len(rows)) if sum_kept else picked


def _match_classes(state: dict[str, Tensor], fresh: dict[str, Tensor], same: bool) -> None:
    """Take class embeddings from the fresh network unless the classes agree."""
    for name in [k for k in state if k.startswith("embedding.")]:
        if not same or name not in fresh:
            del state[name]
    for name, value in fresh.items():
        if name.startswith("embedding.") and name not in state:
            # Zero, so that the network first does what it did without classes.
            state[name] = torch.zeros_like(value)


def finetune(
    source: str | Path | TrainedModel | None = None,
    data: str | None = None,
    *,
    config: Mapping[str, Any] | RunConfig | None = None,
    freeze: int | None = None,
    out: str | Path = RUNS,
    say: Say | None = None,
    console: Console | None = None,
) -> Outcome:
    """Fine-tune a model on other galaxies.

    Parameters
    ----------
    source
        Checkpoint, run or exported folder, or a loaded model; None for the newest run's, else
        the model that galgen ships.
    data
        Folder or built-in name; None for the checkpoint's own.
    config
        Further settings, nested or dotted.
    freeze
        Generator layers to freeze, counted from the latent.
    out, say, console
        As `galgen.train.train`.

    Raises
    ------
    UserError
        If the checkpoint, the data or the settings cannot be used.
    """
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    if isinstance(config, RunConfig):
        built = config
    else:
        extra = {} if freeze is None else {"finetune.freeze": freeze}
        built = prepare(model, data, config or {}, extra)
    say = say or (lambda line: None)
    cutouts, fresh = begin(model, built, say)
    return start(built, cutouts, fresh, out=out, say=say, console=console)


def begin(
    source: TrainedModel, config: RunConfig, say: Say
) -> tuple[CutoutDataModule, AdversarialModule]:
    """Data and model as a run starts with them, with sentences on both; writes nothing."""
    say(f"starting from {source.path} ({source.images:,} images)")
    if source.holdout and is_own(source, config.data.source):
        data = make_data(config, holdout=list(source.holdout))
        say(f"the {len(source.holdout):,} galaxies that it was never trained on stay held out")
    else:
        data = make_data(config)
    model = make_model(config, data)
    model.spec = data.spec
    for line in transfer(source, model, config).sentences():
        say(line)
    return data, model


def is_own(source: TrainedModel, data: str) -> bool:
    """True if the model was trained on that data, however its name is spelled."""
    own = (source.config.get("data") or {}).get("source")
    return own is not None and canonical(own) == canonical(data)
