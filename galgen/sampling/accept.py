"""Which galaxies are what was asked for, as measured on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import ConfigError
from galgen.measure.quantities import is_magnitude, why_not
from galgen.models.requests import Request, find_number

#: How often a galaxy is drawn anew where nobody says how often.
REDRAWS = 50


@dataclass(frozen=True)
class Accept:
    """How near to the request a galaxy has to be, as it is measured.

    Attributes
    ----------
    tolerances
        Largest difference of each number by name, in its own unit.
    redraws
        How often a galaxy that is farther is drawn anew, before it is left out.
    """

    tolerances: Mapping[str, float]
    redraws: int = REDRAWS

    @classmethod
    def of(
        cls,
        wanted: str | float | Mapping[str, float] | None,
        redraws: int,
        conditions: Conditions,
        request: Request,
        spec: ImageSpec,
    ) -> Accept | None:
        """From what was typed; None where every galaxy will do.

        Parameters
        ----------
        wanted
            ``0.1`` for magnitudes and colours, those that the request names or else all that the
            model has; ``mag_r=0.1,r_half=0.2`` for each by itself.
        redraws
            At most.
        conditions, spec
            Of the model; what cannot be measured cannot be held against a galaxy.

        Raises
        ------
        ConfigError
            If it cannot be held.
        """
        if wanted is None:
            return None
        if redraws < 0:
            raise ConfigError(f"--redraws {redraws}: give 0 for none, or more.")
        tolerances = _parse(wanted, conditions, request)
        if request.nothing:
            raise ConfigError("--accept: nothing is asked for by --no-condition, leave one out.")
        for name, tolerance in tolerances.items():
            reason = why_not(name, spec)
            if reason is not None:
                raise ConfigError(f"--accept {name}: {reason}, so leave it out.")
            if not (math.isfinite(tolerance) and tolerance > 0):
                raise ConfigError(f"--accept {name}={tolerance:g}: give a number above 0.")
        return cls(tolerances, redraws)

    def met(
        self, requested: Mapping[str, NDArray[Any]], measured: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.bool_]:
        """Which of N galaxies are near enough in everything; one that was not measured is not."""
        near = [
            np.abs(measured[name] - requested[name]) <= tolerance
            for name, tolerance in self.tolerances.items()
        ]
        return np.asarray(np.logical_and.reduce(near))

    def __str__(self) -> str:
        return ", ".join(f"{name} within {value:g}" for name, value in self.tolerances.items())


def _parse(
    wanted: str | float | Mapping[str, float], conditions: Conditions, request: Request
) -> dict[str, float]:
    """Tolerance of each number."""
    if isinstance(wanted, Mapping):
        named = {find_number(k, conditions, "--accept").name: float(v) for k, v in wanted.items()}
        if not named:
            raise ConfigError("--accept is empty: give a tolerance, as in --accept 0.1.")
        return named
    text = str(wanted).strip()
    if "=" in text:
        found = {}
        for part in text.split(","):
            name, _, value = (piece.strip() for piece in part.rpartition("="))
            number = find_number(name, conditions, "--accept")
            found[number.name] = _tolerance(value, text)
        return found
    tolerance = _tolerance(text, text)
    if not conditions.names:
        raise ConfigError(
            f"--accept {text}: this model was trained without numbers to ask for, leave it out or "
            "train one with --condition."
        )
    names = [n for n in (request.where or conditions.names) if is_magnitude(n)]
    if not names:
        one = next(iter(request.where or conditions.names))
        raise ConfigError(
            f"--accept {text} holds for magnitudes and colours, of which none is asked for: name "
            f"what it is for, as in {one}={text}."
        )
    return dict.fromkeys(names, tolerance)


def _tolerance(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"--accept {whole}: give a number, or one by name as in mag_r=0.1,r_half=0.2."
        ) from None
