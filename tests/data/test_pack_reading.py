"""Packs as sets: what a folder gives its pack gives, bit for bit, and a damaged one is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from PIL import Image

from galgen.data.module import CutoutDataModule
from galgen.data.pack import index as indices
from galgen.data.pack import pixels, writing
from galgen.data.pack.checking import prepare_check, run_check
from galgen.data.pack.reading import PackSet
from galgen.data.sets import CutoutSet, open_set
from galgen.errors import ConfigError, DataError
from tiny import last, run

SIDE, COUNT = 20, 23


def pack(folder: Path, out: Path, **options: Any) -> Path:
    """A pack of several shards, the last one smaller."""
    writing.run(writing.prepare(folder, out, shard_bytes=40_000, **options), workers=1)
    assert len(indices.read(out).shards) > 2
    return out


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of FITS cubes with tables, one file bad, and its pack."""
    folder = tmp_path_factory.mktemp("flux") / "hsc"
    folder.mkdir()
    rows = ["file,kind,score,z,scene,id,vari"]
    for k in range(COUNT):
        random = np.random.default_rng(k)
        pixels = random.normal(size=(3, SIDE, SIDE)).astype(np.float32)
        pixels[:, 6:14, 6:14] += 3 * k + 5
        if k == 7:
            pixels[:, 10, 10] = np.nan
        cards = {"BANDS": "g,r,i", "BUNIT": "nanomaggy", "PIXSCALE": 0.2, "SEEING": 0.5 + k / 100}
        cards |= {"ORIGIN": "here", "RUN": k % 5} if k != 3 else {"ORIGIN": "here"}
        fits.PrimaryHDU(pixels, fits.Header(list(cards.items()))).writeto(folder / f"g{k:02d}.fits")
        if k != 5:
            score = "" if k == 9 else f"{k / 8}"
            kind = ("1.10", "1.2", "b")[k % 3]
            rows.append(f"g{k:02d}.fits,{kind},{score},{k / 10},s{k // 4},{10**17 + k},{k % 2}")
    (folder / "catalog.csv").write_text("\n".join(rows) + "\n")
    other = [f"g{k:02d},{'early' if k < 12 else 'late'}" for k in range(COUNT)]
    (folder / "types.csv").write_text("\n".join(["name,type", *other]) + "\n")
    return folder, pack(folder, folder.parent / "hsc.pack" / "hsc")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of pictures that are classes, and their pack."""
    folder = tmp_path_factory.mktemp("pictures") / "gz"
    for k in range(30):
        place = folder / ("round", "edge", "bar")[k % 3]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{k:02d}.png")
    return folder, pack(folder, folder.parent / "gz.pack" / "gz")


def same(folder: CutoutSet, packed: CutoutSet) -> None:
    """Everything that training, evaluation and the studies see is equal."""
    assert isinstance(packed, PackSet)
    for name in ("spec", "name", "classes", "numbers"):
        assert getattr(packed, name) == getattr(folder, name), name
    for name in ("names", "groups"):
        assert list(getattr(packed, name)) == list(getattr(folder, name)), name
    for name in ("labels", "values"):
        one, two = getattr(folder, name), getattr(packed, name)
        assert (one is None) == (two is None), name
        assert one is None or (np.array_equal(one, two) and one.dtype == two.dtype), name
    assert list(packed.catalogue) == list(folder.catalogue)
    for name, column in folder.catalogue.items():
        two = packed.catalogue[name]
        assert two.dtype.kind == column.dtype.kind, name
        assert [str(value) for value in two] == [str(value) for value in column], name
    if any("pass" in note for note in folder.notes):
        # Whether a bad file would have been selected a pack does not know.
        assert not packed.bad
    else:
        assert {Path(f).name for f, _ in packed.bad} == {Path(f).name for f, _ in folder.bad}
        assert set(folder.notes) <= set(packed.notes)
    assert packed.max_margin == folder.max_margin
    rows = np.random.default_rng(0).permutation(len(folder)).tolist()
    for margin in range(folder.max_margin + 1):
        one, two = folder.read(rows, margin), packed.read(rows, margin)
        assert two.dtype == np.float32
        assert two.flags.c_contiguous
        assert np.array_equal(one, two)


FLUX: list[dict[str, Any]] = [
    {},
    {"size": 16},
    {"size": 15, "bands": "i,g"},
    {"crop": 8, "bands": ("R",)},
    {"labels": "catalog.csv:kind"},
    {"labels": "catalogue:kind", "merge": {"one": ["1.10", "1.2"]}},
    {"labels": "types.csv:type"},
    {"labels": "header:RUN"},
    {"labels": "none"},
    {"condition": "z header:SEEING"},
    {"condition": "catalog.csv:score measure:mag_r"},
    {"group": "catalog.csv:scene", "select": "catalog.csv:score>0.5,id!=100000000000000003"},
    {"select": "vari==1", "redshift": "catalogue:z"},
    {"redshift": "header:SEEING", "unit": "MJy/sr", "pixscale": 0.03, "psf_fwhm": [1, 2, 3]},
    {"magzero": (25.0, 26.0, 27.0)},
]


@pytest.mark.parametrize("options", FLUX, ids=str)
def test_a_pack_is_the_folder_it_was_made_of(
    flux: tuple[Path, Path], options: dict[str, Any]
) -> None:
    same(open_set(flux[0], **options), open_set(flux[1], **options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 16},
        {"size": 16, "crop": 30},
        {"size": 32, "crop": 16, "bands": "B,R"},
        {"bands": "g,r,i", "merge": {"disc": ["edge", "bar"]}},
        {"labels": "none", "count": 11, "seed": 3},
    ],
    ids=str,
)
def test_a_pack_of_pictures_is_cropped_and_resized(
    pictures: tuple[Path, Path], options: dict[str, Any]
) -> None:
    assert indices.read(pictures[1]).dtype == "|u1"
    same(open_set(pictures[0], **options), open_set(pictures[1], **options))


def test_the_same_is_refused(flux: tuple[Path, Path]) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"labels": "catalog.csv:kin"}, "has no column 'kin'.*did you mean 'kind'"),
        ({"labels": "type.csv:type"}, r"did you mean types\.csv"),
        ({"labels": "header:NONE"}, "has a label for none"),
        ({"group": "header:RUN"}, "gives no value for 1 of 22 galaxies, for example g03"),
        ({"condition": "kind"}, "holds the text"),
        ({"bands": "g,z"}, "no band 'z'"),
        ({"crop": 16, "size": 8}, "never resampled"),
        ({"merge": {"a": ["b"]}}, "no classes to merge"),
        ({"select": "score>100"}, "leaves none of"),
    ]
    for options, message in mistakes:
        for source in flux:
            with pytest.raises((ConfigError, DataError), match=message):
                open_set(source, **options)
    with pytest.raises(ConfigError, match="20 x 20 pixels, fewer than the 24 asked for"):
        open_set(flux[1], size=24)


def test_opening_reads_no_pixel_and_a_process_gets_no_pixels(
    flux: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels.Pixels, "read", None)
    cutouts = open_set(flux[1])
    monkeypatch.undo()
    expected = cutouts.read(range(len(cutouts)))
    sent = pickle.dumps(cutouts)
    assert len(sent) < expected.nbytes / 2
    assert np.array_equal(pickle.loads(sent).read(range(len(cutouts))), expected)


def test_a_pack_larger_than_memory_gives_the_same(
    flux: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "memory", lambda: 0)
    monkeypatch.setattr("galgen.data.stretched.memory", lambda: 0)
    same(open_set(flux[0], size=12), open_set(flux[1], size=12))
    read = batches(flux[1], 0)
    monkeypatch.undo()
    kept = batches(flux[1], 0)
    assert torch.equal(read, kept)


def batches(source: Path, workers: int) -> torch.Tensor:
    """Images of seven batches, over the end of a pass, and what they are."""
    data = CutoutDataModule(
        source, size=16, batch=6, workers=workers, labels="catalog.csv:kind", condition="z",
        rotate="any", fill="none", seed=3, holdout=0.3,
    )  # fmt: skip
    data.setup("fit")
    found = []
    while len(found) < 7:
        for batch in data.train_dataloader():
            batch = data.on_after_batch_transfer(batch, 0)
            found.append(torch.cat([batch["images"].flatten(1), batch["condition"]], dim=1))
    return torch.stack(found[:7])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_folder(flux: tuple[Path, Path], workers: int) -> None:
    assert torch.equal(batches(flux[0], 0), batches(flux[1], workers))


@pytest.mark.slow
def test_training_from_a_pack_is_training_from_the_folder(
    flux: tuple[Path, Path], tmp_path: Path
) -> None:
    options = {"data__size": 16, "data__labels": "catalog.csv:kind", "data__count": None}
    states = [
        last(run(tmp_path / str(k), data__source=str(source), **options))
        for k, source in enumerate(flux)
    ]
    assert flat(states[0]) == flat(states[1])


def flat(state: Any, name: str = "") -> dict[str, Any]:
    """Leaves of a checkpoint by name, without the source and what follows the clock on the wall."""
    if isinstance(state, dict):
        items = [(str(key), value) for key, value in state.items()]
    elif isinstance(state, list | tuple):
        items = [(str(key), value) for key, value in enumerate(state)]
    else:
        leaf = state.numpy().tobytes() if isinstance(state, torch.Tensor) else repr(state)
        return {} if "source" in name or "second" in name or "time" in name else {name: leaf}
    return {k: v for key, value in items for k, v in flat(value, f"{name}.{key}").items()}


def copied(pack: Path, to: Path) -> Path:
    to.mkdir()
    for file in pack.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_damaged_packs_are_refused(flux: tuple[Path, Path], tmp_path: Path) -> None:
    def state(folder: Path, **changes: Any) -> None:
        path = folder / indices.INDEX
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def damage(number: int) -> tuple[Path, str]:
        folder = copied(flux[1], tmp_path / str(number))
        shard, catalogue = folder / "shard-00001.npy", folder / "catalogue.fits"
        if number == 0:
            shard.write_bytes(shard.read_bytes()[:-1])
            return folder, r"shard-00001\.npy has 3\d,\d* bytes where the index says"
        if number == 1:
            shard.unlink()
            return folder, r"shard-00001\.npy is missing from the pack"
        if number == 2:
            catalogue.unlink()
            return folder, r"catalogue\.fits is missing"
        if number == 3:
            catalogue.write_bytes(b"x" * catalogue.stat().st_size)
            return folder, r"catalogue\.fits cannot be read as the catalogue"
        if number == 4:
            state(folder, format=2, galgen="9.1")
            return folder, r"format 2, written by galgen 9\.1.*update galgen"
        if number == 5:
            (folder / indices.INDEX).write_text('{"name": "some package"}')
            return folder, "no index of a pack"
        if number == 6:
            (folder / indices.INDEX).write_text("[1, 2")
            return folder, "cannot be read"
        if number == 7:
            state(folder, count=3)
            return folder, r"damaged \(count is 3, and its shards hold 22\)"
        if number == 8:
            state(folder, catalogue={"bytes": 3})
            return folder, r"damaged \(it lacks catalogue file\)"
        if number == 9:
            state(folder, shards=[{"file": "shard-00000.npy"}])
            return folder, r"damaged \(it lacks shards count\)"
        if number == 10:
            state(folder, shape=[3, "20", 20])
            return folder, r"damaged \(shape is \[3, .20., 20\]\)"
        shards = json.loads((folder / indices.INDEX).read_text())["shards"]
        state(folder, shards=[{**shards[0], "file": "../x.npy"}, *shards[1:]])
        return folder, r"damaged \(the file \.\./x\.npy is none of the pack\)"

    for number in range(12):
        folder, message = damage(number)
        with pytest.raises(DataError, match=message) as caught:
            open_set(folder)
        assert str(caught.value).count("\n") == 0
    with pytest.raises(DataError, match=r"holds no pack\.json"):
        indices.read(flux[0])
    with pytest.raises(DataError, match="is a pack: open that instead"):
        open_set(flux[1].parent)


def test_a_shard_that_is_another_array_is_refused(flux: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copied(flux[1], tmp_path / "a")
    shard = folder / "shard-00001.npy"
    pixels = np.load(shard)
    np.save(shard, pixels.reshape(len(pixels), 3, SIDE // 2, 2 * SIDE))
    with pytest.raises(DataError, match=r"holds float32 of \d x 3 x 10 x 40 where float32 of"):
        open_set(folder).read([0])


@pytest.mark.parametrize("place", [3, 6, 8, 12, 30, 60, 70])
def test_a_header_that_is_damaged_is_one_sentence(
    flux: tuple[Path, Path], tmp_path: Path, place: int
) -> None:
    folder = copied(flux[1], tmp_path / "a")
    shard = folder / "shard-00001.npy"
    for byte in (b"(", b"{", b"\0", b"'", b"\xff"):
        whole = shard.read_bytes()
        if whole[place : place + 1] == byte:
            continue
        shard.write_bytes(whole[:place] + byte + whole[place + 1 :])
        with pytest.raises(DataError, match=r"shard-00001\.npy is no shard of this pack"):
            open_set(folder).read([0])
        ((file, reason),) = run_check(prepare_check(folder), 1)
        assert (file, "sha256" in reason) == (shard.name, True)
        shard.write_bytes(whole)
