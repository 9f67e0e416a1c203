"""A family of scores as a torchmetrics `Metric`: alone, in a callback, over replicas."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.metrics.scorecard import Family, Score, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Turns flux images (N, C, H, W) into rows (N, F); a FeatureExtractor is one.
Rows = Callable[[Tensor], Tensor]


def gathered(metric: Metric) -> AbstractContextManager[None]:
    """Within it the states are those of all replicas, as they are within ``compute``."""
    return metric.sync_context(
        dist_sync_fn=metric.dist_sync_fn,
        should_sync=metric._to_sync,
        should_unsync=metric._should_unsync,
    )


class SetMetric(Metric):
    """Scores between a real and a generated set, from one row of numbers an image.

    The rows are the states. They are gathered over replicas and put in an order of their own, so
    that two processes, or batches in another order, give the numbers of one.

    Parameters
    ----------
    family
        What is computed from the rows.
    rows
        Turns flux images into them. It stays outside `state_dict` and checkpoints, and is not
        moved with the metric.
    width
        Numbers F in a row.
    reset_real_features
        False keeps the real rows over `reset`, so that they are computed once.

    Examples
    --------
    >>> import torch
    >>> from galgen.metrics.scorecard import single
    >>> family = single("shift", lambda one, two: float(abs(two.mean() - one.mean())))
    >>> metric = SetMetric(family, lambda flux: flux.mean((2, 3)), 1)
    >>> metric.update(torch.zeros(8, 1, 4, 4), real=True)
    >>> metric.update(torch.ones(8, 1, 4, 4), real=False)
    >>> float(metric.compute()["shift"])
    1.0
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False

    real_rows: list[Tensor]
    fake_rows: list[Tensor]

    def __init__(
        self,
        family: Family,
        rows: Rows,
        width: int,
        *,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Past nn.Module.__setattr__, which would register a network as a sub-module.
        object.__setattr__(self, "rows", rows)
        self.family, self.width = family, width
        self.reset_real_features = reset_real_features
        self.add_state("real_rows", [], dist_reduce_fx="cat")
        self.add_state("fake_rows", [], dist_reduce_fx="cat")
        self._start()

    def _start(self) -> None:
        # An empty block, so that a rank without an image still takes part in the gathering.
        for state in (self.real_rows, self.fake_rows):
            if not state:
                state.append(torch.zeros(0, self.width, device=self.device))

    def update(self, images: Tensor, real: bool) -> None:
        """Add flux images (N, C, H, W), or rows (N, F) as they are."""
        rows = images
        if images.ndim != 2:
            with torch.no_grad():
                rows = self.rows(images)  # type: ignore[operator]
        state = self.real_rows if real else self.fake_rows
        state.append(rows.detach().to(self.device, torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """Name to value of the whole sets, float64 scalars.

        Raises
        ------
        ValueError
            If the sets are too small or hold nothing that can be compared.
        """
        real, fake = self._sets()
        for rows, name in ((real, "real"), (fake, "generated")):
            if not len(rows):
                raise ValueError(f"there are no {name} images to compare")
        found = self.family.between(real, fake)
        return {k: torch.tensor(v, dtype=torch.float64) for k, v in found.items()}

    def score(self, seed: int = 0) -> dict[str, Score]:
        """Value, floor, interval and z of each, see `galgen.metrics.scorecard.scores`.

        All replicas must call it.
        """
        with gathered(self):
            return scores(self.family, *self._sets(), seed=seed)

    def _sets(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        real, fake = (_ordered(state) for state in (self.real_rows, self.fake_rows))
        return real, fake

    def reset(self) -> None:
        """Forget the generated images, and the real ones unless they are kept."""
        kept = None if self.reset_real_features else list(self.real_rows)
        super().reset()
        if kept is not None:
            self.real_rows = kept
        self._start()


def _ordered(state: list[Tensor] | Tensor) -> NDArray[np.float64]:
    """Rows sorted by their numbers, whatever the order of batches and ranks."""
    rows = (torch.cat(state) if isinstance(state, list) else state).cpu().double().numpy()
    return np.asarray(rows[np.lexsort(rows.T[::-1])]) if len(rows) else rows
