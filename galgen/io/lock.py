"""A folder that one process at a time works in."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galgen.errors import OutputError

try:
    import fcntl
except ImportError:
    # Windows.
    fcntl = None  # type: ignore[assignment]

#: File of a folder in use.
NAME = ".lock"
_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def only(folder: Path) -> Iterator[None]:
    """Hold a folder; where the file system knows no locks, nothing is held.

    The kernel lets go of it when the process ends, however it does, and processes that this one
    forked do not hold it.

    Raises
    ------
    OutputError
        If another process holds it.
    """
    if fcntl is None:
        yield
        return
    path = folder / NAME
    number = _open(path)
    try:
        yield
    finally:
        if number is not None:
            with suppress(OSError):
                path.unlink()
            # Closed last: until then nobody takes the name that is gone for a lock.
            os.close(number)


def _open(path: Path) -> int | None:
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            # A folder that cannot be written is refused by those who write there.
            return None
        try:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(number, 200).decode(errors="replace").strip()
            os.close(number)
            if error.errno not in _TAKEN:
                return None
            raise OutputError(
                f"{path.parent} is being worked in by another process"
                f"{f' ({holder})' if holder else ''}: wait until it ends, or end it first."
            ) from None
        if _is_there(path, number):
            with suppress(OSError):
                os.ftruncate(number, 0)
                os.write(number, f"{os.getpid()} on {socket.gethostname()}".encode())
            return number
        # The one that held it has ended in between, and its file with it.
        os.close(number)


def _is_there(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False
