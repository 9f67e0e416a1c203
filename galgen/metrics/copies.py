r"""Is a generator a copier? Distances to the training images, beside those of held-out galaxies.

A smallest distance proves nothing: a copy with noise is never at 0, and real galaxies resemble
each other too. So galaxies that were kept out of training are the comparison, and the question is
whether generated ones lie nearer to the training images than those (Meehan, Chaudhuri and Dasgupta
2020, arXiv:2004.05675).

The distance is relative: that of the nearest training image over that of the tenth nearest. Faint
and smooth images are near to everything, and a generator that makes more of them is no copier; a
copy is much nearer to one image than to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.metrics.nearest import Nearest, Search
from galgen.metrics.scorecard import Family, Scale, Score, scores
from galgen.metrics.setmetric import gathered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.metrics.spaces import Space

#: Distances are relative to that of the so-manieth nearest training image; above 8, so that a set
#: in which every galaxy lies in 8 orientations still shows its copies.
NEIGHBOUR = 10
#: Below it a generator copies.
COPYING = -3.0
#: With fewer on both sides, not even a set of copies is below it.
_FEWEST = 8
_QUANTILE = 0.01

Side = Literal["train", "held", "fake"]


def mann_whitney_z(one: NDArray[Any], two: NDArray[Any]) -> float:
    r"""Mann-Whitney U as a z-score: negative where `one` holds the smaller numbers.

    :math:`z = (U - nm/2) / \sqrt{nm/12 (n + m + 1 - \sum_t (t^3 - t) / ((n + m)(n + m - 1)))}`
    with U the number of pairs in which `one` is larger, ties counting half, and t the sizes of
    groups of ties. That is C_T of Meehan et al. for distances of generated (`one`) and of held-out
    galaxies (`two`).

    Raises
    ------
    ValueError
        If either is empty or all numbers are equal.
    """
    from scipy.stats import rankdata

    n, m = len(one), len(two)
    both = np.concatenate([one, two])
    if not n or not m or both.min() == both.max():
        raise ValueError("all galaxies are equally far from the training images")
    u = rankdata(both)[:n].sum() - n * (n + 1) / 2
    ties = np.unique(both, return_counts=True)[1].astype(float)
    total = n + m
    variance = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    return float((u - n * m / 2) / math.sqrt(variance))


def nearer(fake: NDArray[Any], held: NDArray[Any]) -> float:
    """Fraction of generated galaxies that are nearer than the 1 % quantile of held-out ones."""
    return float((fake < np.quantile(held, _QUANTILE)).mean())


def copies_between(held: NDArray[Any], fake: NDArray[Any]) -> dict[str, float]:
    """``copies`` (C_T) and ``nearer`` of relative distances (N, 1) and (M, 1).

    Raises
    ------
    ValueError
        For fewer than 8 on either side, where C_T of copies alone would not be below -3.
    """
    if min(len(held), len(fake)) < _FEWEST:
        raise ValueError(
            f"{len(fake)} generated against {len(held)} held-out galaxies with light cannot show "
            f"copying: it takes {_FEWEST} of each, and twice as many held-out ones for the floor"
        )
    one, two = fake[:, 0], held[:, 0]
    return {"copies": mann_whitney_z(one, two), "nearer": nearer(one, two)}


#: Of relative distances (N, 1): held-out galaxies are the real rows.
COPIES = Family(
    {
        "copies": Scale(higher_is_better=True),
        "nearer": Scale(lowest=0.0, highest=1.0),
    },
    copies_between,
)


def nearest_training(
    spaces: Sequence[Space],
    sides: Mapping[str, Iterable[Tensor]],
    train: Iterable[Tensor],
) -> dict[str, dict[str, Nearest]]:
    """Nearest training image of every image, in one pass over each set.

    Parameters
    ----------
    spaces
        Fitted on training images, see `galgen.metrics.spaces.fit_spaces`.
    sides
        Name to blocks of flux images (n, C, H, W).
    train
        Blocks of flux images.

    Returns
    -------
    dict
        Space to side to `galgen.metrics.nearest.Nearest`.

    Raises
    ------
    ValueError
        If no training image has light.
    """
    searches: dict[str, dict[str, Search]] = {space.name: {} for space in spaces}
    lit: dict[str, dict[str, NDArray[np.bool_]]] = {space.name: {} for space in spaces}
    for side, blocks in sides.items():
        found: list[list[tuple[Tensor, Tensor]]] = [[_nothing(space)] for space in spaces]
        for block in blocks:
            for space, parts in zip(spaces, found, strict=True):
                rows, active = space(block)
                parts.append((rows.cpu(), active.cpu()))
        for space, parts in zip(spaces, found, strict=True):
            rows, active = (torch.cat(part) for part in zip(*parts, strict=True))
            searches[space.name][side] = Search(rows[active], NEIGHBOUR, space.variants)
            lit[space.name][side] = active.numpy()
    for block in train:
        for space in spaces:
            rows, active = space(block)
            for search in searches[space.name].values():
                search.add(rows, active)
    return {
        name: {side: Nearest.of(search.found(), lit[name][side]) for side, search in of.items()}
        for name, of in searches.items()
    }


def _nothing(space: Space) -> tuple[Tensor, Tensor]:
    return torch.zeros(0, space.width), torch.zeros(0, dtype=torch.bool)


class CopyAudit(Metric):
    """C_T and the fraction of galaxies that are too near, in one space.

    Only rows of the space are kept, of training images too; `nearest_training` streams these. The
    rows are gathered over replicas, so that two processes give the numbers of one.

    Parameters
    ----------
    space
        Fitted on training images, see `galgen.metrics.spaces`. It stays outside `state_dict`.

    Examples
    --------
    >>> import torch
    >>> from galgen.metrics.spaces import PolarSpace
    >>> images = torch.rand(96, 1, 32, 32)
    >>> images[:, :, 8:24, 8:24] += 9 * torch.rand(96, 1, 16, 16)
    >>> audit = CopyAudit(PolarSpace.fit(images[:64]))
    >>> audit.update(images[:64], side="train")
    >>> audit.update(images[64:], side="held")
    >>> audit.update(images[:32].rot90(1, (2, 3)), side="fake")
    >>> bool(audit.compute()["copies"] < -3)
    True
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    left_out: Tensor

    def __init__(self, space: Space, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Past nn.Module.__setattr__, which would register a network as a sub-module.
        object.__setattr__(self, "space", space)
        for side in get_args(Side):
            self.add_state(f"{side}_rows", [], dist_reduce_fx="cat")
        self.add_state("left_out", torch.zeros(3, dtype=torch.long), dist_reduce_fx="sum")
        self._start()

    def _start(self) -> None:
        # An empty block, so that a rank without an image still takes part in the gathering.
        for side in get_args(Side):
            state = getattr(self, f"{side}_rows")
            if not state:
                state.append(torch.zeros(0, self._of.width, device=self.device))

    @property
    def _of(self) -> Space:
        space: Space = self.__dict__["space"]
        return space

    def update(self, images: Tensor, side: Side) -> None:
        """Add flux images (N, C, H, W), or rows (N, D) as they are.

        Raises
        ------
        ValueError
            If `side` is not one of ``train``, ``held`` and ``fake``.
        """
        if side not in get_args(Side):
            raise ValueError(f"side is {side!r}: take one of {', '.join(get_args(Side))}")
        rows = images.detach()
        if images.ndim != 2:
            with torch.no_grad():
                rows, active = self._of(images)
            rows = rows[active]
            self.left_out[get_args(Side).index(side)] += int((~active).sum())
        getattr(self, f"{side}_rows").append(rows.to(self.device, torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """``copies`` and ``nearer`` of the whole sets, float64 scalars.

        Raises
        ------
        ValueError
            If there is too little to compare.
        """
        found = COPIES.between(*self._distances())
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def score(self, seed: int = 0) -> dict[str, Score]:
        """Value, floor, interval and z of each, see `galgen.metrics.scorecard.scores`.

        All replicas must call it.
        """
        with gathered(self):
            return scores(COPIES, *self._distances(), seed=seed)

    def _distances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Relative distances (N, 1) of held-out and generated images, smallest first."""
        held, fake = (self._relative(_joined(state)) for state in (self.held_rows, self.fake_rows))
        return held, fake

    def _relative(self, rows: Tensor) -> NDArray[np.float64]:
        search = Search(rows, NEIGHBOUR, self._of.variants)
        search.add(_joined(self.train_rows))
        found = Nearest.of(search.found(), np.ones(len(rows), dtype=bool))
        return np.sort(found.distance)[:, None]

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._start()


def _joined(state: Any) -> Tensor:
    rows: Tensor = torch.cat(state) if isinstance(state, list) else state
    return rows
