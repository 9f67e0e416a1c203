"""Which way a galaxy is stretched, from the second moments of its light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.bands import ImageSpec
from galgen.measure.sky import estimate_sky, reference_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Light above so many standard deviations of the smoothed reference image counts.
_ABOVE = 2.0
_SMOOTHING = 1.0


def stretch(flux: Tensor | NDArray[Any], spec: ImageSpec) -> NDArray[np.float64]:
    r"""The two components of the ellipticity of every image.

    :math:`e_1 = (Q_{xx} - Q_{yy}) / (Q_{xx} + Q_{yy})` and
    :math:`e_2 = 2 Q_{xy} / (Q_{xx} + Q_{yy})` with the second moments Q of the light about its
    centroid: :math:`e_1` is positive along the rows, :math:`e_2` along the diagonal from the first
    pixel to the last. Unlike an angle they have no jump.

    Parameters
    ----------
    flux
        (N, C, H, W).
    spec
        Facts about the images.

    Returns
    -------
    (N, 2) array, NaN where there is no light.
    """
    from scipy.ndimage import gaussian_filter

    pixels = np.asarray(flux, dtype=np.float64)
    sky = estimate_sky(pixels, spec.display)
    residual = np.nan_to_num(pixels - sky.level[:, :, None, None])
    smooth = gaussian_filter(
        reference_image(residual, sky.noise), (0, _SMOOTHING, _SMOOTHING), truncate=3.0
    )
    noise = estimate_sky(smooth[:, None]).noise[:, 0]
    light = np.clip(smooth - _ABOVE * noise[:, None, None], 0, None)
    total = light.sum(axis=(1, 2))
    good = total > 0
    out = np.full((len(pixels), 2), np.nan)
    light = light[good] / total[good, None, None]
    rows, columns = np.indices(light.shape[1:]).astype(np.float64)
    x, y = ((light * axis).sum(axis=(1, 2))[:, None, None] for axis in (columns, rows))
    xx, yy, xy = (
        (light * a * b).sum(axis=(1, 2))
        for a, b in (
            (columns - x, columns - x),
            (rows - y, rows - y),
            (columns - x, rows - y),
        )
    )
    size = xx + yy
    out[good] = np.stack([(xx - yy) / size, 2 * xy / size], axis=1)
    return out
