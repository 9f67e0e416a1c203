"""Frechet distance between two sets of feature vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.metrics.features import FeatureExtractor

#: Smallest standard deviation that a feature is divided by: features that the real set holds
#: constant would otherwise rule the distance by rounding errors.
MIN_SCALE = 0.1


def frechet_distance(
    mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor
) -> Tensor:
    r"""Squared Frechet distance between two Gaussians, a float64 scalar.

    .. math::
        d^2 = |\mu_1 - \mu_2|^2
            + \operatorname{Tr}(S_1 + S_2 - 2 (S_1^{1/2} S_2 S_1^{1/2})^{1/2})

    (Dowson & Landau 1982; Heusel et al. 2017, eq. 6). Both roots are of symmetric positive
    matrices, so `torch.linalg.eigh` is enough: no complex numbers, no ill-conditioned
    general root. Singular covariances (fewer images than features) are fine; the distance
    is biased upwards at small N in any case and means nothing without its floor.

    Parameters
    ----------
    mean1, mean2
        (F,) means.
    covariance1, covariance2
        (F, F) covariances.
    """
    mean1, covariance1, mean2, covariance2 = (
        t.detach().to("cpu", torch.float64) for t in (mean1, covariance1, mean2, covariance2)
    )
    values, vectors = torch.linalg.eigh(covariance1)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = root @ covariance2 @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace()
    squared: Tensor = (distance - 2 * cross).clamp_min(0)
    return squared


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of features (N, F), in float64.

    A single vector has covariance zero.
    """
    x = features.detach().to("cpu", torch.float64)
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / max(1, len(x) - 1)


def standard_scale(covariance: Tensor) -> Tensor:
    """Standard deviations (F,) of the real set, none below `MIN_SCALE`."""
    return covariance.diagonal().clamp_min(0).sqrt().clamp_min(MIN_SCALE)


def frechet_between(real: Tensor, fake: Tensor) -> float:
    """Distance of features (N, F) and (M, F), each feature in units of the real set's spread.

    The unit makes a distance of 1 one standard deviation in one feature, whatever the
    features are measured in.
    """
    mean1, covariance1 = moments(real)
    mean2, covariance2 = moments(fake)
    return _scaled(mean1, covariance1, mean2, covariance2)


def _scaled(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    scale = standard_scale(covariance1)
    outer = scale[:, None] * scale
    return float(
        frechet_distance(mean1 / scale, covariance1 / outer, mean2 / scale, covariance2 / outer)
    )


class FrechetDistance(Metric):
    """Frechet distance of images or features, accumulated over batches and ranks.

    The states are counts, sums and sums of outer products in float64, which add up over
    ranks; a rank without an image adds zero. Features are logarithmic numbers of order 1 to
    10, for which sums in float64 lose nothing that matters.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features. It stays outside `state_dict` and checkpoints,
        and is not moved with the metric.
    reset_real_features
        False keeps the real set's sums over `reset`, so that they are computed once.

    Notes
    -----
    On Apple's MPS, which has no float64, the states stay on the CPU.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    real_n: Tensor
    real_sum: Tensor
    real_outer: Tensor
    fake_n: Tensor
    fake_sum: Tensor
    fake_outer: Tensor

    def __init__(
        self, extractor: FeatureExtractor, *, reset_real_features: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # Past nn.Module.__setattr__, which would register a network as a sub-module.
        object.__setattr__(self, "extractor", extractor)
        self.reset_real_features = reset_real_features
        f = extractor.n_features
        for side in ("real", "fake"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(f"{side}_n", zero, dist_reduce_fx="sum")
            self.add_state(f"{side}_sum", zero.expand(f).clone(), dist_reduce_fx="sum")
            self.add_state(f"{side}_outer", zero.expand(f, f).clone(), dist_reduce_fx="sum")

    def update(self, images: Tensor, real: bool) -> None:
        """Add flux images (N, C, H, W), or features (N, F) as they are."""
        features = images
        if images.ndim != 2:
            with torch.no_grad():
                features = self.extractor(images)  # type: ignore[operator]
        x = features.detach().to("cpu").double().to(self.real_sum.device)
        side = "real" if real else "fake"
        self._add(side, torch.tensor(float(len(x)), dtype=torch.float64), x.sum(0), x.T @ x)

    def _add(self, side: str, n: Tensor, total: Tensor, outer: Tensor) -> None:
        for name, value in (("n", n), ("sum", total), ("outer", outer)):
            state = getattr(self, f"{side}_{name}")
            setattr(self, f"{side}_{name}", state + value.to(state.device))

    def _moments(self, side: str) -> tuple[Tensor, Tensor]:
        n, total, outer = (getattr(self, f"{side}_{k}").cpu() for k in ("n", "sum", "outer"))
        if n < 2:
            raise ValueError(f"a Frechet distance needs two {side} images, got {int(n)}")
        mean = total / n
        return mean, (outer - n * torch.outer(mean, mean)) / (n - 1)

    def compute(self) -> Tensor:
        """The distance, each feature in units of the real set's spread; a float64 scalar."""
        return torch.tensor(
            _scaled(*self._moments("real"), *self._moments("fake")), dtype=torch.float64
        )

    def reset(self) -> None:
        """Forget the generated images, and the real ones unless they are kept."""
        kept = ("real_n", "real_sum", "real_outer")
        values = None if self.reset_real_features else {k: getattr(self, k) for k in kept}
        super().reset()
        for name, value in (values or {}).items():
            setattr(self, name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        # `.half()` on a module that holds the metric must not round its sums.
        device = fn(torch.zeros(1)).device
        if device.type == "mps":
            return self
        return super()._apply(lambda t: t.to(device), *args, **kwargs)
