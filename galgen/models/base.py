"""The one alternating training step that all generator/critic pairs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor, nn

import galgen
from galgen.bands import ImageSpec
from galgen.config import Recipe
from galgen.errors import CheckpointError, ConfigError
from galgen.models.objective import Objective
from galgen.models.sampling import draw_labels, generate
from galgen.randomness import StepStreams
from galgen.stretch import Stretch
from galgen.training.clock import Clock
from galgen.training.ema import GeneratorEMA
from galgen.training.freezing import Layer, freeze, select
from galgen.training.replicas import ReplicaStrategy, average_gradients, world

#: Newest layout of galgen's part of a checkpoint that this version writes and reads.
FORMAT = 1


class AdversarialModule(L.LightningModule):
    """A generator and a critic, trained in turns.

    A pair subclasses this, sets `name` and builds its two networks in `build`. Each batch is
    one critic step; every ``recipe.critic_steps``-th batch is a generator step too. The clock
    counts the images shown to the critic.

    Parameters
    ----------
    size
        Side length in pixels.
    bands
        Band names, or how many there are.
    classes
        Class names of a conditional pair; empty for none.
    seed
        Seed of the latents and all other draws of training.
    recipe
        A `Recipe`, or a dict of its fields.
    options
        Options of the pair's networks.

    Attributes
    ----------
    spec, stretch
        Facts about the images and the map to flux; taken from the datamodule when a fit
        starts, and from the checkpoint when one is loaded.
    """

    name = ""
    automatic_optimization = False

    def __init__(
        self,
        size: int = 64,
        bands: int | Sequence[str] = 3,
        *,
        classes: Sequence[str] = (),
        seed: int = 0,
        recipe: Recipe | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        names = tuple(f"band{i}" for i in range(bands)) if isinstance(bands, int) else tuple(bands)
        self._named_bands = not isinstance(bands, int)
        self.spec = ImageSpec(size=size, bands=names, display=True)
        self.stretch: Stretch | None = None
        self.classes = tuple(classes)
        self.class_counts = [1] * len(self.classes)
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**(recipe or {}))
        self.options = options
        self.seed = seed
        self.generator, self.critic = self.build(size, len(names), len(self.classes), **options)
        # Twice as fast on a CPU and on tensor cores; always, so that samples never differ by it.
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = Objective(self.recipe, size)
        self.clock = Clock()
        self.total_images: int | None = None
        self.frozen: list[Layer] = []
        self.run: dict[str, Any] = {}
        self.holdout: list[str] = []
        self.sums: dict[str, Tensor] = {}
        # Outside the module tree: a checkpoint keeps the average under its own key.
        self.__dict__["ema"] = GeneratorEMA(self.generator, self.recipe.ema_images)
        self.save_hyperparameters(
            {
                "size": size,
                "bands": list(names),
                "classes": list(self.classes),
                "seed": seed,
                "recipe": self.recipe.model_dump(mode="json"),
                **options,
            }
        )

    def build(
        self, size: int, bands: int, classes: int, **options: Any
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic; every pair has its own."""
        raise NotImplementedError

    # -- facts ---------------------------------------------------------------------------

    @property
    def average(self) -> GeneratorEMA:
        """The averaged generator, which samples are drawn from."""
        return cast(GeneratorEMA, self.__dict__["ema"])

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
        for layer in getattr(self, "frozen", []):
            for module in layer.modules:
                module.eval()
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
        if (spec.size, spec.n_bands) != (self.spec.size, self.spec.n_bands) or (
            self._named_bands and spec.bands != self.spec.bands
        ):
            raise ConfigError(
                f"the model makes {self.spec.size} px images in {', '.join(self.spec.bands)}, the "
                f"data hold {spec.size} px in {', '.join(spec.bands)}: build it with "
                "size=data.spec.size and bands=data.spec.bands."
            )
        if self.classes and tuple(data.classes) != self.classes:
            raise ConfigError(
                f"the model knows the classes {', '.join(self.classes)}, the data "
                f"{', '.join(data.classes) or 'none'}: build it with classes=data.classes."
            )
        self.spec, self.stretch = spec, data.stretch
        self.objective.variance = data.variance
        if self.classes:
            self.class_counts = data.class_counts
        self.holdout = list(data.holdout_names)

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
        real = batch["images"].contiguous(memory_format=torch.channels_last)
        labels = batch.get("labels") if self.classes else None
        rank, replicas = world()
        n = len(real)
        streams = StepStreams(self.seed, self.clock.images, n, rank, replicas)
        streams.seed_layers()
        step = self.clock.images // (n * replicas)
        generator_due = (step + 1) % self.recipe.critic_steps == 0
        penalty_due = step % self.recipe.penalty_every == 0
        optimizers = cast(list[Any], self.optimizers())
        self._set_learning_rates(optimizers)

        z = streams.normal("latent", int(self.generator.latent)).to(real)  # type: ignore[arg-type]

        def critic(images: Tensor) -> Tensor:
            return cast(Tensor, self.critic(images, labels))

        with torch.set_grad_enabled(generator_due):
            fake = self.generator(z, labels)
        with self._only(self.critic):
            mix = streams.uniform("mix", 1, 1, 1).to(real) if penalty_due else None
            loss = self.objective.critic(critic, real, fake.detach(), mix, self._note)
            self._descend(optimizers[1], loss, "critic")
        if generator_due:
            with self._only(self.generator):
                loss = self.objective.generator(critic, real, fake)
                self._note("loss_generator", loss)
                self._descend(optimizers[0], loss, "generator")
        self.clock.advance(n * replicas)
        if generator_due:
            seen = n * replicas * self.recipe.critic_steps
            self.average.update(self.generator, seen, self.clock.images)

    def _descend(self, optimizer: Any, loss: Tensor, which: str) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        average_gradients(parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self._note(f"gradient_{which}", norm.nan_to_num(0.0, 0.0, 0.0))
        bad = (~torch.isfinite(norm)).float()
        self._note(f"nonfinite_{which}", bad)
        if bad:
            for gradient in gradients:
                gradient.nan_to_num_(0.0, 0.0, 0.0)
        optimizer.step()
        # Autocast would go on with its low precision copies of the weights before the step.
        torch.clear_autocast_cache()

    @contextmanager
    def _only(self, network: nn.Module) -> Iterator[None]:
        """Gradients flow into one network only; frozen layers stay frozen."""
        idle = self.generator if network is self.critic else self.critic
        recorded = [(p, p.requires_grad) for p in idle.parameters()]
        try:
            for parameter, _ in recorded:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter, flag in recorded:
                parameter.requires_grad_(flag)

    def _set_learning_rates(self, optimizers: Sequence[Any]) -> None:
        """Cosine from full to ``lr_decay`` over `total_images`, a function of the clock."""
        recipe = self.recipe
        factor = 1.0
        if self.total_images and recipe.lr_decay < 1:
            done = min(1.0, self.clock.images / self.total_images)
            cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done))).item()
            factor = recipe.lr_decay + (1 - recipe.lr_decay) * cosine
        for optimizer, lr in zip(
            optimizers, (recipe.lr, recipe.lr_critic or recipe.lr), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

    def _note(self, name: str, value: Tensor) -> None:
        """Add to the running sum of an interval, without waiting for the device."""
        value = value.detach().float()
        old = self.sums.get(name)
        count = torch.ones_like(value)
        self.sums[name] = torch.stack([value, count]) + (0 if old is None else old.to(value))

    def take_means(self) -> dict[str, float]:
        """Mean of everything noted since the last call, and start anew."""
        means = {name: float(s[0] / s[1]) for name, s in self.sums.items()}
        self.sums = {}
        return means

    # -- checkpoints ---------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the average and everything that makes the file readable by itself."""
        checkpoint["ema"] = dict(self.average.state())
        checkpoint["galgen"] = {
            "format": FORMAT,
            "version": galgen.__version__,
            "model": self.name,
            "options": dict(self.options),
            "recipe": self.recipe.model_dump(mode="json"),
            "spec": self.spec.to_dict(),
            "stretch": None if self.stretch is None else self.stretch.state(),
            "classes": list(self.classes),
            "class_counts": list(self.class_counts),
            "clock": self.clock.state(),
            "seed": self.seed,
            "holdout": list(self.holdout),
            "config": self.run,
            "sums": {name: total.tolist() for name, total in self.sums.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the average and the clock."""
        card = checkpoint.get("galgen")
        if not isinstance(card, dict) or "ema" not in checkpoint:
            raise CheckpointError("this is not a galgen checkpoint: it lacks the galgen entry.")
        self.average.load(checkpoint["ema"])
        self.clock.load(card["clock"])
        self.spec = ImageSpec.from_dict(card["spec"])
        self.stretch = None if card["stretch"] is None else Stretch.from_state(card["stretch"])
        self.class_counts = list(card["class_counts"])
        self.holdout = list(card["holdout"])
        self.sums = {name: torch.tensor(total) for name, total in card["sums"].items()}

    # -- sampling ------------------------------------------------------------------------

    def sample_labels(
        self, indices: Sequence[int], seed: int, label: str | None = None
    ) -> Tensor | None:
        """Class numbers for samples: all `label`, or by the training set's frequencies.

        Raises
        ------
        ConfigError
            If the label is unknown, or the model is not conditional.
        """
        if not self.classes:
            if label is not None:
                raise ConfigError(
                    f"--label {label}: this model was trained without classes, leave it out."
                )
            return None
        if label is None:
            return draw_labels(seed, indices, self.class_counts)
        if label not in self.classes:
            raise ConfigError(
                f"--label {label} is not a class of this model: choose one of "
                f"{', '.join(self.classes)}."
            )
        return torch.full((len(indices),), self.classes.index(label), dtype=torch.long)

    def sample_chunks(
        self, indices: Sequence[int], *, seed: int = 0, label: str | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (sample numbers, flux (n, C, H, W)) by chunks, from the averaged generator.

        The flux is float32 on the CPU, in the training data's unit, or in network space if the
        model has never seen data.
        """
        labels = self.sample_labels(indices, seed, label)
        network = self.average.network.to(self.device).eval()
        finish: Callable[[Tensor], Tensor] | None = None
        if self.stretch is not None:
            finish = self.stretch.inverse
        yield from generate(network, indices, seed=seed, labels=labels, finish=finish)

    def sample(self, n: int, *, seed: int = 0, start: int = 0, label: str | None = None) -> Tensor:
        """Draw galaxies ``start`` to ``start + n`` of a seed.

        Returns
        -------
        Tensor
            Flux (n, bands, size, size), float32, in the unit of the training data. Galaxy
            *i* of a seed is the same whatever `n` and `start`.
        """
        if n < 1:
            raise ConfigError(f"-n {n}: ask for at least one galaxy.")
        indices = list(range(start, start + n))
        return torch.cat([flux for _, flux in self.sample_chunks(indices, seed=seed, label=label)])
