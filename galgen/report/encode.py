"""Pictures inside the page, each within a number of bytes, so that the file stays small."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from galgen.report.pictures import png_bytes

if TYPE_CHECKING:
    from galgen.report.pictures import Pictures

_QUALITIES = (90, 80, 65)
#: Each time that no quality is small enough the picture shrinks by this.
_SHRINK = 0.8
#: A PNG of more pixels than this is not tried.
_PNG_PIXELS = 300_000


def uri_within(picture: Pictures, most: int) -> str:
    """A picture (H, W, 3) as an address with its content, at most `most` characters long.

    PNG if that is small enough, else JPEG of falling quality, and at last of fewer pixels.
    """
    if picture.shape[0] * picture.shape[1] <= _PNG_PIXELS:
        uri = to_uri(png_bytes(picture), "png")
        if len(uri) <= most:
            return uri
    return jpeg_within(picture, most)


def jpeg_within(picture: Pictures, most: int) -> str:
    """The same as JPEG; of fewer pixels where it has to be."""
    side = 1.0
    while True:
        height, width = (max(1, round(length * side)) for length in picture.shape[:2])
        shown = picture if side == 1.0 else resized(picture, width, height)
        for quality in _QUALITIES:
            uri = to_uri(jpeg_bytes(shown, quality), "jpeg")
            if len(uri) <= most or max(height, width) == 1:
                return uri
        side *= _SHRINK


def jpeg_bytes(picture: Pictures, quality: int) -> bytes:
    """JPEG with full colour, since galaxies are small and their colours matter."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(
        buffer, format="JPEG", quality=quality, subsampling=0
    )
    return buffer.getvalue()


def resized(picture: Pictures, width: int, height: int) -> Pictures:
    """A picture (H, W, 3) at another size, smoothly."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def to_uri(content: bytes, kind: str) -> str:
    """Content of an image file as an address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
