"""What a fine-tuning run takes over from a checkpoint, matched by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from galgen import checkpoint
from galgen.carry import conditioned, of_conditions, pick, places
from galgen.checkpoint import TrainedModel
from galgen.config import RunConfig
from galgen.errors import CheckpointError, ConfigError
from galgen.models.base import AdversarialModule
from galgen.models.rules import sort_options
from galgen.nn.psf import Psf
from galgen.sections import FinetuneConfig
from galgen.training.freezing import select

#: Both networks, in the order of their optimizers.
NETWORKS = ("generator", "critic")
#: State of one network's Adam by parameter name.
Moments = Mapping[str, Mapping[str, Tensor]]
_MEAN = "the mean of the old bands"


@dataclass(frozen=True)
class Transfer:
    """What was taken over.

    Attributes
    ----------
    frozen, training
        Names of layers of both networks.
    bands
        New band to where its weights come from.
    anew
        Names of parameters that the checkpoint does not have.
    moments
        Adam's moments by network; empty unless the run keeps the optimizers.
    """

    frozen: tuple[str, ...]
    training: tuple[str, ...]
    bands: dict[str, str]
    anew: tuple[str, ...] = ()
    moments: Mapping[str, Moments] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """For a person."""
        lines = [
            "frozen: " + (", ".join(self.frozen) or "nothing"),
            "training: " + ", ".join(self.training),
        ]
        if any(new != old for new, old in self.bands.items()):
            pairs = ", ".join(f"{new} from {old}" for new, old in self.bands.items())
            lines.append(f"bands: {pairs}")
        if self.anew:
            lines.append("not in the checkpoint: " + ", ".join(self.anew))
        return lines


def transfer(source: TrainedModel, model: AdversarialModule, config: RunConfig) -> Transfer:
    """Copy the checkpoint's weights into a fresh model, freeze and keep what the run says.

    The generator starts from the averaged weights, or from its own where the average is kept;
    then frozen layers have the averaged weights in both. A band that both know keeps its weights;
    a new one takes the mean of the old bands. Conditions: see `conditioned`.

    Raises
    ------
    ConfigError
        If the sizes or the networks' options differ, or more is to be frozen than there is.
    CheckpointError
        If the optimizers are to be kept and the checkpoint has none that fit.
    """
    if source.spec.size != model.spec.size:
        raise ConfigError(other_size(source, model.spec.size))
    keep = config.finetune.keep if config.finetune is not None else ()
    content = {} if not keep or source.path.is_dir() else checkpoint.read(source.path)
    average, anew = _fitted(source, model, "generator", source.module.average.state())
    critic, anew_critic = _fitted(source, model, "critic", source.module.critic.state_dict())
    start = average
    if "ema" in keep:
        start, _ = _fitted(source, model, "generator", source.module.generator.state_dict())
    model.generator.load_state_dict(start)
    model.critic.load_state_dict(critic)
    model.average.load(average)
    settle(model, config)
    _agree_where_frozen(model)
    if "clock" in keep:
        _go_on(source, model, content)
    moments = {}
    if "optimizers" in keep:
        changed = _changed(source, model)
        moments = {
            which: {name: moment for name, moment in found.items() if name not in changed[which]}
            for which, found in moments_by_name(source, content).items()
        }
    frozen, training = _layer_names(model)
    rows = places(source.spec.bands, model.spec.bands)
    come_from = {
        band: source.spec.bands[row] if row is not None else _MEAN
        for band, row in zip(model.spec.bands, rows, strict=True)
    }
    return Transfer(frozen, training, come_from, (*anew, *anew_critic), moments)


def settle(model: AdversarialModule, config: RunConfig) -> None:
    """What fine-tuning changes in a model, whenever its run starts or goes on."""
    tuning = config.finetune
    if tuning is None:
        return
    model.freeze_layers(tuning.freeze, tuning.freeze_critic, tuning.freeze_unit)
    if "ema" in tuning.keep and "clock" not in tuning.keep:
        # The average's past is older than the clock, which would have it forgotten at once.
        model.average.ramp = float("inf")


def other_size(source: TrainedModel, size: int | None) -> str:
    """Why a size is refused."""
    side = source.spec.size
    return f"{source.path} makes {side} px images: choose --size {side}, not {size}."


def _fitted(
    source: TrainedModel, model: AdversarialModule, which: str, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A network's state rearranged for the new bands, classes and options, and what is anew."""
    old, new = getattr(source.module, which), getattr(model, which)
    fresh = new.state_dict()
    rows = places(source.spec.bands, model.spec.bands)
    paths = conditioned(source, model, which, state)
    state = {name: value for name, value in state.items() if name in fresh}
    for name, axis in new.band_parameters():
        if name in state and rows != list(range(state[name].shape[axis])):
            state[name] = pick(state[name], axis, rows) * _gain(old, new, name, axis)
    anew = [name for name in fresh if name not in state]
    state |= paths
    for name, value in fresh.items():
        if name not in state or isinstance(new.get_submodule(_owner(name)), Psf):
            state[name] = value
        if state[name].shape != value.shape:
            raise ConfigError(
                f"{source.path} has a {which} of another shape ({name}): leave model.options as "
                "they are in the checkpoint."
            )
    return state, [f"{which} {name}" for name in anew if not of_conditions(name)]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _gain(old: nn.Module, new: nn.Module, name: str, axis: int) -> float:
    """What keeps an input layer's response to a grey image, which is a sum over the bands.

    Layers of equal learning rate scale their weights by the number of inputs when they use them.
    """
    layers = [network.get_submodule(_owner(name)) for network in (old, new)]
    if axis == 0 or isinstance(layers[0], nn.ConvTranspose2d):
        return 1.0
    bands = [layer.get_parameter("weight").shape[axis] for layer in layers]
    scales = [float(getattr(layer, "scale", 1.0)) for layer in layers]
    return bands[0] / bands[1] * scales[0] / scales[1]


