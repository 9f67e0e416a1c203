"""Replaying: every kind of file is drawn anew bit for bit from its header; what is not is told."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import CheckpointError, DataError, OutputError
from galgen.film import interpolate
from galgen.io.header import read_provenance, write_galaxy
from galgen.models.card import card_of
from galgen.models.sampling import Look
from galgen.replay import TOLERANCE, Replayed, replay
from galgen.replay.comparing import machine
from galgen.sample import sample
from galgen.sampling.views import views
from galgen.styles import mix
from galgen.sweep import sweep
from galgen.telescope import Telescope
from test_styles import model

CLASSES = ("edge", "round", "\u00e9lliptique")
RUN = "runs/00001-{}-blobs-16px"


def save(source: TrainedModel, path: Path) -> TrainedModel:
    """The same model from a checkpoint file."""
    module = source.module
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "galgen": card_of(module),
            "ema": module.average.state(),
            "state_dict": module.state_dict(),
        },
        path,
    )
    return checkpoint.load(path)


def ready(folder: Path, pair: str, **options: Any) -> TrainedModel:
    """A model with random weights in a run folder; it ends in a PSF and knows classes and numbers,
    and can be asked for nothing.
    """
    source = model(folder, pair, CLASSES, ("size", "colour"), psf="auto", **options)
    source.module.recipe = source.module.recipe.model_copy(update={"label_dropout": 0.1})
    source.module.make_psf(source.module.spec)
    path = RUN.format(pair)
    return save(source, folder / path / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    load.cache_clear()
    ready(folder, "dcgan", codes=1, categories=3)
    ready(folder, "stylegan2")
    kernel = np.zeros((5, 5))
    kernel[1:4, 1:4] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    fits.writeto(folder / "narrow.fits", kernel)
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


@cache
def load(pair: str = "dcgan") -> TrainedModel:
    """Loaded once for all tests, which leave it as it is."""
    return checkpoint.load(RUN.format(pair))


def states(found: list[Replayed]) -> set[str]:
    return {one.state for one in found}


Make = Callable[[Path], Any]
SMALL = Telescope.of(name="far", psf="moffat:1.4", pixel_scale=0.3, noise="sigma=0.2")
OWN_SEED = Telescope.of(name="near", noise="sky=3,gain=2.5,read=4", noise_seed=11)
KINDS: dict[str, Make] = {
    "plain": lambda out: sample(load(), 40, start=7, seed=3, out=out),
    "cube": lambda out: sample(load(), 5, cube=True, out=out),
    "rice": lambda out: sample(load(), 5, compress="rice", out=out),
    "rice cube": lambda out: sample(load(), 5, compress="rice", cube=True, out=out),
    "truncated": lambda out: sample(load("stylegan2"), 5, truncation=0.7, out=out),
    "without its PSF": lambda out: sample(load(), 5, psf="none", out=out),
    "another PSF": lambda out: sample(load("stylegan2"), 5, psf="moffat:1.1", out=out),
    "PSF of a file": lambda out: sample(load(), 5, psf="narrow.fits", out=out),
    "without noise": lambda out: sample(load("stylegan2"), 5, noise=False, out=out),
    "ranges": lambda out: sample(load(), 40, where={"size": (2, 4.1), "colour": 1 / 3}, out=out),
    "class": lambda out: sample(load("stylegan2"), 5, label=CLASSES[2], where="size=2..3", out=out),
    "unasked": lambda out: sample(load(), 5, no_condition=True, out=out),
    "telescope": lambda out: sample(load(), 5, telescopes=[SMALL], out=out),
    "telescopes": lambda out: sample(load("stylegan2"), 5, telescopes=[SMALL, OWN_SEED], out=out),
    "bands": lambda out: sample(load(), 5, bands=("i", "g"), seed=2, out=out),
    "bands of a telescope": lambda out: sample(
        load("stylegan2"), 5, bands=("r",), telescopes=[SMALL], compress="rice", cube=True, out=out
    ),
    "mix": lambda out: mix(
        load("stylegan2"), (12, 77), (3, 44), layer=2, seed=4, truncation=0.8, formats=["fits"],
        out=out,
    ),
    "mix of a class": lambda out: mix(
        load("stylegan2"), (1, 2, 33), label="edge", psf="none", formats=["fits"], cube=True,
        out=out,
    ),
    "film": lambda out: interpolate(load(), (12, 77, 44), 7, seed=2, formats=["fits"], out=out),
    "film of styles": lambda out: interpolate(
        load("stylegan2"), (5, 37), 137, where="colour=3", noise=False, formats=["fits"], out=out
    ),
    "sweep of a number": lambda out: sweep(
        load(), "size=1..2.0001", 3, 7, start=30, label="round", formats=["fits"], out=out
    ),
    "sweep of classes": lambda out: sweep(
        load("stylegan2"), "label", 2, where="size=3..4", formats=["fits"], out=out
    ),
    "sweep of a code": lambda out: sweep(load(), "code1", 2, 6, formats=["fits"], out=out),
    "sweep of categories": lambda out: sweep(load(), "category", 2, formats=["fits"], out=out),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_drawn_anew_bit_for_bit(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "out")
    paths = sorted(tmp_path.glob("out/*_0*.fits*"))
    assert paths
    found = replay(tmp_path / "out")
    assert [one.path for one in found] == paths
    assert states(found) == {"identical"}, found
    # Whatever else is drawn with it.
    assert states(replay(paths[len(paths) // 2])) == {"identical"}


def test_a_galaxy_that_was_drawn_anew_to_be_as_asked_for(tmp_path: Path) -> None:
    source = load()
    condition = source.module.sample_conditions([5], 0)
    ((_, flux),) = source.module.stream([5], condition, attempt=2)
    sample(source, 1, start=5, out=tmp_path / "out")
    facts = read_provenance(tmp_path / "out/galaxy_000005.fits") | {"attempt": 2}
    path = tmp_path / "again.fits"
    write_galaxy(path, flux[0].numpy(), source.spec, facts)
    assert states(replay([path, tmp_path / "out/galaxy_000005.fits"])) == {"identical"}
    write_galaxy(path, flux[0].numpy(), source.spec, facts | {"attempt": 1})
    assert states(replay(path)) == {"different"}


def test_a_redraw_has_noise_of_its_own(tmp_path: Path) -> None:
    """Under several telescopes too, and a replay knows of both."""
    source, both = load(), [SMALL, Telescope.of(name="wide", noise="sigma=0.2")]
    condition = source.module.sample_conditions([5], 0)
    for view in views(source, Look(), both):
        ((_, flux),) = source.module.stream([5], condition, look=view.look, attempt=2)
        facts = {"seed": 0, "index": 5, "attempt": 2, "checkpoint": source.digest, **view.cards}
        path = tmp_path / f"{view.name}.fits"
        seen = [view.see(flux, [5], 0, attempt)[0].numpy() for attempt in (2, 1)]
        for pixels, state in zip(seen, ("identical", "different"), strict=True):
            write_galaxy(path, pixels, view.spec, facts | machine("cpu"))
            assert states(replay(path)) == {state}


def test_the_request_is_exact_where_its_card_is_rounded(tmp_path: Path) -> None:
    sample(load(), 3, where={"size": (2.123456789, 2.2)}, out=tmp_path / "out")
    header = fits.getheader(tmp_path / "out/galaxy_000001.fits")
    assert "2.123456789..2.2" in header["REQUEST"]
    mix(load("stylegan2"), (1, 2), label=CLASSES[2], formats=["fits"], out=tmp_path / "mix")
    facts = read_provenance(tmp_path / "mix/mix_000001_000002.fits")
    assert facts["label"] == "elliptique"
    assert facts["request"] == '{"label": "\\u00e9lliptique"}'


def test_a_table_of_other_galaxies_has_the_same_ones(tmp_path: Path) -> None:
    """So that a place in a chunk follows from a galaxy's own facts."""
    source = load("stylegan2")
    mix(source, (3, 9, 41), (5, 6, 7, 8), formats=["fits"], out=tmp_path / "many")
    mix(source, (9,), (7,), formats=["fits"], out=tmp_path / "one")
    name = "mix_000009_000007.fits"
    assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    interpolate(source, (9, 7, 5), 4, formats=["fits"], out=tmp_path / "long")
    interpolate(source, (9, 7), 2, formats=["fits"], out=tmp_path / "short")
    for long, short in (("2", "1"), ("4", "2")):
        one, other = (
            fits.getdata(tmp_path / f"{folder}/frame_00000{number}.fits", 1)
            for folder, number in (("long", long), ("short", short))
        )
        assert np.array_equal(one, other)


