"""Memory: what is left is known, and a pack four times as large as the limit trains within it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from galgen.data import room
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.index import CATALOGUE, FLUX, PackIndex, Shard

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are those of Linux")


def under_limit(code: str, limit: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with at most `limit` bytes of memory of its own."""
    start = f"import resource\nresource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))\n"
    return subprocess.run(
        [sys.executable, "-c", start + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@LINUX
def test_a_limit_on_memory_is_known() -> None:
    code = "from galgen.data.room import memory\nprint(memory())"
    assert room.memory() > 1 << 20
    done = under_limit(code, 300 << 20)
    assert 100 << 20 < int(done.stdout) < 300 << 20


@LINUX
def test_limits_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "sys/fs/cgroup/job/step"
    inner.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1000000\n")
    (inner.parent / "memory.current").write_text("700000\n")
    (inner.parent / "memory.stat").write_text("anon 400000\nfile 300000\n")
    monkeypatch.setattr(room, "Path", lambda text: tmp_path / str(text).lstrip("/"))
    assert room._group() == 600_000


@LINUX
@pytest.mark.slow
def test_a_pack_four_times_the_memory_trains(tmp_path: Path) -> None:
    count, shape = 400_000, (4, 32, 32)
    folder, row = tmp_path / "pack", 4 * 4 * 32 * 32
    folder.mkdir()
    # A sparse file: zeros take no room on the disk, and every 64th galaxy is noise.
    noise = np.random.default_rng(0).normal(size=shape).astype("<f4").tobytes()
    with open(folder / "shard-00000.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for galaxy in range(0, count, 64):
            file.seek(start + galaxy * row)
            file.write(noise)
        size = file.truncate(start + count * row)
    names = [f"{k:06d}" for k in range(count)]
    catalogues.write(folder / CATALOGUE, Catalogue(names, names, [""] * count))
    PackIndex(
        kind=FLUX,
        shape=shape,
        dtype="<f4",
        count=count,
        checked=32,
        bands=tuple("griz"),
        unit="nanomaggy",
        zero_points=(22.5,) * 4,
        pixel_scale=0.2,
        psf_fwhm=None,
        classes=(),
        shards=(Shard("shard-00000.npy", count, size, ""),),
        catalogue={"file": CATALOGUE, "bytes": (folder / CATALOGUE).stat().st_size, "sha256": ""},
    ).write(folder)
    code = f"""
from galgen.train import train
settings = {{"data.source": {str(folder)!r}, "train.images": 256, "train.batch": 64,
             "train.accelerator": "cpu", "train.metric_images": 0, "train.grid_images": 0}}
print(train(settings, out={str(tmp_path)!r}).images)
"""
    done = under_limit(code, size // 4, OMP_NUM_THREADS="1", MALLOC_ARENA_MAX="2")
    assert done.stdout.strip() == "256", done.stderr[-2000:]


def test_freed_memory_goes_back_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    room.give_back()

    def none(name: object) -> object:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", none)
    room.give_back()
