"""What the network of the features `galaxy` has to tell: batches, distortions and losses.

Each galaxy of a batch comes in three views: two turned differently and distorted alike, which
must get the same features but for their noise, and one that is distorted differently. From the
difference of features a linear map must read the difference of the distortions, so that
distances grow with a distortion's strength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galgen.metrics.galaxy import resized
from galgen.metrics.galaxy_network import N_FEATURES, SIDE
from galgen.studies.galaxy_pool import COPIES, TRUTH, Pool

#: Numbers of a distortion, in this order.
DISTORTIONS = ("blur", "noise", "gain", "red", "blue", "pedestal")
_SHIFT = 2
#: Strengths at which a logarithm takes over: pixels of 64, and fractions of the range.
_LEAST_BLUR, _LEAST_NOISE = 0.5, 0.02
#: About one standard deviation of each of `DISTORTIONS` as they are drawn.
_SPREADS = (0.5, 0.6, 0.2, 0.12, 0.12, 0.025)
#: What a composite is drawn with: see `galgen.measure.composite`.
_BLACK = -0.05


@dataclass(frozen=True)
class Batch:
    """Three views of each galaxy, (3, B, 3, 64, 64), and what is known of them.

    `distortions` are those of the first and the third view, (2, B, 6) and standardised, with NaN
    where they are not to be told; `source` is the number of the pool, (B,). `source` and `rows`
    stay where the pools are.
    """

    views: Tensor
    distortions: Tensor
    source: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> Batch:
        """What the network sees and has to tell, on another device."""
        return replace(self, views=self.views.to(device), distortions=self.distortions.to(device))


def draw_rows(
    pools: Sequence[Pool], members: Sequence[Tensor], size: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pool and row of each galaxy of a batch, each pool with its share."""
    shares = [pool.share if len(its) else 0.0 for pool, its in zip(pools, members, strict=True)]
    weights = torch.tensor(shares)
    source = torch.multinomial(weights, size, replacement=True, generator=g).sort().values
    rows = torch.empty(size, dtype=torch.long)
    for number, its in enumerate(members):
        places = torch.nonzero(source == number).flatten()
        if len(places):
            rows[places] = its[torch.randint(len(its), (len(places),), generator=g)]
    return source, rows