def _agree_where_frozen(model: AdversarialModule) -> None:
    """Frozen layers are the same in the generator and its average, for good."""
    ours = dict(model.average.network.named_parameters())
    for name, parameter in model.generator.named_parameters():
        if not parameter.requires_grad:
            parameter.data.copy_(ours[name])


def _go_on(source: TrainedModel, model: AdversarialModule, content: Mapping[str, Any]) -> None:
    """Take over the clock and what was learnt along it."""
    model.clock.load(source.card["clock"])
    model.path_mean = torch.tensor(source.card["path_mean"])
    if "ada" in content:
        model.ada.load(content["ada"])


def _changed(source: TrainedModel, model: AdversarialModule) -> dict[str, set[str]]:
    """Parameters whose moments mean nothing any more: frozen, of other bands or classes, new."""
    rows = places(source.spec.bands, model.spec.bands)
    changed = {}
    for which in NETWORKS:
        old, new = (dict(getattr(m, which).named_parameters()) for m in (source.module, model))
        names = {
            name
            for name in old
            if name not in new or not new[name].requires_grad or new[name].shape != old[name].shape
        }
        if rows != list(range(len(source.spec.bands))):
            names |= {name for name, _ in getattr(model, which).band_parameters()}
        before, now = source.module.conditions, model.conditions
        settings = [sort_options(m.options)[1] for m in (source.module, model)]
        if (before.classes, before.names, settings[0]) != (now.classes, now.names, settings[1]):
            names |= {name for name in new if of_conditions(name)}
        changed[which] = names
    return changed


def moments_by_name(source: TrainedModel, content: Mapping[str, Any]) -> dict[str, Moments]:
    """Adam's state of both networks by parameter name.

    A checkpoint numbers them over the parameters that its run trained, so its own frozen layers
    decide what the numbers mean.

    Parameters
    ----------
    content
        The checkpoint file's, see `galgen.checkpoint.read`.

    Raises
    ------
    CheckpointError
        If there are none, or they do not fit the networks.
    """
    states = content.get("optimizer_states") or []
    tuning = FinetuneConfig.model_validate(source.config.get("finetune") or {"checkpoint": ""})
    depths = (tuning.freeze, tuning.freeze_critic)
    found: dict[str, Moments] = {}
    for which, depth, state in zip(NETWORKS, depths, states, strict=False):
        network = getattr(source.module, which)
        cold = {
            id(parameter)
            for layer in select(network.layers(), depth, tuning.freeze_unit, "freeze")
            for parameter in layer.parameters()
        }
        names = [name for name, p in network.named_parameters() if id(p) not in cold]
        if sum(len(group["params"]) for group in state["param_groups"]) == len(names):
            found[which] = {names[row]: moment for row, moment in state["state"].items()}
    if len(found) < len(NETWORKS):
        raise CheckpointError(
            f"{source.path} holds no optimizers that fit its networks: leave optimizers out of "
            "--keep."
        )
    return found


def _layer_names(model: AdversarialModule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    frozen = {id(layer.modules[0]) for layer in model.frozen}

    def names(cold: bool) -> Iterator[str]:
        for which in NETWORKS:
            for layer in getattr(model, which).layers():
                if (id(layer.modules[0]) in frozen) == cold:
                    yield f"{which} {layer.name}"

    return tuple(names(True)), tuple(names(False))


class CarryMoments(L.Callback):
    """Gives the optimizers of a run the moments that another run left.

    Parameters
    ----------
    moments
        By network and parameter name; what is not named starts at zero.
    """

    def __init__(self, moments: Mapping[str, Moments]) -> None:
        self.moments = moments

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Load them, once the optimizers are there."""
        for which, optimizer in zip(NETWORKS, trainer.optimizers, strict=True):
            network, state = getattr(module, which), optimizer.state_dict()
            names = [name for name, p in network.named_parameters() if p.requires_grad]
            mine = self.moments.get(which, {})
            state["state"] = {
                row: {part: value.clone() for part, value in mine[name].items()}
                for row, name in enumerate(names)
                if name in mine
            }
            optimizer.load_state_dict(state)
