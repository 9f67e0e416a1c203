"""A galaxy's bytes are those that astropy would write, but for the time in two comments."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.io import galaxyfile, read_cutout
from galgen.io.galaxyfile import GalaxyWriter
from galgen.io.header import galaxy_hdus, read_provenance, write_galaxy

BANDS = ("u", "g", "r", "i", "z", "y", "J")
SHARED: dict[str, Any] = {
    "seed": 5,
    "truncation": 0.7,
    "psf": "moffat:g=0.7,r=0.65,beta=3",
    "grain": False,
    "model": "dcgan",
    "checkpoint": "0123456789abcdef" * 4,
    "images": 200_000,
    "request": '{"label": "FRII", "where": "mag_r=18..20, g-r=0.6, r_half=0.5..3, z=0.1..0.2"}',
    "label": None,
}
FACTS: dict[str, Any] = {
    "index": 17,
    "label": "it's a 'spiral'",
    "conditions": {"mag_r": 18.25, "g-r": -0.1234},
    "attempt": None,
}


def stretch(bands: int) -> dict[str, Any]:
    return {"kind": "asinh", "low": [0.0] * bands, "scale": [1 / 3] * bands, "top": [4e1] * bands}


def spec_of(bands: int, size: int = 16) -> ImageSpec:
    names = BANDS[:bands]
    zeros = (22.5, None, *(27.123456789,) * 5)[:bands]
    return ImageSpec(size, names, "nanomaggy", zeros, 0.396, tuple(0.7 + k for k in range(bands)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def by_astropy(flux: np.ndarray, spec: ImageSpec, provenance: dict[str, Any], cube: bool) -> bytes:
    """A file that astropy wrote with sums."""
    hdus = galaxy_hdus(flux.shape, spec, provenance, cube)
    pixels = flux.astype(np.float32)
    for hdu, image in zip(hdus if cube else hdus[1:], [pixels] if cube else pixels, strict=True):
        hdu.data = image
    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file, checksum=True)
    return file.getvalue()


def without_times(data: bytes) -> bytes:
    """A file without CHECKSUM and what the comment of DATASUM says."""
    cards = [data[at : at + 80] for at in range(0, len(data), 80)]
    kept = {b"CHECKSUM": 8, b"DATASUM ": 30}
    return b"".join(card[: kept.get(card[:8], 80)] for card in cards)


def check(data: bytes, wanted: bytes) -> None:
    """The same byte by byte; astropy finds nothing amiss, and that both sums hold."""
    assert without_times(data) == without_times(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(data), checksum=True) as hdus:
            hdus.verify("exception")
            for hdu in hdus:
                assert (hdu.verify_checksum(), hdu.verify_datasum()) == (1, 1)
                assert hdu.header.comments["CHECKSUM"] == "HDU checksum"
                assert hdu.header.comments["DATASUM"] == "data unit checksum"


@pytest.mark.parametrize("cube", [False, True])
@pytest.mark.parametrize("bands", [1, 3, 7])
def test_bytes_are_those_of_astropy(bands: int, cube: bool) -> None:
    spec, shared = spec_of(bands), SHARED | {"stretch": stretch(bands)}
    writer = GalaxyWriter(spec, shared, cube=cube)
    for k, size in enumerate((16, 16, 33, 1, 16)):
        flux = noise(bands, size, size) * 10.0**k
        facts = FACTS | {"index": k * 977, "conditions": {"mag_r": 18 + k / 7, "g-r": -1e-9 * k}}
        wanted = by_astropy(flux, spec, shared | facts, cube)
        check(writer.encode(flux, facts).data, wanted)
    sums = ["CHECKSUM", "DATASUM"]
    pair = [fits.HDUList.fromstring(each) for each in (writer.encode(flux, facts).data, wanted)]
    difference = fits.FITSDiff(*pair, ignore_comments=sums, ignore_keywords=sums[:1])
    assert difference.identical, difference.report()


@pytest.mark.parametrize("cube", [False, True])
def test_facts_of_all_kinds(cube: bool) -> None:
    spec = spec_of(1, 4)
    flux, writer = noise(1, 4, 4), GalaxyWriter(spec, {"seed": 1, "model": "x"}, cube=cube)
    values: list[Any] = [-7, True, -0.0, -2.5e300, np.nan, np.float32(0.1), np.bool_(True), ""]
    values += ["x" * 68, "x" * 69, "it's " * 40, "élliptique\n星", [1, 2.5, "a"], None]
    for value in values:
        for facts in (
            {"index": 3, "label": value},
            {"note": value, "index": 3},
            {"a name that is too long": value},
            {"seed": value},
            {"model": value, "sweep": "a", "sweep_value": 1.5},
            {"conditions": {"first": value if value is not None else 1, "größe": 2.0}},
        ):
            wanted = by_astropy(flux, spec, {**writer.provenance, **facts}, cube)
            check(writer.encode(flux, facts).data, wanted)


def test_facts_whose_cards_collide_are_as_astropy_has_them() -> None:
    spec, flux = spec_of(2), noise(2, 16, 16)
    for facts in (
        {"simulate": 3},
        {"bunit": "Jy"},
        {"model": "a", "MODEL": "b"},
        {"stretch": None},
    ):
        for cube in (False, True):
            writer = GalaxyWriter(spec, {"stretch": stretch(2)}, cube=cube)
            wanted = by_astropy(flux, spec, {**writer.provenance, **facts}, cube)
            check(writer.encode(flux, facts).data, wanted)


def test_headers_of_more_than_one_block_and_full_blocks() -> None:
    spec, flux = spec_of(1), noise(1, 16, 16)
    for count in (25, 26, *range(29, 35), 41):
        facts = {f"fact{k}": k for k in range(count)}
        for cube in (False, True):
            writer = GalaxyWriter(spec, {}, cube=cube)
            check(writer.encode(flux, facts).data, by_astropy(flux, spec, facts, cube))


@pytest.mark.parametrize("cube", [False, True])
def test_pixels_of_any_layout(cube: bool) -> None:
    spec = spec_of(3)
    writer = GalaxyWriter(spec, {}, cube=cube)
    flux = noise(3, 16, 16)
    flux[0, 3, 4], flux[1, 2, 2], flux[2, 0, 0], flux[2, 1, 1] = np.nan, np.inf, -np.inf, -0.0
    wanted = by_astropy(flux, spec, {"index": 0}, cube)
    wide = np.zeros((3, 32, 48), np.float32)
    wide[:, ::2, ::3] = flux
    forms = [flux, flux.astype(">f4"), np.asfortranarray(flux), wide[:, ::2, ::3]]
    forms.append(np.ascontiguousarray(flux[::-1])[::-1])
    with np.errstate(invalid="ignore"):
        forms.append(flux.astype(np.float64))
    for form in forms:
        check(writer.encode(form, {"index": 0}).data, wanted)
    # All sums of a plane of ones or zeros, too.
    for value in (0.0, 1.0, -1.0):
        flat = np.full((3, 16, 16), value, np.float32)
        check(writer.encode(flat, {}).data, by_astropy(flat, spec, {}, cube))
    oblong = noise(3, 5, 9)
    check(writer.encode(oblong, {}).data, by_astropy(oblong, spec, {}, cube))
    for shape in ((2, 16, 16), (16, 16), (1, 3, 16, 16)):
        with pytest.raises(ValueError, match="3 bands"):
            writer.encode(np.zeros(shape, np.float32), {})


@pytest.mark.parametrize("cube", [False, True])
def test_specs_that_know_little_or_are_not_ascii(cube: bool) -> None:
    flux = noise(3, 16, 16)
    for spec in (
        ImageSpec(16, ("R", "G", "B"), display=True),
        ImageSpec(16, ("g", "été", "星" * 30), "µJy", (None, 1.0, None), None, (1.0, 0.5, 0.25)),
        ImageSpec(16, ("r", "R", "r'"), "x" * 80, (), 1e-5),
    ):
        writer = GalaxyWriter(spec, {"seed": 1}, cube=cube)
        check(writer.encode(flux, {}).data, by_astropy(flux, spec, {"seed": 1}, cube))


def test_from_the_second_file_of_a_kind_on_astropy_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = GalaxyWriter(spec_of(3), SHARED | {"stretch": stretch(3)})
    flux = noise(3, 16, 16)
    writer.encode(flux, FACTS)
    monkeypatch.setattr(galaxyfile, "galaxy_hdus", None)
    for k in range(3):
        writer.encode(flux + k, FACTS | {"index": k, "label": "other"})
    with pytest.raises(TypeError):
        writer.encode(flux, FACTS | {"label": "x" * 80})
    monkeypatch.undo()
    # More kinds than are kept.
    for count in range(200):
        writer.encode(flux, {f"a{k}": k for k in range(count % 20)})
    assert len(writer._kinds) <= galaxyfile._MOST_KINDS


def test_one_writer_in_many_threads() -> None:
    spec, shared = spec_of(3), SHARED | {"stretch": stretch(3)}
    fluxes = noise(40, 3, 16, 16)
    facts = [FACTS | {"index": k} for k in range(40)]
    facts = [f | ({"attempt": 1} if k % 3 else {}) for k, f in enumerate(facts)]
    alone = [GalaxyWriter(spec, shared).encode(fluxes[k], facts[k]).data for k in range(40)]
    writer, found = GalaxyWriter(spec, shared), [b""] * 40

    def work(first: int) -> None:
        for _ in range(5):
            for k in range(first, 40, 4):
                found[k] = writer.encode(fluxes[k], facts[k]).data

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_long_texts_come_back(tmp_path: Path) -> None:
    where = "mag_r=18..20, " * 30
    facts = {"request": '{"where": "' + where + "it's" + '"}', "index": 1, "device": "cpu"}
    facts |= {"attempt": 2, "torch": "2.13.0+cpu"}
    path = tmp_path / "a.fits"
    path.write_bytes(GalaxyWriter(spec_of(3), facts).encode(noise(3, 16, 16), {}).data)
    assert read_provenance(path) == facts
    header = fits.getheader(path)
    assert (header["DRAW"], header["TORCHV"], header["DEVICE"]) == (2, "2.13.0+cpu", "cpu")
    assert header["REQUEST"] == facts["request"]
    assert header["LONGSTRN"] == "OGIP 1.0"
    assert np.array_equal(read_cutout(path).pixels, noise(3, 16, 16))


def test_a_spec_that_cannot_be_hashed(tmp_path: Path) -> None:
    bands: Any = ["g", "r"]
    write_galaxy(tmp_path / "a.fits", noise(2, 16, 16), ImageSpec(16, bands), {"index": 1})
    wanted = GalaxyWriter(ImageSpec(16, ("g", "r")), {}).encode(noise(2, 16, 16), {"index": 1})
    assert (tmp_path / "a.fits").read_bytes() == wanted.data


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(ConfigError, match="--compress takes rice, not zip"):
        GalaxyWriter(spec_of(1), {}, compress="zip")


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
@pytest.mark.parametrize("compress", [None, "rice"])
@pytest.mark.parametrize("cube", [False, True])
def test_fitsverify_finds_nothing(tmp_path: Path, cube: bool, compress: str | None) -> None:
    shared = SHARED | {"stretch": stretch(3)}
    writer = GalaxyWriter(spec_of(3), shared, cube=cube, compress=compress)
    path = tmp_path / f"a{writer.ending}"
    path.write_bytes(writer.encode(noise(3, 16, 16), FACTS).data)
    ended = subprocess.run(["fitsverify", path], capture_output=True, text=True, check=False)
    assert "0 warning(s) and 0 error(s)" in ended.stdout, ended.stdout + ended.stderr
