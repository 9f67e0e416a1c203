r"""Histograms of radio images, and how far those of two sets lie apart (RMAE).

The measure of the class-conditional radio GAN (Rustige et al. 2023, RASTI 2, 264; Kummer et al.
2022, arXiv:2212.04243), which also chooses its snapshots: for each class three histograms of
8-bit images, and their relative mean absolute error.

=========== ====================================================================================
intensities every pixel, by its value: 256 bins of width 1, the last one holds 255
activated   every image, by the number of its pixels that are 1 or more: ten edges from 0 to 500,
            then 600, 700, 800, 900, 1000, 2000
sumI        every image, by the sum of its pixels: 15 edges from 0 to 25000, then 50000, 75000
=========== ====================================================================================

A bin holds its lower edge and not its upper one; what lies beyond the last edge is dropped. The
edges were made for 128 x 128 pixels and are the same at any size: smaller images have fewer
pixels to count, fall into the first bins, and their RMAE compares with none at another size.

Pixels become integers as in an 8-bit file of a generator that clamps: what lies outside 0..255
is clamped, NaN is 0, and fractions are cut off, after 0.001 was added so that 99.99999, a 100 with
a rounding error, is 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.bands import ImageSpec
from galgen.metrics.scorecard import Family, Scale
from galgen.metrics.setmetric import SetMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Edges of the bins of each histogram.
EDGES: dict[str, NDArray[np.float64]] = {
    "intensities": np.arange(257, dtype=np.float64),
    "activated": np.concatenate([np.linspace(0, 500, 10), [600, 700, 800, 900, 1000, 2000]]),
    "sumI": np.concatenate([np.linspace(0, 25000, 15), [50000, 75000]]),
}
#: Bins of all histograms, side by side in this order.
BINS = sum(len(edges) - 1 for edges in EDGES.values())
_SLACK = 1e-3
#: Images that are counted at a time.
_BLOCK = 256


def why_not(spec: ImageSpec) -> str | None:
    """Why the histograms do not apply to a set, or None where they do."""
    if spec.n_bands > 1:
        return f"{spec.n_bands} bands ({', '.join(spec.bands)}): the histograms are of one band"
    if spec.photometric:
        return f"fluxes in {spec.unit}: the histograms are of pictures with pixels of 0 to 255"
    return None


def image_counts(images: Tensor) -> Tensor:
    """Counts (N, `BINS`), int64 on the CPU, of images (N, 1, H, W) with pixels of 0 to 255.

    The counts of a set are the sum over its images. The last two histograms have one count an
    image, or none where it lies beyond the last edge.

    Raises
    ------
    ValueError
        For more than one band.
    """
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"expected (N, 1, H, W), got {tuple(images.shape)}")
    return torch.cat([_counts(block) for block in images.detach().cpu().split(_BLOCK)])


def _counts(images: Tensor) -> Tensor:
    pixels = torch.nan_to_num(images.float(), nan=0.0).add(_SLACK).clamp(0, 255)
    pixels = pixels.to(torch.int64).flatten(1)
    values = (pixels, (pixels >= 1).sum(1, keepdim=True), pixels.sum(1, keepdim=True))
    return torch.cat([_binned(v, e) for v, e in zip(values, EDGES.values(), strict=True)], 1)


def _binned(values: Tensor, edges: NDArray[np.float64]) -> Tensor:
    """How many of each row's values (N, V) lie in each bin, (N, len(edges) - 1)."""
    n, bins = len(values), len(edges) - 1
    place = torch.bucketize(values.double(), torch.from_numpy(edges), right=True)
    # Place 0 is below the first edge, bins + 1 beyond the last.
    flat = place + torch.arange(n)[:, None] * (bins + 2)
    counts = torch.bincount(flat.flatten(), minlength=n * (bins + 2)).view(n, bins + 2)
    return counts[:, 1:-1]


