"""What the commands share in talking to a person: sentences, results, errors, exit codes."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from galgen.training.launch import alone, first

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

INTERRUPTED = 130
#: Seconds between lines of progress where there is no terminal.
LINE_SECONDS = 20.0
#: What says how far slow things have got that nobody sees: measuring a set, fetching weights.
_SLOW = ("galgen.measuring", "galgen.weights")


class _Saying(logging.Handler):
    """Progress as sentences on standard error, wherever that is by now."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


class Talk:
    """One command's way to speak.

    Parameters
    ----------
    as_json
        The result alone goes to standard output as JSON, sentences to standard error.
    debug
        Errors show their traceback.
    """

    def __init__(self, as_json: bool = False, debug: bool = False) -> None:
        self.as_json, self.debug = as_json, debug
        # Lightning starts the further processes of a run as copies of this command.
        self.first = first()
        for logger in map(logging.getLogger, _SLOW if self.first else ()):
            if not logger.handlers:
                logger.addHandler(_Saying())
                logger.setLevel(logging.INFO)

    @cached_property
    def console(self) -> Console:
        """Where sentences and progress go; one for all, so that live views know of sentences."""
        from rich.console import Console

        return Console(stderr=self.as_json, highlight=False, soft_wrap=True)

    def say(self, sentence: str) -> None:
        """A sentence for a person."""
        if self.first:
            self.console.print(sentence, markup=False)

    def show(self, renderable: Any) -> None:
        """A table, as wide as the terminal."""
        if self.first:
            self.console.print(renderable, soft_wrap=False)

    def result(self, values: Mapping[str, Any]) -> None:
        """The result, as JSON if asked for."""
        if self.as_json and self.first:
            print(json.dumps(values, default=_plain))

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Any]:
        """A bar with speed and time left; gives a function that takes how many are done."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = self.console
        bar: Progress
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (console.is_terminal and self.first),
        ) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def stages(self) -> Iterator[Any]:
        """Bars for work in stages; gives a function of (what, done, all).

        Without a terminal it is a line now and then.
        """
        from rich.progress import BarColumn, Progress, TaskID, TextColumn

        console = self.console
        tasks: dict[str, TaskID] = {}
        line = time.monotonic()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            console=console,
            transient=True,
            disable=not (console.is_terminal and self.first),
        ) as bar:

            def show(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done, total=total)
                nonlocal line
                if not console.is_terminal and time.monotonic() - line >= LINE_SECONDS:
                    line = time.monotonic()
                    self.say(f"{what}: {done:,} of {total:,}")

            yield show

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn galgen's errors into one sentence and the right exit code."""
        from galgen.errors import GalgenError

        try:
            yield
        except (typer.Exit, typer.Abort):
            raise
        except GalgenError as error:
            self._fail(str(error), error.exit_code, error)
        except KeyboardInterrupt:
            self._fail("interrupted.", INTERRUPTED)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            self._fail(f"{name}{error.strerror or error}.", 2, error)
        except Exception as error:
            detail = str(error).splitlines()[0] if str(error) else ""
            self._fail(
                f"{type(error).__name__}: {detail} (this is a fault of galgen: "
                "run it again with --debug and report what it prints).",
                1,
                error,
            )

    def _fail(self, sentence: str, code: int, error: BaseException | None = None) -> NoReturn:
        # Of several replicas, those speak that met something on their own.
        notes = [f"{note}: " for note in getattr(error, "__notes__", ())]
        if self.debug and error is not None:
            traceback.print_exception(error)
        if self.first or (not getattr(error, "agreed", False) and (notes or alone())):
            print(f"galgen: {''.join(notes)}{sentence}", file=sys.stderr)
        raise typer.Exit(code)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
