"""One latent under changing conditions or codes: what a model has learned each of them to mean."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from galgen.conditions import Number
from galgen.errors import ConfigError
from galgen.models.rendering import CHUNK, Renderer, entrance
from galgen.models.requests import Request, find_number, parse_range, told_range
from galgen.models.sampling import SamplingModule
from galgen.nn.condition import ConditionSettings

#: Ends of the way of a code, in standard deviations of the normal distribution that it has.
CODE_RANGE = (-2.0, 2.0)
#: Beyond so many of them a model has hardly ever been in training: one code in two million.
_FARTHEST = 5.0
LABEL, CODE, CATEGORY = "label", "code", "category"


@dataclass(frozen=True)
class Axis:
    """What varies along a sweep, and its values.

    Attributes
    ----------
    name
        ``mag_r``, ``label``, ``code1``, ``category``.
    kind
        What that is.
    place
        Which number, code or part of the latent, from 0.
    values
        In the number's own units; class and category numbers.
    texts
        How they are told.
    """

    name: str
    kind: Literal["number", "label", "code", "category"]
    place: int
    values: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def told(self) -> tuple[float | int | str, ...]:
        """Values as a person names them: classes by name, categories by number."""
        if self.kind == "label":
            return self.texts
        return tuple(map(int, self.values)) if self.kind == "category" else self.values


def parse_axis(text: str, module: SamplingModule, steps: int) -> Axis:
    """The axis that a text names: ``mag_r=18..22``, ``mag_r``, ``label``, ``code1``, ``category``.

    Parameters
    ----------
    text
        Without a range a number goes over the one it was trained on, a code over `CODE_RANGE`.
    module
        The model.
    steps
        Values of a number or a code.

    Raises
    ------
    ConfigError
        If the model has nothing of that name, or the range is not one that it knows.
    """
    name, equals, span = (part.strip() for part in text.partition("="))
    conditions, settings = module.conditions, code_settings(module)
    names = axis_names(module)
    if name not in names:
        for kind, option, count in (
            (CODE, "codes", settings.codes),
            (CATEGORY, "categories", settings.categories),
        ):
            if not count and name.rstrip("0123456789") == kind:
                raise ConfigError(
                    f"--sweep {text}: this model was trained without {option}, train one with "
                    f"model.options.{option}."
                )
        if not names:
            raise ConfigError(
                f"--sweep {text}: this model was trained without classes, numbers and codes, so "
                "there is nothing to vary."
            )
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"--sweep {text}: {hint}this model can vary {', '.join(names)}.")
    if name in conditions.names:
        number = find_number(name, conditions, "--sweep")
        low, high = parse_range(span, number, "--sweep") if equals else _whole_range(number)
        return _even(text, name, "number", conditions.names.index(name), low, high, steps)
    if name in (LABEL, CATEGORY):
        if equals:
            raise ConfigError(f"--sweep {text}: {name} takes no range, all of them are shown.")
        texts = conditions.classes if name == LABEL else map(str, range(settings.categories))
        what: Literal["label", "category"] = "label" if name == LABEL else "category"
        texts = tuple(texts)
        return Axis(name, what, settings.codes, tuple(map(float, range(len(texts)))), texts)
    low, high = _code_range(name, span) if equals else CODE_RANGE
    if max(-low, high) > _FARTHEST:
        raise ConfigError(
            f"--sweep {text}: codes are normal numbers, and beyond -{_FARTHEST:g}..{_FARTHEST:g} "
            "the model has met next to none: stay within."
        )
    return _even(text, name, "code", int(name.removeprefix(CODE)) - 1, low, high, steps)


def axis_names(module: SamplingModule) -> list[str]:
    """What a model can vary."""
    settings = code_settings(module)
    return [
        *module.conditions.names,
        *([LABEL] if module.classes else []),
        *(f"{CODE}{k + 1}" for k in range(settings.codes)),
        *([CATEGORY] if settings.categories else []),
    ]


def code_settings(module: SamplingModule) -> ConditionSettings:
    """What a pair has of codes."""
    found = entrance(module.generator)
    return ConditionSettings() if found is None else found.given.settings


def usual_axis(module: SamplingModule, steps: int) -> Axis:
    """The first number over what nine tenths of the training galaxies have of it."""
    number = module.conditions.numbers[0]
    low, high = _whole_range(number)
    if module.conditions.rows:
        low, high = np.quantile([row[1] for row in module.conditions.rows], (0.05, 0.95)).tolist()
    if high <= low:
        low, high = number.mean - number.std, number.mean + number.std
    return _even(number.name, number.name, "number", 0, low, high, steps)


def _whole_range(number: Number) -> tuple[float, float]:
    if number.low is None:
        return number.mean - 2 * number.std, number.mean + 2 * number.std
    return told_range(number)


def _code_range(name: str, span: str) -> tuple[float, float]:
    first, _, second = span.partition("..")
    try:
        low, high = float(first), float(second)
    except ValueError:
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"--sweep {name}={span}: give a range, as in {name}=-2..2.")
    return low, high


def _even(
    text: str,
    name: str,
    kind: Literal["number", "code"],
    place: int,
    low: float,
    high: float,
    steps: int,
) -> Axis:
    if high <= low:
        raise ConfigError(f"--sweep {text.strip()}: give a range, the low end first.")
    values = np.linspace(low, high, steps)
    return Axis(name, kind, place, tuple(values.tolist()), tuple(f"{v:.4g}" for v in values))


def base(module: SamplingModule, axis: Axis, request: Request, seed: int,
         indices: Sequence[int]) -> Tensor | None:  # fmt: skip
    """Conditions (n, width) of a sweep's samples before one of them is varied.

    Raises
    ------
    ConfigError
        If the request holds what varies, or cannot be met.
    """
    taken = {"number": axis.name in request.where, "label": request.label is not None}
    for kind, option in (("number", f"--where {axis.name}"), ("label", "--label")):
        if axis.kind == kind and taken[kind]:
            raise ConfigError(f"--sweep {axis.name} varies what {option} holds: leave one out.")
    if axis.kind in taken and request.nothing:
        raise ConfigError(f"--sweep {axis.name} asks for something: leave --no-condition out.")
    return module.sample_conditions(indices, seed, request)


def varied(module: SamplingModule, axis: Axis, value: float, rows: Tensor | None) -> Tensor | None:
    """Conditions (n, width) with one value of the axis; codes leave them as they are."""
    if rows is None or axis.kind in ("code", "category"):
        return rows
    conditions, rows = module.conditions, rows.clone()
    count = len(conditions.classes)
    if axis.kind == "label":
        rows[:, :count] = 0
        rows[:, int(value)] = 1
    else:
        number = conditions.numbers[axis.place]
        rows[:, count + axis.place] = (value - number.mean) / number.std
        rows[:, -1] = 1
    return rows


def render(
    module: SamplingModule,
    renderer: Renderer,
    axis: Axis,
    indices: Sequence[int],
    rows: Tensor | None,
) -> Tensor:
    """Images (n, values, C, H, W) of samples along an axis, on the CPU.

    Latent, noise and all other conditions are the sample's throughout; each image is computed
    where the sample of those conditions would be, so that it is that sample bit for bit.
    """
    cells = [(place, value) for place in range(len(indices)) for value in axis.values]
    numbers = [indices[place] for place, _ in cells]
    held = None if rows is None else rows[[place for place, _ in cells]]
    images = render_cells(module, renderer, axis, numbers, [value for _, value in cells], held)
    return images.unflatten(0, (len(indices), len(axis.values)))


def render_cells(
    module: SamplingModule,
    renderer: Renderer,
    axis: Axis,
    indices: Sequence[int],
    values: Sequence[float],
    rows: Tensor | None,
) -> Tensor:
    """Images (n, C, H, W) of single cells: sample numbers, the axis' value and conditions of each
    before it is varied; otherwise as `render`.
    """
    settings = code_settings(module)
    codes: dict[int, Tensor] = {}
    asked: dict[int, Tensor] = {}
    for value in dict.fromkeys(values):
        places = [place for place, other in enumerate(values) if other == value]
        held = varied(module, axis, value, None if rows is None else rows[places])

        def change(z: Tensor, value: float = value) -> Tensor:
            if axis.kind == "code":
                z[:, axis.place] = value
            elif axis.kind == "category":
                z[:, axis.place] = _middle(int(value), settings.categories)
            return z

        found = renderer.codes([indices[place] for place in places], held, change)
        codes |= dict(zip(places, found, strict=True))
        asked |= {} if held is None else dict(zip(places, held, strict=True))
    everywhere = range(len(indices))
    return renderer.images(
        torch.stack([codes[place] for place in everywhere]),
        torch.stack([asked[place] for place in everywhere]) if asked else None,
        indices,
        [index % CHUNK for index in indices],
    )


def _middle(category: int, categories: int) -> float:
    """The number of a latent in the middle of a category's part of the normal distribution."""
    middle = torch.tensor((category + 0.5) / categories, dtype=torch.float64)
    return float(torch.special.ndtri(middle))
