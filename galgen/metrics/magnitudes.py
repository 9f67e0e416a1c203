r"""Do measured magnitudes agree with those of a catalogue?

For a simulated set it says how good the photometry is; for a generator that emits magnitudes beside
its images, whether the two agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.bands import ImageSpec
from galgen.measure.bandorder import blue_to_red
from galgen.measure.photometry import Method, measure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Magnitudes beyond which a galaxy is an outlier.
OUTLIER = 0.5
_MAD_TO_SIGMA = 1.4826


def agreement(measured: ArrayLike, catalogue: ArrayLike) -> dict[str, Any]:
    r"""How measured magnitudes or colours (N,) differ from those of a catalogue (N,).

    Returns
    -------
    dict of JSON types
        With :math:`d` = measured - catalogue: ``n``, the galaxies that have both; ``bias``, the
        median of d; ``scatter``, 1.4826 times the median of :math:`|d - \mathrm{median}\,d|`,
        which is the standard deviation of a Gaussian; ``outliers``, the fraction of n with
        \|d\| > 0.5 mag; ``failures``, galaxies of the catalogue that could not be measured. The
        numbers are None where n is 0, and a ``reason`` says so.

    Examples
    --------
    >>> found = agreement([20.1, 21.1, float("nan")], [20.0, 21.0, 22.0])
    >>> found["n"], found["failures"], round(found["bias"], 6)
    (2, 1, 0.1)
    """
    one, two = (np.asarray(x, dtype=np.float64).ravel() for x in (measured, catalogue))
    if one.shape != two.shape:
        raise ValueError(f"{len(one)} measured and {len(two)} catalogue values are no pairs")
    known, found = np.isfinite(two), np.isfinite(one)
    d = (one - two)[known & found]
    out: dict[str, Any] = {"n": len(d), "failures": int((known & ~found).sum())}
    if not len(d):
        why = "no galaxy was measured" if known.any() else "the catalogue has no value"
        return {**out, **dict.fromkeys(("bias", "scatter", "outliers")), "reason": why}
    bias = float(np.median(d))
    return {
        **out,
        "bias": bias,
        "scatter": _MAD_TO_SIGMA * float(np.median(np.abs(d - bias))),
        "outliers": float(np.mean(np.abs(d) > OUTLIER)),
    }


def catalogue_magnitudes(
    columns: Mapping[str, NDArray[Any]], catalogue: Mapping[str, ArrayLike], spec: ImageSpec
) -> dict[str, dict[str, Any]]:
    """`agreement` of every magnitude and colour that the catalogue has.

    Parameters
    ----------
    columns
        What `galgen.measure.photometry.measure` found on the images.
    catalogue
        Columns ``mag_<band>`` (N,) of the same galaxies, in any order among other columns.
    spec
        Facts about the images. A band without a zero point, as those of pictures are, has no
        magnitude to compare, and no entry.

    Returns
    -------
    dict
        ``mag_<band>``, and ``<band>-<band>`` of neighbouring bands, to `agreement`; empty for a
        catalogue without magnitudes.
    """
    known = {} if spec.display else dict(zip(spec.bands, spec.zero_points, strict=True))
    ordered = [spec.bands[c] for c in blue_to_red(spec.bands)]
    bands = [b for b in ordered if f"mag_{b}" in catalogue and known.get(b) is not None]
    pairs = {}
    for band in bands:
        given = np.asarray(catalogue[f"mag_{band}"], dtype=np.float64)
        pairs[f"mag_{band}"] = np.asarray(columns[f"mag_{band}"]), given
    for blue, red in pairwise(bands):
        (one, true_one), (two, true_two) = pairs[f"mag_{blue}"], pairs[f"mag_{red}"]
        pairs[f"{blue}-{red}"] = one - two, true_one - true_two
    return {name: agreement(*pair) for name, pair in pairs.items()}


class CatalogueMagnitudes(Metric):
    """Catalogue against measured magnitudes, over batches and ranks.

    `compute` gives ``bias_<name>``, ``scatter_<name>``, ``outliers_<name>`` and ``failures_<name>``
    for every ``mag_<band>`` and colour; `result` the dict of `catalogue_magnitudes`.

    Parameters
    ----------
    spec
        Bands and zero points.
    method
        Photometry, see `galgen.measure.photometry.measure`.
    """

    is_differentiable = False
    full_state_update = False

    rows: list[Tensor]

    def __init__(self, spec: ImageSpec, *, method: Method = "kron", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.method: Method = method
        self.add_state("rows", [], dist_reduce_fx="cat")
        self._start()

    def _start(self) -> None:
        # An empty block, so that a rank without an image still takes part in the gathering.
        if not self.rows:
            shape = 0, 2 * self.spec.n_bands
            self.rows.append(torch.zeros(shape, dtype=torch.float32, device=self.device))

    def update(self, images: Tensor, catalogue: Mapping[str, Sequence[float] | ArrayLike]) -> None:
        """Add flux images (N, C, H, W) and the columns ``mag_<band>`` (N,) of the same galaxies."""
        found = measure(images.detach().cpu(), self.spec, method=self.method)
        n = len(images)
        unknown = np.full(n, np.nan)
        table = [found[f"mag_{b}"] for b in self.spec.bands]
        for band in self.spec.bands:
            column = np.asarray(catalogue.get(f"mag_{band}", unknown), dtype=np.float64)
            if column.shape != (n,):
                raise ValueError(f"mag_{band} has {column.size} values for {n} images")
            table.append(column)
        rows = torch.from_numpy(np.stack(table, axis=1))
        self.rows.append(rows.to(self.device, torch.float32))

    def result(self) -> dict[str, dict[str, Any]]:
        """See `catalogue_magnitudes`; of this rank's galaxies."""
        rows = torch.cat(self.rows) if isinstance(self.rows, list) else self.rows
        one, two = rows.cpu().double().numpy().T.reshape(2, self.spec.n_bands, -1)
        names = [f"mag_{band}" for band in self.spec.bands]
        given = {n: c for n, c in zip(names, two, strict=True) if np.isfinite(c).any()}
        return catalogue_magnitudes(dict(zip(names, one, strict=True)), given, self.spec)

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars; NaN where no galaxy has both."""
        return {
            f"{entry}_{name}": torch.tensor(
                math.nan if found[entry] is None else found[entry], dtype=torch.float64
            )
            for name, found in self.result().items()
            for entry in ("bias", "scatter", "outliers", "failures")
        }

    def reset(self) -> None:
        """Forget all galaxies."""
        super().reset()
        self._start()
