"""The clock counts images."""

from __future__ import annotations

import random

import pytest

from galgen.training.clock import Clock


def test_it_counts_batches_of_any_size() -> None:
    clock = Clock()
    for batch in (8, 3, 32):
        clock.advance(batch)
    assert (clock.images, clock.batch) == (43, 32)
    other = Clock()
    other.load(clock.state())
    assert other == clock


def test_a_multiple_is_crossed_once_whatever_the_batches() -> None:
    dice = random.Random(4)
    for _ in range(200):
        every, clock, crossings = dice.randint(1, 60), Clock(), []
        while clock.images < 500:
            clock.advance(dice.randint(1, 40))
            if clock.crossed(every):
                crossings.append(clock.images // every)
        assert crossings == sorted(set(crossings))
        # A batch may jump over several multiples, but none is ever missed at its end.
        seen = range(1, clock.images // every + 1)
        assert crossings[-1] == seen[-1]
        if every >= 40:
            assert crossings == list(seen)


@pytest.mark.parametrize("every", [0, None, -5])
def test_never(every: int | None) -> None:
    clock = Clock()
    clock.advance(10)
    assert not clock.crossed(every)


def test_nothing_is_crossed_before_the_first_batch() -> None:
    assert not Clock().crossed(1)
    assert not Clock(images=100).crossed(10)
