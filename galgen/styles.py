"""New galaxies from old: the coarse styles of one sample with the fine ones of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from galgen.sample import (
    Writer,
    condition_columns,
    condition_facts,
    known_formats,
    maker_columns,
    open_folder,
)
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
    stage = Stage(model, seed, request, Look.of(**look), formats, cube, device)
    first, second = stage.codes(rows), stage.codes(columns)
    pairs = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    codes = [*first, *second, *(torch.cat([first[i][:layer], second[j][layer:]]) for i, j in pairs)]
    noise_of = [*rows, *columns, *(rows[i] for i, _ in pairs)]
    same = [True] * (len(rows) + len(columns)) + [rows[i] == columns[j] for i, j in pairs]
    flux = stage.renderer.images(
        torch.stack(codes),
        None,
        noise_of,
        [
            number % CHUNK if repeats else None
            for number, repeats in zip(noise_of, same, strict=True)
        ],
    )
    folder = open_folder(out)
    shown = composite(flux, model.spec, model.stretch)
    heads, cells = shown[: -len(pairs)], shown[-len(pairs) :]
    sheet = np.full((len(rows) + 1, len(columns) + 1, *shown.shape[1:]), GREY, dtype=np.uint8)
    sheet[1:, 0], sheet[0, 1:] = heads[: len(rows)], heads[len(rows) :]
    sheet[1:, 1:] = cells.reshape(len(rows), len(columns), *shown.shape[1:])
    picture = table(sheet, ["", *map(str, rows)], ["", *map(str, columns)], heads=True)
    told = [stage.told(stage.conditions(numbers), len(numbers)) for numbers in (rows, columns)]
    files = stage.write(
        folder,
        flux[-len(pairs) :],
        [f"mix_{rows[i]:06d}_{columns[j]:06d}" for i, j in pairs],
        [
            {"mix_row": rows[i], "mix_column": columns[j], "mix_layer": layer, "noise_of": rows[i]}
            for i, j in pairs
        ],
        [told[0][i].shared(told[1][j]) for i, j in pairs],
    )
    return Mixed(folder, write_png(picture, folder / "mix.png"), rows, columns, layer, files)


class Stage:
    """A model that new galaxies are made with: codes of its samples, and files.

    Parameters
    ----------
    model
        Moved to the device.
    request
        What its galaxies should be.
    look
        How they look.
    seed, formats, cube, device
        As `mix`.
    """

    def __init__(
        self,
        model: TrainedModel,
        seed: int,
        request: Request,
        look: Look,
        formats: Sequence[str],
        cube: bool,
        device: str | None,
    ) -> None:
        self.model, self.seed, self.request = model, seed, request
        kinds = known_formats(formats)
        model.to(device or find_accelerator())
        self.conditions([0])
        self.writer = Writer(model, seed, kinds, cube, look, request.nothing)
        # A way or a table between classes is of one network, that of all classes.
        self.renderer = model.module.renderer(seed, look, request.label)

    def conditions(self, numbers: Sequence[int]) -> Tensor | None:
        """Rows (n, width) of conditions of samples, None for a model without any."""
        return self.model.module.sample_conditions(numbers, self.seed, self.request)

    def codes(self, numbers: Sequence[int]) -> Tensor:
        """Codes of samples with their conditions."""
        return self.renderer.codes(numbers, self.conditions(numbers))

    def told(self, rows: Tensor | None, count: int) -> list[Asked]:
        """What `count` rows of conditions ask for."""
        return read_rows(self.model.module.conditions, rows, count)

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
        maker = self.model.made_by(self.request.label)
        for name, galaxy, fact, asked in zip(names, flux, facts, told, strict=True):
            self.writer.write(folder / name, galaxy, **fact, **condition_facts(asked), **maker)
        columns: dict[str, Any] = {
            "sample" if key == "index" else key: [fact[key] for fact in facts] for key in facts[0]
        }
        columns |= condition_columns(self.model.module.conditions, told)
        columns |= maker_columns(self.model, [self.request.label] * len(names))
        files = tuple(f"{name}.{kinds[0]}" for name in names)
        self.writer.catalogue(folder, {"file": list(files), **columns})
        return files
