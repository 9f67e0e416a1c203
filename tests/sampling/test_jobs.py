"""A set of galaxies can be gone on with at any moment, in any parts, and ends the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError, OutputError
from galgen.sample import go_on, sample
from galgen.sampling.engine import Engine
from galgen.sampling.folder import WORK
from tiny import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A tiny model with a number that can be measured."""
    outcome = run(tmp_path_factory.mktemp("jobs"), data__condition="mag_r", recipe__lr=0.01)
    return checkpoint.load(outcome.run)


@pytest.fixture(scope="module")
def whole(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """80 galaxies that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "set"
    made = sample(model, 80, formats=["fits", "png"], out=out)
    assert (made.made, made.complete) == (80, True)
    return content(out)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a set but what tells its history."""
    assert not (folder / WORK).exists()
    left = {"sampling.json"}
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in left}


def stop_after(patch: pytest.MonkeyPatch, galaxies: int) -> None:
    """End the making of galaxies as an error would, once so many are stored."""
    store, stored = Engine._write, [0]

    def write(self: Engine, *rest: Any) -> None:
        if stored[0] >= galaxies:
            raise KeyboardInterrupt
        stored[0] += 1
        store(self, *rest)

    patch.setattr(Engine, "_write", write)


@pytest.mark.parametrize("galaxies", [0, 1, 40, 79])
def test_an_interrupted_set_ends_as_one_that_nobody_disturbed(
    model: TrainedModel,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    galaxies: int,
) -> None:
    asked = {"formats": ["fits", "png"], "out": tmp_path / "set"}
    with monkeypatch.context() as patch:
        stop_after(patch, galaxies)
        with pytest.raises(KeyboardInterrupt):
            sample(model, 80, **asked)
    assert not (tmp_path / "set/catalogue.fits").exists()
    again = sample(model, 80, **asked)
    assert again.made == 80 - galaxies
    assert content(tmp_path / "set") == whole


