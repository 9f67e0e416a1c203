"""Packs that are written: the same bits however they come about, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galgen.data.pack import index as indices
from galgen.data.pack.checking import prepare_check, run_check
from galgen.data.pack.index import PackIndex
from galgen.data.pack.looking import look
from galgen.data.pack.merging import finish, gather
from galgen.data.pack.shards import UNFINISHED, ShardTask, create, remove_stale, write_shard
from galgen.data.pack.workers import run_all
from galgen.data.pack.writing import prepare, run
from galgen.data.sets import open_set
from galgen.errors import ConfigError, DataError, OutputError, UserError

COUNT, SIDE = 30, 20
#: Bytes of four galaxies, so that there are eight shards, the last one smaller.
FOUR = 4 * 2 * SIDE * SIDE * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """FITS cubes of two bands, with cards, a catalogue and another table."""
    return cubes(tmp_path / "cubes")


def cubes(folder: Path, count: int = COUNT) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for k in range(count):
        header = fits.Header({"BANDS": "g,r", "BUNIT": "nanomaggy", "SCENE": k // 5, "RA": k / 7})
        pixels = rng.normal(size=(2, SIDE, SIDE)).astype(np.float32)
        fits.PrimaryHDU(pixels, header).writeto(folder / f"x{k:03d}.fits")
    rows = [f"x{k:03d},{k / 3},{'ab'[k % 2]}" for k in range(count)]
    (folder / "catalog.csv").write_text("\n".join(["file,z,kind", *rows]))
    (folder / "other.csv").write_text("\n".join(["file,size", *(r[:4] + ",1" for r in rows)]))
    return folder


def pack(source: Any, out: Path, workers: int = 1, **options: Any) -> PackIndex:
    index = run(prepare(source, out, **{"shard_bytes": FOUR, **options}), workers)
    assert index is not None
    return index


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def flip(file: Path, place: int) -> None:
    """Change one bit."""
    changed = bytearray(file.read_bytes())
    changed[place] ^= 1
    file.write_bytes(changed)


class Stop(Exception):
    """Stands for whatever ends a command."""


def stop_after(galaxies: int) -> Any:
    """A progress function that ends the work after so many galaxies."""
    seen = 0

    def advance(count: int) -> None:
        nonlocal seen
        seen += count
        if seen >= galaxies:
            raise Stop

    return advance


def test_a_pack_holds_what_the_folder_does(folder: Path, tmp_path: Path) -> None:
    index = pack(folder, tmp_path / "pack")
    assert (index.count, index.shape, index.dtype) == (COUNT, (2, SIDE, SIDE), "<f4")
    assert (index.bands, index.unit, index.zero_points) == (("g", "r"), "nanomaggy", (22.5, 22.5))
    assert [shard.count for shard in index.shards] == [4] * 7 + [2]
    assert sorted(content(tmp_path / "pack")) == sorted(
        [*(shard.file for shard in index.shards), "catalogue.fits", "other.csv", "pack.json"]
    )
    asked: dict[str, Any] = {"group": "header:SCENE", "labels": "catalogue:kind"}
    asked |= {"condition": "z", "select": "z>1", "size": 16}
    plain, packed = open_set(folder, **asked), open_set(tmp_path / "pack", **asked)
    assert list(plain.names) == list(packed.names)
    assert np.array_equal(plain.read(range(20)), packed.read(range(20)))
    assert (plain.spec, plain.classes) == (packed.spec, packed.classes)
    assert list(plain.groups) == list(packed.groups)
    assert np.array_equal(plain.values, packed.values)
    assert open_set(tmp_path / "pack", labels="other.csv:size").classes == ("1",)


def test_the_number_of_processes_changes_no_bit(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one", workers=1)
    pack(folder, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_jobs_and_a_merge_give_the_bits_of_one_go(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one")
    for i in (3, 1, 2):
        job = prepare(folder, tmp_path / "jobs", shard_bytes=FOUR, shard=(i, 3))
        assert run(job, 1) is None
        assert run(prepare(folder, tmp_path / f"p{i}", shard_bytes=FOUR, shard=(i, 3)), 1) is None
        if i == 1:
            with pytest.raises(DataError, match=r"lacks 3 of 8 shards \(--shard 2/3\)"):
                finish(tmp_path / "jobs")
    finish(tmp_path / "jobs")
    gather(tmp_path / "apart", [tmp_path / f"p{i}" for i in (1, 2, 3)])
    finish(tmp_path / "apart")
    assert content(tmp_path / "one") == content(tmp_path / "jobs") == content(tmp_path / "apart")


def test_more_jobs_than_shards(folder: Path, tmp_path: Path) -> None:
    for i in range(1, 4):
        run(prepare(folder, tmp_path / "pack", shard=(i, 3)), 1)
    assert finish(tmp_path / "pack").count == COUNT


def test_parts_of_another_pack_or_damaged_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, size in (("a", 16), ("b", 12)):
        job = prepare(folder, tmp_path / name, shard_bytes=FOUR, shard=(1, 2), size=size)
        run(job, 1)
    with pytest.raises(DataError, match="no parts of one pack"):
        gather(tmp_path / "new", [tmp_path / "a", tmp_path / "b"])
    shard = next((tmp_path / "a").glob("*.npy"))
    flip(shard, -1)
    with pytest.raises(DataError, match=rf"{shard.name} is damaged"):
        gather(tmp_path / "new", [tmp_path / "a"])


def test_what_was_stopped_goes_on_and_ends_the_same(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one")
    out = tmp_path / "stopped"
    for _ in range(3):
        with pytest.raises(Stop):
            run(prepare(folder, out, shard_bytes=FOUR), 1, stop_after(9))
        assert not [f for f in content(out) if f.endswith(".tmp")]
    (out / f".shard-00006.npy.{socket.gethostname()}.99999999.tmp").write_bytes(b"of a dead one")
    with pytest.raises(DataError, match="6 of 8 shards"):
        look(out)
    with pytest.raises(DataError, match="not finished"):
        prepare_check(out)
    with pytest.raises(DataError, match=r"not finished, .* galgen data merge"):
        open_set(out)
    job = prepare(folder, out, shard_bytes=FOUR)
    assert (job.left, job.todo) == (6, (6, 7))
    run(job, 1)
    assert content(tmp_path / "one") == content(out)
    again = prepare(folder, out, shard_bytes=FOUR)
    assert again.index is not None
    assert again.left == 0


def test_what_others_still_write_is_left_alone(tmp_path: Path) -> None:
    here, names = socket.gethostname(), ("dead", "alive", "elsewhere", "long_ago")
    pids = {"dead": f"{here}.99999999", "alive": f"{here}.{os.getppid()}"}
    left = {name: tmp_path / f".x.npy.{pids.get(name, 'other.7')}.tmp" for name in names}
    left["long_ago"] = tmp_path / ".x.npy.third.7.tmp"
    for path in left.values():
        path.touch()
    os.utime(left["long_ago"], (1, 1))
    remove_stale(list(left.values()))
    assert [name for name in names if left[name].exists()] == ["alive", "elsewhere"]


def test_an_error_in_one_process_ends_all_at_once(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with pytest.raises(Stop):
        run(prepare(folder, out, shard_bytes=FOUR), 2, stop_after(5))
    assert not (out / indices.INDEX).exists()
    pack(folder, tmp_path / "one")
    pack(folder, out, workers=2)
    assert content(tmp_path / "one") == content(out)


def die(task: int, tick: Any, threads: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_a_dead_process_is_one_sentence() -> None:
    with pytest.raises(OutputError, match="--workers"):
        run_all(die, [1, 2, 3], 2, lambda count: None, lambda result: None, "the pack")


def test_another_folder_or_other_options_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with pytest.raises(Stop):
        run(prepare(folder, out, shard_bytes=FOUR), 1, stop_after(9))
    with pytest.raises(DataError, match="begun with no size and now is asked for size 16"):
        prepare(folder, out, shard_bytes=FOUR, size=16)
    with pytest.raises(DataError, match="shard-size"):
        prepare(folder, out, shard_bytes=2 * FOUR)
    os.utime(folder / "x009.fits", (1, 1))
    prepare(folder, out, shard_bytes=FOUR)  # which no finished shard holds
    os.utime(folder / "x001.fits", (1, 1))
    with pytest.raises(DataError, match=r"has changed since shard-00000\.npy"):
        prepare(folder, out, shard_bytes=FOUR)
    (folder / "x001.fits").unlink()
    with pytest.raises(DataError, match="30 galaxies then, 29 now"):
        prepare(folder, out, shard_bytes=FOUR)


def test_a_table_that_a_pack_cannot_hold(folder: Path, tmp_path: Path) -> None:
    path = folder / "catalog.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},", *(f"{row}," for row in rows)]))
    job = prepare(folder, tmp_path / "pack", shard_bytes=FOUR)
    assert any("a column without a name" in note for note in job.plan.notes)
    run(job, 1)
    assert list(open_set(tmp_path / "pack").catalogue) == ["file", "z", "kind"]
    for more, words in (
        ([f"c{k}" for k in range(997)], r"1,000 columns, .* holds 999"),
        (["größe"], "a column 'größe'"),
        (["n" * 69], "at most 68 plain"),
    ):
        path.write_text("\n".join([",".join([head, *more]), *(r + ",1" * len(more) for r in rows)]))
        with pytest.raises(DataError, match=words):
            prepare(folder, tmp_path / "other")
        assert not (tmp_path / "other").exists()
    path.write_text(
        "\n".join(
            [",".join([head, *(f"c{k}" for k in range(996))]), *(r + ",1" * 996 for r in rows)]
        )
    )
    pack(folder, tmp_path / "other")
    assert len(open_set(tmp_path / "other").catalogue) == 999


def test_a_table_of_a_few_galaxies_says_of_how_many(folder: Path) -> None:
    (folder / "some.csv").write_text("file,kind\nx000,a\nx001,b\n")
    with pytest.raises(
        DataError, match=r"a column file that names 2 of the 30 galaxies of .*cubes"
    ):
        open_set(folder, labels="some.csv:kind")
    (folder / "some.csv").write_text("galaxy,kind\nx000,a\nx001,b\n")
    with pytest.raises(DataError, match=r"no column that names the files of .*: add one called fi"):
        open_set(folder, labels="some.csv:kind")


def test_a_changed_table_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        run(prepare(folder, tmp_path / "pack", shard_bytes=FOUR), 1, stop_after(9))
    (folder / "catalog.csv").write_text((folder / "catalog.csv").read_text().replace("a", "c"))
    with pytest.raises(DataError, match="other tables"):
        prepare(folder, tmp_path / "pack", shard_bytes=FOUR)


def test_a_finished_pack_of_files_that_changed_is_not_finished(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pack"
    pack(folder, out)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert prepare(other, out, shard_bytes=FOUR).index is not None, "moved, not changed"
    for file in other.glob("*.fits"):
        flip(file, -1)
    with pytest.raises(DataError, match=r"finished pack of .*cubes, not of .*other: choose ano"):
        prepare(other, out, shard_bytes=FOUR)
    flip(folder / "x029.fits", -1)
    with pytest.raises(DataError, match=r"cubes has changed since .*pack was packed from it"):
        prepare(folder, out, shard_bytes=FOUR, shard=(1, 3))


def test_of_two_jobs_at_once_the_first_decides(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    first = prepare(folder, out, shard_bytes=FOUR, shard=(1, 2))
    (folder / "other.csv").write_text("file,size\nx000,7\n")
    second = prepare(folder, out, shard_bytes=FOUR, shard=(2, 2))
    run(first, 1)
    before = content(out)
    with pytest.raises(DataError, match="other tables"):
        run(second, 1)
    assert content(out) == before
    plan = out / UNFINISHED / "plan.json"
    create(plan, "that of a later job")
    assert content(out) == before


def test_a_shard_of_another_plan_is_not_complete(folder: Path, tmp_path: Path) -> None:
    for name, options in (("a", {}), ("b", {"count": 25})):
        run(prepare(folder, tmp_path / name, shard_bytes=FOUR, shard=(1, 2), **options), 1)
    for name in ("unfinished/shard-00001.json", "shard-00001.npy"):
        shutil.copyfile(tmp_path / "b" / name, tmp_path / "a" / name)
    job = prepare(folder, tmp_path / "a", shard_bytes=FOUR)
    assert job.todo == (1, 4, 5, 6, 7)


def test_a_command_that_comes_late_leaves_a_finished_pack_alone(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pack"
    late = prepare(folder, out, shard_bytes=FOUR)
    part = prepare(folder, out, shard_bytes=FOUR, shard=(1, 2))
    index = run(prepare(folder, out, shard_bytes=FOUR), 1)
    before = content(out)
    assert run(late, 1) == index
    assert content(out) == before
    task = ShardTask(out, 0, part.source.part(part.plan.rows(0)), part.plan.shape, "<f4", "")
    with pytest.raises(OutputError, match="has been finished by another command"):
        write_shard(task)
    assert content(out) == before
    assert finish(out).count == COUNT


def test_nothing_else_is_overwritten(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "pack")
    with pytest.raises(OutputError, match=r"is a finished pack of .*cubes, with no size, not size"):
        prepare(folder, tmp_path / "pack", shard_bytes=FOUR, size=16)
    for out, words in (
        (folder, "is the folder to be packed"),
        (folder / "pack", "lies inside"),
        (tmp_path, "lies inside"),
        (folder / "x000.fits", "lies inside"),
        (tmp_path / "pack" / "pack.json", "is a file"),
    ):
        with pytest.raises(OutputError, match=words):
            prepare(folder, out)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"not empty \(thesis.tex\)"):
        prepare(folder, tmp_path / "papers")
    with pytest.raises(OutputError, match="cannot be made"):
        pack(folder, tmp_path / "papers" / "thesis.tex" / "pack")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_leaves_what_is_complete(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    job = prepare(folder, out, shard_bytes=FOUR)
    with pytest.raises(Stop):
        run(job, 1, stop_after(9))
    with full_disk(FOUR // 2), pytest.raises(OutputError, match=r"shard-00002.npy cannot be wri"):
        run(prepare(folder, out, shard_bytes=FOUR), 1)
    assert not [f for f in content(out) if f.endswith(".tmp")]
    pack(folder, out)
    pack(folder, tmp_path / "one")
    assert content(tmp_path / "one") == content(out)


def test_too_little_room_is_said_before_the_first_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    with pytest.raises(OutputError, match="are free"):
        pack(folder, tmp_path / "pack")


def test_bad_files_are_listed_and_stop_past_the_fraction(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "x003.fits").read_bytes()
    for k in (3, 7, 8, 9, 10, 11, 29):
        (folder / f"x{k:03d}.fits").write_bytes(whole[:3000])
    out = tmp_path / "pack"
    with pytest.raises(DataError, match=r"7 of 30 galaxies cannot .*cubes/x003.fits .*=0.24"):
        pack(folder, out, bad_fraction=0.2)
    job = prepare(folder, out, shard_bytes=FOUR)
    assert job.left < COUNT, "what was read is not read again"
    index = run(job, 1)
    assert index is not None
    assert index.count == 23
    assert [file for file, _ in index.bad] == [f"x{k:03d}.fits" for k in (3, 7, 8, 9, 10, 11, 29)]
    assert "truncated" in index.bad[0][1]
    assert [shard.file for shard in index.shards][:3] == [
        "shard-00000.npy", "shard-00001.npy", "shard-00003.npy"
    ]  # fmt: skip
    plain, packed = open_set(folder), open_set(out)
    assert list(plain.names) == list(packed.names)
    assert np.array_equal(plain.read(range(23)), packed.read(range(23)))
    wrong = run_check(prepare_check(folder), 1)
    assert [(file, reason) for file, reason in wrong] == list(index.bad)


def pictures(folder: Path, side: int = 24, count: int = 8) -> Path:
    rng = np.random.default_rng(2)
    for k in range(count):
        (folder / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        grid = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(grid).save(folder / "ab"[k % 2] / f"p{k}.png")
    return folder


def test_pictures_stay_bytes_until_they_are_resized(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    index = pack(folder, tmp_path / "whole")
    assert (index.kind, index.dtype, index.shape) == ("picture", "|u1", (3, 24, 24))
    assert index.classes == ("a", "b")
    small = pack(folder, tmp_path / "small", size=16)
    assert (small.dtype, small.shape) == ("<f4", (3, 16, 16))
    for asked in ({"size": 16}, {"size": 16, "crop": 20}):
        plain = open_set(folder, **asked)
        assert np.array_equal(
            plain.read(range(8)), open_set(tmp_path / "whole", **asked).read(range(8))
        )
    plain = open_set(folder, size=16)
    assert np.array_equal(plain.read(range(8)), open_set(tmp_path / "small").read(range(8)))
    assert np.array_equal(plain.labels, open_set(tmp_path / "small").labels)


def test_a_picture_of_16_bits_among_others_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "grey"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for k in range(60):
        dtype, most = (np.uint16, 65535) if k == 1 else (np.uint8, 255)
        grid = rng.integers(0, most, (16, 16)).astype(dtype)
        Image.fromarray(grid).save(folder / f"p{k:02d}.png")
    index = pack(folder, tmp_path / "pack")
    assert (index.count, index.dtype) == (59, "|u1")
    assert index.bad[0][0] == "p01.png"
    assert "16 bits" in index.bad[0][1]


@pytest.mark.parametrize("source", ["hubble", "sersic"])
def test_built_in_sets(source: str, tmp_path: Path) -> None:
    options = {"size": 16, "count": 40, "seed": 3}
    pack(source, tmp_path / "pack", workers=2, **options)
    plain, packed = open_set(source, **options), open_set(tmp_path / "pack")  # type: ignore[arg-type]
    assert list(plain.names) == list(packed.names)
    assert plain.spec == packed.spec
    assert np.array_equal(plain.read(range(40)), packed.read(range(40)))
    if source == "hubble":
        asked = open_set(tmp_path / "pack", group="catalogue:group")
        assert list(asked.groups) == list(plain.groups)
    else:
        asked = open_set(tmp_path / "pack", labels="catalogue:kind", condition="redshift")
        plain = open_set("sersic", labels="catalogue:kind", condition="redshift", **options)  # type: ignore[arg-type]
        assert asked.classes == plain.classes
        assert np.array_equal(asked.values, plain.values)


def test_a_pack_is_packed_again_and_two_become_one(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a", select="z<5")
    pack(folder, tmp_path / "b", select="z>=5")
    joined = pack([tmp_path / "a", tmp_path / "b"], tmp_path / "joined", workers=2)
    pack(folder, tmp_path / "whole")
    plain, both = open_set(tmp_path / "whole"), open_set(tmp_path / "joined")
    assert joined.count == COUNT
    assert list(plain.names) == list(both.names)
    assert np.array_equal(plain.read(range(COUNT)), both.read(range(COUNT)))
    assert np.array_equal(plain.catalogue["z"], both.catalogue["z"])
    index = pack(tmp_path / "whole", tmp_path / "small", crop=12, bands=("r",))
    assert (index.shape, index.bands) == ((1, 12, 12), ("r",))
    asked: dict[str, Any] = {"group": "header:SCENE", "condition": "z"}
    small, direct = (
        open_set(tmp_path / "small", **asked),
        open_set(folder, size=12, bands="r", **asked),
    )
    assert np.array_equal(direct.read(range(COUNT)), small.read(range(COUNT)))
    assert list(small.groups) == list(direct.groups)
    with pytest.raises(ConfigError, match="both have a galaxy called x000"):
        prepare([tmp_path / "a", tmp_path / "whole"], tmp_path / "c")
    with pytest.raises(ConfigError, match="differ in size, bands"):
        prepare([tmp_path / "a", tmp_path / "small"], tmp_path / "c")


def test_a_check_names_the_shard_in_which_a_byte_changed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    pack(folder, out)
    assert run_check(prepare_check(out), 1) == []
    shard = out / "shard-00005.npy"
    flip(shard, 700)
    ((file, reason),) = run_check(prepare_check(out), 2)
    assert file == "shard-00005.npy"
    assert "sha256" in reason
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-4])
    with pytest.raises(DataError, match=r"shard-00005\.npy has"):
        prepare_check(out)
    flip(out / "catalogue.fits", -2900)
    shard.write_bytes(whole)
    assert [file for file, _ in run_check(prepare_check(out), 1)] == [
        "catalogue.fits", "shard-00005.npy"
    ]  # fmt: skip


def test_a_check_looks_at_tables_and_facts(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    index = pack(folder, out)
    assert list(index.tables) == ["other.csv"]
    facts = (out / "pack.json").read_text()
    (out / "pack.json").write_text(facts.replace('"nanomaggy"', '"Jy"'))
    flip(out / "other.csv", 20)
    assert [file for file, _ in run_check(prepare_check(out), 1)] == ["other.csv", "pack.json"]
    (out / "pack.json").write_text(facts)
    (out / "other.csv").unlink()
    assert run_check(prepare_check(out), 1) == [("other.csv", "is missing from the pack")]


def test_a_look_at_all_kinds(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "pack")
    plain, packed = look(folder), look(tmp_path / "pack")
    assert (plain.kind, packed.kind) == ("folder", "pack")
    assert plain.values == packed.values
    assert (plain.count, plain.spec, plain.columns) == (packed.count, packed.spec, packed.columns)
    assert plain.values["g"]["sky_noise"] == pytest.approx(1, abs=0.1)
    assert plain.values["r"]["p50"] == pytest.approx(0, abs=0.05)
    labelled = [look(each, labels="catalogue:kind").classes for each in (folder, tmp_path / "pack")]
    assert labelled == [{"a": 15, "b": 15}] * 2
    assert look(pictures(tmp_path / "pictures")).classes == {"a": 4, "b": 4}
    assert look("sersic", count=20).kind == "built-in"


def test_facts_that_differ_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path
) -> None:
    with fits.open(folder / "x000.fits", mode="update") as hdus:
        hdus[0].header["BUNIT"] = "Jy"
    with pytest.raises(UserError, match="mixes flux units"):
        prepare(folder, tmp_path / "pack")
    assert prepare(folder, tmp_path / "pack", unit="nanomaggy").plan.entries == COUNT


SCRIPT = """
import sys
from pathlib import Path
from galgen.data.pack.writing import prepare, run
if __name__ == "__main__":
    run(prepare(sys.argv[1], sys.argv[2], shard_bytes=int(sys.argv[3])), int(sys.argv[4]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_any_moment_lose_nothing(tmp_path: Path, workers: int) -> None:
    folder = cubes(tmp_path / "many", 1500)
    pack(folder, tmp_path / "one", workers=2, shard_bytes=8 * FOUR)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), str(tmp_path / "killed")]
    command += [str(8 * FOUR), str(workers)]
    begun = time.monotonic()
    subprocess.run([*command[:3], str(tmp_path / "timed"), *command[4:]], check=True)
    took = time.monotonic() - begun
    rng = np.random.default_rng(workers)
    for _ in range(6):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(0.3, 0.9) * took)
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True)
    assert content(tmp_path / "one") == content(tmp_path / "killed")
    assert not (tmp_path / "killed" / UNFINISHED).exists()