# -- differences -----------------------------------------------------------------------------


def drawn(tmp_path: Path, **more: Any) -> Path:
    sample(load(), 1, start=3, out=tmp_path / "out", **more)
    (path,) = (tmp_path / "out").glob("galaxy_*")
    return path


def rewrite(path: Path, change: float = 0.0, **facts: Any) -> None:
    """The file with other pixels and facts, and sums that fit."""
    source = load()
    pixels = np.stack([fits.getdata(path, k) for k in (1, 2, 3)]).astype(np.float32)
    pixels[1, 4, 5] += change * np.abs(pixels[1]).max()
    write_galaxy(path, pixels, source.spec, read_provenance(path) | facts)


def test_another_galaxy_is_a_difference_and_its_size_is_told(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    rewrite(path, 0.25)
    (found,) = replay(path)
    assert (found.state, found.same) == ("different", False)
    assert found.of_peak == pytest.approx(0.25, rel=1e-5)
    noise = found.of_noise
    assert noise is not None
    assert noise > 0
    assert found.told.endswith("same versions and device")
    assert found.checkpoint == Path(RUN.format("dcgan")) / "checkpoints/best.ckpt"


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        ({"torch": "1.0"}, f"PyTorch 1.0 then and {torch.__version__} now"),
        ({"version": "0.0.9"}, "galgen 0.0.9 then and"),
        ({"device": "cuda: NVIDIA H100"}, "device cuda: NVIDIA H100 then and cpu"),
        ({"device": None}, "device not said then and cpu"),
    ],
)
def test_other_versions_and_devices_may_differ_in_their_last_bits(
    tmp_path: Path, fact: dict[str, Any], told: str
) -> None:
    path = drawn(tmp_path)
    rewrite(path, 0.5 * TOLERANCE, **fact)
    (found,) = replay(path)
    assert (found.state, found.same) == ("close", True)
    assert told in found.told
    rewrite(path, 0.75 * TOLERANCE, **fact)
    (found,) = replay(path)
    assert found.state == "different", "beyond what another version may do"
    rewrite(path, 0.0, **fact)


