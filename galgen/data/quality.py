"""Which images of a folder are bad, by rules that a person can check."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Share of a band's pixels that may lie in one area of exact zeros in a photometric image.
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
    """Share of its band that the largest area of exact zeros takes: a chip's or mosaic's edge.

    An area is connected and made of squares of 3 x 3 zeros. Scattered zeros are measurements:
    sky that was rounded to integers or quantised by tile compression is exactly zero in some
    per cent of the pixels, but hardly ever in nine neighbours.

    Above `MOST_BLANK` an image of flux is bad, unless most images of its set are so: then the
    set is noiseless or clipped, and zero is a measurement.

    Parameters
    ----------
    pixels
        (C, H, W) flux.
    """
    zero = pixels == 0
    if np.mean(zero, axis=(1, 2)).max() <= MOST_BLANK:
        return 0.0
    from scipy.ndimage import binary_opening, label

    # Beyond the image counts as zero, or an edge strip of one or two pixels would not be found.
    padded = np.pad(zero, ((0, 0), (2, 2), (2, 2)), constant_values=True)
    areas = binary_opening(padded, np.ones((1, 3, 3), dtype=bool))[:, 2:-2, 2:-2]
    largest = 0
    for area in areas:
        numbers, count = label(area)
        if count:
            largest = max(largest, int(np.bincount(numbers.ravel())[1:].max()))
    return largest / zero[0].size
