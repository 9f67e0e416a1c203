"""New galaxies from old: the coarse styles of one sample with the fine ones of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.models.registry import PAIRS
from galgen.models.rendering import CHUNK
from galgen.models.requests import Asked, Request, Where, read_rows
from galgen.models.sampling import Look
from galgen.nn.style import StyleGenerator
from galgen.report.pictures import composite
from galgen.report.strips import GREY, table, write_png
from galgen.sampling.columns import asked_values
from galgen.sampling.files import Writer, condition_facts, known_formats, maker_columns
from galgen.sampling.opening import open_folder
from galgen.training.machine import find_accelerator


@dataclass(frozen=True)
class Mixed:
    """A table of mixed galaxies.

    Attributes
    ----------
    folder
        Where everything lies.
    picture
        The table, the samples themselves on top and to the left.
    rows, columns
        Sample numbers.
    layer
        How many style layers come from the row's sample.
    files
        Names of the galaxies' files, row by row; empty unless formats were asked for.
    """

    folder: Path
    picture: Path
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    layer: int
    files: tuple[str, ...]


def parse_mix(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows and columns of a table of samples, each sample once.

    >>> parse_mix("12,77:3,4,5")
    ((12, 77), (3, 4, 5))
    >>> parse_mix("12,77")
    ((12, 77), (12, 77))

    Raises
    ------
    ConfigError
        If the text has not that form.
    """
    rows, colon, columns = text.partition(":")
    way = "give sample numbers, 12,77 or rows and columns, 12,77:3,4,5"
    first = parse_numbers(rows, f"--mix {text}: {way}.")
    second = parse_numbers(columns, f"--mix {text}: {way}.") if colon else first
    return tuple(dict.fromkeys(first)), tuple(dict.fromkeys(second))


def parse_numbers(text: str, sentence: str) -> tuple[int, ...]:
    """Sample numbers with commas between them; anything else is refused with the sentence."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(sentence)
    return tuple(int(part) for part in parts)


def mix_layer(model: TrainedModel, layer: int | None = None) -> int:
    """The layer to mix at: by default half of those that styles enter.

    Raises
    ------
    ConfigError
        If the pair has no styles, or not so many.
    """
    network = model.module.average.network
    if not isinstance(network, StyleGenerator):
        able = [name for name, pair in PAIRS.items() if pair.load().has_styles]
        raise ConfigError(
            f"--mix: the pair {model.name} has no styles to mix, train one that has "
            f"({', '.join(able)})."
        )
    last = network.active_styles - 1
    if layer is not None and not 1 <= layer <= last:
        raise ConfigError(f"--mix-layer {layer}: this model has the layers 1 to {last} to mix at.")
    return (last + 1) // 2 if layer is None else layer


def mix(
    source: str | Path | TrainedModel | None,
    rows: Sequence[int],
    columns: Sequence[int] | None = None,
    *,
    layer: int | None = None,
    seed: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    formats: Sequence[str] = (),
    cube: bool = False,
    out: str | Path | None = None,
    device: str | None = None,
    **look: Any,
) -> Mixed:
    """A table of galaxies, each with the coarse styles of one sample and the fine ones of another
    (Karras et al. 2019, arXiv:1812.04948, section 3.1).

    Parameters
    ----------
    source
        As `galgen.sample.sample`; of a pair with styles.
    rows, columns
        Sample numbers, each taken once; the columns are the rows by default. A galaxy takes its
        first styles and its noise from its row's sample, the other styles from its column's.
    layer
        How many styles come from the row, 1 to one less than all; None for half.
    seed, label, where, no_condition, formats, cube, out, device
        As `galgen.sample.sample`; without formats the table alone is written. By default each
        sample keeps its own class and numbers.
    look
        ``truncation``, ``psf`` and ``noise`` as in `galgen.models.sampling.Look`.

    Raises
    ------
    ConfigError
        If the pair has no styles, or what was asked for cannot be met.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    layer = mix_layer(model, layer)
    columns = tuple(dict.fromkeys(rows if columns is None else columns))
    rows = tuple(dict.fromkeys(rows))
    request = Request.of(model.module.conditions, label, where, no_condition)
    stage = Stage(model, seed, request, Look.of(**look), device)
    files = Files(stage, formats, cube)
    pairs = [(row, column) for row in rows for column in columns]
    heads = [(number, number) for number in (*rows, *columns)]
    flux = mixed(stage, [(row, column, layer) for row, column in (*heads, *pairs)])
    folder = open_folder(out)
    shown = composite(flux, model.spec, model.stretch)
    tops, cells = shown[: -len(pairs)], shown[-len(pairs) :]
    sheet = np.full((len(rows) + 1, len(columns) + 1, *shown.shape[1:]), GREY, dtype=np.uint8)
    sheet[1:, 0], sheet[0, 1:] = tops[: len(rows)], tops[len(rows) :]
    sheet[1:, 1:] = cells.reshape(len(rows), len(columns), *shown.shape[1:])
    picture = table(sheet, ["", *map(str, rows)], ["", *map(str, columns)], heads=True)
    asked = stage.asked({*rows, *columns})
    written = files.write(
        folder,
        flux[-len(pairs) :],
        [f"mix_{row:06d}_{column:06d}" for row, column in pairs],
        [
            {"mix_row": row, "mix_column": column, "mix_layer": layer, "noise_of": row}
            for row, column in pairs
        ],
        [asked[row].shared(asked[column]) for row, column in pairs],
    )
    return Mixed(folder, write_png(picture, folder / "mix.png"), rows, columns, layer, written)