def test_the_same_version_and_device_may_not(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    rewrite(path, 0.01 * TOLERANCE)
    assert states(replay(path)) == {"different"}


def test_compression_is_not_taken_for_a_difference(tmp_path: Path) -> None:
    path = drawn(tmp_path, compress="rice")
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        hdus[2].header["RAWSUM"] = "1"
    (found,) = replay(path)
    assert (found.state, found.of_peak) == ("different", 0.0)


@pytest.mark.slow
def test_other_kernels_stay_within_the_tolerance(tmp_path: Path) -> None:
    """Those of a processor with fewer instructions, as another machine has."""
    sample(load(), 8, out=tmp_path / "out", device="cpu")
    code = f"""if True:
        from galgen.replay import replay
        for one in replay({str(tmp_path / "out")!r}):
            print(one.state, one.of_peak)
    """
    fewer = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | fewer
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 8, result.stderr
    assert {state for state, _ in lines} <= {"identical", "close"}
    assert max(float(apart) for _, apart in lines) < TOLERANCE / 5


# -- damage ------------------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x10
    path.write_bytes(raw)


def test_a_changed_pixel_is_damage_and_can_be_mended(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    whole = path.read_bytes()
    flip(path, len(whole) - 2880 + 100)
    (found,) = replay(path, write=tmp_path / "mended")
    assert found.state == "damaged"
    assert "pixels of i are not those of its DATASUM" in found.told
    assert "has the sums that its headers say" in found.told
    assert found.written == tmp_path / "mended" / path.name
    assert fits.FITSDiff(found.written, _as(tmp_path, whole)).identical


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (6000, "is truncated: HDU 1"),
        (-8640, "is truncated: HDU 2"),
        (-2880, "is truncated: HDU 3"),
        (-2980, "ends within a block"),
        (-5760, "holds 2 of 3 images"),
        (-10, "ends within a block"),
    ],
)
def test_a_file_that_is_cut_short_is_damage_and_can_be_mended(
    tmp_path: Path, left: int, words: str
) -> None:
    path = drawn(tmp_path, psf="1.3", noise=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    (found,) = replay(path, write=tmp_path / "mended")
    assert (found.state, found.same) == ("damaged", False)
    assert words in found.told
    sure = "has the sums that its headers say: --write FOLDER writes it anew"
    assert found.told.endswith(sure if left < 0 else "nothing is left of it to compare with")
    assert states(replay(tmp_path / "mended")) == {"identical"}
    difference = fits.FITSDiff(tmp_path / "mended" / path.name, _as(tmp_path, whole))
    assert difference.identical, difference.report()


def _as(folder: Path, raw: bytes) -> Path:
    path = folder / "whole.fits"
    path.write_bytes(raw)
    return path


def test_a_header_that_was_changed_changes_no_galaxy(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"random seed", b"quaint seed"))
    (found,) = replay(path)
    assert (found.state, found.told) == ("identical", "the header of HDU 0 was changed since")


