"""Pictures in a table with labels, and as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from galgen.io.atomic import replacing
from galgen.report.pictures import enlarge, png_bytes, tile_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[np.uint8]

#: What stands where there is no picture.
GREY = 40
_INK = 220
_GAP, _WIDE_GAP = 2, 8
_LETTERS = 14
#: Side in pixels that frames of an animation are enlarged to, at least.
_FRAME = 256
_MILLISECONDS = 80


def table(
    pictures: Pictures,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    *,
    title: str = "",
    heads: bool = False,
    scale: int | None = None,
) -> Pictures:
    """Pictures in rows and columns as one, with labels to the left and on top.

    Parameters
    ----------
    pictures
        (R, C, H, W, 3), grey where there is none.
    rows, columns
        Texts of the R rows and the C columns; none of them for no margin.
    title
        Text above all columns: what these are.
    heads
        Set the first row and the first column apart.
    scale
        Whole-number enlargement; by default tiles become about 96 pixels wide.

    Returns
    -------
    (H', W', 3) uint8
    """
    from PIL import Image, ImageDraw, ImageFont

    count, across, height, width = pictures.shape[:4]
    scale = scale or tile_scale(width)
    height, width = height * scale, width * scale
    font = ImageFont.load_default(_LETTERS)
    left = max((round(font.getlength(text)) + 2 * _GAP for text in rows), default=0)
    line = _LETTERS + 2 * _GAP
    head = line if title else 0
    y = _places(count, height, head + (line if columns else 0), heads)
    x = _places(across, width, left, heads)
    shape = (y[-1] + height + _GAP, x[-1] + width + _GAP, 3)
    sheet = np.full(shape, GREY, dtype=np.uint8)
    for row, tiles in enumerate(pictures):
        for column, tile in enumerate(enlarge(tiles, scale)):
            sheet[y[row] : y[row] + height, x[column] : x[column] + width] = tile
    image = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    ink = (_INK, _INK, _INK)
    for place, text in zip(y, rows, strict=bool(rows)):
        draw.text((left - _GAP, place + height // 2), text, ink, font, anchor="rm")
    for place, text in zip(x, columns, strict=bool(columns)):
        draw.text((place + width // 2, head + line // 2), text, ink, font, anchor="mm")
    if title:
        draw.text(((x[0] + sheet.shape[1]) // 2, line // 2), title, ink, font, anchor="mm")
    return np.asarray(image)


def _places(count: int, length: int, margin: int, heads: bool) -> list[int]:
    """Where tiles begin along one axis."""
    extra = _WIDE_GAP if heads else 0
    return [margin + _GAP + k * (length + _GAP) + (extra if k else 0) for k in range(count)]


def write_png(picture: Pictures, path: Path) -> Path:
    """Write a picture (H, W, 3), to a temporary name first.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(picture))
    return path


def write_gif(frames: Pictures, path: Path) -> Path:
    """Write frames (N, H, W, 3) as an animation without an end, in one palette for all.

    Small frames are enlarged with a smooth filter, since a moving picture of squares is hard to
    look at.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from PIL import Image

    height, width = frames.shape[1:3]
    scale = max(1, -(-_FRAME // width))
    size = (width * scale, height * scale)
    # One palette of all frames: with palettes of their own they would flicker.
    palette = Image.fromarray(frames.reshape(-1, width, 3)).quantize(256)
    first, *rest = (
        Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC).quantize(palette=palette)
        for frame in frames
    )
    with replacing(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=_MILLISECONDS,
            loop=0,
        )
    return path