def mixed(stage: Stage, cells: Sequence[tuple[int, int, int]]) -> Tensor:
    """Flux (n, C, H, W) of mixed galaxies, each given by its row's sample, its column's and how
    many styles come from the row.

    Each has a place in its chunk that follows from its samples, so that it is the same bit for bit
    whatever else is in the table; one of a sample with itself has that sample's.
    """
    codes = stage.codes([number for row, column, _ in cells for number in (row, column)])
    return stage.renderer.images(
        torch.stack([torch.cat([codes[r][:layer], codes[c][layer:]]) for r, c, layer in cells]),
        None,
        [row for row, _, _ in cells],
        [(2 * row - column) % CHUNK for row, column, _ in cells],
    )


class Stage:
    """A model that new galaxies are made with: codes of its samples, and what makes images of them.

    Parameters
    ----------
    model
        Moved to the device.
    seed, device
        As `mix`.
    request
        What its galaxies should be.
    look
        How they look.
    """

    def __init__(
        self, model: TrainedModel, seed: int, request: Request, look: Look, device: str | None
    ) -> None:
        self.model, self.seed, self.request, self.look = model, seed, request, look
        model.to(device or find_accelerator())
        self.conditions([0])
        # A way or a table between classes is of one network, that of all classes.
        self.renderer = model.module.renderer(seed, look, request.label)

    def conditions(self, numbers: Sequence[int]) -> Tensor | None:
        """Rows (n, width) of conditions of samples, None for a model without any."""
        return self.model.module.sample_conditions(numbers, self.seed, self.request)

    def codes(self, numbers: Iterable[int]) -> dict[int, Tensor]:
        """Codes of samples with their conditions, by number."""
        wanted = list(dict.fromkeys(numbers))
        codes = self.renderer.codes(wanted, self.conditions(wanted))
        return dict(zip(wanted, codes, strict=True))

    def asked(self, numbers: Iterable[int]) -> dict[int, Asked]:
        """What each sample is asked for."""
        wanted = list(dict.fromkeys(numbers))
        return dict(zip(wanted, self.told(self.conditions(wanted), len(wanted)), strict=True))

    def told(self, rows: Tensor | None, count: int) -> list[Asked]:
        """What `count` rows of conditions ask for."""
        return read_rows(self.model.module.conditions, rows, count)


class Files:
    """Files of the galaxies of a stage, each with all that `galgen.replay` needs.

    Parameters
    ----------
    stage
        That makes them.
    formats, cube
        As `mix`.
    typed
        What was asked for beside the stage's request, and is not in the galaxies' own facts.
    """

    def __init__(
        self,
        stage: Stage,
        formats: Sequence[str],
        cube: bool,
        typed: Mapping[str, Any] | None = None,
    ) -> None:
        self.stage, kinds = stage, known_formats(formats)
        request, self.model = stage.request, stage.model
        self.writer = Writer(self.model, stage.seed, kinds, cube, stage.look, request)
        asked = request.typed() | dict(typed or {})
        self.facts = {
            "request": asked or None,
            **self.model.made_by(request.label),
        }

    def write(
        self,
        folder: Path,
        flux: Tensor,
        names: Sequence[str],
        facts: Sequence[Mapping[str, Any]],
        told: Sequence[Asked],
    ) -> tuple[str, ...]:
        """Files of galaxies and their catalogue, where formats were asked for."""
        kinds = self.writer.kinds
        if not kinds:
            return ()
        for name, galaxy, fact, asked in zip(names, flux, facts, told, strict=True):
            more = {**self.facts, **condition_facts(asked)}
            self.writer.write(folder / name, galaxy, **fact, **more)
        columns: dict[str, Any] = {
            "sample" if key == "index" else key: [fact[key] for fact in facts] for key in facts[0]
        }
        columns |= asked_values(self.model.module.conditions, told)
        columns |= maker_columns(self.model, [self.stage.request.label] * len(names))
        files = tuple(f"{name}.{kinds[0]}" for name in names)
        self.writer.catalogue(folder, {"file": list(files), **columns})
        return files