def histograms(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Histograms of a set's counts (`BINS`,): over the bins' widths, with sum 1, or all 0."""
    found, start = {}, 0
    for name, edges in EDGES.items():
        width = np.diff(edges)
        density = np.asarray(counts[start : start + len(width)], dtype=np.float64) / width
        found[name] = density / (density.sum() or 1.0)
        start += len(width)
    return found


def rmae(a: NDArray[Any], b: NDArray[Any]) -> float:
    r"""Relative mean absolute error of two histograms, 0 for equal to 2 for disjoint ones.

    The mean of :math:`2 |a - b| / (a + b)` over the bins with :math:`a + b > 0`. An empty
    histogram is disjoint from any other; two empty ones have no error, NaN.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    total = a + b
    used = total > 0
    return float(np.mean(2 * np.abs(a - b)[used] / total[used])) if used.any() else float("nan")


def rmae_of(real: NDArray[Any], fake: NDArray[Any]) -> dict[str, float]:
    """RMAE of each histogram of two sets' counts (`BINS`,)."""
    one, two = histograms(real), histograms(fake)
    return {name: rmae(one[name], two[name]) for name in EDGES}


def _between(one: NDArray[Any], two: NDArray[Any]) -> dict[str, float]:
    found = rmae_of(one.sum(0), two.sum(0))
    if not np.isfinite(list(found.values())).all():
        raise ValueError("both sets lie beyond the edges of a histogram")
    named = {f"rmae_{name}": value for name, value in found.items()}
    return {"rmae": float(np.mean(list(found.values()))), **named}


def radio_family() -> Family:
    """Scores of one class: ``rmae``, the mean of the histograms, and ``rmae_<histogram>``.

    The rows are counts (N, `BINS`) from `image_counts`. The floor is far from 0, since most bins
    hold few counts, and a bin with one image decides as much as one with a hundred.
    """
    scale = Scale(lowest=0.0, highest=2.0)
    scales = dict.fromkeys(("rmae", *(f"rmae_{name}" for name in EDGES)), scale)
    return Family(scales, _between, rare=True)


RADIO = radio_family()


class RadioDistance(SetMetric):
    """RMAE of images of one class with its floor, over batches and ranks.

    `RadioHistograms` is the light form for many classes: it keeps sums, and has no floor.

    Parameters
    ----------
    reset_real_features
        False keeps the real counts over `reset`, so that they are taken once.
    """

    def __init__(self, *, reset_real_features: bool = True, **kwargs: Any) -> None:
        super().__init__(
            RADIO, image_counts, BINS, reset_real_features=reset_real_features, **kwargs
        )


class RadioHistograms(Metric):
    """RMAE of generated images by class, accumulated over batches and ranks.

    The states are counts, which add up. `compute` gives a dict: ``by_histogram`` (classes, 3),
    ``by_class`` (classes,), the mean over the histograms, and ``rmae``, the mean over the
    classes. A class that lacks real or generated images is NaN and in no mean; so is a histogram
    of which both sets lie beyond the edges.

    Parameters
    ----------
    classes
        How many; images need labels where there is more than one.
    reset_real_features
        False keeps the real counts over `reset`, so that they are taken once.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    real_counts: Tensor
    real_images: Tensor
    fake_counts: Tensor
    fake_images: Tensor

    def __init__(
        self, classes: int = 1, *, reset_real_features: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.classes, self.reset_real_features = classes, reset_real_features
        for side in ("real", "fake"):
            counts = torch.zeros(classes, BINS, dtype=torch.int64)
            self.add_state(f"{side}_counts", counts, dist_reduce_fx="sum")
            self.add_state(f"{side}_images", counts[:, 0].clone(), dist_reduce_fx="sum")

    def update(
        self, images: Tensor, real: bool, labels: Tensor | Sequence[int] | int | None = None
    ) -> None:
        """Count images (N, 1, H, W) in 0..255 of class numbers `labels` (N,), or all of one."""
        if labels is None and self.classes > 1:
            raise ValueError(f"images of {self.classes} classes need labels")
        labels = torch.as_tensor(0 if labels is None else labels).cpu().expand(len(images))
        if not len(images):
            return
        side = "real" if real else "fake"
        for state, values in (
            (getattr(self, f"{side}_counts"), image_counts(images)),
            (getattr(self, f"{side}_images"), torch.ones(len(images), dtype=torch.int64)),
        ):
            added = torch.zeros(state.shape, dtype=torch.int64).index_add_(0, labels, values)
            state += added.to(state.device)

    def compute(self) -> dict[str, Tensor]:
        """RMAE, float32."""
        table = torch.full((self.classes, len(EDGES)), float("nan"))
        known = torch.minimum(self.real_images, self.fake_images).cpu() > 0
        for number in torch.nonzero(known).flatten().tolist():
            one, two = (c[number].cpu().numpy() for c in (self.real_counts, self.fake_counts))
            table[number] = torch.tensor(list(rmae_of(one, two).values()))
        by_class = table.nanmean(dim=1)
        return {"by_histogram": table, "by_class": by_class, "rmae": by_class.nanmean()}

    def reset(self) -> None:
        """Forget the generated images, and the real ones unless they are kept."""
        kept = None if self.reset_real_features else (self.real_counts, self.real_images)
        super().reset()
        if kept is not None:
            self.real_counts, self.real_images = kept
