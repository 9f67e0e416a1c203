"""What a person sees while it trains: a live table, or a line now and then without a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.live import Live

from galgen.callbacks.collapse import CollapseAlarm
from galgen.callbacks.ending import Ending
from galgen.callbacks.log import LogMeans
from galgen.callbacks.metrics import SampleMetric
from galgen.callbacks.snapshots import Snapshots
from galgen.callbacks.view import TREND, WIDEST, State
from galgen.models.base import AdversarialModule
from galgen.training.csvlog import CsvLog

#: Seconds between pictures of the table, in a terminal and in a notebook.
LIVE_SECONDS, NOTEBOOK_SECONDS = 0.25, 1.0
#: Seconds between lines where there is no terminal: at first, and in the end of a long run.
LINE_SECONDS, LONGEST_SECONDS = 20.0, 300.0
#: Seconds that the speed and the time left are taken from.
SPEED_SECONDS, LEFT_SECONDS = 30.0, 300.0


class TrainingProgress(L.Callback):
    """Images, speed, time, losses, penalties, metrics and memory, all from the last interval.

    Nothing here waits for the device, and nothing runs beside the training: the table is drawn
    at the end of a batch where it is due, so that reader processes start from a quiet one.

    Parameters
    ----------
    images
        Length of the run.
    console
        Where it goes. A console that is no terminal gets a line every `LINE_SECONDS`, in long
        runs less often; a notebook gets the table in place.
    """

    def __init__(self, images: int, console: Console) -> None:
        self.images, self.console = images, console
        self.state = State(total=images)
        self._live: Live | _Notebook | None = None
        self._first = True
        self._started = self._shown = self._before = 0.0
        self._seen: deque[tuple[float, int]] = deque()
        self._measured = -1

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show the table."""
        assert isinstance(module, AdversarialModule)
        self._first = trainer.is_global_zero
        if not self._first:
            return
        self._started = self._shown = time.monotonic()
        self._before = sum(c.seconds for c in _those(trainer, LogMeans))
        world = trainer.world_size
        self.state.title = Path(trainer.default_root_dir).name
        self.state.where = (
            f"{f'{world} x ' if world > 1 else ''}{module.device.type}, "
            f"{'bf16' if 'bf16' in str(trainer.precision) else 'float32'}"
        )
        self._remember(trainer)
        self._update(trainer, module, self._started)
        if self.console.is_jupyter:
            self._live = _Notebook()
        elif self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        self._show()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Move on."""
        assert isinstance(module, AdversarialModule)
        if not self._first:
            return
        now = time.monotonic()
        self._tick(now, module.clock.images)
        self._measure(trainer, module.clock.images)
        if now - self._shown >= self._interval(now):
            self._shown = now
            self._update(trainer, module, now)
            self._show()

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show how it stands at the end."""
        assert isinstance(module, AdversarialModule)
        if self._first and self.state.images != module.clock.images:
            self._update(trainer, module, time.monotonic())
            self._show()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Leave the table as it is."""
        self._close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave the table as it is: Lightning tears no callback down after an error."""
        self._close()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _interval(self, now: float) -> float:
        if isinstance(self._live, Live):
            return LIVE_SECONDS
        if self._live is not None:
            return NOTEBOOK_SECONDS
        # A log of days is not thousands of lines long.
        return max(LINE_SECONDS, min(LONGEST_SECONDS, LINE_SECONDS / 400 * (now - self._started)))

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self.state, refresh=True)
        elif self.state.speed is not None:
            self.console.print(self.state.line(), highlight=False, markup=False, soft_wrap=True)

    def _tick(self, now: float, images: int) -> None:
        seen = self._seen
        if seen and images < seen[-1][1]:
            # The run went back to its last snapshot.
            seen.clear()
        if not seen or now - seen[-1][0] >= 1:
            seen.append((now, images))
        while now - seen[0][0] > LEFT_SECONDS:
            seen.popleft()

    def _speed(self, now: float, images: int, window: float) -> float | None:
        """Images/s over the last seconds, with what was measured and saved in them."""
        for then, count in self._seen:
            if now - then <= window and images > count:
                return (images - count) / max(now - then, 1e-9)
        return None

    def _measure(self, trainer: L.Trainer, images: int) -> None:
        """Take note of what the metric callbacks have just found."""
        metrics = {
            k: v for c in _those(trainer, SampleMetric) for k, v in c.latest.items()
        }  # fmt: skip
        if metrics == self.state.metrics:
            return
        state = self.state
        state.metrics = metrics
        if state.chooser in metrics:
            state.trend = [*state.trend, metrics[state.chooser]][-TREND:]
            for snapshots in _those(trainer, Snapshots):
                if snapshots.best != state.best:
                    state.best, state.best_at = snapshots.best, images

    def _remember(self, trainer: L.Trainer) -> None:
        """What the run measured before it was interrupted."""
        state = self.state
        for snapshots in _those(trainer, Snapshots):
            state.chooser, state.best = snapshots.metric, snapshots.best
        for log in trainer.loggers:
            if isinstance(log, CsvLog):
                found = log.history(state.chooser)
                state.trend = [value for _, value in found][-TREND:]
                if found and state.best is not None:
                    state.best_at = min(found, key=lambda pair: pair[1])[0]

    def _update(self, trainer: L.Trainer, module: AdversarialModule, now: float) -> None:
        state, images = self.state, module.clock.images
        state.images = images
        state.stage = _stage(module)
        spent = now - self._started
        state.spent = self._before + spent
        state.speed = self._speed(now, images, SPEED_SECONDS) or self._speed(
            now, images, LEFT_SECONDS
        )
        pace = self._speed(now, images, LEFT_SECONDS)
        state.left = None if pace is None else (self.images - images) / pace
        for ending in _those(trainer, Ending):
            if state.left is not None and ending.minutes is not None:
                state.left = max(0.0, min(state.left, 60 * ending.minutes - spent))
        for log in _those(trainer, LogMeans):
            state.means, state.nonfinite = log.latest, log.nonfinite
        state.rollbacks = module.rollbacks
        state.collapsed = any(alarm.reasons for alarm in _those(trainer, CollapseAlarm))
        state.memory = _memory(module.device)


