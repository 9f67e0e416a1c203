"""What a pair costs here: parameters, images a second, memory."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from types import FrameType
from typing import Any, cast

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader

from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.io.psf import read_psf
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.models.rules import check_options
from galgen.models.sampling import CHUNK
from galgen.nn.ending import End
from galgen.sections import Recipe
from galgen.training.activations import SavedActivations
from galgen.training.machine import Machine, choose

#: Takes how many steps are done and how many there are.
Progress = Callable[[int, int], None]

#: Timed steps of each kind at most, and the seconds after which one of each will do.
REPEATS, SECONDS = 5, 4.0


@dataclass(frozen=True)
class Measured:
    """What one pair costs.

    Attributes
    ----------
    name, summary
        As in the registry.
    generator, critic
        Numbers of parameters; None where the pair cannot be built.
    training, sampling
        Images per second; None where they were not measured.
    memory
        Bytes that training takes: the most that the allocator gave out on CUDA; elsewhere
        weights, gradients, optimizers, average, and activations at their peak.
    refused
        Why the pair cannot be built as asked.
    """

    name: str
    summary: str
    generator: int | None = None
    critic: int | None = None
    training: float | None = None
    sampling: float | None = None
    memory: int | None = None
    refused: str | None = None


def kinds(recipe: Recipe, penalties: bool) -> dict[int, float]:
    """Kinds of steps that a recipe alternates: the number of a step of each, and its share.

    Parameters
    ----------
    penalties
        Whether the critic has any.
    """
    every = recipe.penalty_every if penalties else 1
    path = recipe.path_every if recipe.path_length else 1
    cycle = math.lcm(every, recipe.critic_steps * path)
    found: dict[tuple[bool, bool, bool], list[int]] = {}
    for step in range(cycle):
        turn = (step + 1) % recipe.critic_steps == 0
        smooth = turn and bool(recipe.path_length) and step // recipe.critic_steps % path == 0
        found.setdefault((penalties and step % every == 0, turn, smooth), []).append(step)
    return {steps[0]: len(steps) / cycle for steps in found.values()}


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class _Stopwatch(L.Callback):
    """Sends a module through its kinds of steps: once for memory, then for time."""

    def __init__(self, steps: Sequence[int], batch: int, progress: Progress) -> None:
        self.steps, self.batch, self.progress = list(steps), batch, progress
        self.times: dict[int, list[float]] = {step: [] for step in steps}
        self.activations = 0
        self.interrupted = False
        self._done, self._begun, self._then = 0, 0.0, 0.0
        self._open = ExitStack()
        self._watch: SavedActivations | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        assert isinstance(module, AdversarialModule)
        module.clock.images = self.steps[self._done % len(self.steps)] * self.batch
        if self._done < len(self.steps) and module.device.type != "cuda":
            weights = [*module.parameters(), *module.buffers()]
            self._watch = self._open.enter_context(SavedActivations(weights))
        _wait(module.device)
        self._then = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, *outputs: Any
    ) -> None:
        _wait(module.device)
        now = time.perf_counter()
        self.close()
        turn, place = divmod(self._done, len(self.steps))
        if turn:
            self.times[self.steps[place]].append(now - self._then)
        else:
            self._begun = now
        self._done += 1
        self.progress(self._done, self.total)
        late = self._done >= 2 * len(self.steps) and now - self._begun > SECONDS
        if late or self.interrupted or self._done >= self.total:
            trainer.should_stop = True

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Stop after this step; handles a signal."""
        self.interrupted = True

    @property
    def total(self) -> int:
        """Steps at most."""
        return len(self.steps) * (1 + REPEATS)

    def close(self) -> None:
        """Stop watching the activations."""
        self._open.close()
        if self._watch is not None:
            self.activations = max(self.activations, self._watch.peak)
            self._watch = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice of Lightning."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    loggers.append(logging.getLogger("lightning.pytorch.utilities.rank_zero"))
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _listening(watch: _Stopwatch) -> Iterator[None]:
    """Ctrl-C waits for the end of a step: in one, autograd's hooks would swallow it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, watch.interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if watch.interrupted:
        raise KeyboardInterrupt


def _bytes(network: nn.Module) -> int:
    return sum(t.nbytes for t in itertools.chain(network.parameters(), network.buffers()))


def _stand_in_psf(model: AdversarialModule) -> None:
    """A PSF of 3 px, whichever the options say: there are no data whose own it could be."""
    end = getattr(model.generator, "end", None)
    if isinstance(end, End) and end.psf is not None:
        psf = read_psf("3px", model.spec)
        assert psf is not None
        model.set_psf(torch.from_numpy(psf.kernels))


def _train(
    model: AdversarialModule, batch: int, machine: Machine, progress: Progress
) -> tuple[float, int]:
    """Images per second in training, and the bytes that it takes."""
    spec, objective = model.spec, model.objective
    shares = kinds(model.recipe, bool(any(objective.gammas) or model.recipe.gp))
    watch = _Stopwatch(list(shares), batch, progress)
    images = 0.2 * torch.randn(batch, spec.n_bands, spec.size, spec.size)
    batches = cast(Any, [{"images": images}] * watch.total)
    device = torch.device(machine.accelerator)
    resident = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        resident = torch.cuda.memory_allocated()
    with _quiet(), _listening(watch):
        trainer = L.Trainer(
            accelerator=machine.accelerator,
            devices=1,
            precision="bf16-mixed" if machine.precision == "bf16" else "32-true",
            max_epochs=-1,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            trainer.fit(model, DataLoader(batches, batch_size=None))
        finally:
            watch.close()
    seconds = sum(share * median(watch.times[step]) for step, share in shares.items())
    if device.type == "cuda":
        return batch / seconds, torch.cuda.max_memory_allocated() - resident
    pair = _bytes(model.generator) + _bytes(model.critic)
    # Beside each weight lie its gradient and Adam's two moments.
    memory = 4 * pair + _bytes(model.average.network) + watch.activations
    return batch / seconds, memory


def _sample(model: AdversarialModule, device: torch.device) -> float:
    """Galaxies per second, in the chunks and the float32 of sampling."""
    model.to(device)
    times: list[float] = []
    for turn in range(1 + REPEATS):
        begin = time.perf_counter()
        for _ in model.sample_chunks(range(turn * CHUNK, (turn + 1) * CHUNK)):
            pass
        times.append(time.perf_counter() - begin)
        if turn and sum(times) > SECONDS / 2:
            break
    return CHUNK / median(times[1:])


def machine_of(*layers: Mapping[str, Any]) -> Machine:
    """The device and precision that `measure` takes: those of training, but one device."""
    return choose(RunConfig.build(*layers, {"train.devices": 1, "train.nodes": 1}))


def measure(
    name: str,
    *layers: Mapping[str, Any],
    bands: int | Sequence[str] = 3,
    size: int = 64,
    timed: bool = True,
    progress: Progress = lambda done, total: None,
) -> Measured:
    """What a pair costs on this machine, trained as `galgen.train` would train it.

    A few real training steps are timed, on random images, fully grown where the pair grows. A
    PSF layer takes a Gaussian of 3 px, whichever PSF is asked for.
    Steps with a penalty, a generator step or a path length count by how often they come.

    Parameters
    ----------
    name
        Of a pair in the registry.
    *layers
        Configuration over the pair's preset, nested or dotted; ``train.batch``,
        ``train.precision``, ``recipe`` and ``model.options`` matter.
    bands
        Band names, or how many there are.
    size
        Side length in pixels.
    timed
        False counts the parameters alone.
    progress
        Called with the steps done and their number.

    Raises
    ------
    ConfigError
        For an unknown pair, and settings that no pair has; what one pair cannot do stands in
        its `Measured.refused`.

    Examples
    --------
    >>> found = measure("dcgan", bands=1, size=32, timed=False)
    >>> found.generator > 100_000, found.training
    (True, None)
    """
    pair = find(name)
    machine = machine_of(*layers)
    fixed = {"model.name": name, "train.devices": 1, "train.nodes": 1, "recipe.grow_images": 0}
    config = RunConfig.build(pair.preset, *layers, fixed)
    with torch.random.fork_rng(devices=[]):
        try:
            check_options(pair.load(), config.model.options)
            model = pair.load()(size, bands, recipe=config.recipe, **config.model.options)
        except ConfigError as error:
            return Measured(name, pair.summary, refused=str(error))
        generator, critic = (
            sum(p.numel() for p in network.parameters())
            for network in (model.generator, model.critic)
        )
        training = sampling = memory = None
        if timed:
            _stand_in_psf(model)
            training, memory = _train(model, config.train.batch, machine, progress)
            sampling = _sample(model, torch.device(machine.accelerator))
    return Measured(name, pair.summary, generator, critic, training, sampling, memory)
