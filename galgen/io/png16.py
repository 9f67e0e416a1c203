"""16-bit PNG: Pillow and scikit-image reduce colour ones to 8 bits without a word.

Format: W3C Portable Network Graphics (PNG) Specification, second edition, sections 9 and 11.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def is_png16(head: bytes) -> bool:
    """True for the first 33 bytes of a PNG of 16 bits a channel."""
    return head[:8] == _SIGNATURE and head[12:16] == b"IHDR" and len(head) > 24 and head[24] == 16


def decode_png16(data: bytes, path: str | Path) -> NDArray[np.uint16]:
    """(H, W) or (H, W, 3) uint16 of a 16-bit PNG; an alpha channel is dropped.

    Raises
    ------
    DataError
        If the file is cut short, damaged or interlaced.
    """
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    colour, interlace = data[25], data[28]
    channels = _CHANNELS.get(colour)
    if channels is None or width == 0 or height == 0:
        raise DataError(f"{path} has a damaged PNG header.")
    if interlace:
        raise DataError(
            f"{path} is an interlaced 16-bit PNG, which is not read: save it without interlacing."
        )
    stride = 2 * channels * width
    expected = height * (1 + stride)
    packed = b"".join(_chunks(data, b"IDAT"))
    try:
        # The limit keeps a small file from growing beyond the size that its header declares.
        raw = zlib.decompressobj().decompress(packed, expected)
    except zlib.error as error:
        raise DataError(f"{path} is a damaged PNG ({error}).") from error
    if len(raw) < expected:
        raise DataError(f"{path} is truncated: {len(raw):,} of {expected:,} bytes of pixels.")
    rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + stride)
    plain = _unfilter(rows[:, 1:].reshape(height, width, 2 * channels), rows[:, 0], path)
    image = plain.reshape(height, stride).view(">u2").reshape(height, width, channels)
    wanted = image[..., 0] if channels < 3 else image[..., :3]
    return wanted.astype(np.uint16)


def _chunks(data: bytes, kind: bytes) -> list[bytes]:
    found, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == kind:
            found.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return found


def _unfilter(
    filtered: NDArray[np.uint8], kinds: NDArray[np.uint8], path: str | Path
) -> NDArray[np.uint8]:
    """Undo the row filters of (H, W, bytes a pixel), along anti-diagonals.

    A pixel depends on its left, upper and upper left neighbours, so all pixels of one
    anti-diagonal can be done at once: H + W steps rather than H * W.
    """
    if kinds.max() > 4:
        raise DataError(f"{path} is a damaged PNG: row filter {kinds.max()} does not exist.")
    height, width, lanes = filtered.shape
    if not kinds.any():
        return np.ascontiguousarray(filtered)
    # skew[d, y + 1] is the pixel (y, d - y); a ring of zeros stands for what lies outside.
    skew = np.zeros((height + width + 1, height + 1, lanes), np.int16)
    row = np.arange(height)
    kind = kinds.astype(np.int16)[:, None]
    for diagonal in range(height + width - 1):
        first, last = max(0, diagonal - width + 1), min(height, diagonal + 1)
        y = row[first:last]
        here = kind[first:last]
        left = skew[diagonal + 1, first + 1 : last + 1]
        up = skew[diagonal + 1, first:last]
        corner = skew[diagonal, first:last]
        if diagonal < height:
            left = left.copy()
            left[-1] = 0
        predicted = np.choose(
            here, [np.zeros_like(up), left, up, (left + up) >> 1, _paeth(left, up, corner)]
        )
        skew[diagonal + 2, first + 1 : last + 1] = (filtered[y, diagonal - y] + predicted) & 255
    column = np.arange(width)
    return skew[row[:, None] + column + 2, row[:, None] + 1].astype(np.uint8)


def _paeth(
    left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    estimate = left + up - corner
    to_left, to_up, to_corner = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
