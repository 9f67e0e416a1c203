"""How long the training step of a model takes in different forms, timed on copies of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch.utils.data import DataLoader

from galgen.training.machine import Machine

#: Steps of a cycle at most, where penalties are rarer than that, and seconds that it may take.
LONGEST, PATIENCE = 16, 2.0
#: A gradient below this part of its network's largest is none.
SMALL = 1e-3


class Form(NamedTuple):
    """One way to take the step."""

    precision: str
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision} compiled" if self.compiled else self.precision


class Stopwatch:
    """Times training steps of copies, on random images; the model stays as it is.

    Parameters
    ----------
    model
        An `galgen.models.base.AdversarialModule` that has not been trained yet.
    batch
        Images of one replica.
    micro
        As ``train.micro_batch``.
    machine
        What it is to run on, of which one device is used here.
    clock
        Gives seconds.
    """

    def __init__(
        self,
        model: Any,
        batch: int,
        micro: int | None,
        machine: Machine,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.model, self.machine, self.micro = model, machine, micro
        recipe = model.recipe
        self.steps = min(LONGEST, max(recipe.penalty_every, recipe.critic_steps))
        random = torch.Generator().manual_seed(0)
        spec = model.spec
        images = torch.randn(batch, len(spec.bands), spec.size, spec.size, generator=random)
        self._batch: dict[str, Tensor] = {"images": 0.2 * images}
        if model.conditions:
            rows = torch.zeros(batch, model.conditions.width)
            # Of the first class, with mean numbers.
            rows[:, [0, -1] if model.conditions.numbers else [0]] = 1.0
            self._batch["condition"] = rows
        self._copies: dict[Form, Any] = {}

    def probe(self, form: Form) -> float:
        """Seconds of a step, about: the quicker of the first two. Where steps are slow, cycles
        become shorter from here on.
        """
        times = _Times(self.clock)
        self._fit(self._copy(form), form, 2, times)
        step = min(times.seconds)
        self.steps = min(self.steps, max(2, int(PATIENCE / step)))
        return step

    def cycle(self, form: Form) -> float:
        """Seconds of a step, the mean over one cycle of penalties; the first with compiling."""
        times = _Times(self.clock)
        self._fit(self._copy(form), form, self.steps, times)
        return sum(times.seconds) / len(times.seconds)

    def gradients(self, form: Form) -> dict[str, Tensor]:
        """Gradients of both networks in the first steps, by name and turn, none of which changes
        the weights.
        """
        found = _Gradients()
        module = self._copy(form)
        trained = module.recipe
        module.recipe = trained.model_copy(update={"lr": 0.0, "lr_critic": None})
        try:
            self._fit(module, form, trained.critic_steps, found)
        finally:
            module.recipe = trained
        return found.found

    def _copy(self, form: Form) -> Any:
        if form not in self._copies:
            module = copy.deepcopy(self.model)
            module.say = lambda line: None
            module.micro = self.micro
            if module.grows:
                module.recipe = module.recipe.model_copy(update={"grow_images": 0})
            module.passes.compile(form.compiled)
            self._copies[form] = module
        return self._copies[form]

    def _fit(self, module: Any, form: Form, steps: int, callback: L.Callback) -> None:
        with _undisturbed(self.machine):
            trainer = L.Trainer(
                accelerator=self.machine.accelerator,
                devices=1,
                plugins=LightningEnvironment(),
                precision="bf16-mixed" if form.precision == "bf16" else "32-true",
                max_epochs=1,
                callbacks=[callback],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            try:
                trainer.fit(module, DataLoader([self._batch] * steps, batch_size=None))  # type: ignore[arg-type]
            except SystemExit:
                # Lightning's way out after Ctrl-C.
                raise KeyboardInterrupt from None


def furthest(plain: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest relative difference of a parameter's gradient, of those that count."""
    if plain.keys() != other.keys():
        return float("inf")
    least = SMALL * max(float(gradient.norm()) for gradient in plain.values())
    return max(
        float((other[name] - gradient).norm()) / max(float(gradient.norm()), least)
        for name, gradient in plain.items()
    )


class _Times(L.Callback):
    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: list[float] = []
        self._then = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, *rest: Any) -> None:
        _wait(trainer)
        self._then = self.clock()

    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        _wait(trainer)
        self.seconds.append(self.clock() - self._then)


class _Gradients(L.Callback):
    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}
        self._turn = 0

    def on_before_optimizer_step(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        self._turn += 1
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                self.found[f"{self._turn} {name}"] = parameter.grad.detach().clone()


def _wait(trainer: L.Trainer) -> None:
    kind = trainer.strategy.root_device.type
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()


@contextmanager
def _undisturbed(machine: Machine) -> Iterator[None]:
    """Random numbers as before, and meanwhile as many threads as the run will have."""
    threads = torch.get_num_threads()
    cuda = [torch.cuda.current_device()] if machine.accelerator == "cuda" else []
    try:
        torch.set_num_threads(machine.threads or threads)
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        torch.set_num_threads(threads)
