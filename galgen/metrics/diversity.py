"""Diversity: how far generated galaxies lie apart, in units of real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.pairs import MIN_SCALE
from galgen.metrics.scorecard import Family, Scale
from galgen.metrics.setmetric import SetMetric


def diversity_between(real: NDArray[Any], fake: NDArray[Any]) -> dict[str, float]:
    r"""``diversity``: root mean square distance of pairs of `fake` over that of `real`.

    Each feature is in units of the real set's spread. The mean square distance of all pairs is
    :math:`2 \operatorname{Tr} S`, so no pair is looked at and

    .. math:: \text{diversity} = \sqrt{\tfrac1F \textstyle\sum_f s^2_{g,f} / s^2_{r,f}}

    It is 1 for a second real sample, 0 for one galaxy over and over, and above 1 for noise: only a
    fall means something.

    Parameters
    ----------
    real, fake
        Features (N, F) and (M, F).

    Raises
    ------
    ValueError
        For fewer than two rows a side.
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError("one image has no spread")
    one, two = (np.var(np.asarray(x, dtype=np.float64), axis=0, ddof=1) for x in (real, fake))
    # No scale below the least, so that features that real galaxies hold constant count little.
    floor = MIN_SCALE**2
    own, ratio = (float((v / np.maximum(one, floor)).sum()) for v in (one, two))
    if own <= 0:
        raise ValueError("all real images are alike, so there is no spread to compare with")
    return {"diversity": float(np.sqrt(ratio / own))}


#: Higher is better, up to 1.
DIVERSITY = Family({"diversity": Scale(higher_is_better=True, lowest=0.0)}, diversity_between)


class Diversity(SetMetric):
    """How far generated galaxies lie apart, over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    **kwargs
        Of `SetMetric`.
    """

    higher_is_better = True

    def __init__(self, extractor: FeatureExtractor, **kwargs: Any) -> None:
        super().__init__(DIVERSITY, extractor, extractor.n_features, **kwargs)
