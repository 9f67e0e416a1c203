"""Smaller parts of a batch, and which of them a run goes on with."""

from __future__ import annotations

import pytest

from galgen.training import memory


@pytest.mark.parametrize(
    ("given", "known", "replicas", "rank", "want"),
    [
        (None, [], 1, 0, None),
        (None, [None], 1, 0, None),
        (16, [None], 1, 0, 16),
        (16, [8], 1, 0, 8),
        (4, [8], 1, 0, 4),
        # Each replica its own, which only one of them may have made smaller.
        (None, [None, 8], 2, 0, None),
        (None, [None, 8], 2, 1, 8),
        # Another number of replicas: what was enough for all.
        (None, [None, 8, 4, None], 2, 0, 4),
    ],
)
def test_parts_where_a_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    given: int | None,
    known: list[int | None],
    replicas: int,
    rank: int,
    want: int | None,
) -> None:
    monkeypatch.setattr(memory, "world", lambda: (rank, replicas))
    assert memory.smallest(given, known) == want
