"""``galgen models``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galgen_cli import options
from galgen_cli.console import Talk

if TYPE_CHECKING:
    from galgen.models.measure import Measured

#: The size that is measured where none is given.
SIZE = 64
#: Two lines of heading per column of numbers; a block of one pair has them on one line.
HEADINGS = (
    ("generator", "parameters"),
    ("critic", "parameters"),
    ("training", "images/s"),
    ("sampling", "images/s"),
    ("training", "memory"),
)
#: Room that the last column, the words, needs at least.
WORDS = 40


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="pairs to list [all]", show_default=False),
    ] = None,
    size: options.Size = None,
    bands: Annotated[
        str | None,
        typer.Option("--bands", help="how many, or names such as g,r,i [3]", show_default=False),
    ] = None,
    batch: options.Batch = None,
    precision: options.Precision = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="count parameters only, train and sample nothing")
    ] = False,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the generator/critic pairs with parameters, images/s on this machine, and memory."""
    talk = Talk(as_json, debug)
    with talk.errors():
        layers = options.layers(
            config, settings, data__size=size, train__batch=batch, train__precision=precision
        )
        from galgen.config import RunConfig
        from galgen.errors import ConfigError
        from galgen.models.measure import machine_of, measure
        from galgen.models.registry import PAIRS, find

        run = RunConfig.build(*layers)
        machine = machine_of(*layers)
        chosen = names or ([run.model.name] if run.model.model_fields_set else list(PAIRS))
        for name in chosen:
            find(name)
        side = run.data.size or SIZE
        wanted = _bands(bands) if bands is not None else run.data.bands or 3
        count = wanted if isinstance(wanted, int) else len(wanted)
        with talk.stages() as show:
            found = [
                measure(
                    name,
                    *layers,
                    size=side,
                    bands=wanted,
                    timed=not quick,
                    progress=partial(show, name),
                )
                for name in chosen
            ]
        reasons = {pair.refused for pair in found}
        if len(reasons) == 1 and (reason := reasons.pop()) is not None:
            raise ConfigError(reason)
        head = f"{side} px, {count} band{'s' if count > 1 else ''}"
        if not quick:
            head += f", batch {run.train.batch}, on {machine}"
        width = talk.console.width
        for line in [*textwrap.wrap(head, width), "", *lay_out(found, width)]:
            talk.say(line)
        talk.result(
            {
                "size": side,
                "bands": wanted if isinstance(wanted, int) else list(wanted),
                "batch": run.train.batch,
                "accelerator": machine.accelerator,
                "precision": machine.precision,
                "models": [asdict(pair) for pair in found],
            }
        )


def _bands(text: str) -> int | list[str]:
    """``3`` to 3, ``g,r,i`` to the names."""
    from galgen.errors import ConfigError

    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) == 1 and names[0].isdigit() and int(names[0]) > 0:
        return int(names[0])
    if not names or any(name.lstrip("-").isdigit() for name in names):
        raise ConfigError(f"--bands {text}: give how many, or their names, for example g,r,i.")
    if len(set(names)) < len(names):
        raise ConfigError(f"--bands {text}: name each band once.")
    return names


def lay_out(found: Sequence[Measured], width: int) -> list[str]:
    """Lines of a table of pairs; where that is too wide, of a block for each pair.

    Every name and number stays whole at any width.
    """
    columns = [i for i in range(len(HEADINGS)) if any(_cells(pair)[i] for pair in found)]
    rows = [[pair.name, *(_cells(pair)[i] for i in columns)] for pair in found]
    headings = [("", "model"), *(HEADINGS[i] for i in columns)]
    room = [
        max(len(text) for text in (*heading, *(row[i] for row in rows)))
        for i, heading in enumerate(headings)
    ]
    left = width - sum(room) - 2 * len(room)
    if left < -2:
        return _blocks(found, width)
    lines = [_line([heading[i] for heading in headings], room).rstrip() for i in (0, 1)]
    for pair, row in zip(found, rows, strict=True):
        used = room[:1] if pair.refused else room
        indent = sum(used) + 2 * len(used) if left >= WORDS else 4
        words = textwrap.wrap(pair.refused or pair.summary, width - indent, **_WHOLE)
        first = _line(row, room).rstrip()
        if left >= WORDS:
            first = first.ljust(indent) + words.pop(0)
        lines += [first, *(" " * indent + line for line in words)]
    return lines


def _blocks(found: Sequence[Measured], width: int) -> list[str]:
    lines: list[str] = []
    for pair in found:
        about = textwrap.wrap(pair.refused or pair.summary, max(1, width - 2), **_WHOLE)
        lines += ["", pair.name, *(f"  {line}" for line in about)]
        facts = [(" ".join(h), cell) for h, cell in zip(HEADINGS, _cells(pair), strict=True)]
        room = max(len(heading) for heading, _ in facts)
        fits = 2 + room + 2 + max(len(cell) for _, cell in facts) <= width
        for heading, cell in facts:
            if cell and fits:
                lines.append(f"  {heading.ljust(room)}  {cell}")
            elif cell:
                lines += [f"  {heading}", f"    {cell}"]
    return lines[1:]


def _line(cells: Sequence[str], room: Sequence[int]) -> str:
    """The name at the left of its column, numbers at the right of theirs."""
    name, *numbers = (
        cell.rjust(space) if i else cell.ljust(space)
        for i, (cell, space) in enumerate(zip(cells, room, strict=True))
    )
    return "  ".join([name, *numbers])


def _cells(pair: Measured) -> list[str]:
    """Texts under `HEADINGS`; empty for what is not known."""
    counts = (pair.generator, pair.critic)
    cells = ["" if n is None else _short(n, ("", " k", " M", " G")) for n in counts]
    cells += ["" if n is None else _rate(n) for n in (pair.training, pair.sampling)]
    memory = pair.memory
    return [*cells, "" if memory is None else _short(memory, (" B", " kB", " MB", " GB", " TB"))]


def _rate(rate: float) -> str:
    """Three digits, or all before the point.

    >>> _rate(1134.4), _rate(93.44), _rate(3.1)
    ('1,134', '93.4', '3.10')
    """
    return f"{rate:,.0f}" if rate >= 99.95 else _short(rate, ("",))


def _short(number: float, units: Sequence[str]) -> str:
    """Three digits and a unit.

    >>> _short(1_134_211, ("", " k", " M")), _short(999_600, (" B", " kB")), _short(0, ("",))
    ('1.13 M', '1000 kB', '0')
    """
    power = 0
    while number >= 999.5 and power < len(units) - 1:
        number, power = number / 1000, power + 1
    if number >= 99.95 or (not power and number == int(number)):
        digits = 0
    else:
        digits = 1 if number >= 9.995 else 2
    return f"{number:.{digits}f}{units[power]}"


_WHOLE: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
