"""One process at a time works in a folder, and a kill leaves it free."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from galgen.errors import OutputError
from galgen.io import lock
from galgen.io.lock import NAME, only

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no POSIX locks here")

HOLD = """
import os, sys, time
from pathlib import Path
from galgen.io.lock import only

with only(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder, and its own child, which it forked meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        os.kill(child, 9)


def test_a_second_one_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        said = rf"{tmp_path.name} is being worked in by another process \({process.pid} on "
        with pytest.raises(OutputError, match=said) as refused, only(tmp_path):
            pass
        assert refused.value.exit_code == 2
        process.kill()
        process.wait()
        # The reader that it forked is still there.
        with only(tmp_path):
            assert (tmp_path / NAME).is_file()
    assert not (tmp_path / NAME).exists()


def test_without_locks_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*given: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with holder(tmp_path):
        monkeypatch.setattr(lock.fcntl, "lockf", no_locks)
        with only(tmp_path):
            pass
        monkeypatch.setattr(lock, "fcntl", None)
        with only(tmp_path):
            pass


def test_a_file_that_went_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it and taking the lock, the one before let go and removed it."""
    real, calls = lock.fcntl.lockf, []

    def late(*given: Any) -> None:
        if not calls:
            (tmp_path / NAME).unlink()
        calls.append(given)
        real(*given)

    monkeypatch.setattr(lock.fcntl, "lockf", late)
    with only(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / NAME).is_file()