def test_rice_that_was_changed(tmp_path: Path) -> None:
    path = drawn(tmp_path, compress="rice")
    flip(path, len(path.read_bytes()) - 2880 + 60)
    assert states(replay(path)) == {"damaged"}


@pytest.mark.parametrize(
    "kind", ["plain", "cube", "rice", "bands", "telescope", "another PSF", "mix"]
)
def test_what_is_written_anew_is_the_same_file(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "out")
    found = replay(tmp_path / "out", write=tmp_path / "new")
    for one in found:
        assert one.written is not None
        difference = fits.FITSDiff(one.path, one.written)
        assert difference.identical, difference.report()
    with pytest.raises(OutputError, match="holds files already"):
        replay(tmp_path / "out", write=tmp_path / "new")


# -- checkpoints -------------------------------------------------------------------------------


def test_a_checkpoint_is_found_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drawn(tmp_path)
    best = Path(RUN.format("dcgan")) / "checkpoints" / "best.ckpt"
    content = best.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        replay(path)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert "--checkpoint" in str(caught.value)
    # Beside others of the pair, the one that is not the run's best, and a damaged one.
    run = tmp_path / "runs" / "00007-x-y" / "checkpoints"
    save(model(tmp_path, "dcgan"), run / "best.ckpt")
    (run / "last.ckpt").write_bytes(content)
    (run / "previous.ckpt").write_bytes(content[:1000])
    save(model(tmp_path, "dcgan"), tmp_path / "runs" / "00009-z" / "checkpoints" / "best.ckpt")
    (found,) = replay(path)
    assert (found.state, found.checkpoint) == (
        "identical",
        Path("runs/00007-x-y/checkpoints/last.ckpt"),
    )
    for given in ("runs/00007-x-y", "runs/00007-x-y/checkpoints/last.ckpt"):
        assert states(replay(path, given)) == {"identical"}
    for given in ("runs/00009-z", "runs/00007-x-y/checkpoints/best.ckpt"):
        with pytest.raises(CheckpointError, match=f"--checkpoint {given} did not draw .*SHA-256"):
            replay(path, given)
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        replay(path, "nowhere")


