"""What a condition or a code does to a galaxy: one latent a row, one value of it a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.models.requests import Request, Where
from galgen.models.sampling import Look
from galgen.models.sweeping import base, parse_axis, render, varied
from galgen.report.pictures import composite
from galgen.report.strips import table, write_png
from galgen.sampling.asking import enough_galaxies
from galgen.sampling.opening import open_folder
from galgen.styles import Files, Stage

#: Galaxies, and values of what is varied, where nobody says how many.
ROWS, STEPS = 4, 8


@dataclass(frozen=True)
class Sweep:
    """Galaxies under changing conditions.

    Attributes
    ----------
    folder
        Where everything lies.
    picture
        A sample a row, a value a column.
    name
        What varies.
    values
        Its values; class names and category numbers where it is one of these.
    numbers
        Samples.
    files
        Names of the galaxies' files, row by row; empty unless formats were asked for.
    """

    folder: Path
    picture: Path
    name: str
    values: tuple[float | int | str, ...]
    numbers: tuple[int, ...]
    files: tuple[str, ...]


def enough_steps(steps: int) -> int:
    """The number of steps as it is.

    Raises
    ------
    ConfigError
        If it is below 2.
    """
    if steps < 2:
        raise ConfigError(f"--frames {steps}: a sweep has at least 2 columns.")
    return steps


def sweep(
    source: str | Path | TrainedModel | None,
    what: str,
    n: int = ROWS,
    steps: int = STEPS,
    *,
    seed: int = 0,
    start: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    formats: Sequence[str] = (),
    cube: bool = False,
    out: str | Path | None = None,
    device: str | None = None,
    **look: Any,
) -> Sweep:
    """Vary one condition or code of galaxies and hold everything else: latent, noise, the others.

    Parameters
    ----------
    source
        As `galgen.sample.sample`.
    what
        ``mag_r=18..22`` or ``mag_r``, for a number over that range or the one that the model was
        trained on; ``label`` for all classes; ``code1=-2..2`` or ``code1`` for a code of the
        latent, ``category`` for its categories.
    n, start
        Samples, a row each.
    steps
        Columns of a number or a code.
    seed, label, where, no_condition, formats, cube, out, device
        As `galgen.sample.sample`; without formats the picture alone is written. Numbers that
        neither these nor the sweep decide are those of a training galaxy, one for each row.
    look
        ``truncation``, ``psf`` and ``noise`` as in `galgen.models.sampling.Look`.

    Raises
    ------
    ConfigError
        If what was asked for cannot be met.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    enough_galaxies(n)
    enough_steps(steps)
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    module, numbers = model.module, tuple(range(start, start + n))
    axis = parse_axis(what, module, steps)
    request = Request.of(module.conditions, label, where, no_condition)
    rows = base(module, axis, request, seed, numbers)
    stage = Stage(model, seed, request, Look.of(**look), device)
    written = Files(stage, formats, cube, {"sweep": what, "frames": steps})
    flux = render(module, stage.renderer, axis, numbers, rows)
    folder = open_folder(out)
    shown = composite(flux.flatten(0, 1), model.spec, model.stretch)
    tiles = shown.reshape(n, len(axis.values), *shown.shape[1:])
    sheet = table(tiles, [str(number) for number in numbers], axis.texts, title=axis.name)
    picture = write_png(sheet, folder / "sweep.png")

    values = axis.told
    asked = [stage.told(varied(module, axis, value, rows), n) for value in axis.values]
    cells = [(i, k) for i in range(n) for k in range(len(values))]
    files = written.write(
        folder,
        flux.flatten(0, 1),
        [f"sweep_{numbers[i]:06d}_{k:02d}" for i, k in cells],
        [{"index": numbers[i], "sweep": axis.name, "sweep_value": values[k]} for i, k in cells],
        [asked[k][i] for i, k in cells],
    )
    return Sweep(folder, picture, axis.name, values, numbers, files)