class _Notebook:
    """The table in a cell's output, in place."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # type: ignore[import-not-found]

        self._html = HTML
        self._handle = display(HTML(""), display_id=True)

    def update(self, state: State, refresh: bool = True) -> None:
        """Draw it anew."""
        text = StringIO()
        Console(file=text, width=WIDEST, force_jupyter=False).print(state)
        style = "line-height: 1.3; white-space: pre; overflow-x: auto"
        self._handle.update(self._html(f'<pre style="{style}">{escape(text.getvalue())}</pre>'))

    def stop(self) -> None:
        """Nothing: it stays."""


def _those(trainer: L.Trainer, kind: type[Any]) -> list[Any]:
    return [c for c in trainer.callbacks if isinstance(c, kind)]  # type: ignore[attr-defined]


def _stage(module: AdversarialModule) -> str:
    if not module.grows:
        return ""
    level, alpha = module.growth.at(module.clock.images)
    side = module.generator.sides[level]  # type: ignore[index]
    return f"{side} px" + ("" if alpha >= 1 else f", {100 * alpha:.0f} % faded in")


def _memory(device: torch.device) -> dict[str, int]:
    """Bytes of the process where it is told, and of its GPU as torch counts them by itself."""
    found = {}
    statm = Path("/proc/self/statm")
    if statm.exists():
        found["process"] = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    elif sys.platform != "win32":
        import resource

        # On a Mac only the largest so far is told.
        found["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if device.type == "cuda":
        found["gpu"] = torch.cuda.memory_allocated(device)
        found["peak"] = torch.cuda.max_memory_allocated(device)
    return found
