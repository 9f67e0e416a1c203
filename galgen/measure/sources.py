"""The source in the middle of an image: its segment and the moments of its light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.measure.sky import estimate_sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Detection threshold in units of the noise of the smoothed reference image, and the fewest
#: connected pixels above it (or an eighth of the side, where that is more). Pure noise of
#: 32 px passes in about 1 % of the images.
THRESHOLD = 3.0
CONNECTED_PIXELS = 5
SMOOTHING = 1.0
#: Variance of a pixel's own width, which the moments of a very thin source are given.
_PIXEL = 1 / 12


def segments(reference: NDArray[Any]) -> NDArray[np.int32]:
    """Number of the source that each pixel of (N, H, W) belongs to, 0 for sky.

    Sources are what is connected, corners included, above `THRESHOLD` in the smoothed image;
    nothing is deblended. Each image has numbers of its own, not from 1 on.
    """
    from scipy.ndimage import gaussian_filter, label

    smooth = gaussian_filter(reference, (0, SMOOTHING, SMOOTHING), truncate=3.0)
    noise = estimate_sky(smooth[:, None]).noise[:, 0]
    threshold = np.where(noise > 0, THRESHOLD * noise, np.inf)
    touching = np.zeros((3, 3, 3), dtype=bool)
    touching[1] = True
    labels, count = label(smooth > threshold[:, None, None], structure=touching)
    least = max(CONNECTED_PIXELS, min(reference.shape[-2:]) // 8)
    small = np.bincount(labels.ravel(), minlength=count + 1) < least
    return np.asarray(np.where(small[labels], 0, labels), dtype=np.int32)


def central_label(labels: NDArray[Any]) -> int | None:
    """Segment with the pixel nearest to the centre, none further away than a quarter side."""
    height, width = labels.shape
    y, x = np.nonzero(labels)
    if not len(y):
        return None
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    nearest = int(distance.argmin())
    if distance[nearest] > min(height, width) / 4:
        return None
    # Several segments may be equally near: the larger one, whatever the orientation.
    tied = np.unique(labels[y, x][distance <= distance[nearest] + 1e-9])
    return int(max(tied, key=lambda label: int((labels == label).sum())))


@dataclass(frozen=True)
class Ellipse:
    """The ellipse with the second moments of a source's light.

    Attributes
    ----------
    x, y
        Centroid in pixels.
    a, b
        Standard deviations along the long and the short axis, pixels.
    theta
        Angle of the long axis in radians, from +x towards +y.
    """

    x: float
    y: float
    a: float
    b: float
    theta: float

    @property
    def ellipticity(self) -> float:
        """1 - b/a."""
        return 1.0 - self.b / self.a

    def extent(self, scale: float) -> tuple[float, float]:
        """Half width and half height of the ellipse times `scale`."""
        c, s = scale * math.cos(self.theta), scale * math.sin(self.theta)
        return math.hypot(self.a * c, self.b * s), math.hypot(self.a * s, self.b * c)

    def radius(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Elliptical radius, 1 on the ellipse, of points relative to the centroid."""
        c, s = math.cos(self.theta), math.sin(self.theta)
        return np.asarray(np.hypot((c * x + s * y) / self.a, (c * y - s * x) / self.b))


def ellipse(reference: NDArray[Any], segment: NDArray[np.bool_]) -> Ellipse | None:
    """Moments of the positive pixels (H, W) in a segment, None where there are none.

    Of a source thinner than a pixel both variances grow by 1/12 until it is not, as in
    SourceExtractor (Bertin & Arnouts 1996) and photutils.
    """
    rows, columns = np.nonzero(segment)
    light = np.clip(reference[rows, columns], 0.0, None)
    total = light.sum()
    if not total > 0:
        return None
    light = light / total
    x, y = float(light @ columns), float(light @ rows)
    dx, dy = columns - x, rows - y
    xx, yy, xy = float(light @ (dx * dx)), float(light @ (dy * dy)), float(light @ (dx * dy))
    while xx * yy - xy * xy < _PIXEL**2:
        xx, yy = xx + _PIXEL, yy + _PIXEL
    middle, split = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    short = (xx * yy - xy * xy) / (middle + split)
    theta = 0.5 * math.atan2(2 * xy, xx - yy)
    return Ellipse(x, y, math.sqrt(middle + split), math.sqrt(short), theta)
