"""A run stops at the end of a batch, for the first reason that holds."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from galgen import DCGAN
from galgen.callbacks.ending import Ending


class Saved:
    """Counts what a `Snapshots` would save."""

    def __init__(self) -> None:
        self.count = 0

    def save_last(self, trainer: Any, module: Any) -> None:
        self.count += 1


class One:
    """A trainer of one process."""

    should_stop = False

    class strategy:
        @staticmethod
        def reduce_boolean_decision(value: bool, all: bool) -> bool:
            return value


@pytest.fixture
def module() -> DCGAN:
    return DCGAN(size=16, widths=[4] * 3, critic_widths=[4] * 3, latent=4)


def ending(images: int, minutes: float | None, module: DCGAN) -> tuple[Ending, One]:
    trainer, callback = One(), Ending(images, minutes, Saved())  # type: ignore[arg-type]
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
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
    callback.teardown(trainer, module, "fit")  # type: ignore[arg-type]


def test_minutes(module: DCGAN) -> None:
    callback, trainer = ending(100, 1e-9, module)
    assert shown(callback, trainer, module, 8) == "minutes"
    callback.teardown(trainer, module, "fit")  # type: ignore[arg-type]


def test_ctrl_c_once_ends_the_batch_and_twice_stops_at_once(module: DCGAN) -> None:
    before = signal.getsignal(signal.SIGINT)
    callback, trainer = ending(100, 5, module)
    if signal.getsignal(signal.SIGINT) != callback._on_signal:
        pytest.skip("signals reach the main thread alone, and tests run in another here")
    signal.raise_signal(signal.SIGINT)
    assert shown(callback, trainer, module, 8) == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interruption_in_the_last_batch_is_a_finish(module: DCGAN) -> None:
    callback, trainer = ending(8, None, module)
    callback._on_signal(signal.SIGINT, None)
    assert shown(callback, trainer, module, 8) == "finished"
    callback.teardown(trainer, module, "fit")  # type: ignore[arg-type]
