"""The way from sample to sample, as a strip of pictures and as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.models.rendering import CHUNK
from galgen.models.requests import Asked, Request, Where
from galgen.models.sampling import Look
from galgen.report.pictures import composite
from galgen.report.strips import table, write_gif, write_png
from galgen.sampling.opening import open_folder
from galgen.styles import Files, Stage, parse_numbers


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
    stage = Stage(model, seed, request, Look.of(**look), device)
    files = Files(
        stage, formats, cube, {"interpolate": ",".join(map(str, numbers)), "frames": frames}
    )
    ends = list(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    steps = [Step(*pair, k / frames, numbers[0]) for pair in ends for k in range(frames)]
    flux = drawn(stage, steps)
    folder = open_folder(out)
    shown = composite(flux, model.spec, model.stretch)
    tiles = shown.reshape(len(numbers), frames, *shown.shape[1:])
    picture = write_png(table(tiles, [str(n) for n in numbers]), folder / "interpolation.png")
    animation = write_gif(shown, folder / "interpolation.gif")
    facts = [
        {
            "film_from": step.start,
            "film_to": step.end,
            "film_part": step.part,
            "noise_of": numbers[0],
        }
        for step in steps
    ]
    names = [f"frame_{k:06d}" for k in range(len(steps))]
    written = files.write(folder, flux, names, facts, _told(stage, steps))
    return Film(folder, picture, animation, numbers, frames, written)


class Step(NamedTuple):
    """A frame of a film: the samples that it lies between, which part of the way it has gone, and
    the sample whose noise it has.
    """

    start: int
    end: int
    part: float
    noise_of: int


def drawn(stage: Stage, steps: Sequence[Step]) -> Tensor:
    """Flux (n, C, H, W) of frames.

    Each has a place in its chunk that follows from its facts, so that it is the same bit for bit
    whatever else is in the film; the first of a way has that of the sample which it shows.
    """
    codes = stage.codes(number for step in steps for number in (step.start, step.end))
    between = _straight if stage.renderer.has_styles else great_circle
    return stage.renderer.images(
        torch.stack([between(codes[s.start], codes[s.end], s.part) for s in steps]),
        _asked(stage, steps),
        [step.noise_of for step in steps],
        [(step.start + int(step.part * CHUNK)) % CHUNK for step in steps],
    )


def _asked(stage: Stage, steps: Sequence[Step]) -> Tensor | None:
    """Conditions (n, width) of frames; None without any, or where they are in the styles."""
    numbers = list(dict.fromkeys(number for step in steps for number in (step.start, step.end)))
    rows = stage.conditions(numbers)
    if rows is None or stage.renderer.has_styles:
        return None
    ends = dict(zip(numbers, rows, strict=True))
    return torch.stack([_straight(ends[s.start], ends[s.end], s.part) for s in steps])


def _told(stage: Stage, steps: Sequence[Step]) -> list[Asked]:
    """What files say of the conditions of frames."""
    if not stage.renderer.has_styles:
        return stage.told(_asked(stage, steps), len(steps))
    # Between styles there is no condition: what both ends have is all that can be said.
    ends = stage.asked(number for step in steps for number in (step.start, step.end))
    return [ends[s.start] if s.part == 0 else ends[s.start].shared(ends[s.end]) for s in steps]


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
