"""The order of the images is a pure function of seed, position, rank and world."""

from __future__ import annotations

import random
from collections import Counter
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


def labelled(dice: random.Random) -> tuple[list[int], int]:
    """Classes of very different sizes, and a batch that need not be a multiple of their number."""
    sizes = [dice.randint(2, 30) for _ in range(dice.randint(2, 6))]
    labels = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    dice.shuffle(labels)
    return labels, dice.randint(1, 24)


def balanced(labels: list[int], batch: int, seed: int = 3, **options: int) -> CounterSampler:
    return CounterSampler(len(labels), batch, seed, labels=labels, **options)


def test_balanced_batches_hold_as_many_of_each_class() -> None:
    dice = random.Random(2)
    for _ in range(50):
        labels, batch = labelled(dice)
        classes = max(labels) + 1
        for indices in stream(balanced(labels, batch), 12):
            counts = Counter(labels[i] for i in indices)
            for kind in range(classes):
                assert abs(counts[kind] - batch / classes) < 1
    assert len(set(map(tuple, stream(balanced(labels, batch), 5)))) == 5


def test_each_class_is_a_stream_of_whole_passes() -> None:
    dice = random.Random(3)
    for _ in range(30):
        labels, batch = labelled(dice)
        # Neighbouring batches may swap within themselves, so passes are told by counts.
        flat = list(chain(*stream(balanced(labels, batch), 3 * len(labels))))
        seen = Counter(flat)
        for kind in set(labels):
            members = [i for i, label in enumerate(labels) if label == kind]
            times = [seen[i] for i in members]
            assert max(times) - min(times) <= 1
            assert min(times) >= 1


def test_balanced_streams_resume_and_split_like_any() -> None:
    dice = random.Random(4)
    for _ in range(30):
        labels, batch = labelled(dice)
        batch *= 6
        whole = stream(balanced(labels, batch), 15)
        stop = dice.randint(0, 14)
        resumed = balanced(labels, batch)
        resumed.position = stop * batch
        assert stream(resumed, 15 - stop) == whole[stop:]
        epochs = balanced(labels, batch, epoch_images=dice.randint(1, 90))
        assert stream(epochs, 15) == whole
        for world in (2, 3):
            parts = [stream(balanced(labels, batch, rank=r, world=world), 15) for r in range(world)]
            assert [list(chain(*slices)) for slices in zip(*parts, strict=True)] == whole
        other = balanced(labels, batch, seed=8)
        assert stream(other, 15) != whole


def test_the_order_of_classes_within_a_batch_is_no_pattern() -> None:
    labels = [0, 1] * 10
    order = [labels[i] for indices in stream(balanced(labels, 8), 200) for i in indices]
    neighbours = sum(a == b for a, b in zip(order[::2], order[1::2], strict=True))
    # Two of eight without return are of one class in 3 of 7 cases; always or never would show.
    assert 0.3 < neighbours / 800 < 0.56


def test_a_class_without_images_takes_no_part() -> None:
    indices = stream(balanced([0, 0, 3, 3, 3], 4), 5)
    assert all(sum(i < 2 for i in batch) == 2 for batch in indices)
