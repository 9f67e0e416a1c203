"""The one alternating training step that all generator/critic pairs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import CheckpointError, ConfigError
from galgen.models.card import card_of, take_card
from galgen.models.objective import Objective
from galgen.models.rules import (
    check_data,
    check_networks,
    check_options,
    check_recipe,
    sort_options,
)
from galgen.models.sampling import SamplingModule
from galgen.models.step import Step
from galgen.models.styles import next_path_mean
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings
from galgen.nn.layers import MinibatchStd
from galgen.nn.units import Layer
from galgen.randomness import StepStreams
from galgen.sections import Recipe
from galgen.stretch import Stretch
from galgen.training.ada import AdaptiveP
from galgen.training.clock import Clock
from galgen.training.compiling import Passes
from galgen.training.descent import cosine, descend, schedule
from galgen.training.ema import GeneratorEMA
from galgen.training.freezing import freeze, hold, select
from galgen.training.growth import Growth
from galgen.training.means import Means
from galgen.training.memory import smallest
from galgen.training.replicas import ReplicaStrategy, world


class AdversarialModule(SamplingModule):
    """A generator and a critic, trained in turns.

    A pair subclasses this, sets `name` and builds its two networks in `build`. Each batch is
    one critic step; every ``recipe.critic_steps``-th batch is a generator step too. The clock
    counts the images shown to the critic. Networks that have a method ``grow`` are set to the
    resolution that the clock says.

    Parameters
    ----------
    size
        Side length in pixels.
    bands
        Band names, or how many there are.
    classes, numbers
        Names of the classes and of the continuous conditions of a conditional pair.
    seed
        Seed of the latents and all other draws of training.
    recipe
        A `Recipe`, or a dict of its fields.
    options
        Options of the pair's networks, and those of `EndSettings` and `ConditionSettings`.

    Attributes
    ----------
    spec, stretch, conditions
        Facts about the images, the map to flux, and what can be asked for; taken from the
        datamodule when a fit starts, and from the checkpoint when one is loaded.
    couples_batch, groups
        Whether there is batch norm, and the critic's layers that compare images with each other.
    micro
        Images of this replica that are gone through at a time, None for all; see `Step`.
    bad_steps
        Steps without a finite loss and gradient since the last snapshot, 0-dim.
    lr_scale, rollbacks
        Factor of both learning rates, halved each time that the run goes back to a snapshot, and
        how often it did.
    say
        Takes sentences for a person.
    grows, has_styles
        Class attributes: whether the networks grow with the clock, and whether the generator
        is a `StyleGenerator`.
    """

    name = ""
    grows = False
    has_styles = False
    automatic_optimization = False

    def __init__(
        self,
        size: int = 64,
        bands: int | Sequence[str] = 3,
        *,
        classes: Sequence[str] = (),
        numbers: Sequence[str] = (),
        seed: int = 0,
        recipe: Recipe | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        names = tuple(f"band{i}" for i in range(bands)) if isinstance(bands, int) else tuple(bands)
        self._named_bands = not isinstance(bands, int)
        self.spec = ImageSpec(size=size, bands=names, display=True)
        self.conditions = Conditions.named(classes, numbers)
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**(recipe or {}))
        self.options = options
        self.seed = seed
        check_options(type(self), options)
        check_recipe(type(self), self.recipe, options)
        end, settings, own = sort_options(options)
        given = Given(len(self.conditions.classes), len(self.conditions.numbers), settings)
        self.generator, self.critic = self.build(size, len(names), given, end=end, **own)
        check_networks(type(self), self.generator, options)
        # Twice as fast on a CPU and on tensor cores; always, so that samples never differ by it.
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.passes = Passes(self.generator, self.critic)
        self.objective = Objective(self.recipe, size, coupled=self.couples_images(options))
        self.clock = Clock()
        self.total_images: int | None = None
        self.frozen: list[Layer] = []
        self.run: dict[str, Any] = {}
        self.holdout: list[str] = []
        self.trained_on: dict[str, Any] = {}
        self.means = Means()
        self.ada = AdaptiveP(self.recipe.ada_target, self.recipe.ada_images, self.recipe.ada_max)
        self.path_mean = torch.zeros(())
        self.couples_batch = any(isinstance(m, _BatchNorm) for m in self.modules())
        self.groups = tuple(m for m in self.critic.modules() if isinstance(m, MinibatchStd))
        self.micro: int | None = None
        self.bad_steps = torch.zeros(())
        self.lr_scale = 1.0
        self.rollbacks = 0
        self.say: Callable[[str], None] = lambda line: None
        # Outside the module tree: a checkpoint keeps the average under its own key.
        self.__dict__["ema"] = GeneratorEMA(self.generator, self.recipe.ema_images)
        self.stretch = None
        self.save_hyperparameters(
            {
                "size": size,
                "bands": list(names),
                "classes": list(classes),
                "numbers": list(numbers),
                "seed": seed,
                "recipe": self.recipe.model_dump(mode="json"),
                **options,
            }
        )

    def build(
        self, size: int, bands: int, given: Given, *, end: EndSettings, **options: Any
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic; every pair has its own."""
        raise NotImplementedError

    @classmethod
    def couples_images(cls, options: Mapping[str, Any]) -> bool:
        """Whether the score of an image depends on the others of its batch by batch norm; a
        penalty on its gradient is then not defined.
        """
        return False

    # -- facts ---------------------------------------------------------------------------

    @property
    def average(self) -> GeneratorEMA:
        """The averaged generator, which samples are drawn from."""
        return cast(GeneratorEMA, self.__dict__["ema"])

    @property
    def stretch(self) -> Stretch | None:
        """The map between flux and network space; None before any data were seen."""
        return cast("Stretch | None", self.__dict__.get("_stretch"))

    @stretch.setter
    def stretch(self, stretch: Stretch | None) -> None:
        self.__dict__["_stretch"] = stretch
        for network in (self.generator, self.average.network):
            end = getattr(network, "end", None)
            if end is not None:
                end.stretch = stretch

    def freeze_layers(
        self, generator: int = 0, critic: int = 0, unit: str = "layer"
    ) -> list[Layer]:
        """Freeze the generator's first layers from the latent, the critic's from the image.

        Parameters
        ----------
        generator, critic
            How many layers or blocks.
        unit
            ``layer`` or ``block``.

        Returns
        -------
        list of Layer
            What is frozen.

        Raises
        ------
        ConfigError
            If a network has fewer.
        """
        if self.grows and self.recipe.grow_images == "auto" and (generator or critic):
            self.recipe = self.recipe.model_copy(update={"grow_images": 0})
        if self.grows and self.recipe.grow_images and (generator or critic):
            raise ConfigError(
                f"recipe.grow_images {self.recipe.grow_images} and frozen layers do not go "
                "together, since layers come in as the pair grows: set recipe.grow_images to 0."
            )
        chosen = select(self.generator.layers(), generator, unit, "--freeze")  # type: ignore[operator]
        chosen += select(self.critic.layers(), critic, unit, "--freeze-critic")  # type: ignore[operator]
        for network, option in ((self.generator, "--freeze"), (self.critic, "--freeze-critic")):
            cold = {id(p) for layer in chosen for p in layer.parameters()}
            if all(id(p) in cold or not p.requires_grad for p in network.parameters()):
                raise ConfigError(f"{option} leaves nothing to train: freeze fewer layers.")
        freeze(chosen)
        self.frozen = [*self.frozen, *chosen]
        return chosen

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> AdversarialModule:
        """Move or cast the average too, which is no submodule."""
        super()._apply(fn, recurse)
        self.average.network._apply(fn)
        return self

    def train(self, mode: bool = True) -> AdversarialModule:
        """Set the mode; frozen layers stay in evaluation mode, so that their buffers stay."""
        super().train(mode)
        hold(getattr(self, "frozen", []))
        return self

    # -- Lightning -----------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take the facts about the images from the datamodule."""
        strategy = self.trainer.strategy
        replicas = isinstance(strategy, ParallelStrategy) and self.trainer.world_size > 1
        if replicas and not isinstance(strategy, ReplicaStrategy):
            kind = "the wrapper of" if isinstance(strategy, DDPStrategy) else ""
            raise ConfigError(
                f"two networks do not train under {kind} {type(strategy).__name__}: use "
                "Trainer(strategy=galgen.training.replicas.ReplicaStrategy())."
            )
        data = getattr(self.trainer, "datamodule", None)
        spec = getattr(data, "spec", None)
        if spec is None or data is None:
            return
        check_data(self, data, self.trainer.world_size, named_bands=self._named_bands)
        self.spec, self.stretch = spec, data.stretch
        self.make_psf(spec)
        self.objective.variance, self.objective.batch = data.variance, data.batch
        self.objective.images = len(data.split[0])
        if self.grows and self.recipe.grow_images == "auto":
            whole = self.total_images or 0
            self.recipe = self.recipe.model_copy(update={"grow_images": whole // 2})
        if self.conditions:
            self.conditions = data.conditions
        self.holdout = list(data.holdout_names)
        self.trained_on = data.fingerprint

    def configure_optimizers(self) -> Any:
        """Two Adams over what is not frozen."""
        recipe = self.recipe
        adams = []
        for network, lr in (
            (self.generator, recipe.lr),
            (self.critic, recipe.lr_critic or recipe.lr),
        ):
            trainable = [p for p in network.parameters() if p.requires_grad]
            adams.append(torch.optim.Adam(trainable, lr=lr, betas=recipe.betas, fused=True))
        return adams

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """One critic step, and a generator step when it is due."""
        recipe = self.recipe
        real = batch["images"].contiguous(memory_format=torch.channels_last)
        rank, replicas = world()
        n = len(real)
        streams = StepStreams(self.seed, self.clock.images, n, rank, replicas, device=real.device)
        number = self.clock.images // (n * replicas)
        generator_due = (number + 1) % recipe.critic_steps == 0
        path_due = bool(recipe.path_length) and not (number // recipe.critic_steps) % (
            recipe.path_every
        )
        optimizers = cast(list[Any], self.optimizers())
        self._follow_clock(optimizers)
        step = Step(
            self,
            real,
            self._condition(batch, streams),
            streams,
            generator_due=generator_due,
            penalty_due=number % recipe.penalty_every == 0,
            path_due=path_due,
        )
        signs, bad = self._descend(optimizers[1], step.critic(), "critic")
        if recipe.ada:
            self.ada.observe(signs)
            self.means.note("ada_p", self.ada.p)
            self.ada.step(n * replicas)
        if generator_due:
            lengths, worse = self._descend(optimizers[0], step.generator(), "generator")
            bad = torch.maximum(bad, worse)
            if path_due:
                self.path_mean = next_path_mean(self.path_mean.to(lengths.device), *lengths)
                self.means.note("path_length", self.path_mean)
        self.bad_steps = self.bad_steps.to(bad.device) + bad
        self.clock.advance(n * replicas)
        if generator_due:
            seen = n * replicas * recipe.critic_steps
            self.average.update(self.generator, seen, self.clock.images)

    def _condition(self, batch: dict[str, Any], streams: StepStreams) -> Tensor | None:
        """Conditions of the batch; some galaxies ask for nothing where labels are dropped."""
        if not self.conditions:
            return None
        rows = cast(Tensor, batch["condition"])
        if self.recipe.label_dropout:
            keep = streams.uniform("label dropout", 1) >= self.recipe.label_dropout
            rows = rows * keep
        return rows

    def _descend(self, optimizer: Any, extras: Tensor, which: str) -> tuple[Tensor, Tensor]:
        """Step along the gradients; sums over the replicas, and 1 where nothing was finite."""
        norm, bad, sums = descend(optimizer, extras)
        self.means.note(f"gradient_{which}", norm)
        self.means.note(f"nonfinite_{which}", bad)
        return sums[1:], bad

    def _follow_clock(self, optimizers: Sequence[Any]) -> None:
        """Set what is a function of the clock: rates, momenta, gamma, resolution."""
        images = self.clock.images
        done = images / self.total_images if self.total_images else 0.0
        schedule(optimizers, self.recipe, done, self.lr_scale)
        self.objective.decay = cosine(done, self.recipe.gamma_decay)
        if self.grows:
            self.grow_to_clock()
            level, alpha = self.growth.at(images)
            self.means.note("level", torch.tensor(level + alpha))
            if self.growth.at(images)[0] != self.growth.at(images - self.clock.batch)[0]:
                # What Adam knows is of the coarser pictures.
                for optimizer in optimizers:
                    optimizer.state.clear()

    @property
    def growth(self) -> Growth:
        """The schedule of a growing pair."""
        images = 0 if self.recipe.grow_images == "auto" else self.recipe.grow_images
        first, sides = self.generator.first_level, self.generator.sides
        return Growth(int(first), len(sides) - 1, images)  # type: ignore[arg-type]

    def grow_to_clock(self) -> None:
        """Set the networks of a growing pair to the resolution that the clock says."""
        if self.grows:
            level, alpha = self.growth.at(self.clock.images)
            for network in (self.generator, self.critic, self.average.network):
                network.grow(level, alpha)  # type: ignore[operator]

    # -- checkpoints ---------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the average and everything that makes the file readable by itself."""
        checkpoint["ema"] = dict(self.average.state())
        checkpoint["ada"] = self.ada.state()
        checkpoint["galgen"] = card_of(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the average and the clock."""
        card = checkpoint.get("galgen")
        if not isinstance(card, dict) or "ema" not in checkpoint:
            raise CheckpointError("this is not a galgen checkpoint: it lacks the galgen entry.")
        self.average.load(checkpoint["ema"])
        self.ada.load(checkpoint["ada"])
        self.means.load(card["sums"])
        self.path_mean = torch.tensor(card["path_mean"])
        self.bad_steps = torch.tensor(float(card.get("bad_steps", 0)))
        self.lr_scale = float(card.get("lr_scale", 1.0))
        self.rollbacks = int(card.get("rollbacks", 0))
        self.micro = smallest(self.micro, card.get("micro") or [])
        take_card(self, card)
