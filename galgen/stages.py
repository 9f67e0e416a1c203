"""The stages of a chain of trainings, read from its configuration and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galgen.config import RunConfig, merge
from galgen.data.folder import BUILT_IN
from galgen.data.source import canonical
from galgen.errors import ConfigError, DataError, UserError
from galgen.models.registry import find
from galgen.models.rules import check_growth, check_options, check_recipe
from galgen.train import make_data, prepare
from galgen.training.machine import IMAGES, find_accelerator
from galgen.transfer import settle

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Stage:
    """One training of a chain.

    Attributes
    ----------
    name
        What it is called.
    settings
        Its configuration, nested, as far as it was given.
    first
        True for the stage that trains from scratch.
    """

    name: str
    settings: Mapping[str, Any]
    first: bool

    @property
    def source(self) -> str | None:
        """Its data, as they were named; None for those of the stage before."""
        source = (self.settings.get("data") or {}).get("source")
        return None if source is None else str(source)

    def build(self) -> RunConfig:
        """The configuration as far as it is known before the stage before has run."""
        known = {} if self.first else {"finetune.checkpoint": "the stage before"}
        return RunConfig.build(self.settings, known)


def plan(config: Mapping[str, Any], *layers: Mapping[str, Any], begun: bool = False) -> list[Stage]:
    """The stages of a chain.

    Parameters
    ----------
    config
        Has a list ``chain`` of stages, each a mapping with ``name`` and the sections of a
        configuration. Sections beside the list hold for all stages; what they say under
        ``finetune`` does not concern the first.
    *layers
        Further settings, later ones win. A key that begins with a stage's name
        (``real.data.source``) is for that stage, others are for all.
    begun
        True for a chain whose first stage has run, so that its data need not be looked at.

    Raises
    ------
    ConfigError
        For unknown keys, wrong values, options and recipes that make no sense, and sizes and
        depths that the networks do not have, with the stage's name.
    """
    if "runs" in config:
        raise ConfigError(
            "this is the record of a chain that was begun: go on with it by "
            "galgen train FOLDER --resume."
        )
    listed = config["chain"]
    if not isinstance(listed, list) or not all(isinstance(stage, dict) for stage in listed):
        raise ConfigError("chain: give a list of stages, each with a name and its own settings.")
    names = [str(stage.get("name", "")) for stage in listed]
    _check_names(names)
    shared = {key: value for key, value in config.items() if key != "chain"}
    for layer in (shared, *layers):
        _check_keys(layer, names)
        check_sections(_rest(layer, names))
    if any("source" in merge(_rest(layer, names)).get("data", {}) for layer in layers):
        raise ConfigError(
            "a chain has data for each stage: leave DATA out, or name it by "
            f"--set {names[-1]}.data.source=FOLDER."
        )
    stages = []
    for number, (name, own) in enumerate(zip(names, listed, strict=True)):
        mine = {key: value for key, value in own.items() if key != "name"}
        over = [part for layer in layers for part in (_rest(layer, names), _of(layer, name))]
        for part in (mine, *over):
            with named(Stage(name, {}, first=number == 0)):
                check_sections(part)
        settings = merge(shared, mine, *over)
        if "checkpoint" in (settings.get("finetune") or {}):
            raise ConfigError(
                f"stage {name}: finetune.checkpoint is the best of the stage before: leave it out, "
                "or use galgen finetune."
            )
        if number == 0:
            if "finetune" in merge(mine, *(_of(layer, name) for layer in layers)):
                raise ConfigError(f"stage {name}: the first trains from scratch, without finetune.")
            settings.pop("finetune", None)
        stages.append(Stage(name, settings, first=number == 0))
    _check(stages, begun)
    return stages


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise ConfigError("chain: give at least one stage.")
    for name in names:
        if not _NAME.fullmatch(name) or name in RunConfig.model_fields:
            raise ConfigError(
                f"chain: a stage cannot be called {name!r}: give each a name of letters, digits "
                "and dashes that is no section of a configuration."
            )
        if names.count(name) > 1:
            raise ConfigError(f"chain: two stages are called {name}: give each its own name.")


def _check_keys(layer: Mapping[str, Any], names: Sequence[str]) -> None:
    for key, value in layer.items():
        head = str(key).split(".")[0]
        if key in names and not isinstance(value, Mapping):
            raise ConfigError(f"{key}: say which setting, for example {key}.train.images=20k.")
        known = [*RunConfig.model_fields, *names]
        if head not in known:
            near = difflib.get_close_matches(head, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(names)}."
            raise ConfigError(f"{head} is neither a section nor a stage of the chain: {hint}")


def _of(layer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a layer says to one stage."""
    own: dict[str, Any] = {}
    for key, value in layer.items():
        head, _, rest = str(key).partition(".")
        if head == name:
            own = merge(own, {rest: value} if rest else value)
    return own