def test_damaged_and_missing_files_are_made_anew_and_others_left_alone(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    asked = {"formats": ["fits", "png"], "out": tmp_path / "set"}
    sample(model, 80, **asked)
    (tmp_path / "set/galaxy_000003.fits").unlink()
    (tmp_path / "set/galaxy_000050.png").write_bytes(b"no picture")
    damaged = bytearray((tmp_path / "set/galaxy_000077.fits").read_bytes())
    damaged[-3000] ^= 1
    (tmp_path / "set/galaxy_000077.fits").write_bytes(damaged)
    before = os.stat(tmp_path / "set/galaxy_000004.fits").st_mtime_ns
    said: list[str] = []
    again = sample(model, 80, **asked, say=said.append)
    assert again.made == 3
    assert said == [f"77 of 80 galaxies are in {tmp_path / 'set'} and whole: going on"]
    assert content(tmp_path / "set") == whole
    assert os.stat(tmp_path / "set/galaxy_000004.fits").st_mtime_ns == before
    assert sample(model, 80, **asked).made == 0


def test_a_set_can_be_made_longer(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    sample(model, 30, formats=["fits", "png"], out=tmp_path / "set")
    longer = go_on(tmp_path / "set", model, 80)
    assert (longer.made, longer.count) == (50, 80)
    found = content(tmp_path / "set")
    assert found == whole
    with pytest.raises(OutputError, match="holds 80 of these galaxies, and -n 79 is less"):
        go_on(tmp_path / "set", model, 79)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_of_a_set_are_the_set(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path, order: tuple[int, ...]
) -> None:
    asked = {"formats": ["fits", "png"], "out": tmp_path / "set"}
    parts = [sample(model, 80, **asked, shard=(i, 3)) for i in order]
    assert [part.complete for part in parts] == [False, False, True]
    assert [part.count for part in parts[:2]] == [(26, 27, 27)[i] for i in order[:2]]
    assert content(tmp_path / "set") == whole
    with pytest.raises(ConfigError, match="--shard 3/3: give i/n with i from 0 to n - 1"):
        sample(model, 80, **asked, shard=(3, 3))
    with pytest.raises(ConfigError, match="name the folder of all parts by --out"):
        sample(model, 80, shard=(0, 3))


def test_a_part_of_a_finished_set_is_checked_alone(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    asked = {"formats": ["fits", "png"], "out": tmp_path / "set"}
    for i in range(3):
        sample(model, 80, **asked, shard=(i, 3))
    record = (tmp_path / "set/sampling.json").read_bytes()
    (tmp_path / "set/galaxy_000030.fits").unlink()
    again = [sample(model, 80, **asked, shard=(i, 3)) for i in range(3)]
    assert [part.made for part in again] == [0, 1, 0]
    assert all(part.complete and part.told["count"] == 80 for part in again)
    assert content(tmp_path / "set") == whole
    assert (tmp_path / "set/sampling.json").read_bytes() == record
    assert sample(model, 80, **asked).made == 0


def test_parts_are_of_one_number(model: TrainedModel, tmp_path: Path) -> None:
    sample(model, 8, out=tmp_path / "set", shard=(0, 2))
    with pytest.raises(OutputError, match="was begun in 2 parts and not 4: give --shard i/2"):
        sample(model, 8, out=tmp_path / "set", shard=(1, 4))


@pytest.mark.slow
def test_two_processes_make_the_same_set(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    made = sample(model, 80, formats=["fits", "png"], out=tmp_path / "set", device="cpu", devices=2)
    assert made.made == 80
    assert content(tmp_path / "set") == whole


def test_the_batch_changes_nothing(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    sample(model, 80, formats=["fits", "png"], out=tmp_path / "set", batch=1)
    assert content(tmp_path / "set") == whole


@pytest.mark.parametrize(("threads", "batch"), [(2, 64), (5, 64), (3, 96)])
def test_the_number_of_threads_changes_nothing(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path, threads: int, batch: int
) -> None:
    """Several of them draw a chunk each; afterwards all is as it was."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        sample(model, 80, formats=["fits", "png"], out=tmp_path / "set", batch=batch)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert content(tmp_path / "set") == whole


def test_every_row_of_the_catalogue_is_true(
    model: TrainedModel, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Sums are those of the files, and what is measured is measured on what stands in them."""
    import hashlib

    from galgen.io import read_cutout
    from galgen.measure.photometry import measure

    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    table = Table.read(tmp_path / "catalogue.fits", unit_parse_strict="silent")
    assert table["sample"].tolist() == list(range(80))
    flux = np.stack([read_cutout(tmp_path / str(name)).pixels for name in table["file"]])
    for row in table:
        assert hashlib.sha256(whole[str(row["file"])]).hexdigest() == str(row["sha256"])
        png = str(row["file"]).replace(".fits", ".png")
        assert hashlib.sha256(whole[png]).hexdigest() == str(row["sha256_png"])
    found = measure(flux, model.spec)
    for name in ("detected", "x", "radius", "ellipticity", "flux_g", "mag_r", "colour"):
        assert np.array_equal(np.asarray(table[name]), found[name], equal_nan=True), name
    assert np.array_equal(table["mag_r_measured"], table["mag_r"], equal_nan=True)
    error = (table["mag_r_measured"] - table["mag_r_requested"])[np.asarray(table["detected"])]
    assert table.meta["COND1"] == "mag_r"
    assert table.meta["BIAS1"] == pytest.approx(float(np.median(error)))
    assert table.meta["NFAIL1"] == 80 - len(error)


def test_galaxies_of_another_request_and_foreign_files_are_refused(
    model: TrainedModel, tmp_path: Path
) -> None:
    sample(model, 2, formats=["fits"], out=tmp_path / "set")
    before = content(tmp_path / "set")
    for changes, words in (
        ({"seed": 1}, "seed 0 and not 1"),
        ({"truncation": 0.5}, "look .*truncation"),
        ({"where": {"mag_r": 20}}, "request nothing and not where=mag_r=20.0"),
        ({"formats": ["png"]}, "kinds fits and not png"),
        ({"start": 5}, "start 0 and not 5"),
    ):
        with pytest.raises(OutputError, match=words):
            sample(model, 2, **{"formats": ["fits"], **changes}, out=tmp_path / "set")
    assert content(tmp_path / "set") == before
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds files already \(notes.txt\)"):
        sample(model, 2, out=foreign)
    assert [p.name for p in foreign.iterdir()] == ["notes.txt"]
    (tmp_path / "set/sampling.json").write_text("{}")
    with pytest.raises(OutputError, match=r"sampling.json is no record that this galgen reads"):
        sample(model, 2, formats=["fits"], out=tmp_path / "set")
    with pytest.raises(OutputError, match="holds no set of galaxies that was begun"):
        go_on(foreign, model)


def test_another_checkpoint_is_another_set(model: TrainedModel, tmp_path: Path) -> None:
    sample(model, 2, out=tmp_path / "set")
    record = json.loads((tmp_path / "set/sampling.json").read_text())
    record["model"]["digests"] = {"": "0" * 64}
    (tmp_path / "set/sampling.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match="another checkpoint"):
        sample(model, 2, out=tmp_path / "set")


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(
    model: TrainedModel,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"formats": ["fits", "png"], "out": tmp_path / "set"}
    write, written = os.write, [0]

    def full(number: int, data: bytes) -> int:
        written[0] += 1
        if written[0] > 50:
            write(number, data[:100])
            raise OSError(28, "No space left on device")
        return write(number, data)

    with monkeypatch.context() as patch:
        patch.setattr("galgen.io.atomic.os.write", full)
        with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
            sample(model, 80, **asked)
    assert not [p for p in (tmp_path / "set").iterdir() if p.name.endswith(".tmp")]
    for path in (tmp_path / "set").glob("*.fits"):
        fits.open(path, checksum=True).verify("exception")
    sample(model, 80, **asked)
    assert content(tmp_path / "set") == whole


def test_a_pack_holds_what_files_would(model: TrainedModel, tmp_path: Path) -> None:
    from galgen.data.sets import open_set

    made = sample(model, 40, pack=True, out=tmp_path / "pack")
    assert made.complete
    found = open_set(tmp_path / "pack")
    pixels = np.stack([found.read([k])[0] for k in range(40)])
    assert np.array_equal(pixels, model.sample(40).numpy())
    before = {p.name: p.read_bytes() for p in (tmp_path / "pack").iterdir() if p.is_file()}
    assert sample(model, 40, pack=True, out=tmp_path / "pack").made == 0
    (shard,) = (tmp_path / "pack").glob("*.npy")
    damaged = bytearray(shard.read_bytes())
    damaged[-20000] ^= 1
    shard.write_bytes(damaged)
    assert sample(model, 40, pack=True, out=tmp_path / "pack").made == 1
    after = {p.name: p.read_bytes() for p in (tmp_path / "pack").iterdir() if p.is_file()}
    assert after == before
    three = [sample(model, 40, pack=True, out=tmp_path / "parts", shard=(i, 3)) for i in (1, 0, 2)]
    assert [part.complete for part in three] == [False, False, True]
    assert next((tmp_path / "parts").glob("*.npy")).read_bytes() == shard.read_bytes()
    damaged = bytearray(shard.read_bytes())
    damaged[-20000] ^= 1
    next((tmp_path / "parts").glob("*.npy")).write_bytes(damaged)
    mended = [sample(model, 40, pack=True, out=tmp_path / "parts", shard=(i, 3)) for i in range(3)]
    assert sum(part.made for part in mended) == 1
    assert mended[-1].complete
    assert next((tmp_path / "parts").glob("*.npy")).read_bytes() == shard.read_bytes()


def test_two_parts_that_end_together_make_one_catalogue(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has seen all parts complete, and comes when the first has just finished."""
    from galgen.sampling.folder import Folder

    asked = {"formats": ["fits"], "out": tmp_path / "set"}
    sample(model, 8, **asked, shard=(0, 2))
    late: list[Any] = []
    tidy = Folder._tidy

    def remember(self: Folder) -> None:
        late.append(self)
        tidy(self)

    monkeypatch.setattr(Folder, "_tidy", remember)
    sample(model, 8, **asked, shard=(1, 2))
    before = (tmp_path / "set/catalogue.fits").read_bytes()
    told = late[0].close(lambda stores: pytest.fail("finished twice"))
    assert told["count"] == 8
    assert (tmp_path / "set/catalogue.fits").read_bytes() == before


def test_what_was_left_of_another_set_is_no_part_of_this_one(
    model: TrainedModel, tmp_path: Path
) -> None:
    """Somebody removed the files that can be seen."""
    sample(model, 6, formats=["fits"], out=tmp_path / "set", shard=(1, 2))
    for path in (tmp_path / "set").glob("[!.]*"):
        path.unlink()
    for seed in (5, 0):
        one = sample(
            model, 6, seed=seed, formats=["fits"], out=tmp_path / f"set{seed}", shard=(0, 2)
        )
        assert not one.complete
    one = sample(model, 6, seed=5, formats=["fits"], out=tmp_path / "set", shard=(0, 2))
    assert not one.complete
    assert sample(model, 6, seed=5, formats=["fits"], out=tmp_path / "set", shard=(1, 2)).complete
    table = Table.read(tmp_path / "set/catalogue.fits", unit_parse_strict="silent")
    assert set(table["seed"]) == {5}


def test_a_set_that_outgrows_its_names(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"formats": ["fits"], "start": 999_990, "out": tmp_path / "set"}
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            sample(model, 8, **asked)
    assert sample(model, 20, **asked).count == 20
    table = Table.read(tmp_path / "set/catalogue.fits", unit_parse_strict="silent")
    assert str(table["file"][-1]) == "galaxy_1000009.fits"


def test_a_command_that_is_refused_changes_nothing(model: TrainedModel, tmp_path: Path) -> None:
    """A longer set while another process works there, then the first one again."""
    from galgen.sampling.asking import check, make_task
    from galgen.sampling.folder import Folder

    sample(model, 4, formats=["fits"], out=tmp_path / "set")
    record = (tmp_path / "set/sampling.json").read_bytes()
    layout = check(model, make_task(model, formats=["fits"]), 9)
    longer = Folder(tmp_path / "set", layout, 9)
    lock = tmp_path / "set" / WORK / "part-00000"
    lock.mkdir(parents=True)
    script = (
        "import sys, time; from pathlib import Path; from galgen.io.lock import only\n"
        f"with only(Path({str(lock)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="is being worked in by"), longer.held():
            pass
        other.communicate("")
    assert (tmp_path / "set/sampling.json").read_bytes() == record


def test_a_request_that_fails_before_its_first_galaxy_gives_the_folder_free(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("galgen.sampling.engine.drawn", fail)
        with pytest.raises(MemoryError):
            sample(model, 4, out=tmp_path / "set")
    assert not (tmp_path / "set/sampling.json").exists()
    assert sample(model, 4, seed=9, out=tmp_path / "set").made == 4


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"seed": 2**64}, "--seed 18446744073709551616: give a whole number"),
        ({"start": 10**20}, "--start 100000000000000000000: samples are counted up to"),
        ({"n": 10**15}, "-n 1000000000000000: samples are counted up to"),
        ({"bands": ["r", "r"]}, "--bands r,r: name one band or more, each once"),
        ({"bands": []}, "--bands : name one band or more"),
        ({"bands": ["g"], "accept": "mag_r=0.1"}, "--accept mag_r: there is no band 'r'"),
    ],
)
def test_what_cannot_be_asked_for(
    model: TrainedModel, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        sample(model, **{"n": 2, **asked}, out=tmp_path / "set")
    assert not (tmp_path / "set").exists()
