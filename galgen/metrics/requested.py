"""Numbers that were asked for against what is measured on the galaxies that came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.randomness import key

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Fewer pairs than this have no scatter worth a number.
FEWEST = 3
_SHUFFLES = 20
_MAD_TO_SIGMA = 1.4826


def follow(requested: NDArray[Any], measured: NDArray[Any], seed: int = 0) -> dict[str, Any]:
    r"""How one measured number follows the request.

    Parameters
    ----------
    requested, measured
        (N,) in the same unit. A galaxy without a request (NaN) does not count; one that was not
        measured (NaN) is a failure.
    seed
        Of the shuffles.

    Returns
    -------
    dict
        ``n`` pairs and ``failures``. Of measured - requested: ``bias``, the median, and
        ``mean``; ``scatter``, 1.4826 times the median absolute deviation, and ``std``.
        ``r2``: the square of Pearson's correlation, the part of the variance that a straight line
        explains; ``slope`` of that line, measured over requested, below 1 where extremes are
        made less extreme than asked for. ``r2_identity``: 1 minus the sum of squares of
        measured - requested over that of measured about its mean, the part that measured =
        requested explains; unlike `r2` it falls with a bias and a slope other than 1, below 0
        where the mean would be the better guess. ``r2_shuffled``: the mean r2 over 20 shuffles of
        the requests, about 1/(n - 1) whatever the galaxies: what a generator scores that does not
        listen. Numbers that too few pairs or equal ones leave undetermined are None.

    Notes
    -----
    One outlier can ruin ``mean``, ``std``, ``slope`` and each ``r2``; ``bias`` and ``scatter`` hold
    out against nearly half.
    """
    asked, found = (np.asarray(v, dtype=np.float64) for v in (requested, measured))
    wanted = np.isfinite(asked)
    good = wanted & np.isfinite(found)
    asked, found = asked[good], found[good]
    result: dict[str, Any] = dict.fromkeys(
        ("bias", "mean", "scatter", "std", "r2", "r2_identity", "slope", "r2_shuffled")
    )
    result = {"n": len(asked), "failures": int(wanted.sum() - good.sum()), **result}
    if not len(asked):
        return result
    error = found - asked
    result |= {"bias": float(np.median(error)), "mean": float(error.mean())}
    if len(asked) < FEWEST:
        return result
    spread = np.median(np.abs(error - np.median(error)))
    result |= {"scatter": float(_MAD_TO_SIGMA * spread), "std": float(error.std(ddof=1))}
    r2 = _r2(asked, found)
    if r2 is None:
        return result
    rng = np.random.default_rng(key(seed, "requested numbers"))
    shuffled = [_r2(rng.permutation(asked), found) or 0.0 for _ in range(_SHUFFLES)]
    slope = float(np.mean((asked - asked.mean()) * (found - found.mean())) / asked.var())
    identity = 1 - float(np.mean(error**2) / found.var())
    return result | {
        "r2": r2,
        "r2_identity": identity,
        "slope": slope,
        "r2_shuffled": float(np.mean(shuffled)),
    }


def _r2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Square of Pearson's correlation, None where one of the two does not vary."""
    a, b = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    # Rounding leaves equal numbers a spread of their own.
    if any(np.ptp(values) <= 1e-12 * np.abs(values).max() for values in (x, y)):
        return None
    return float(min(1.0, (float(a @ b) / scale) ** 2))
