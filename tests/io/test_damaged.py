"""Damaged files of every format: each is read or refused in a sentence, and none hangs."""

from __future__ import annotations

import gzip
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from astropy.io import fits

from galgen.errors import DataError, UserError
from galgen.io import read_cutout
from galgen.io.raster import write_raster

MUTATIONS = 300
HANGS_AFTER = 60


def make(path: Path) -> Path:
    pixels = np.random.default_rng(0).normal(100, 20, (3, 8, 8)).astype(np.float32)
    name = path.name
    if name.endswith(".npy"):
        np.save(path, pixels)
    elif name.endswith(".fz"):
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels[0])]).writeto(path)
    elif "integers" in name:
        fits.PrimaryHDU(pixels[0].astype(np.int16)).writeto(path)
    elif name.endswith((".fits", ".gz")):
        header = fits.Header([("BANDS", "g,r,i")])
        hdus = [fits.PrimaryHDU(pixels, header), fits.ImageHDU(pixels[0], name="MASK")]
        fits.HDUList(hdus).writeto(path)
    elif name.endswith((".tif", ".tiff")):
        import tifffile

        tifffile.imwrite(path, np.moveaxis(pixels * 200, 0, -1).clip(0, 65535).astype(np.uint16))
    else:
        write_raster(path, pixels)
    return path


def mutate(good: bytes, rng: np.random.Generator) -> bytes:
    """Cut, overwritten or with other digits in it, most often in the header."""
    raw = bytearray(good)
    # Cards are 80 bytes, and a header is far longer than its cards.
    end = len(raw) if rng.random() < 0.3 else min(len(raw), 1600)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(end))
        kind = rng.integers(4)
        if kind == 0:
            raw[at] = int(rng.integers(256))
        elif kind == 1:
            digits = [k for k in range(end) if 48 <= raw[k] <= 57]
            if digits:
                raw[int(rng.choice(digits))] = int(rng.choice(list(b"0123456789-. ")))
        elif kind == 2:
            raw[at : at + 8] = rng.integers(32, 127, len(raw[at : at + 8]), np.uint8).tobytes()
        elif rng.random() < 0.3:
            del raw[max(1, at) :]
            break
    return bytes(raw)


@contextmanager
def no_hanging() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail("the reader does not come to an end")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "name",
    ["a.fits", "integers.fits", "a.fits.gz", "a.fits.fz", "a.npy", "a.png", "a.jpg", "a.tif"],
)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    packed = name.endswith(".gz")
    good = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    rng = np.random.default_rng(1)
    messages: list[str] = []
    bands = ["g", "r", "i"] if name.endswith(".npy") else None
    with no_hanging(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(MUTATIONS):
            raw = mutate(good, rng)
            path.write_bytes(gzip.compress(raw, 1) if packed else raw)
            try:
                pixels = read_cutout(path, bands).pixels
            except UserError as error:
                messages.append(str(error))
            else:
                assert pixels.ndim == 3
                assert pixels.dtype == np.float32
    assert MUTATIONS // 20 <= len(messages) <= MUTATIONS * 19 // 20
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("card", ["PCOUNT", "GCOUNT", "NAXIS1", "NAXIS2"])
def test_negative_counts_are_refused(tmp_path: Path, card: str) -> None:
    path = make(tmp_path / "a.fits")
    raw = path.read_bytes()
    at = raw.index(f"{card:8}= ".encode(), raw.index(b"XTENSION"))
    path.write_bytes(raw[: at + 10] + b"-2880".rjust(20) + raw[at + 30 :])
    with no_hanging(), pytest.raises(DataError, match=f"{card} is -2880"):
        read_cutout(path)
