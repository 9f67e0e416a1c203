"""Reading and writing at a place of an open file, whatever others do with it meanwhile."""

from __future__ import annotations

import os
import threading

#: Windows has no call that moves and writes at once.
_ONE = threading.Lock()


def read_at(file: int, count: int, offset: int) -> bytes:
    """At most `count` bytes of an open file from an offset on."""
    if hasattr(os, "pread"):
        return os.pread(file, count, offset)
    with _ONE:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, count)


def write_at(file: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data` into an open file from an offset on.

    Raises
    ------
    OSError
        If the disk is full.
    """
    left = memoryview(data)
    while len(left):
        if hasattr(os, "pwrite"):
            written = os.pwrite(file, left, offset)
        else:
            with _ONE:
                os.lseek(file, offset, os.SEEK_SET)
                written = os.write(file, left)
        left, offset = left[written:], offset + written