def test_the_same_network_in_another_file_will_do(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    source = checkpoint.load(RUN.format("dcgan"))
    source.module.run = {"seed": 5}
    save(source, tmp_path / "copy.ckpt")
    assert checkpoint.load(tmp_path / "copy.ckpt").digest != source.digest
    assert states(replay(path, tmp_path / "copy.ckpt")) == {"identical"}


def test_an_exported_folder_and_the_model_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galgen.export import export

    path = drawn(tmp_path)
    export(load(), tmp_path / "shared")
    monkeypatch.chdir(tmp_path)
    (found,) = replay(path)
    assert (found.state, found.checkpoint) == ("identical", Path("shared"))
    sample(checkpoint.packaged_model(), 2, formats=["fits"], out="ships")
    assert states(replay("ships")) == {"identical"}


def test_snapshots_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A galaxy names the snapshot of its class, a mix that of its label."""
    monkeypatch.chdir(tmp_path)
    base = model(tmp_path, "stylegan2", CLASSES[:2])
    base.module.run = {"train": {"best": "fid", "best_per_class": True}}
    folder = tmp_path / "runs" / "00001-x" / "checkpoints"
    save(base, folder / "best.ckpt")
    for parameter in base.module.average.network.parameters():
        parameter.data += 0.05
    module = base.module
    torch.save(
        {
            "galgen": card_of(module) | {"best_of": "edge", "best_by": "fid"},
            "ema": module.average.state(),
            "state_dict": module.state_dict(),
        },
        folder / "best-edge.ckpt",
    )
    source = checkpoint.load("runs/00001-x")
    assert source.specialists
    sample(source, 12, out="all")
    mix(source, (1, 2), label="edge", formats=["fits"], out="edge")
    mix(source, (1, 2), formats=["fits"], out="both")
    makers = {read_provenance(path)["checkpoint"] for path in Path("all").glob("g*.fits")}
    assert len(makers) == 2
    found = replay(["all", "edge", "both"])
    assert states(found) == {"identical"}
    assert {str(one.checkpoint) for one in found} == {
        f"runs/00001-x/checkpoints/{name}" for name in ("best.ckpt", "best-edge.ckpt")
    }


# -- what cannot be replayed -------------------------------------------------------------------


def test_a_psf_of_a_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "narrow.fits").write_bytes(Path("narrow.fits").read_bytes())
    narrow = Telescope.of(name="t", psf=str(there / "narrow.fits"), pixel_scale=0.4)
    sample(load(), 2, psf=str(there / "narrow.fits"), out=tmp_path / "plain")
    sample(load(), 2, telescopes=[narrow], out=tmp_path / "seen")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "runs").symlink_to(Path("runs").resolve())
    monkeypatch.chdir(tmp_path / "here")
    for name in ("plain", "seen"):
        files = sorted((tmp_path / name).glob("galaxy*"))
        with pytest.raises(DataError, match=r"PSF of narrow\.fits.*--psf"):
            replay(files)
        assert states(replay(files, psf=str(there / "narrow.fits"))) == {"identical"}
    for name in ("plain", "seen"):
        fits.writeto(tmp_path / name / "narrow.fits", np.ones((5, 5)))
        with pytest.raises(DataError, match="another PSF"):
            replay(sorted((tmp_path / name).glob("galaxy*")))


def test_psfs_of_other_generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a layer is seen through the difference kernel; one that was trained with a file's
    PSF has its kernels, and needs the file no more.
    """
    bare = save(model(tmp_path, "dcgan"), tmp_path / "runs/00001-a/checkpoints/best.ckpt")
    sample(bare, 2, psf="1.4", out=tmp_path / "wider")
    mix(
        save(model(tmp_path), tmp_path / "runs/00002-a/checkpoints/best.ckpt"),
        (1, 2), psf="1.4", own_psf="0.9", formats=["fits"], out=tmp_path / "said",
    )  # fmt: skip
    of_file = model(tmp_path, "dcgan", psf=str(Path("narrow.fits").resolve()))
    of_file.module.make_psf(of_file.module.spec)
    own = save(of_file, tmp_path / "runs/00003-a/checkpoints/best.ckpt")
    sample(own, 2, out=tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    cards = ["PSF", "OWNPSF"]
    told = [
        [fits.getheader(next(Path(name).glob("*_0*.fits"))).get(card) for card in cards]
        for name in ("wider", "said", "own")
    ]
    assert told == [["1.4", None], ["1.4", "0.9"], ["narrow.fits", None]]
    assert states(replay(["wider", "said", "own"])) == {"identical"}


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("DRAW", "often"), ("DRAW", 1.5), ("TRUNC", "strong"), ("TRUNC", True), ("SEED", "x"),
        ("SEED", 10**30), ("SAMPLE", 1.5), ("NIMAGES", "many"), ("NSEED", "x"), ("NSEED", 1.5),
        ("TELPIX", "wide"), ("TELPIX", -1.0), ("TELSIZE", "large"), ("TELSIZE", 2.5),
        ("TELSIZE", 1), ("NOISE", 5), ("NOISE", "loud"), ("TELPSF", 1.2), ("INSTRUME", 5),
        ("REQUEST", '{"bands": 5}'), ("REQUEST", '{"bands": []}'), ("REQUEST", '{"label": ["a"]}'),
        ("REQUEST", '{"where": 3}'), ("REQUEST", '{"where": {"size": ["a", 2]}}'),
        ("REQUEST", '{"where": {"size": null}}'), ("REQUEST", "[1]"), ("REQUEST", "{"),
    ],
)  # fmt: skip
def test_a_header_that_was_edited_is_told_by_its_card(
    tmp_path: Path, card: str, value: Any
) -> None:
    sample(load(), 1, telescopes=[SMALL], out=tmp_path / "out")
    path = tmp_path / "out/galaxy_000000.fits"
    with fits.open(path, mode="update") as hdus:
        hdus[0].header[card] = value
    with pytest.raises(DataError, match=f"^{path} cannot be drawn again: its card {card} ") as got:
        replay(path)
    assert str(got.value).count("\n") == 0


