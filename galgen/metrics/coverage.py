"""Precision, recall, density and coverage: fidelity and variety of a set, apart.

Each galaxy owns the ball that reaches to its k-th nearest neighbour in its own set. What lies in
balls of the other set tells whether generated galaxies are real ones (precision, density) and
whether all kinds of real ones are made (recall, coverage), which one distance mixes up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.frechet import moments, standard_scale

NAMES = ("precision", "recall", "density", "coverage")
#: Neighbours, as Naeem et al. 2020 advise.
NEIGHBOURS = 5


def radii(features: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Distance (N,) of each row of (N, F) to its k-th nearest other row.

    Raises
    ------
    ValueError
        If there are no k other rows.
    """
    if len(features) <= k:
        raise ValueError(f"{len(features)} images are too few for {k} nearest neighbours of each")
    # The nearest of all is the row itself.
    nearest = torch.cdist(features, features).topk(k + 1, dim=1, largest=False).values
    radius: Tensor = nearest[:, -1]
    return radius


def coverage_between(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    r"""Precision, recall, density and coverage of features (N, F) and (M, F).

    With :math:`B(x)` the ball around x up to its k-th nearest neighbour in its own set, real
    :math:`r_i` and generated :math:`g_j`,

    .. math::
        \text{precision} &= \tfrac1M \textstyle\sum_j [g_j \in \bigcup_i B(r_i)] \\
        \text{recall}    &= \tfrac1N \textstyle\sum_i [r_i \in \bigcup_j B(g_j)] \\
        \text{density}   &= \tfrac1{kM} \textstyle\sum_j \sum_i [g_j \in B(r_i)] \\
        \text{coverage}  &= \tfrac1N \textstyle\sum_i [\exists j: g_j \in B(r_i)]

    (Kynkäänniemi et al. 2019, arXiv:1904.06991, section 2; Naeem et al. 2020,
    arXiv:2002.09797, section 3). Each feature is in units of the real set's spread. Precision
    and recall trust outliers, whose balls are large; density and coverage do so less.

    Returns
    -------
    dict
        By `NAMES`; all in [0, 1] except density, which is about 1 for a second real sample and
        larger for one that stays where real galaxies are densest.

    Raises
    ------
    ValueError
        If a set has no k + 1 rows.
    """
    mean, covariance = moments(real)
    scale = standard_scale(covariance)
    # Centred, because cdist multiplies matrices, which costs digits far from the origin.
    real, fake = ((x.detach().cpu().double() - mean).div(scale).float() for x in (real, fake))
    distance = torch.cdist(real, fake)
    in_real = distance <= radii(real, k)[:, None]
    in_fake = distance <= radii(fake, k)
    values = (
        in_real.any(0).float().mean(),
        in_fake.any(1).float().mean(),
        in_real.sum() / (k * len(fake)),
        in_real.any(1).float().mean(),
    )
    return {name: float(value) for name, value in zip(NAMES, values, strict=True)}


class Coverage(Metric):
    """The four numbers of `coverage_between` over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features. It stays outside `state_dict` and checkpoints,
        and is not moved with the metric.
    k
        Neighbours.
    reset_real_features
        False keeps the real features over `reset`, so that they are computed once.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    real_features: list[Tensor]
    fake_features: list[Tensor]

    def __init__(
        self,
        extractor: FeatureExtractor,
        *,
        k: int = NEIGHBOURS,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Past nn.Module.__setattr__, which would register a network as a sub-module.
        object.__setattr__(self, "extractor", extractor)
        self.k, self.reset_real_features = k, reset_real_features
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")
        self._start()

    def _start(self) -> None:
        # An empty block, so that a rank without an image still takes part in the gathering.
        for state in (self.real_features, self.fake_features):
            if not state:
                state.append(torch.zeros(0, self.extractor.n_features, device=self.device))  # type: ignore[union-attr,arg-type]

    def update(self, images: Tensor, real: bool) -> None:
        """Add flux images (N, C, H, W), or features (N, F) as they are."""
        features = images
        if images.ndim != 2:
            with torch.no_grad():
                features = self.extractor(images)  # type: ignore[operator]
        state = self.real_features if real else self.fake_features
        state.append(features.detach().to(self.device, torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """Name to value, float32 scalars.

        Raises
        ------
        ValueError
            If a set has no k + 1 images.
        """
        real, fake = (_rows(state) for state in (self.real_features, self.fake_features))
        values = coverage_between(real, fake, self.k)
        return {name: torch.tensor(value) for name, value in values.items()}

    def reset(self) -> None:
        """Forget the generated features, and the real ones unless they are kept."""
        kept = None if self.reset_real_features else list(self.real_features)
        super().reset()
        if kept is not None:
            self.real_features = kept
        self._start()


def _rows(state: list[Tensor] | Tensor) -> Tensor:
    return torch.cat(state) if isinstance(state, list) else state
