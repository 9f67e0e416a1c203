"""Wavelength order and the colour pair from names alone."""

from __future__ import annotations

import pytest

from galgen.measure.bandorder import blue_to_red, colour_pair, reference_band

JWST = ("F444W", "F115W", "F200W", "F150W", "F277W", "F410M", "F356W")


@pytest.mark.parametrize(
    ("bands", "order"),
    [
        (("g", "r", "i"), (0, 1, 2)),
        (("R", "G", "B"), (2, 1, 0)),
        (("i", "u", "z", "r", "g"), (1, 4, 3, 0, 2)),
        (JWST, (1, 3, 2, 4, 6, 5, 0)),
        (("F160W", "F606W", "F435W", "F850LP"), (2, 1, 3, 0)),
        (("second", "first"), (0, 1)),
        (("g", "halpha"), (0, 1)),
        (("I",), (0,)),
    ],
)
def test_blue_to_red(bands: tuple[str, ...], order: tuple[int, ...]) -> None:
    assert blue_to_red(bands) == order


@pytest.mark.parametrize(
    ("bands", "pair"),
    [
        (("r", "i", "g"), (2, 0)),
        (("u", "g", "r", "i", "z"), (1, 2)),
        (("R", "G", "B"), (1, 0)),
        (("z", "i"), (1, 0)),
        (("a", "b"), (0, 1)),
        (JWST, (2, 4)),
        (("r",), None),
    ],
)
def test_colour_pair(bands: tuple[str, ...], pair: tuple[int, int] | None) -> None:
    assert colour_pair(bands) == pair
    assert reference_band(bands) == (0 if pair is None else pair[1])