def test_libraries_of_a_telescope_are_named(tmp_path: Path) -> None:
    import scipy

    sample(load(), 1, telescopes=[SMALL], out=tmp_path / "out")
    path = tmp_path / "out/galaxy_000000.fits"
    header = fits.getheader(path)
    assert (header["NUMPYV"], header["SCIPYV"]) == (np.__version__, scipy.__version__)
    assert "NUMPYV" not in fits.getheader(drawn(tmp_path / "plain"))
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["NUMPYV"] = "1.0"
        hdus[1].data[3, 3] += 1e-6 * hdus[1].data.max()
        for hdu in hdus:
            hdu.add_checksum()
    (found,) = replay(path, write=tmp_path / "new")
    assert found.state == "close"
    assert f"NumPy 1.0 then and {np.__version__} now" in found.told
    assert found.written is not None
    assert fits.getheader(found.written)["NUMPYV"] == np.__version__


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(load(), 12, psf="narrow.fits", out=tmp_path / "out")
    paths = sorted((tmp_path / "out").glob("galaxy*"))
    listed: list[Path] = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: (listed.append(self), iterdir(self))[1])
    assert states(replay(paths)) == {"identical"}
    assert listed.count(tmp_path / "out") == 1


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (None, "none.fits", "does not exist"),
        (b"x" * 3000, "odd.fits", "no FITS file"),
        (b"x", "picture.png", "only FITS files say how they were made"),
    ],
)
def test_what_is_no_fits(tmp_path: Path, content: bytes | None, name: str, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        replay(path)


def test_what_galgen_did_not_draw(tmp_path: Path) -> None:
    path = tmp_path / "other.fits"
    fits.writeto(path, np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match="was not written by galgen"):
        replay(path)
    source = load()
    write_galaxy(path, np.ones((3, 16, 16), np.float32), source.spec, {"model": "dcgan"})
    with pytest.raises(DataError, match="does not say which galaxy of which checkpoint"):
        replay(path)
    sentences: list[str] = []
    (tmp_path / "set").mkdir()
    path.rename(tmp_path / "set" / "b.fits")
    fits.writeto(tmp_path / "set" / "psf.fits", np.ones((4, 4)))
    with pytest.raises(DataError, match="no galaxy of galgen's"):
        replay(tmp_path / "set")
    galaxy = drawn(tmp_path).rename(tmp_path / "set" / "a.fits")
    (tmp_path / "set" / "c.fits").write_bytes(b"")
    found = replay(tmp_path / "set", say=sentences.append)
    assert [(one.path.name, one.state) for one in found] == [
        ("a.fits", "identical"), ("c.fits", "damaged"),
    ]  # fmt: skip
    assert found[0].path == galaxy
    assert [sentence.partition(" cannot ")[0].partition(" was ")[0] for sentence in sentences] == [
        f"passed over: {tmp_path / 'set' / name}" for name in ("b.fits", "psf.fits")
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no FITS files"):
        replay(tmp_path / "empty")


def test_namesakes_are_not_written_over_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sample(load(), 1, out=tmp_path / name)
    with pytest.raises(OutputError, match="have one name"):
        replay([tmp_path / "a", tmp_path / "b"], write=tmp_path / "out")
