"""Sums are those of the FITS standard, as astropy takes them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from galgen.io.checksum import (
    ZEROS,
    encode,
    fold,
    short_sum,
    sum_of_bytes,
    sums_of_floats,
)

REFERENCE = fits.PrimaryHDU()


def test_bytes_sum_as_in_astropy() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 3, 4, 5, 80, 2880, 65537):
        data = rng.integers(0, 256, size, dtype=np.uint8)
        assert fold(sum_of_bytes(data.tobytes())) == REFERENCE._compute_checksum(data)
    full = np.full(4000, 255, np.uint8)
    assert fold(sum_of_bytes(full.tobytes())) == REFERENCE._compute_checksum(full) == 0xFFFFFFFF


def test_short_sums_agree_up_to_whole_turns() -> None:
    data = np.random.default_rng(0).integers(0, 256, 800, dtype=np.uint8).tobytes()
    assert fold(1 + short_sum(data)) == fold(1 + sum_of_bytes(data))


def test_floats_sum_as_their_bytes_in_the_file() -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)
    pixels[0, 0, :3] = np.nan, np.inf, -0.0
    wanted = [fold(sum_of_bytes(plane.astype(">f4").tobytes())) for plane in pixels]
    assert sums_of_floats(pixels) == wanted
    assert sums_of_floats(np.zeros((2, 4), np.float32)) == [0, 0]


def test_signs_are_those_of_astropy() -> None:
    rng = np.random.default_rng(0)
    edges = [0, 1, 255, 256, 0xFFFFFFFF, 0xFFFFFFFE, 0x80808080, 868229149]
    every_byte = [b * 0x01010101 for b in range(256)]
    for total in [*edges, *every_byte, *rng.integers(0, 2**32, 2000).tolist()]:
        assert encode(total).decode() == REFERENCE._char_encode(np.uint32(~np.uint32(total)))
    # The example of appendix J.
    assert encode(868229149) == b"hcHjjc9ghcEghc9g"


@pytest.mark.parametrize("total", [0, 5, 0xFFFFFFFE, 123456789])
def test_an_hdu_with_its_checksum_sums_to_nothing(total: int) -> None:
    # The signs begin with the last byte of a word, as in their card.
    rest = total + sum_of_bytes(b"abc" + ZEROS + b"d")
    whole = total + sum_of_bytes(b"abc" + encode(rest) + b"d")
    assert fold(whole) == 0xFFFFFFFF


def test_the_sum_of_a_file_of_astropy_holds() -> None:
    file = io.BytesIO()
    fits.PrimaryHDU(np.arange(100.0)).writeto(file, checksum=True)
    assert fold(sum_of_bytes(file.getvalue())) == 0xFFFFFFFF
