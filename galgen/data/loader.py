"""A loader that outlives its reader processes, and ends a run cleanly where a file has gone bad."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, Dataset

from galgen.data.sampler import CounterSampler
from galgen.errors import DataError, GalgenError

Batch = dict[str, Any]

#: How often reader processes are started anew before the main process reads by itself.
RESTARTS = 3
#: Batches that a replica of several reads ahead where it reads files. Replicas ask each other every
#: so many steps whether one of them has to stop (`galgen.callbacks.ending.ASK_EVERY`), and until
#: then the one that can read no further has to go along.
READ_AHEAD = 10
#: Seconds before a file that could not be read is tried again: network disks have hiccups.
RETRIES = (0.5, 3.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failure:
    """What a reader could not read. Raised in its process it would arrive with a traceback."""

    sentence: str


class _Patient(Dataset[Batch | _Failure]):
    """A set whose files are tried again, and which says what it could not read."""

    def __init__(self, dataset: Dataset[Batch]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: Any) -> Batch | _Failure:
        for seconds in (*RETRIES, None):
            try:
                return self.dataset[item]
            except (GalgenError, OSError) as error:
                if seconds is None:
                    return _Failure(str(error))
                time.sleep(seconds)
        raise AssertionError


class SteadyLoader(DataLoader[Any]):
    """Batches in the order of a `CounterSampler`, whatever happens to the processes that read.

    Where one of them dies, all are started anew at the position that was reached, at most
    `RESTARTS` times; after that the main process reads. The order of the images is a pure function
    of the position, so training goes on bit for bit as if nothing had happened.

    Where an image can no longer be read the iterator ends with the last batch before it, so that
    training stops at the end of a step, and `trouble` says why.

    Parameters
    ----------
    dataset
        Gives a batch for what the sampler draws.
    sampler
        Draws (position, indices).
    workers
        Reader processes.
    ahead
        Batches to read ahead.
    pin
        Into memory that CUDA copies from without waiting.

    Attributes
    ----------
    trouble
        What could not be read; None while all is well.

    Raises
    ------
    DataError
        If the first batch cannot be read.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        sampler: CounterSampler,
        workers: int = 0,
        ahead: int = 1,
        pin: bool = False,
    ) -> None:
        super().__init__(
            _Patient(dataset),
            sampler=sampler,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin,
        )
        self.order, self.ahead = sampler, ahead
        self.trouble: DataError | None = None
        self._deaths = 0
        self._position = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Batches from the sampler's position to the end of the epoch.

        It reads ahead, so that it knows at the last good one, or before, that it is the last.
        """
        self._position = self.order.position
        batches = self._batches()
        held = deque(islice(batches, 1))
        while held:
            try:
                while self.trouble is None and len(held) <= self.ahead:
                    held.append(next(batches))
            except StopIteration:
                pass
            except DataError as error:
                self.trouble = error
            yield held.popleft()

    def _batches(self) -> Iterator[Batch]:
        source = self._start()
        while True:
            try:
                batch = next(source)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                if not self._died(error):
                    raise
                # First, since it waits for the processes that are left.
                del source
                self._recover()
                source = self._start()
                continue
            if isinstance(batch, _Failure):
                raise DataError(batch.sentence)
            self._position = int(batch["position"]) + self.order.batch
            yield batch

    def _start(self) -> Iterator[Any]:
        before = signal.getsignal(signal.SIGCHLD)
        source = super().__iter__()
        if self.num_workers and threading.current_thread() is threading.main_thread():
            # torch's handler raises wherever the main thread stands when a process dies, amid an
            # optimizer's step too. Without it the next fetch notices within seconds.
            ours = getattr(before, "__module__", "").startswith("torch.")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if ours or before is None else before)
        return source

    def _died(self, error: Exception) -> bool:
        if not self.num_workers:
            return False
        # What a reader raised comes as "Caught ... in DataLoader worker process 0".
        return not isinstance(error, RuntimeError) or "DataLoader worker (pid" in str(error)

    def _recover(self) -> None:
        self._deaths += 1
        self.order.position = self._position
        if self._deaths <= RESTARTS:
            what = "they were started anew"
        else:
            self.num_workers, what = 0, "the main process reads from now on"
        _log.warning(
            "A process that reads images died: %s at image %d, and the order of the images stays.",
            what,
            self._position,
        )
