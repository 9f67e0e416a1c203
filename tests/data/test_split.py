"""The split by galaxy: whole groups, reproducible, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest

from galgen.data.split import split_by_group
from galgen.errors import ConfigError


def test_no_group_is_on_both_sides() -> None:
    groups = [f"scene{i // 4}" for i in range(200)]
    train, held = split_by_group(groups, 0.1, 0)
    assert sorted([*train, *held]) == list(range(200))
    assert not {groups[i] for i in train} & {groups[i] for i in held}
    assert 16 <= len(held) <= 24


def test_order_does_not_matter_and_the_seed_does() -> None:
    groups = [f"g{i}" for i in range(100)]
    held = {groups[i] for i in split_by_group(groups, 0.2, 3)[1]}
    back = groups[::-1]
    assert {back[i] for i in split_by_group(back, 0.2, 3)[1]} == held
    assert {groups[i] for i in split_by_group(groups, 0.2, 4)[1]} != held
    assert len(held) == 20


def test_small_sets_hold_one_out_and_keep_one() -> None:
    for n in (2, 3, 5):
        train, held = split_by_group([str(i) for i in range(n)], 0.1, 0)
        assert len(held) == 1
        assert len(train) == n - 1
    assert len(split_by_group(["a"], 0.5, 0)[1]) == 0
    train, held = split_by_group(["a", "b"], 0.9, 0)
    assert len(train) == len(held) == 1
    assert len(split_by_group(["a", "b"], 0.0, 0)[1]) == 0


def test_a_giant_group_does_not_swallow_the_training_set() -> None:
    groups = ["giant"] * 900 + [f"g{i}" for i in range(100)]
    for seed in range(5):
        train, held = split_by_group(groups, 0.1, seed)
        assert len(train) >= 100
        assert len(held) >= 1
        assert len(np.intersect1d(train, held)) == 0


def test_one_group_for_all_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match=r"data\.group"):
        split_by_group(["a"] * 5, 0.1, 0)
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        split_by_group(["a", "b"], 1.5, 0)


def test_a_group_of_most_galaxies_is_never_held_out() -> None:
    groups = ["large"] * 80 + [f"g{k}" for k in range(20)]
    for seed in range(30):
        train, held = split_by_group(groups, 0.1, seed)
        assert len(held) == 10
        assert {0} <= set(train.tolist())
    pairs = ["a", "a", "a", "b", "b", "b", "b"]
    for seed in range(5):
        assert split_by_group(pairs, 0.1, seed)[1].tolist() == [0, 1, 2]


def test_rare_classes_keep_two_to_train_on_and_others_are_held_out_instead() -> None:
    groups = [f"g{i}" for i in range(60)]
    labels = np.zeros(60, np.int64)
    labels[:3], labels[3:5] = 1, 2
    touched = 0
    for seed in range(40):
        plain = split_by_group(groups, 0.5, seed)
        train, held = split_by_group(groups, 0.5, seed, labels)
        assert np.bincount(labels[train]).min() >= 2
        assert len(held) == 30
        if np.bincount(labels[plain[0]], minlength=3).min() >= 2:
            assert np.array_equal(held, plain[1])
        else:
            touched += 1
    assert 5 < touched < 40


def test_where_each_galaxy_is_needed_none_is_held_out() -> None:
    train, held = split_by_group(list("abcd"), 0.5, 0, np.array([0, 0, 1, 1]))
    assert train.tolist() == [0, 1, 2, 3]
    assert len(held) == 0
    # Whole groups stay together: the one that holds both of a class stays in training.
    scenes = ["s", "s", *(f"g{i}" for i in range(8))]
    for seed in range(10):
        assert 0 in split_by_group(scenes, 0.3, seed, np.array([1, 1] + 8 * [0]))[0]
