"""p follows how sure the critic is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import multiprocessing as mp

from galgen.training.ada import AdaptiveP

SURE, UNSURE = torch.ones(8), torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])


def steps(ada: AdaptiveP, signs: torch.Tensor, count: int) -> list[float]:
    values = []
    for _ in range(count):
        seen = torch.stack([signs.sum(), torch.tensor(float(len(signs)))])
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(seen)
        ada.observe(seen)
        ada.step(len(signs))
        values.append(ada.p.item())
    return values


def test_p_rises_every_fourth_step_by_the_images_shown() -> None:
    ada = AdaptiveP(0.6, 1000, 0.8)
    assert steps(ada, SURE, 8) == [0, 0, 0, *[torch.tensor(0.032).item()] * 4,
                                   torch.tensor(0.064).item()]  # fmt: skip


def test_p_falls_below_the_target_and_stays_within_bounds() -> None:
    ada = AdaptiveP(0.6, 100, 0.8)
    assert steps(ada, SURE, 40)[-1] == torch.tensor(0.8).item()
    assert 0 < steps(ada, UNSURE, 4)[-1] < 0.8
    assert steps(ada, UNSURE, 40)[-1] == 0
    # 7 of 8 positive is a mean of 0.75, 6 of 8 one of 0.5.
    six, seven = (torch.tensor([1.0] * n + [-1.0] * (8 - n)) for n in (6, 7))
    assert steps(ada, seven, 4)[-1] > 0
    assert steps(ada, six, 4)[-1] == 0


def test_the_mean_is_over_all_four_steps() -> None:
    ada = AdaptiveP(0.6, 100, 0.8)
    for signs in (SURE, SURE, SURE, UNSURE):
        assert steps(ada, signs, 1) == [0] or ada.p > 0
    assert ada.p > 0


def test_scores_that_are_no_numbers_leave_p_alone() -> None:
    ada = AdaptiveP(0.6, 1000, 0.8)
    steps(ada, SURE, 4)
    before = ada.p.item()
    assert steps(ada, SURE * float("nan"), 4)[-1] == before
    assert steps(ada, SURE, 4)[-1] > before


def test_resumed_goes_on_as_if_never_stopped() -> None:
    whole, first, second = (AdaptiveP(0.6, 1000, 0.8) for _ in range(3))
    signs = [SURE, UNSURE, SURE, SURE, SURE, UNSURE, UNSURE, SURE, SURE, SURE, SURE]
    for number, sign in enumerate(signs):
        steps(whole, sign, 1)
        steps(first if number < 6 else second, sign, 1)
        if number == 5:
            second.load(first.state())
    assert torch.equal(whole.p, second.p)
    for name, value in whole.state().items():
        assert torch.equal(value, second.state()[name])


def _replica(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    ada = AdaptiveP(0.6, 1000, 0.8)
    # Alone, one replica would rise; together they are below the target.
    first = steps(ada, SURE if rank else UNSURE, 4)[-1]
    steps(ada, SURE, 3)
    seen = ada.state()["sums"]
    torch.save((first, seen, steps(ada, SURE, 1)[-1]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_replicas_agree(tmp_path: Path) -> None:
    mp.spawn(_replica, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        first, seen, last = torch.load(tmp_path / f"{rank}.pt")
        assert first == 0
        assert seen.tolist() == [48, 48]
        assert last == torch.tensor(32 / 1000).item()
