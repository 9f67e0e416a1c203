"""The way from sample to sample, as a strip of pictures and as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.models.rendering import CHUNK
from galgen.models.requests import Request, Where
from galgen.models.sampling import Look
from galgen.report.pictures import composite
from galgen.report.strips import table, write_gif, write_png
from galgen.sample import open_folder
from galgen.styles import Stage, parse_numbers


@dataclass(frozen=True)
class Film:
    """The way from sample to sample and back to the first.

    Attributes
    ----------
    folder
        Where everything lies.
    picture
        A strip of all frames, one row from a sample to the next.
    animation
        The same as an animated GIF.
    numbers
        The samples it goes through.
    frames
        Frames from one to the next.
    files
        Names of the frames' files; empty unless formats were asked for.
    """

    folder: Path
    picture: Path
    animation: Path
    numbers: tuple[int, ...]
    frames: int
    files: tuple[str, ...]


def parse_way(text: str) -> tuple[int, ...]:
    """Two or more sample numbers, ``12,77,5``.

    Raises
    ------
    ConfigError
        If the text has not that form.
    """
    sentence = f"--interpolate {text}: give two or more different sample numbers, as in 12,77,5."
    numbers = parse_numbers(text, sentence)
    if len(set(numbers)) < 2:
        raise ConfigError(sentence)
    return numbers


def enough_frames(frames: int) -> int:
    """The number of frames as it is.

    Raises
    ------
    ConfigError
        If it is below 2.
    """
    if frames < 2:
        raise ConfigError(f"--frames {frames}: a film has at least 2 from one galaxy to the next.")
    return frames


def interpolate(
    source: str | Path | TrainedModel | None,
    numbers: Sequence[int],
    frames: int = 16,
    *,
    seed: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    formats: Sequence[str] = (),
    cube: bool = False,
    out: str | Path | None = None,
    device: str | None = None,
    **look: Any,
) -> Film:
    """The way from sample to sample and back to the first, as a strip and an animation.

    Styles are joined by straight lines, latents of pairs without styles by great circles
    (Shoemake 1985, SIGGRAPH 19, 245), and what these were asked for changes evenly on the way, so
    that classes blend. The noise is that of the first sample throughout.

    Parameters
    ----------
    source
        As `galgen.sample.sample`.
    numbers
        Two or more samples.
    frames
        Frames from one to the next, the first of them the sample itself.
    seed, label, where, no_condition, formats, cube, out, device
        As `galgen.sample.sample`; without formats no frame has a file of its own. By default each
        sample keeps its own class and numbers.
    look
        ``truncation``, ``psf`` and ``noise`` as in `galgen.models.sampling.Look`.

    Raises
    ------
    ConfigError
        If what was asked for cannot be met.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    enough_frames(frames)
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    numbers = tuple(numbers)
    request = Request.of(model.module.conditions, label, where, no_condition)
    stage = Stage(model, seed, request, Look.of(**look), formats, cube, device)
    styled = stage.renderer.has_styles
    rows = stage.conditions(numbers)
    keys = stage.renderer.codes(numbers, rows)
    between = _straight if styled else great_circle
    steps = [(place, frame / frames) for place in range(len(numbers)) for frame in range(frames)]
    codes = [between(keys[p], keys[(p + 1) % len(keys)], part) for p, part in steps]
    asked = None
    if rows is not None and not styled:
        asked = torch.stack([_straight(rows[p], rows[(p + 1) % len(rows)], part)
                             for p, part in steps])  # fmt: skip
    flux = stage.renderer.images(
        torch.stack(codes),
        asked,
        [numbers[0]] * len(steps),
        [numbers[p] % CHUNK if part == 0 else None for p, part in steps],
    )
    folder = open_folder(out)
    shown = composite(flux, model.spec, model.stretch)
    tiles = shown.reshape(len(numbers), frames, *shown.shape[1:])
    picture = write_png(table(tiles, [str(n) for n in numbers]), folder / "interpolation.png")
    animation = write_gif(shown, folder / "interpolation.gif")
    facts = [
        {
            "film_from": numbers[p],
            "film_to": numbers[(p + 1) % len(numbers)],
            "film_part": part,
            "noise_of": numbers[0],
        }
        for p, part in steps
    ]
    names = [f"frame_{k:06d}" for k in range(len(steps))]
    told = stage.told(asked, len(steps))
    if styled:
        # Between styles there is no condition: what both ends have is all that can be said.
        ends = stage.told(rows, len(numbers))
        told = [ends[p] if part == 0 else ends[p].shared(ends[(p + 1) % len(ends)])
                for p, part in steps]  # fmt: skip
    files = stage.write(folder, flux, names, facts, told)
    return Film(folder, picture, animation, numbers, frames, files)


def _straight(a: Tensor, b: Tensor, part: float) -> Tensor:
    return torch.lerp(a, b, part)


def great_circle(a: Tensor, b: Tensor, part: float) -> Tensor:
    r"""Spherical interpolation :math:`(\sin((1-t)\theta)\, a + \sin(t\theta)\, b) / \sin\theta`
    with the angle :math:`\theta` between two vectors.
    """
    x, y = a.double(), b.double()
    cosine = (x @ y / (x.norm() * y.norm()).clamp_min(1e-12)).clamp(-1, 1)
    angle = torch.acos(cosine)
    if part == 0 or float(angle.sin()) < 1e-6:
        return torch.lerp(a, b, part)
    weights = torch.sin((1 - part) * angle), torch.sin(part * angle)
    return ((weights[0] * x + weights[1] * y) / angle.sin()).to(a)