def make_batch(pools: Sequence[Pool], source: Tensor, rows: Tensor, g: torch.Generator) -> Batch:
    """Views of galaxies, turned and distorted at random."""
    size = len(rows)
    softening = torch.tensor([pool.softening for pool in pools])[source]
    grey = torch.tensor([pool.grey for pool in pools])[source]
    even = torch.tensor([pool.even for pool in pools])[source]
    copies = torch.randint(COPIES, (3, size), generator=g)
    # Smooth views beside smooth ones, or the network would learn to pass over smoothness.
    turned = torch.randint(1, COPIES, (3, size), generator=g)
    unturned = torch.rand(size, generator=g) < 0.5
    copies = torch.where(even, copies, torch.where(unturned, 0, turned))
    planes = torch.stack([_views(pools, source, rows, copies[v]) for v in range(3)])
    planes = moved(planes.flatten(0, 1), g).unflatten(0, (3, size)).float() / 255
    planes, made_grey = _varied(planes, g)
    grey = grey | made_grey
    softening = _softening(softening, g)
    one, other = draw_distortions(size, grey, g), draw_distortions(size, grey, g)
    halved = torch.rand(size, generator=g) < 0.15
    planes[:, halved] = resized(resized(planes[:, halved].flatten(0, 1), SIDE // 2)).unflatten(
        0, (3, -1)
    )
    views = []
    for number, strengths in enumerate((one, one, other)):
        views.append(distort(planes[number], strengths, softening, grey, g))
    told = torch.stack([_standardised(s, softening) for s in (one, other)])
    told[:, grey, 3:5] = math.nan
    return Batch(torch.stack(views), told, source, rows)


def _views(pools: Sequence[Pool], source: Tensor, rows: Tensor, copies: Tensor) -> Tensor:
    parts = []
    for number, pool in enumerate(pools):
        its = source == number
        if bool(its.any()):
            parts.append(pool.views[rows[its], copies[its]])
    return torch.cat(parts)


def moved(planes: Tensor, g: torch.Generator) -> Tensor:
    """Images (N, C, H, H) each turned by quarter turns, mirrored and shifted by up to 2 pixels."""
    n, side = len(planes), planes.shape[-1]
    draws = torch.randint(2, (3, n, 1, 1), generator=g).bool()
    shift = torch.randint(-_SHIFT, _SHIFT + 1, (2, n, 1, 1), generator=g)
    axis = torch.arange(side)
    y, x = axis[None, :, None].expand(n, side, side), axis[None, None].expand(n, side, side)
    y, x = torch.where(draws[0], x, y), torch.where(draws[0], y, x)
    y, x = torch.where(draws[1], side - 1 - y, y), torch.where(draws[2], side - 1 - x, x)
    y, x = ((a + s).clamp(0, side - 1) for a, s in zip((y, x), shift, strict=True))
    place = (y * side + x).flatten(1)[:, None].expand(-1, planes.shape[1], -1)
    return planes.flatten(2).gather(2, place).view_as(planes)


def _varied(planes: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sets of other kinds than there are: some galaxies grey, some without the faintest light.

    All views (V, N, 3, H, W) of a galaxy are treated alike. Also gives which became grey, (N,).
    """
    u = torch.rand(3, planes.shape[1], generator=g)
    grey, clipped = u[0] < 0.15, u[1] < 0.15
    planes = planes.clone()
    planes[:, grey] = planes[:, grey].mean(2, keepdim=True).expand(-1, -1, 3, -1, -1)
    least = 0.3 * u[2, clipped, None, None, None]
    planes[:, clipped] = ((planes[:, clipped] - least) / (1 - least)).clamp_min(0)
    return planes, grey


def _softening(known: Tensor, g: torch.Generator) -> Tensor:
    """How flux was drawn, (N,): 0 is linear. Pictures of unknown stretch try several."""
    draws = torch.rand(2, len(known), generator=g)
    guess = torch.where(draws[0] < 0.3, 2 + 3 * draws[1], torch.zeros(()))
    return torch.where(known > 0, torch.where(draws[0] < 0.7, known, 0.0), guess)


def draw_distortions(size: int, grey: Tensor, g: torch.Generator) -> Tensor:
    """Strengths (N, 6) of `DISTORTIONS`; each is absent as often as not."""
    u, there = torch.rand(2, size, len(DISTORTIONS), generator=g)
    blur = 0.3 * 12 ** u[:, 0]
    noise = 0.004 * 40 ** u[:, 1]
    gain, red, blue = (w * (2 * u[:, k] - 1) for k, w in ((2, 0.5), (3, 0.3), (4, 0.3)))
    pedestal = -0.03 + 0.1 * u[:, 5]
    strengths = torch.stack([blur, noise, gain, red, blue, pedestal], 1)
    strengths = strengths * (there < torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5, 0.25]))
    strengths[:, 3:5] *= ~grey[:, None]
    # A fifth of the galaxies as they are.
    return strengths * (torch.rand(size, 1, generator=g) < 0.8)


def distort(
    planes: Tensor, strengths: Tensor, softening: Tensor, grey: Tensor, g: torch.Generator
) -> Tensor:
    """Composites (N, 3, H, W) with flux scaled and reddened, blurred, noise and a pedestal added.

    Parameters
    ----------
    strengths
        (N, 6): Gaussian sigma in pixels, noise in units of the range where the sky is, natural
        logarithms of the gain of all colours, of red and of blue, pedestal in units of the range.
    softening
        (N,): planes are asinh of flux with this at the top, or flux itself where it is 0.
    grey
        (N,): the same noise in all colours.
    """
    curved, blurred, noisy = softening > 0, strengths[:, 0] > 0, strengths[:, 1] > 0
    curve = softening[curved, None, None, None]
    x = planes.clone()
    x[curved] = torch.sinh(curve * (x[curved] * (1 - _BLACK) + _BLACK))
    colours = [strengths[:, 3], torch.zeros(len(strengths)), strengths[:, 4]]
    gains = strengths[:, 2, None] + torch.stack(colours, 1)
    x *= gains.exp()[:, :, None, None]
    matrix = _blurring(strengths[blurred, 0], planes.shape[-1])[:, None]
    x[blurred] = matrix @ x[blurred] @ matrix.mT
    # Of the noise in what is drawn to that in flux, where the sky is.
    unit = torch.where(curved, softening * (1 - _BLACK), 1.0) * strengths[:, 1]
    noise = torch.randn(x[noisy].shape, generator=g)
    noise = torch.where(grey[noisy, None, None, None], noise[:, :1], noise)
    x[noisy] += unit[noisy, None, None, None] * noise
    x[curved] = (_asinh(x[curved]) / curve - _BLACK) / (1 - _BLACK)
    x += strengths[:, 5, None, None, None]
    return x.clamp_(0, 1)


def _asinh(x: Tensor) -> Tensor:
    """As torch.asinh, in a third of its time on a CPU."""
    size = x.abs()
    return torch.copysign(torch.log(size + torch.sqrt(size * size + 1)), x)


def _blurring(sigma: Tensor, side: int) -> Tensor:
    """Matrices (N, side, side) that blur a column of pixels by a Gaussian."""
    axis = torch.arange(side, dtype=torch.float32)
    distance = (axis[:, None] - axis).square()
    # Numbers next to 0 would slow the product tenfold.
    power = distance / (2 * sigma.clamp_min(0.05).square()[:, None, None])
    weights = torch.where(power < 20, torch.exp(-power), 0.0)
    return weights / weights.sum(-1, keepdim=True)


def _standardised(strengths: Tensor, softening: Tensor) -> Tensor:
    told = strengths.clone()
    told[:, 0] = torch.log1p(strengths[:, 0] / _LEAST_BLUR)
    told[:, 1] = torch.log1p(strengths[:, 1] / _LEAST_NOISE)
    return told / torch.tensor(_SPREADS)


class Heads(nn.Module):
    """Linear maps from features to what is asked; they are thrown away after training."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        super().__init__()
        self.difference = nn.Linear(N_FEATURES, len(DISTORTIONS), bias=False)
        self.absolute = nn.Linear(N_FEATURES, len(DISTORTIONS))
        self.truth = nn.Linear(N_FEATURES, len(TRUTH))
        self.classes = nn.ModuleList(
            nn.Linear(N_FEATURES, max(1, len(pool.classes))) for pool in pools
        )


#: Weights of the parts of the loss.
WEIGHTS = {
    "same": 8.0, "spread": 8.0, "apart": 1.0, "difference": 2.0, "absolute": 0.5,
    "truth": 1.0, "classes": 1.0,
}  # fmt: skip


def losses(
    pools: Sequence[Pool], heads: Heads, features: Tensor, batch: Batch
) -> dict[str, Tensor]:
    """Parts of the loss, each a scalar.

    ``same``, ``spread`` and ``apart`` are invariance, variance and covariance of Bardes et al.
    2022 (arXiv:2105.04906, eqs. 1 to 4), on the features themselves and within each pool.

    Parameters
    ----------
    features
        (3, B, 64), on the device of the heads and of the batch's views.
    """
    first, second, third = features
    device = features.device
    centred = torch.cat([_centred(v, batch.source, len(pools)) for v in features])
    covariance = centred.T @ centred / (len(centred) - 1)
    off = covariance - torch.diag(covariance.diagonal())
    parts = {
        "same": (first - second).square().mean(),
        "spread": F.relu(1 - (covariance.diagonal() + 1e-4).sqrt()).mean(),
        "apart": off.square().sum() / N_FEATURES,
        "difference": _error(
            heads.difference(third - first), batch.distortions[1] - batch.distortions[0]
        ),
        "absolute": _error(heads.absolute(third), batch.distortions[1]),
    }
    truth = torch.full((len(first), len(TRUTH)), math.nan)
    surprise, named = first.new_zeros(()), 0
    for number, pool in enumerate(pools):
        its = batch.source == number
        if not bool(its.any()):
            continue
        if pool.truth is not None:
            truth[its] = pool.truth[batch.rows[its]]
        if pool.labels is not None:
            head = heads.classes[number]
            labels = pool.labels[batch.rows[its]].repeat(2).to(device)
            seen = torch.cat([first[its], second[its]])
            surprise = surprise + F.cross_entropy(
                head(seen), labels, weight=_class_weights(pool).to(device),
                label_smoothing=0.05, reduction="sum",
            )  # fmt: skip
            named += len(labels)
    parts["truth"] = _error(heads.truth(second), truth.to(device))
    parts["classes"] = surprise / max(1, named)
    return parts


def _centred(features: Tensor, source: Tensor, pools: int) -> Tensor:
    """Features less the mean of their pool."""
    one = F.one_hot(source, pools).to(features)
    mean = (one.T @ features) / one.sum(0)[:, None].clamp_min(1)
    return features - one @ mean


def _class_weights(pool: Pool) -> Tensor:
    """Rare classes count more, by the root of how rare they are."""
    assert pool.labels is not None
    share = torch.bincount(pool.labels, minlength=len(pool.classes)).float() / len(pool.labels)
    weights = share.clamp_min(1e-3).rsqrt()
    return weights / (weights * share).sum()


def _error(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error where something is wanted."""
    known = ~wanted.isnan()
    error = torch.where(known, found - torch.where(known, wanted, 0.0), 0.0)
    return error.square().sum() / known.sum().clamp_min(1)
