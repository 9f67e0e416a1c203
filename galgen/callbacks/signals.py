"""Signals that end a run, heard from before its first batch and between two fits."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

#: Ctrl-C, what ends a job, and what schedulers send some time before (``sbatch --signal=USR1@60``).
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
#: Seconds within which a second Ctrl-C is the first one: a terminal sends it to all processes of a
#: command, and those that start replicas pass on what they get.
SAME = 0.5


class Signals:
    """Notes signals while it is entered; what is to be done about them others decide.

    Attributes
    ----------
    heard
        When the first came, by `time.monotonic`; None before.
    training
        True once a batch can end, before which Ctrl-C stops at once: there is nothing to save.
    at_once
        True where Ctrl-C has stopped the run at once.
    """

    def __init__(self) -> None:
        self.heard: float | None = None
        self.training = self.at_once = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in SIGNALS:
            # Not in the main thread: a notebook's executor, say. Then nothing listens.
            with suppress(ValueError):
                self._previous[number] = signal.signal(number, self.hear)
        if self._previous and hasattr(signal, "pthread_sigmask"):
            # What started this process may have kept them back until now.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; handles it."""
        now = time.monotonic()
        twice = self.heard is not None and now - self.heard > SAME
        if number == signal.SIGINT and (twice or not self.training):
            # A person asks twice: stop at once, from the last snapshot. Schedulers repeat
            # themselves and mean nothing by it.
            self.at_once = True
            self.restore()
            raise KeyboardInterrupt
        if self.heard is None:
            self.heard = now

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            # Somebody else may listen now.
            if signal.getsignal(number) == self.hear:
                signal.signal(number, handler)
        self._previous = {}
