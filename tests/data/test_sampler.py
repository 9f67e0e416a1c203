"""The order of the images is a pure function of seed, position, rank and world."""

from __future__ import annotations

import random
from itertools import chain

from galgen.data.sampler import CounterSampler


def stream(sampler: CounterSampler, batches: int) -> list[list[int]]:
    """Batches across epochs, the position kept as the data module keeps it."""
    found: list[list[int]] = []
    while len(found) < batches:
        for start, indices in sampler:
            found.append(indices)
            sampler.position = start + sampler.batch
            if len(found) == batches:
                break
    return found


def test_every_pass_shows_every_image_once() -> None:
    dice = random.Random(0)
    for _ in range(50):
        n, batch = dice.randint(2, 40), dice.randint(1, 20)
        flat = list(chain(*stream(CounterSampler(n, batch, 3), 3 * n // batch + 1)))
        for first in range(0, len(flat) - n + 1, n):
            assert sorted(flat[first : first + n]) == list(range(n))
    assert flat[:n] != flat[n : 2 * n]


def test_interrupted_anywhere_it_goes_on_as_if_it_had_not_been() -> None:
    dice = random.Random(1)
    for _ in range(50):
        n, batch, epoch = dice.randint(2, 40), dice.randint(1, 20), dice.randint(1, 90)
        whole = stream(CounterSampler(n, batch, 7, epoch_images=epoch), 30)
        stop = dice.randint(0, 29)
        resumed = CounterSampler(n, batch, 7, epoch_images=epoch)
        resumed.position = stop * batch
        assert stream(resumed, 30 - stop) == whole[stop:]


def test_replicas_take_contiguous_slices_of_the_global_batch() -> None:
    whole = stream(CounterSampler(13, 12, 5), 9)
    for world in (2, 3, 4):
        parts = [stream(CounterSampler(13, 12, 5, rank, world), 9) for rank in range(world)]
        assert [list(chain(*slices)) for slices in zip(*parts, strict=True)] == whole


def test_the_length_of_an_epoch_does_not_change_the_order() -> None:
    want = stream(CounterSampler(10, 4, 2), 20)
    for epoch in (4, 10, 17, 4000):
        sampler = CounterSampler(10, 4, 2, epoch_images=epoch)
        assert stream(sampler, 20) == want
        assert len(sampler) == -(-epoch // 4)


def test_seeds_differ() -> None:
    assert stream(CounterSampler(30, 10, 0), 3) != stream(CounterSampler(30, 10, 1), 3)
