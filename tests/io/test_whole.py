"""A file whose bytes are all there appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galgen.errors import OutputError
from galgen.io.atomic import write_whole


def test_a_file_is_replaced(workdir: Path) -> None:
    write_whole("a.fits", b"one")
    write_whole(workdir / "a.fits", b"another")
    assert (workdir / "a.fits").read_bytes() == b"another"
    assert [path.name for path in workdir.iterdir()] == ["a.fits"]


def test_what_the_system_takes_in_parts(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: write(number, bytes(data[:7])))
    write_whole("a.fits", bytes(range(100)))
    assert Path("a.fits").read_bytes() == bytes(range(100))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["open", "write", "replace"])
def test_what_fails_leaves_the_old_file(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    Path("a.fits").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise error

    wanted = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(wanted) as caught:
            write_whole("a.fits", b"new", "make room.")
    if wanted is OutputError:
        text = "a.fits cannot be written (No space left on device): make room."
        assert str(caught.value) == text
    assert [path.name for path in workdir.iterdir()] == ["a.fits"]
    assert Path("a.fits").read_bytes() == b"old"


def test_a_missing_folder(workdir: Path) -> None:
    with pytest.raises(OutputError, match=r"none/a\.fits cannot be written"):
        write_whole(Path("none/a.fits"), b"new")
