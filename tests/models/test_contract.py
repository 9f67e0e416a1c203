"""Every pair of the registry passes the contract."""

from __future__ import annotations

import pytest

from cases import CASES
from contract import Case, PairContract
from galgen.models.registry import PAIRS


@pytest.fixture(params=CASES, ids=lambda case: case.pair)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_no_pair_is_left_out() -> None:
    assert {case.pair for case in CASES} == set(PAIRS)


class TestPairs(PairContract):
    pass
