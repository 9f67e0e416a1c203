"""What a person sees while it trains, in terminals, notebooks and logs."""

from __future__ import annotations

import io
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from galgen.callbacks import progress
from galgen.callbacks.log import LogMeans
from galgen.callbacks.metrics import FrechetCallback
from galgen.callbacks.progress import TrainingProgress
from galgen.callbacks.view import State, short
from galgen.train import resume, train
from tiny import interrupt_at, logged, run, tiny

ESCAPES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def full(**changes: Any) -> State:
    """A run with everything to see, long words and large numbers."""
    values: dict[str, Any] = {
        "title": "00012-progan-a_folder_of_cutouts_with_a_long_name-128px",
        "where": "8 x cuda, bf16",
        "images": 1_218_432,
        "total": 25_000_000,
        "stage": "128 px, 63 % faded in",
        "speed": 1523.4,
        "spent": 123_456.0,
        "left": 1_410_000.0,
        "means": {
            "loss_critic": -12_345.6,
            "loss_generator": 1.2e-7,
            "gradient_critic": 1.3e7,
            "gradient_generator": 0.5,
            "r1": 0.01234,
            "r2": 0.04321,
            "path_length": 0.77,
            "ada_p": 0.1239,
            "learning_rate": 1e-4,
        },
        "metrics": {"frechet": 12.34, "coverage": 0.5, "colour_magnitude_ratio": 0.9},
        "best": 11.98,
        "best_at": 1_160_000,
        "trend": [300.0, 120.0, 40.0, 12.0, 11.98, 12.34],
        "nonfinite": 12,
        "rollbacks": 1,
        "collapsed": True,
        "memory": {"process": 3_800_000_000, "gpu": 31_000_000_000, "peak": 44_000_000_000},
    }
    return State(**values | changes)


def drawn(state: State, width: int, **settings: Any) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, **settings).print(state)
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 300])
@pytest.mark.parametrize("soft_wrap", [False, True])
def test_the_table_fits_and_is_never_wrapped(width: int, soft_wrap: bool) -> None:
    lines = drawn(full(), width, soft_wrap=soft_wrap)
    assert max(map(len, lines)) <= min(width, 100)
    assert len(lines) == (13 if width >= 80 else 21)
    # A terminal of the usual size shows it whole.
    assert len(lines) < 24


def test_the_table_shows_what_there_is_and_when_it_was_best() -> None:
    text = "\n".join(drawn(full(), 80))
    for part in (
        "1,218,432 of 25,000,000", "5 %", "1,523 images/s", "1 d 10 h", "about 16 d 7 h",
        "128 px, 63 % faded in", "r1 0.0123, r2 0.0432", "0.124", "0.0001", "8 x cuda, bf16",
        "12 at 1,160,000", "31.0 GB, most 44.0 GB", "█▆▄▁▁▁",
        "12 steps without a finite gradient, went back once, collapse alarm",
    ):  # fmt: skip
        assert part in text, part
    calm = "\n".join(drawn(full(nonfinite=0, rollbacks=0, collapsed=False, stage=""), 80))
    assert "finite" not in calm
    assert "stage" not in calm


def test_a_terminal_without_unicode_gets_none() -> None:
    text = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=text, width=80).print(full())
    text.flush()


def test_the_line_says_the_same() -> None:
    assert full().line() == (
        "1,218,432 of 25,000,000 images, 128 px, 63 % faded in, 1,523 images/s, critic -12,346, "
        "generator 1.2e-07, r1 0.0123, r2 0.0432, gradients 1.3e+07 and 0.5, ada p 0.124, "
        "frechet 12.3 (best 12 at 1,160,000), 12 steps without a finite gradient, went back once, "
        "collapse alarm, 3.8 GB, GPU 31.0 GB, most 44.0 GB, 16 d 7 h left"
    )


def test_a_log_gets_a_line_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    text = io.StringIO()
    train(tiny(), out=tmp_path, console=Console(file=text, width=200))
    lines = text.getvalue().splitlines()
    assert [line.split(" of ")[0] for line in lines] == [str(8 * k) for k in range(2, 13)]
    assert "images/s, critic 0." in lines[2]
    assert lines[2].endswith(" s left")
    assert lines[-1].endswith("MB, 0 s left")


def test_lines_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = TrainingProgress(1, Console(file=io.StringIO()))
    hours = [shown._interval(3600.0 * hour) for hour in (0, 1, 24)]
    assert hours == [20.0, 180.0, 300.0]


