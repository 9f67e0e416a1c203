"""A run whose steps all came to nothing goes back, however short its intervals are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from galgen import DCGAN
from galgen.callbacks.health import Diverged, Health
from galgen.sections import TrainConfig


class Trainer(SimpleNamespace):
    """A trainer of one process."""

    def reduce_boolean_decision(self, value: bool, all: bool) -> bool:
        return value


def diverged_at(
    bad: set[int], *, images: int, every: int, limit: int = 10, began: int = 0, batch: int = 8
) -> int | None:
    """Images at which a run whose steps at `bad` images came to nothing goes back."""
    train = TrainConfig(
        images=images, snapshot_images=every, log_images=batch, nonfinite_steps=limit
    )
    module: Any = DCGAN(size=16, widths=[4] * 3, critic_widths=[4] * 3, latent=4)
    trainer: Any = Trainer()
    trainer.strategy = trainer
    health = Health(train)
    module.clock.images = began
    health.on_train_start(trainer, module)
    while module.clock.images < images:
        module.clock.advance(batch)
        module.bad_steps = module.bad_steps + float(module.clock.images in bad)
        try:
            health.on_train_batch_end(trainer, module)
        except Diverged as error:
            return error.images
    return None


def test_intervals_shorter_than_the_limit() -> None:
    everything = set(range(8, 97, 8))
    assert diverged_at(everything, images=96, every=24) == 24
    # All of one interval, though those before and after it are sound.
    assert diverged_at({56, 64, 72}, images=96, every=24) == 72
    assert diverged_at({48, 56, 64}, images=96, every=24) is None
    # Intervals that batches do not divide: snapshots at 24, 40, 64.
    assert diverged_at({32, 40}, images=96, every=20) == 40
    assert diverged_at({48, 56}, images=96, every=20) is None
    assert diverged_at({48, 56, 64}, images=96, every=20) == 64


def test_a_run_shorter_than_the_limit() -> None:
    assert diverged_at({8, 16, 24}, images=24, every=1000) == 24
    assert diverged_at({8, 24}, images=24, every=1000) is None


def test_few_bad_steps_after_the_last_snapshot_are_borne() -> None:
    assert diverged_at({32}, images=32, every=24) is None


@pytest.mark.parametrize(("bad", "at"), [({1008, 1016}, 1016), ({1008}, None)])
def test_the_clock_may_begin_late(bad: set[int], at: int | None) -> None:
    """As that of a fine-tuning which keeps it."""
    assert diverged_at(bad, images=1016, every=900, began=1000) == at
    assert diverged_at(bad, images=1024, every=1015, began=1000) == at


def test_the_limit_holds_in_between() -> None:
    assert diverged_at({32, 40, 48}, images=960, every=500, limit=3) == 48


def test_where_it_began_is_in_the_checkpoint() -> None:
    health = Health(TrainConfig())
    health.load_state_dict({"began": 1000})
    module: Any = DCGAN(size=16, widths=[4] * 3, critic_widths=[4] * 3, latent=4)
    health.on_train_start(Trainer(), module)  # type: ignore[arg-type]
    assert health.state_dict() == {"began": 1000}
