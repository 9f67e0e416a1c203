"""Cards are those of astropy, sign by sign."""

from __future__ import annotations

import random
import struct
import warnings

import numpy as np
import pytest
from astropy.io import fits

from galgen.io.cards import fits_text, fitting, format_card, format_value, join_cards, split_cards


def by_astropy(keyword: str, value: object, comment: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # the comment is cut off
        return fits.Card(keyword, value, comment).image.encode("ascii")


def check(value: object, comment: str = "what it is") -> None:
    for text in (comment, ""):
        wanted = by_astropy("SOME-KEY", value, text)
        got = format_card("SOME-KEY", value, text)  # type: ignore[arg-type]
        assert got == (wanted if len(wanted) == 80 else None), value


def test_numbers_as_astropy() -> None:
    numbers: list[object] = [True, False, 0, 1, -1, 2**63 - 1, -(2**63), 10**19, 200_000]
    numbers += [0.0, -0.0, 1.0, -1.0, 1e15, 1e16, 123456789012345678.0, 1e22, 1e-5, 0.0001, 22.5]
    numbers += [
        1 / 3,
        -1 / 3,
        2 / 3 * 1e-7,
        -1.2345678901234567e-300,
        5e-324,
        1.7976931348623157e308,
    ]
    numbers += [0.1 + 0.2, -123456.78901234567, 1e100, -1e-100, 18.253846129302873]
    for number in numbers:
        check(number)


def test_floats_of_all_bits_as_astropy() -> None:
    draw = random.Random(0)
    for _ in range(1000):
        (number,) = struct.unpack("<d", draw.randbytes(8))
        if np.isfinite(number):
            check(number)
        check(draw.gauss(0, 10 ** draw.uniform(-12, 12)))
        check(round(draw.gauss(0, 30), draw.randrange(6)))
        check(draw.randrange(-(10**18), 10**18))
        check(float(np.float32(draw.gauss(20, 5))))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 17, 18, 19, 45, 66, 67, 68, 69, 70, 140])
def test_texts_of_any_length_as_astropy(length: int) -> None:
    check("x" * length)
    check("x" * length, "a comment that has no room where the text is long, and is cut off there")


def test_texts_with_quotes_and_spaces_as_astropy() -> None:
    texts = ["it's", "'", "''", "'" * 33, "'" * 34, "'" * 35, "a / b", " in front", "&", "=", "T"]
    for text in [*texts, '{"label": "FRII", "where": "mag_r=18..20"}', "moffat:g=0.7,beta=3"]:
        check(text)


def test_comments_of_any_length_as_astropy() -> None:
    for length in range(60):
        check(1.5, "c" * length)


def test_a_comment_as_far_as_it_has_room() -> None:
    for length in range(80):
        for value in ("x" * length, "it's" * (length // 4)):
            comment = fitting(value, "what was asked for")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                image = fits.Card("KEY", value, comment).image
            assert "what was asked for".startswith(comment)
            assert image[:80].rstrip()[-1:] != "/"
            if length < 40 or len(image) > 80:
                assert comment == "what was asked for"
            else:
                assert len(image.rstrip()) >= 79 or comment in ("what was asked for", "")
    assert fitting(1 / 3, "of a number") == "of a number"


def test_what_needs_astropy() -> None:
    assert format_card("A KEYWORD", 1) is None
    assert format_card("HIERARCH abc", 1) is None
    assert format_card("KEY", "x" * 69) is None


def test_a_text_for_fits() -> None:
    assert fits_text("plain, 'as' it is ~") == "plain, 'as' it is ~"
    assert fits_text("Ünïcode\n星\tß") == "Unicode???" + "?"
    assert format_value(True).strip() == "T"


def test_a_header_of_cards_and_back() -> None:
    for count in (0, 1, 34, 35, 36, 71, 72):
        cards = [f"KEY{k:05d}= {k:20d}".ljust(80).encode() for k in range(count)]
        header = join_cards(cards)
        assert len(header) % 2880 == 0
        assert len(header) - 2880 < (count + 1) * 80 <= len(header)
        assert split_cards(b"12345" + header, 5) == cards
