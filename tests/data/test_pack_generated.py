"""Generated galaxies in a pack: what was put in comes out, whoever was killed on the way."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.data.pack import index as indices
from galgen.data.pack import writing
from galgen.data.pack.checking import prepare_check, run_check
from galgen.data.pack.generated import PackSink
from galgen.data.pack.looking import look
from galgen.data.pack.merging import gather
from galgen.data.sets import open_set
from galgen.errors import DataError, OutputError
from tiny import run

SPEC = ImageSpec(
    16, ("g", "r", "i"), unit="nanomaggy", zero_points=(22.5,) * 3, pixel_scale=0.2,
    psf_fwhm=(0.7, 0.65, 0.6),
)  # fmt: skip
COUNT, START = 23, 5
#: Ten galaxies, and so three shards.
SHARD = 10 * 3 * 16 * 16 * 4
ABOUT = {"model": "dcgan", "seed": 7, "truncation": 1.0, "checkpoint": "ab" * 32}


def flux_of(index: int) -> NDArray[np.float32]:
    """Galaxy of a sample number, with a light in the middle."""
    random = np.random.default_rng(index)
    pixels = random.normal(size=SPEC.shape).astype(np.float32)
    pixels[:, 4:12, 4:12] += 10 + 3 * index
    return pixels


def digest_of(index: int) -> bytes:
    return hashlib.sha256(flux_of(index).tobytes()).digest()


def rows(size: int = 7, count: int = COUNT, start: int = START) -> Iterator[NDArray[Any]]:
    """A catalogue in chunks."""
    types = [
        ("file", "S24"), ("sample", "i8"), ("seed", "i8"), ("sha256", "S64"), ("label", "S10"),
        ("z_requested", "f8"), ("z_measured", "f8"), ("detected", "?"), ("mag_r", "f4"),
    ]  # fmt: skip
    for first in range(0, count, size):
        found = np.zeros(min(size, count - first), types)
        for k, row in enumerate(found):
            i = start + first + k
            odd = (first + k) % 7 == 2
            label = b"elliptical" if i % 3 else b"spiral"
            found[k] = (
                b"galaxy_%06d" % i, i, 7, b"%064d" % i, label, i / 8, np.nan if odd else i / 4,
                not odd, 20 + i / 4,
            )  # fmt: skip
            assert row["sample"] == i
        yield found


def fill(sink: PackSink, places: Any = range(COUNT), start: int = START) -> list[bytes]:
    return [sink.put(place, start + place, flux_of(start + place), {}) for place in places]


def sink_of(folder: Path, count: int = COUNT, start: int = START, **changes: Any) -> PackSink:
    options: dict[str, Any] = {"shard_bytes": SHARD, "about": ABOUT, "start": start} | changes
    return PackSink(folder, SPEC, count, **options)


def made(folder: Path, count: int = COUNT, start: int = START) -> Path:
    sink = sink_of(folder, count, start)
    fill(sink, range(count), start)
    sink.finish(rows(count=count, start=start))
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made") / "mine")


def test_a_pack_gives_what_was_put_into_it(pack: Path) -> None:
    assert sorted(p.name for p in pack.iterdir()) == [
        "galaxies.fits", "pack.json", *(f"shard-{k:05d}.npy" for k in range(3))
    ]  # fmt: skip
    found = open_set(pack)
    assert found.spec == SPEC
    assert list(found.names) == [f"galaxy_{START + k:06d}" for k in range(COUNT)]
    expected = np.stack([flux_of(START + k) for k in range(COUNT)])
    assert found.read(list(range(COUNT))).tobytes() == expected.tobytes()
    assert np.load(pack / "shard-00002.npy").tobytes() == expected[20:].tobytes()
    assert run_check(prepare_check(pack), workers=1) == []
    assert indices.read(pack).generated == ABOUT


def test_labels_and_numbers_are_classes_and_columns(pack: Path) -> None:
    plain = open_set(pack)
    assert plain.classes == ("elliptical", "spiral")
    samples = START + np.arange(COUNT)
    assert plain.labels is not None
    assert plain.labels.tolist() == (samples % 3 == 0).astype(int).tolist()
    asked = open_set(pack, condition="z_requested,mag_r")
    assert asked.values is not None
    assert asked.values.T.tolist() == [(samples / 8).tolist(), (20 + samples / 4).tolist()]
    assert [number.name for number in asked.numbers] == ["z_requested", "mag_r"]
    bright = open_set(pack, select="detected==1,mag_r<23")
    assert len(bright) == sum(m < 23 for m in 20 + samples / 4) - 1
    measured = np.asarray(plain.catalogue["z_measured"])
    assert np.isnan(measured).tolist() == [k % 7 == 2 for k in range(COUNT)]


def test_its_catalogue_is_good_fits(pack: Path) -> None:
    with fits.open(pack / "galaxies.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:]] == ["GALAXIES", "CATALOGUE"]
        table = hdus["CATALOGUE"].data
        assert table["sample"].tolist() == list(range(START, START + COUNT))
        assert table["sha256"][3] == f"{START + 3:064d}"
        assert hdus["GALAXIES"].data["file"][0] == table["file"][0] == "galaxy_000005"
    assert (pack / "galaxies.fits").stat().st_size % 2880 == 0


def test_info_and_training_take_it(pack: Path, tmp_path: Path) -> None:
    found = look(pack)
    assert (found.count, found.shards, found.spec) == (COUNT, 3, SPEC)
    assert found.classes == {"elliptical": 15, "spiral": 8}
    outcome = run(tmp_path, data__source=str(pack), data__count=None, train__images=16)
    assert (outcome.run / "checkpoints" / "last.ckpt").is_file()


def test_parts_of_several_jobs_become_one(pack: Path, tmp_path: Path) -> None:
    parts = [made(tmp_path / "a", 9, 5), made(tmp_path / "b", COUNT - 9, 14)]
    whole = writing.run(writing.prepare(parts, tmp_path / "all"), workers=1)
    assert whole is not None
    one, other = open_set(pack), open_set(tmp_path / "all")
    assert (one.spec, list(one.names)) == (other.spec, list(other.names))
    everything = list(range(COUNT))
    assert one.read(everything).tobytes() == other.read(everything).tobytes()
    assert list(one.catalogue["sample"]) == list(other.catalogue["sample"])


def _some(sink: PackSink, start: int) -> None:
    fill(sink, range(start, COUNT, 3))


def test_several_processes_fill_it_in_any_order(pack: Path, tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "p")
    workers = multiprocessing.get_context("spawn")
    with workers.Pool(2) as pool:
        pool.starmap(_some, [(sink, 2), (sink, 0), (sink, 1)])
    sink.finish(rows(4))
    for file in pack.iterdir():
        assert (tmp_path / "p" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks, which Windows cannot")
@pytest.mark.parametrize("last", [0, 11, COUNT])
def test_a_killed_one_goes_on(pack: Path, tmp_path: Path, last: int) -> None:
    folder = tmp_path / "p"
    child = os.fork()
    if not child:
        fill(sink_of(folder), range(last))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    for refused in (open_set, look, prepare_check):
        with pytest.raises(DataError, match=r"not finished: give the command galgen sample"):
            refused(folder)
    for refused in (lambda: writing.prepare("hubble", folder), lambda: gather(folder, [folder])):
        with pytest.raises(DataError, match="generated galaxies that is not finished"):
            refused()
    sink = sink_of(folder)
    digests = [digest_of(START + place) for place in range(COUNT)]
    good = [sink.good(place, START + place, digests[place]) for place in range(COUNT)]
    assert good == [place < last for place in range(COUNT)]
    fill(sink, range(last, COUNT))
    sink.finish(rows())
    for file in pack.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes(), file.name


def test_damage_to_a_finished_one_is_found_and_mended(pack: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pack, tmp_path / "p")
    sink = sink_of(folder)
    digests = [digest_of(START + place) for place in range(COUNT)]
    with open(folder / "shard-00001.npy", "r+b") as shard:
        shard.seek(-5, 2)
        shard.write(b"\x01")
    assert indices.is_pack(folder)
    wrong = [k for k in range(COUNT) if not sink.good(k, START + k, digests[k])]
    assert wrong == [19]
    fill(sink, wrong)
    assert not indices.is_pack(folder)
    sink.finish(rows())
    for file in pack.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes(), file.name
    (folder / "shard-00001.npy").unlink()
    again = pickle.loads(pickle.dumps(sink_of(folder)))
    assert not again.good(10, START + 10, digests[10])
    assert again.good(0, START, digests[0])


def test_another_job_is_refused(pack: Path, tmp_path: Path) -> None:
    for count, changes in ((COUNT + 1, {}), (COUNT, {"about": ABOUT | {"seed": 8}})):
        with pytest.raises(OutputError, match="a pack of other galaxies"):
            sink_of(pack, count, **changes)
    assert sink_of(pack, about=ABOUT | {"device": "cuda"}).good(0, START, digest_of(START))
    PackSink(tmp_path / "p", SPEC, COUNT)
    for spec, count in ((SPEC.replace(unit="count"), COUNT), (SPEC, COUNT + 1)):
        with pytest.raises(OutputError, match="begun with other galaxies"):
            PackSink(tmp_path / "p", spec, count)


def test_a_full_disk_is_said_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="GB are free: make room or give another folder"):
        PackSink(tmp_path / "p", SPEC, 10**12, shard_bytes=2**50)
    sink = PackSink(tmp_path / "q", SPEC, COUNT)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutputError, match=r"shard-00000.npy cannot be written \(No space left"):
        sink.put(0, 0, flux_of(0), {})


def test_pixels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    sink, flux = PackSink(tmp_path / "p", SPEC, COUNT), flux_of(0)
    flux[1, 3, 3] = np.nan
    with pytest.raises(DataError, match="sample 9 has pixels that are not finite"):
        sink.put(4, 9, flux, {})


def test_one_class_is_none_and_pictures_stay_pictures(tmp_path: Path) -> None:
    spec = ImageSpec(16, ("R", "G", "B"), display=True)
    sink = PackSink(tmp_path / "p", spec, 3)
    for place in range(3):
        sink.put(place, place, flux_of(place), {})
    table = np.zeros(3, [("file", "U20"), ("sample", "i4"), ("label", "U8")])
    table["file"] = [f"galaxy_{k:06d}.fits" for k in range(3)]
    table["label"] = "élan"
    sink.finish([table])
    found = open_set(tmp_path / "p")
    assert found.spec == spec
    assert found.classes == ()
    assert list(found.catalogue["label"]) == ["élan"] * 3
    assert list(found.names) == ["galaxy_000000", "galaxy_000001", "galaxy_000002"]
    assert found.read([2]).tobytes() == flux_of(2)[None].tobytes()


@pytest.mark.parametrize("left", [{2}, {0, 22}, {3, 12, *range(20, 23)}, {*range(10, 20), 21}])
def test_galaxies_that_are_not_as_asked_are_left_out(tmp_path: Path, left: set[int]) -> None:
    stay = [place for place in range(COUNT) if place not in left]

    def kept() -> Iterator[NDArray[Any]]:
        for chunk in rows():
            yield chunk[np.isin(chunk["sample"] - START, stay)]

    folder = tmp_path / "p"
    sink = sink_of(folder)
    assert fill(sink, stay) == [digest_of(START + place) for place in stay]
    # Killed before the index was there, it is gone on with.
    for _ in range(2):
        sink.finish(kept())
        (folder / "pack.json").unlink()
        (folder / "unfinished").mkdir()
        sink = sink_of(folder)
        again = [k for k in stay if not sink.good(k, START + k, digest_of(START + k))]
        assert 0 < len(again) < len(stay)
        fill(sink, again)
    sink.finish(kept())
    found = open_set(folder)
    assert list(found.names) == [f"galaxy_{START + place:06d}" for place in stay]
    expected = np.stack([flux_of(START + place) for place in stay])
    assert found.read(list(range(len(stay)))).tobytes() == expected.tobytes()
    assert run_check(prepare_check(folder), workers=1) == []
    assert sum((folder / shard.file).stat().st_size for shard in indices.read(folder).shards) == (
        expected.nbytes + 128 * len(indices.read(folder).shards)
    )
    finished = sink_of(folder)
    good = [finished.good(k, START + k, digest_of(START + k)) for k in range(COUNT)]
    assert good == [k in stay for k in range(COUNT)]
    with pytest.raises(OutputError, match="a finished pack, without the galaxies that never were"):
        finished.put(1, START + 1, flux_of(START + 1), {})


def test_a_pack_without_galaxies_is_none(tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "p")
    with pytest.raises(DataError, match="no galaxy is as asked"):
        sink.finish(iter([next(rows())[:0]]))
    with pytest.raises(DataError, match="no galaxy is as asked"):
        sink.finish(iter([]))
    assert not indices.is_pack(tmp_path / "p")
