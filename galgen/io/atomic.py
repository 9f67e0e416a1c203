"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galgen.errors import OutputError

#: The way out where nothing better is known.
ELSEWHERE = "choose another folder, or make room."
#: What disks say that know no second names of a file, or that allow none here.
_NO_LINKS = {
    number
    for name in ("EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EXDEV", "EMLINK", "EINVAL")
    if (number := getattr(errno, name, None)) is not None
}
_TEMPORARY = re.compile(r"^\..+\.(\d+)\.tmp$")


@contextmanager
def replacing(
    path: str | Path,
    *,
    durable: bool = False,
    keep: Path | None = None,
    way_out: str = ELSEWHERE,
) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well.

    Parameters
    ----------
    durable
        Wait until the disk has it, so that a power cut leaves the old file or the new one too.
    keep
        The file that is replaced stays under this name. At every moment there is a whole file
        at `path`, once there was one.
    way_out
        End of the sentence where it cannot be written.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            _sync(temporary, os.O_RDWR)
        if keep is not None and path.exists():
            _link(path, keep)
        os.replace(temporary, path)
        if durable:
            with suppress(OSError):
                # Windows and some network disks cannot; the rename is then as safe as they make it.
                _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written ({reason}): {way_out}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: str | Path, data: bytes, way_out: str = ELSEWHERE) -> None:
    """`replacing` for a file whose bytes are all there: quicker, for folders of many small files.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written, or the disk is full.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(temporary, flags, 0o666)
        try:
            written = os.write(number, data)
            while written < len(data):
                written += os.write(number, memoryview(data)[written:])
        finally:
            os.close(number)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written ({reason}): {way_out}") from error


def _sync(path: Path, flags: int) -> None:
    number = os.open(path, flags)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _link(path: Path, other: Path) -> None:
    """Give a file a second name; where the disk knows no links, a copy gets it."""
    temporary = other.with_name(f".{other.name}.{os.getpid()}.tmp")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(path, temporary)
            _sync(temporary, os.O_RDWR)
        os.replace(temporary, other)
    finally:
        # A rename of one name of a file to another name of the same file does nothing.
        with suppress(OSError):
            temporary.unlink()


def clear_leftovers(*folders: Path) -> list[Path]:
    """Remove the temporary files and folders of processes that are gone: killed while they wrote.

    Returns
    -------
    list of Path
        What was removed.
    """
    gone = []
    for folder in folders:
        for path in sorted(folder.glob(".*.tmp")) if folder.is_dir() else ():
            found = _TEMPORARY.match(path.name)
            if found and not alive(int(found[1])):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    gone.append(path)
    return gone


def alive(process: int) -> bool:
    """Whether another process with this number may still run; on Windows always so."""
    if process == os.getpid():
        # Of an earlier process with the number that is ours now.
        return False
    if os.name == "nt":
        # There the question would end the process.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
