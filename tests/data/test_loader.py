"""Readers that die, and files that go bad while a run reads them."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from galgen.data import loader as loading
from galgen.data.loader import READ_AHEAD, RESTARTS, SteadyLoader
from galgen.data.sampler import CounterSampler
from galgen.errors import DataError

N, BATCH = 12, 4


class Numbers(Dataset[dict[str, Any]]):
    """Batches of indices; the readers' processes are named in them."""

    def __init__(self, bad: int | None = None, times: Path | None = None) -> None:
        self.bad, self.times = bad, times

    def __len__(self) -> int:
        return N

    def __getitem__(self, item: tuple[int, list[int]]) -> dict[str, Any]:
        position, indices = item
        if self.bad is not None and position >= self.bad:
            if self.times is None:
                raise DataError("stars/12.fits cannot be read.")
            tries = int(self.times.read_text()) if self.times.exists() else 0
            self.times.write_text(str(tries + 1))
            if tries < 2:
                raise OSError(5, "Input/output error")
        return {"position": position, "images": torch.tensor(indices), "pid": os.getpid()}


def order(epoch: int | None = None) -> CounterSampler:
    return CounterSampler(N, BATCH, seed=3, epoch_images=epoch)


def images(batches: list[dict[str, Any]]) -> list[list[int]]:
    return [batch["images"].tolist() for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_sampler_s_order(workers: int) -> None:
    sampler = order(40)
    sampler.position = 8
    loader = SteadyLoader(Numbers(), sampler, workers)
    batches = list(loader)
    assert [batch["position"] for batch in batches] == list(range(8, 40, 4))
    assert images(batches) == [sampler.indices(k, k + 4) for k in range(8, 40, 4)]
    assert loader.trouble is None


def test_a_dead_reader_changes_nothing_of_the_order(caplog: pytest.LogCaptureFixture) -> None:
    sampler = order(400)
    loader = SteadyLoader(Numbers(), sampler, 2)
    found, killed = [], 0
    with caplog.at_level(logging.WARNING):
        for number, batch in enumerate(loader):
            # As the data module does: the position of what was trained on.
            sampler.position = batch["position"] + BATCH
            found.append(batch)
            if number % 15 == 7 and batch["pid"] != os.getpid():
                os.kill(batch["pid"], signal.SIGKILL)
                killed += 1
    assert killed == RESTARTS + 1
    assert images(found) == [sampler.indices(k, k + 4) for k in range(0, 400, 4)]
    said = [record.message for record in caplog.records]
    assert len(said) == RESTARTS + 1
    assert all("started anew" in sentence for sentence in said[:-1])
    assert "main process" in said[-1]
    assert found[-1]["pid"] == os.getpid()


def test_the_death_of_a_reader_does_not_raise_amid_a_step() -> None:
    loader = SteadyLoader(Numbers(), order(400), 2)
    source = iter(loader)
    batch = next(source)
    os.kill(batch["pid"], signal.SIGKILL)
    for _ in range(200):
        torch.ones(50, 50) @ torch.ones(50, 50)
        signal.sigtimedwait([], 0.002)
    source.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_gone_bad_ends_the_iterator_at_the_last_good_batch(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRIES", (0.0,))
    loader = SteadyLoader(Numbers(bad=12), order(40), workers)
    batches = []
    for batch in loader:
        batches.append(batch)
        # Known while the last good batch is still to be trained on.
        assert (loader.trouble is not None) == (batch["position"] == 8)
    assert [batch["position"] for batch in batches] == [0, 4, 8]
    assert str(loader.trouble) == "stars/12.fits cannot be read."


@pytest.mark.parametrize("workers", [0, 2])
def test_a_first_batch_that_cannot_be_read_is_an_error(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRIES", ())
    with pytest.raises(DataError, match=r"^stars/12\.fits cannot be read\.$"):
        list(SteadyLoader(Numbers(bad=0), order(), workers))


def test_a_disk_that_has_a_hiccup_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRIES", (0.0, 0.0))
    loader = SteadyLoader(Numbers(bad=8, times=tmp_path / "tries"), order(16))
    assert [batch["position"] for batch in loader] == [0, 4, 8, 12]
    assert loader.trouble is None


def test_replicas_hear_of_a_bad_file_before_one_of_them_has_no_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from galgen.callbacks.ending import ASK_EVERY

    monkeypatch.setattr(loading, "RETRIES", ())
    loader = SteadyLoader(Numbers(bad=80), order(400), ahead=READ_AHEAD)
    known = [batch["position"] for batch in loader if loader.trouble is not None]
    assert known == list(range(40, 80, 4))
    assert len(known) >= ASK_EVERY
