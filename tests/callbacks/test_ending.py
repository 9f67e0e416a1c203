"""A run stops at the end of a batch, for the first reason that holds."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from galgen import DCGAN
from galgen.callbacks.ending import REASONS, Ending
from galgen.callbacks.signals import Signals
from galgen.errors import DataError, OutputError


class Saved:
    """Counts what a `Snapshots` would save."""

    def __init__(self) -> None:
        self.count = 0

    def save_last(self, trainer: Any, module: Any) -> None:
        self.count += 1


class One:
    """A trainer of one process, or what one of several sees of the others."""

    def __init__(self, world_size: int = 1, others: int = 0) -> None:
        self.should_stop, self.world_size, self.others = False, world_size, others
        self.loggers: list[Any] = []
        self.strategy, self.asked = self, 0

    def reduce_boolean_decision(self, value: bool, all: bool) -> bool:
        return value

    def reduce(self, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "max"
        self.asked += 1
        return value.clamp(min=self.others)


@pytest.fixture
def module() -> DCGAN:
    return DCGAN(size=16, widths=[4] * 3, critic_widths=[4] * 3, latent=4)


def ending(
    images: int, minutes: float | None, module: DCGAN, trainer: One | None = None
) -> tuple[Ending, One]:
    trainer, callback = trainer or One(), Ending(images, minutes, Saved(), Signals())  # type: ignore[arg-type]
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    callback._first = False
    return callback, trainer


def shown(callback: Ending, trainer: One, module: DCGAN, images: int) -> str | None:
    module.clock.advance(images - module.clock.images)
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert trainer.should_stop == (callback.reason is not None)
    assert callback.snapshots.count == int(trainer.should_stop)  # type: ignore[attr-defined]
    return callback.reason


def test_finished(module: DCGAN) -> None:
    callback, trainer = ending(20, None, module)
    assert shown(callback, trainer, module, 16) is None
    assert shown(callback, trainer, module, 24) == "finished"


def test_minutes(module: DCGAN) -> None:
    callback, trainer = ending(100, 1e-9, module)
    assert shown(callback, trainer, module, 8) == "minutes"


def test_ctrl_c_once_ends_the_batch_and_twice_stops_at_once(
    module: DCGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    callback, trainer = ending(100, 5, module)
    callback.signals.__enter__()
    if signal.getsignal(signal.SIGINT) != callback.signals.hear:
        pytest.skip("signals reach the main thread alone, and tests run in another here")
    signal.raise_signal(signal.SIGINT)
    # At once again: it is the same one, passed on by what started the replicas.
    signal.raise_signal(signal.SIGINT)
    assert shown(callback, trainer, module, 8) == "interrupted"
    monkeypatch.setattr("galgen.callbacks.signals.SAME", -1.0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert callback.signals.at_once
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_schedulers_may_repeat_themselves(
    name: str, module: DCGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")
    number = getattr(signal, name)
    before = signal.getsignal(number)
    monkeypatch.setattr("galgen.callbacks.signals.SAME", -1.0)
    callback, trainer = ending(100, None, module)
    with callback.signals:
        if signal.getsignal(number) != callback.signals.hear:
            pytest.skip("signals reach the main thread alone, and tests run in another here")
        for _ in range(3):
            signal.raise_signal(number)
        assert shown(callback, trainer, module, 8) == "interrupted"
    assert signal.getsignal(number) == before


def test_replicas_are_asked_now_and_then_and_agree(module: DCGAN) -> None:
    callback, trainer = ending(1000, None, module, One(2, REASONS.index("interrupted")))
    module.clock.batch = 8
    for images in range(8, 80, 8):
        module.clock.images, module.clock.batch = images, 8
        callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
        assert (callback.reason, trainer.asked) == (None, 0)
    module.clock.images = 80
    callback._told = lambda trainer: None  # type: ignore[method-assign,assignment,return-value]
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert (callback.reason, trainer.asked) == ("interrupted", 1)


@pytest.mark.parametrize(("error", "saved"), [(DataError("bad file"), 1), (OutputError("full"), 0)])
def test_trouble_ends_a_run_which_is_saved_unless_the_disk_is_full(
    error: Any, saved: int, module: DCGAN
) -> None:
    callback, trainer = ending(100, None, module)
    trainer.loggers = [SimpleNamespace(trouble=error)]
    module.clock.advance(8)
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert (callback.reason, callback.trouble, trainer.should_stop) == ("trouble", error, True)
    assert callback.snapshots.count == saved  # type: ignore[attr-defined]


def test_weights_that_are_no_numbers_are_not_saved(module: DCGAN) -> None:
    callback, trainer = ending(100, None, module)
    next(module.critic.parameters()).data.fill_(float("nan"))
    callback.signals.hear(signal.SIGINT, None)
    module.clock.advance(8)
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert (callback.reason, callback.snapshots.count) == ("interrupted", 0)  # type: ignore[attr-defined]


def test_an_interruption_in_the_last_batch_is_a_finish(module: DCGAN) -> None:
    callback, trainer = ending(8, None, module)
    callback.signals.hear(signal.SIGINT, None)
    assert shown(callback, trainer, module, 8) == "finished"


def test_the_first_batch_asks_too(module: DCGAN) -> None:
    callback, trainer = ending(1000, None, module, One(2, REASONS.index("interrupted")))
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    callback._told = lambda trainer: None  # type: ignore[method-assign,assignment,return-value]
    module.clock.advance(8)
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert (callback.reason, trainer.asked) == ("interrupted", 1)


def test_before_training_ctrl_c_stops_at_once_and_a_scheduler_waits() -> None:
    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("no SIGUSR1 here")
    before = signal.getsignal(signal.SIGUSR1)
    with Signals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        assert signals.heard is not None
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signals.at_once
    assert signal.getsignal(signal.SIGUSR1) == before
