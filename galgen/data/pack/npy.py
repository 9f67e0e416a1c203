"""The header of a shard: an .npy file of version 1.0."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np


class HeaderError(ValueError):
    """A file is not the .npy file that it should be; the message says what it is."""


def header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What stands before the pixels of an array in C order."""
    head = io.BytesIO()
    about: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, about)
    return head.getvalue()


def start(file: BinaryIO, dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes before the pixels of an open file, which must hold that array.

    Raises
    ------
    HeaderError
        If it holds anything else.
    """
    written = header(dtype, shape)
    if file.read(len(written)) == written:
        return len(written)
    # Another NumPy may have left more or less room in it.
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        found, fortran, kind = np.lib.format.read_array_header_1_0(file)
    # It is Python text, and so damage shows as anything that its parser raises.
    except Exception:
        raise HeaderError("its header is damaged") from None
    if version != (1, 0) or fortran or (kind.str, found) != (dtype, shape):
        raise HeaderError(f"holds {said(kind.str, found)} where {said(dtype, shape)} belongs")
    return file.tell()


def said(dtype: str, shape: tuple[int, ...] = ()) -> str:
    """A type of pixels, and their shape, in words."""
    name = {"<f4": "float32", "|u1": "8 bits"}.get(dtype, str(np.dtype(dtype)))
    return f"{name} of {' x '.join(map(str, shape))}" if shape else name
