"""Which images of a folder are bad, by rules that a person can check."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Share of a band's pixels that may be exactly zero in a photometric image.
MOST_BLANK = 0.01


def flaw(pixels: NDArray[np.float32], photometric: bool) -> str | None:
    """Why an image (C, H, W) must be left out, or None.

    * any pixel in any band is not finite;
    * every band is constant, or one band of a photometric image is (all-zero bands are
      left to `blank`).

    Only the pixels that will be used are looked at, so a bad edge outside the crop is no flaw.
    """
    finite = np.isfinite(pixels)
    if not finite.all():
        count = int(pixels.size - np.count_nonzero(finite))
        return f"{count:,} pixels that are NaN or infinite within the crop"
    low, high = pixels.min(axis=(1, 2)), pixels.max(axis=(1, 2))
    constant = low == high
    if constant.all():
        return f"constant: every pixel is {low[0]:g}"
    if photometric and (constant & (low != 0)).any():
        return f"band {int(np.argmax(constant & (low != 0))) + 1} is constant"
    return None


def blank(pixels: NDArray[np.float32]) -> float:
    """Largest share over bands of pixels that are exactly zero: chip and mosaic edges.

    Above `MOST_BLANK` an image of flux is bad, unless most images of its set are so: then the
    set is noiseless or clipped, and zero is a measurement.
    """
    return float(np.mean(pixels == 0, axis=(1, 2)).max())