def _rest(layer: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What a layer says to all stages."""
    return {key: value for key, value in layer.items() if str(key).split(".")[0] not in names}


def require_data(source: str | None, option: str) -> None:
    """Say that a folder is missing before hours are spent on what comes before it.

    Raises
    ------
    DataError
        With the option that names another.
    """
    if source not in (None, *BUILT_IN) and not Path(str(source)).exists():
        raise DataError(f"{source} does not exist: name the folder by {option}.")


@contextmanager
def named(stage: Stage) -> Iterator[None]:
    """Errors say which stage they are of."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"stage {stage.name}: {error}") from error


def check_sections(layer: Mapping[str, Any]) -> None:
    """Refuse a value where a section of a configuration belongs.

    Raises
    ------
    ConfigError
        For the first, with the way out.
    """
    for name, value in merge(layer).items():
        section = name in RunConfig.model_fields and name != "seed"
        if section and not isinstance(value, Mapping) and (name, value) != ("finetune", None):
            raise ConfigError(f"{name}: say which setting of this section, got {value!r}.")


def following(before: RunConfig, *layers: Mapping[str, Any]) -> RunConfig:
    """The configuration of a fine-tuning, as far as it is known before its checkpoint is there.

    Parameters
    ----------
    before
        Of the run that leaves the checkpoint.
    *layers
        As those of `galgen.finetune.prepare`.

    Raises
    ------
    ConfigError
        For what is refused there.
    """
    given = merge(*layers)
    if "checkpoint" in (given.get("finetune") or {}):
        raise ConfigError("finetune.checkpoint is that of the run before: leave it out.")
    source = given.get("data", {}).get("source")
    own = source is None or canonical(source) == canonical(before.data.source)
    old = before.to_dict()
    pair = find(before.model.name).load()
    base = {
        "model": old["model"],
        "recipe": {**old["recipe"], "grow_images": 0 if pair.grows else "auto"},
        "data": old["data"] if own else {"size": before.data.size},
        "finetune": {"checkpoint": "the run before"},
    }
    machine = find_accelerator(RunConfig.build(base, given).train.accelerator)
    config = RunConfig.build({"train": {"images": IMAGES[machine] // 2}}, base, given)
    if config.model.name != before.model.name:
        raise ConfigError(
            f"--model {config.model.name} is not the {before.model.name} that comes before: "
            "leave it out."
        )
    check_options(pair, config.model.options)
    check_recipe(pair, config.recipe, config.model.options)
    check_growth(config)
    return config


def try_out(config: RunConfig, size: int) -> None:
    """Make the networks of a configuration once, and freeze what it says.

    Raises
    ------
    ConfigError
        For a size that they cannot have, and more frozen layers than there are.
    """
    if config.data.size not in (None, size):
        raise ConfigError(f"the model makes {size} px images: choose --size {size}.")
    pair = find(config.model.name).load()
    bands = config.data.bands or 3
    settle(pair(size, bands, recipe=config.recipe, **config.model.options), config)


def _check(stages: Sequence[Stage], begun: bool) -> None:
    """Find what would only show hours later."""
    sizes: dict[int, str] = {}
    configs: list[RunConfig] = []
    for stage in stages:
        with named(stage):
            given = stage.build().data.size
            require_data(stage.source, f"--set {stage.name}.data.source=FOLDER")
            if stage.first:
                configs.append(prepare(stage.settings))
            else:
                configs.append(following(configs[-1], stage.settings))
            if given is not None:
                sizes.setdefault(given, stage.name)
    if len(sizes) > 1:
        told = ", ".join(f"{size} px in {name}" for size, name in sizes.items())
        raise ConfigError(f"a chain keeps the size of its images, not {told}: choose one.")
    if not sizes and not begun:
        with named(stages[0]):
            sizes[make_data(configs[0]).spec.size] = stages[0].name
    for stage, config in zip(stages, configs, strict=True):
        for size in sizes:
            with named(stage):
                try_out(config, size)
