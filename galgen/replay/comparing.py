"""Whether a galaxy that was drawn anew is the one in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import galgen
from galgen.io.checksum import sums_of_floats
from galgen.measure.sky import estimate_sky
from galgen.replay.reading import Written
from galgen.telescope.view import libraries

#: Largest difference that another version or device makes, of the peak of each band. Other
#: instructions of a processor make some 1e-6 (see benchmarks/RESULTS.md, Replay).
TOLERANCE = 1e-4
#: What headers of those files name alone whose telescope used it.
LIBRARIES = {"numpy": "NumPy", "scipy": "SciPy"}


@dataclass(frozen=True)
class Replayed:
    """What became of a file.

    Attributes
    ----------
    path
        The file.
    state
        ``identical``: every image has the DATASUM that its header says. ``close``: it was drawn by
        another version or device, and the pixels are within `TOLERANCE`. ``different``: they are
        not. ``damaged``: the file was changed after it had been written.
    told
        What differs; empty for files that are identical in all.
    of_peak, of_noise
        Largest difference between pixels of the file and those that were drawn, in units of
        the brightest pixel and of the sky noise of their band; 0 for identical ones, None where
        there is nothing to compare. Of compressed files it is what is beyond the largest error that
        their headers say of the compression.
    checkpoint
        That it was drawn with.
    written
        The file that was written anew.
    """

    path: Path
    state: str
    told: str = ""
    of_peak: float | None = None
    of_noise: float | None = None
    checkpoint: Path | None = None
    written: Path | None = None

    @property
    def same(self) -> bool:
        """Whether the file is what its header says: ``identical`` or ``close``."""
        return self.state in ("identical", "close")


def machine(device: str) -> dict[str, str]:
    """What draws here, as headers say it."""
    from galgen.training.machine import device_name

    return {
        "version": galgen.__version__,
        "torch": torch.__version__,
        **libraries(),
        "device": device_name(device),
    }


def compare(
    file: Written, drawn: NDArray[np.float32], here: Mapping[str, str], checkpoint: Path
) -> Replayed:
    """Hold a galaxy (bands, y, x) that was drawn anew against its file.

    Parameters
    ----------
    here
        As `machine` gives it.
    """
    pixels = np.ascontiguousarray(drawn, dtype=np.float32)
    images = 1 if file.cube else len(pixels)
    damage = file.damage
    if damage is None and len(file.sums) < images:
        damage = f"it holds {len(file.sums)} of {images} images"
    if damage is not None:
        told = f"{damage}; {_mending(file, pixels, here)}"
        return Replayed(file.path, "damaged", told, checkpoint=checkpoint)
    if fits_sums(file, pixels):
        return Replayed(file.path, "identical", file.note, 0.0, 0.0, checkpoint)
    return _difference(file, pixels, here, checkpoint)


def fits_sums(file: Written, pixels: NDArray[np.float32]) -> bool:
    """Whether every image has the sum that the header says."""
    return list(file.sums) == _sums(file, pixels)


def _sums(file: Written, pixels: NDArray[np.float32]) -> list[int]:
    return sums_of_floats(pixels.reshape(1, -1) if file.cube else pixels.reshape(len(pixels), -1))


def _mending(file: Written, pixels: NDArray[np.float32], here: Mapping[str, str]) -> str:
    """Whether what is drawn now is what a damaged file has been."""
    if not file.sums:
        return "nothing is left of it to compare with"
    if list(file.sums) == _sums(file, pixels)[: len(file.sums)]:
        return "what is drawn now has the sums that its headers say: --write FOLDER writes it anew"
    others = _others(file.provenance, here) or ["same versions and device"]
    return f"what is drawn now has other sums than its headers say ({', '.join(others)})"


def _difference(
    file: Written, pixels: NDArray[np.float32], here: Mapping[str, str], checkpoint: Path
) -> Replayed:
    stands = file.pixels()
    if stands.shape != pixels.shape:
        sizes = " and ".join(" x ".join(map(str, one.shape)) for one in (stands, pixels))
        return Replayed(file.path, "different", f"{sizes} pixels", checkpoint=checkpoint)
    apart = np.abs(stands.astype(np.float64) - pixels).max(axis=(1, 2))
    if file.losses is not None and len(file.losses) == len(apart):
        # The headers' numbers have four digits.
        apart = np.maximum(0, apart - 1.001 * np.array(file.losses))
    peak = np.abs(pixels).max(axis=(1, 2)).astype(np.float64)
    noise = estimate_sky(pixels[None]).noise[0]
    of_peak, of_noise = (_largest(apart, unit) for unit in (peak, noise))
    others = _others(file.provenance, here)
    close = bool(others) and of_peak <= TOLERANCE
    if not of_peak and None in file.sums:
        return Replayed(file.path, "identical", "", 0.0, 0.0, checkpoint)
    told = f"by up to {of_peak:.1e} of a band's peak, {of_noise:.1e} of its sky noise"
    told += f"; {', '.join(others)}" if others else "; same versions and device"
    return Replayed(
        file.path, "close" if close else "different", told, of_peak, of_noise, checkpoint
    )


def _largest(apart: NDArray[np.float64], unit: NDArray[np.float64]) -> float:
    """Of differences per band in units per band; one without light counts by itself."""
    return float(np.nan_to_num(apart / np.where(unit > 0, unit, 1), nan=np.inf).max())


def _others(provenance: Mapping[str, Any], here: Mapping[str, str]) -> list[str]:
    """What drew the file that is not what draws here, in words."""
    names = {"version": "galgen", "torch": "PyTorch", "device": "device", **LIBRARIES}
    return [
        f"{names[key]} {provenance.get(key, 'not said')} then and {now} now"
        for key, now in here.items()
        if provenance.get(key) != now and not (key in LIBRARIES and key not in provenance)
    ]