def screen(text: str) -> list[str]:
    """Lines that a terminal shows after what was written to it, with all that scrolled away."""
    lines, y, x = [""], 0, 0
    for count, letter, back, down, word in ESCAPES.findall(text):
        if letter == "A":
            y -= int(count or 1)
            assert y >= 0
        elif letter == "K":
            lines[y] = ""
        elif back:
            x = 0
        elif down:
            y, x = y + 1, 0
            lines += [""] * (y + 1 - len(lines))
        elif word:
            lines[y] = lines[y][:x].ljust(x) + word + lines[y][x + len(word) :]
            x += len(word)
    return [line.rstrip() for line in lines]


def terminal(width: int = 80) -> tuple[Console, Callable[[], str]]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, height=30)
    return console, lambda: "\n".join(screen(text.getvalue()))


def test_a_terminal_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.0)
    console, text = terminal()
    settings = {"train__metric_images": 48, "train__metric_samples": 8}
    outcome = train(tiny(**settings), out=tmp_path, console=console)
    assert outcome.run.name in text()
    assert "96 of 96" in text()
    rows = [row for row in logged(outcome.run) if row["frechet"]]
    best = min(rows, key=lambda row: float(row["frechet"]))
    assert f"{short(float(best['frechet']))} at {best['images']}" in text()


def test_the_table_is_drawn_by_the_clock_on_the_wall_and_not_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, _ = terminal()
    drawings = []
    update = Live.update

    def counted(self: Live, *args: Any, **kwargs: Any) -> None:
        drawings.append(args)
        update(self, *args, **kwargs)

    monkeypatch.setattr(Live, "update", counted)
    monkeypatch.setattr(progress, "LIVE_SECONDS", 1e9)
    train(tiny(), out=tmp_path, console=console)
    # At the beginning and at the end.
    assert len(drawings) == 2


def test_sentences_of_others_stand_above_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.0)
    console, text = terminal()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    original = LogMeans.on_train_batch_end

    def talking(self: LogMeans, trainer: Any, module: Any, *rest: Any) -> None:
        original(self, trainer, module, *rest)
        console.print(f"said at {module.clock.images}")
        print(f"printed at {module.clock.images}")

    monkeypatch.setattr(LogMeans, "on_train_batch_end", talking)
    train(tiny(), out=tmp_path, console=console)
    shown = [line for line in text().splitlines() if line]
    said = [f"{word} at {8 * k}" for k in range(1, 13) for word in ("said", "printed")]
    assert shown[:24] == said
    # And one table below them, no part of which is left over anywhere.
    assert shown[24].startswith("00001-dcgan-sersic-16px")
    assert len(shown) == len(said) + 7


def test_a_notebook_gets_the_table_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    display = types.ModuleType("IPython.display")
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda html, display_id: Handle()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress, "NOTEBOOK_SECONDS", 0.0)
    console = Console(file=io.StringIO(), force_jupyter=True)
    train(tiny(), out=tmp_path, console=console)
    assert len(shown) > 10
    assert shown[-1].startswith("<pre")
    assert "96 of 96" in shown[-1]


def test_a_run_that_goes_on_knows_when_it_was_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([9.0, 5.0, 7.0])
    monkeypatch.setattr(FrechetCallback, "measure", lambda *_: {"frechet": next(values)})
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 64)
        half = run(tmp_path, train__metric_images=32)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    text = io.StringIO()
    resume(half.run, console=Console(file=text))
    assert "frechet 7 (best 5 at 64)" in text.getvalue()


def test_speed_and_time_left_are_of_the_last_while_and_start_anew_after_going_back() -> None:
    shown = TrainingProgress(10_000, Console(file=io.StringIO()))
    for second in range(60):
        # Slow at first, then ten times as quick.
        shown._tick(float(second), 10 * second if second < 20 else 200 + 100 * (second - 20))
    assert shown._speed(59.0, 4100, 30.0) == pytest.approx(100)
    shown._tick(60.0, 1000)
    assert shown._speed(60.0, 1000, 30.0) is None
    shown._tick(62.0, 1200)
    assert shown._speed(62.0, 1200, 30.0) == pytest.approx(100)


def test_the_table_is_closed_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    start = Live.start

    def remember(self: Live, *args: Any, **kwargs: Any) -> None:
        seen.append(self)
        start(self, *args, **kwargs)

    def broken(*_: object) -> None:
        raise RuntimeError("torn")

    monkeypatch.setattr(Live, "start", remember)
    monkeypatch.setattr(LogMeans, "on_train_batch_end", broken)
    console, _ = terminal()
    with pytest.raises(RuntimeError, match="torn"):
        train(tiny(), out=tmp_path, console=console)
    (live,) = seen
    assert live.is_started is False
