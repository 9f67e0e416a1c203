"""Draws galaxies and stores them, several chunks at a time.

Nothing about a galaxy depends on which others are made in the same process, before or after it, so
that they may be made in any order, by any number of processes, and again after an interruption.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count as count_up
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galgen.data.room import give_back
from galgen.io.galaxyfile import Encoded
from galgen.models.rendering import CHUNK, in_chunks
from galgen.models.requests import Asked, read_rows
from galgen.models.sampling import Look
from galgen.sampling.columns import asked_values, measured_values, records
from galgen.sampling.layout import Layout
from galgen.sampling.rows import DONE, MISSED, Rows
from galgen.sampling.sinks import FitsFiles, Sink

#: Threads that measure and write beside the one that draws.
WRITERS = 2
#: Chunks from one time to the next that freed memory goes back to the system.
_TRIM = 16


@dataclass(frozen=True)
class Piece:
    """Galaxies that are drawn together.

    Attributes
    ----------
    places
        Which of the set, from 0; at most a chunk of them.
    attempt
        How often they were drawn before.
    told
        What is asked of each.
    flux
        (n, C, H, W) for each view.
    """

    places: list[int]
    attempt: int
    told: list[Asked]
    flux: list[NDArray[np.float32]]


def drawn(layout: Layout, places: Sequence[int], attempt: int = 0) -> Piece:
    """Galaxies of a set as every view has them; at most a chunk, in different rows."""
    task, module = layout.task, layout.model.module
    indices = [task.start + place for place in places]
    asked = module.sample_conditions(indices, task.seed, task.request)
    found: dict[Look, Tensor] = {}
    for look in dict.fromkeys(view.look for view in layout.views):
        known = layout.renderers.setdefault(look, {})
        ((_, found[look]),) = module.stream(indices, asked, task.seed, look, attempt, known)
    return Piece(
        list(places),
        attempt,
        read_rows(module.conditions, asked, len(indices)),
        [view.see(found[view.look], indices, task.seed, attempt).numpy() for view in layout.views],
    )


class Engine:
    """Makes galaxies of a task.

    Parameters
    ----------
    layout
        Which galaxies of what model, and what they become.
    sinks
        For each view, where its galaxies go.
    rows
        What is known of them, a row for each galaxy and view, from `first` on.
    first
        The galaxy that the first row is of.
    batch
        Galaxies that may be in memory at a time, beside the chunk that is drawn.
    shown
        Galaxies of the set whose pictures are wanted.

    Attributes
    ----------
    kept
        Of those that were made here, (C, H, W) by view and place.
    """

    def __init__(
        self,
        layout: Layout,
        sinks: Sequence[Sequence[Sink]],
        rows: Rows,
        first: int = 0,
        batch: int = 2 * CHUNK,
        shown: frozenset[int] = frozenset(),
    ) -> None:
        self.layout, self.sinks, self.rows, self.first = layout, sinks, rows, first
        self.task, self.model, self.views = layout.task, layout.model, layout.views
        self.shown, self.waiting = shown, max(1, batch // CHUNK)
        self.kept: dict[tuple[int, int], Tensor] = {}

    def run(self, chunks: Iterator[list[int]], progress: Callable[[int], None]) -> None:
        """Make galaxies.

        Parameters
        ----------
        chunks
            Their places in the set, those of each chunk in different rows.
        progress
            Called with the number that was made each time.

        Raises
        ------
        OutputError
            If one cannot be written.
        """
        again: dict[int, list[int]] = {}
        futures: deque[Future[tuple[int, list[int]]]] = deque()
        attempts: deque[int] = deque()
        collected = count_up(1)

        def collect() -> None:
            if next(collected) % _TRIM == 0:
                give_back()
            count, failed = futures.popleft().result()
            attempt = attempts.popleft()
            if failed:
                again.setdefault(attempt + 1, []).extend(failed)
            if count:
                progress(count)

        with self._pool() as (make, most):
            while True:
                attempt = next((a for a, left in again.items() if len(left) >= 2 * CHUNK), 0)
                places = None if attempt else next(chunks, None)
                if places is None and not attempt:
                    if futures:
                        collect()
                        continue
                    if not again:
                        return
                    attempt = min(again)
                if places is None:
                    places = self._take(again, attempt)
                futures.append(make(places, attempt))
                attempts.append(attempt)
                while len(futures) >= most:
                    collect()

    @contextmanager
    def _pool(self) -> Iterator[tuple[Callable[[list[int], int], Future[Any]], int]]:
        """What takes a chunk of places and an attempt, and how many of them may be under way.

        On a CPU each of several threads draws a chunk, measures and writes it: threads that share
        a chunk wait for one another at every layer. Other devices are driven by this thread, and
        others measure and write.
        """
        threads = torch.get_num_threads()
        drawers = min(threads, self.waiting)
        if self.model.module.device.type != "cpu" or drawers == 1:
            with ThreadPoolExecutor(WRITERS, thread_name_prefix="galgen-writer") as pool:
                yield (
                    lambda places, attempt: pool.submit(
                        self._store, drawn(self.layout, places, attempt)
                    ),
                    self.waiting + 1,
                )
            return
        each = threads // drawers
        try:
            with ThreadPoolExecutor(drawers, "galgen", torch.set_num_threads, (each,)) as pool:
                yield (
                    lambda places, attempt: pool.submit(
                        lambda: self._store(drawn(self.layout, places, attempt))
                    ),
                    2 * drawers,
                )
        finally:
            torch.set_num_threads(threads)

    def _take(self, again: dict[int, list[int]], attempt: int) -> list[int]:
        """A chunk of those that are to be drawn anew, taken out."""
        left = again.pop(attempt)
        taken = set(in_chunks([self.task.start + place for place in left])[0])
        rest = [place for k, place in enumerate(left) if k not in taken]
        if rest:
            again[attempt] = rest
        return [left[k] for k in sorted(taken)]

    def _store(self, piece: Piece) -> tuple[int, list[int]]:
        """Measure galaxies and write those that are near enough to what was asked for.

        Returns how many are settled, and those that are to be drawn anew.
        """
        accept, chosen = self.task.accept, list(range(len(piece.places)))
        asked = asked_values(self.layout.conditions, piece.told)
        facts = [self._facts(piece, k) for k in chosen]
        for number, view in enumerate(self.views):
            if not chosen:
                break
            encoded = self._encoded(number, piece, chosen, facts)
            # Of compressed files, what a reader gets is measured.
            got = [None if content is None else content.pixels for content in encoded]
            flux = np.stack(
                [
                    piece.flux[number][k] if p is None else p
                    for k, p in zip(chosen, got, strict=True)
                ]
            )
            values: dict[str, Any] = dict(measured_values(flux, view.spec, self.layout.numbers))
            values |= {name: [column[k] for k in chosen] for name, column in asked.items()}
            rows = records(self.rows.dtype, values, len(chosen))
            if number == 0 and accept is not None:
                near = accept.met(
                    {name: rows[f"{name}_requested"] for name in accept.tolerances},
                    {name: rows[f"{name}_measured"] for name in accept.tolerances},
                )
                rows = rows[near]
                encoded = [content for content, good in zip(encoded, near, strict=True) if good]
                chosen = [k for k, good in zip(chosen, near, strict=True) if good]
            for row, k, content in zip(rows, chosen, encoded, strict=True):
                self._write(number, piece, k, facts[k], content, row)
        failed = [place for k, place in enumerate(piece.places) if k not in set(chosen)]
        if accept is not None and piece.attempt >= accept.redraws:
            for place in failed:
                self._miss(place, piece.attempt)
            return len(piece.places), []
        return len(chosen), failed

    def _facts(self, piece: Piece, k: int) -> dict[str, Any]:
        """What the file of a galaxy says of it alone."""
        asked = piece.told[k]
        return {
            "index": self.task.start + piece.places[k],
            "attempt": piece.attempt or None,
            "label": asked.label,
            "conditions": asked.numbers or None,
            **self.model.made_by(asked.label),
        }

    def _encoded(
        self, number: int, piece: Piece, chosen: Sequence[int], facts: Sequence[Mapping[str, Any]]
    ) -> list[Encoded | None]:
        """Content of files that lose something on the way, None of others."""
        sink = self.sinks[number][0]
        if self.task.compress is None or not isinstance(sink, FitsFiles):
            return [None] * len(chosen)
        return [sink.encode(piece.flux[number][k], facts[k]) for k in chosen]

    def _write(
        self,
        number: int,
        piece: Piece,
        k: int,
        facts: Mapping[str, Any],
        content: Encoded | None,
        row: np.void,
    ) -> None:
        """A galaxy as one view has it: its files first, then its row."""
        view, width, place = self.views[number], self.layout.width, piece.places[k]
        flux, index = piece.flux[number][k], facts["index"]
        if place in self.shown:
            self.kept[number, place] = torch.from_numpy(flux.copy())
        for sink, name in zip(self.sinks[number], self.layout.digests, strict=True):
            if content is not None and isinstance(sink, FitsFiles):
                digest = sink.put_encoded(index, content)
            else:
                digest = sink.put(place * width + number, index, flux, facts)
            row[name] = digest.hex()
        more = {
            "state": DONE,
            "file": self.layout.name(index, view),
            "sample": index,
            "seed": self.task.seed,
            "telescope": view.name,
            "draws": piece.attempt + 1,
            "checkpoint": facts["checkpoint"],
            "images": facts["images"],
        }
        for name in self.rows.dtype.names or ():
            if name in more:
                row[name] = more[name]
        self.rows.write((place - self.first) * width + number, np.asarray(row))

    def _miss(self, place: int, attempt: int) -> None:
        """Note a galaxy that never was what was asked for."""
        values = {"state": MISSED, "sample": self.task.start + place, "draws": attempt + 1}
        rows = records(self.rows.dtype, values, self.layout.width)
        self.rows.write((place - self.first) * self.layout.width, rows)
