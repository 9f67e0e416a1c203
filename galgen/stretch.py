"""The one bridge between flux space and network space, and back.

A `Stretch` is fitted once on the training set, per band over the whole set, and saved in
every checkpoint. There is no scaling per image: it would destroy flux and colour.
In network space the sky lies near 0 and bright cores near 1, for every kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from galgen.errors import CheckpointError, ConfigError, DataError

KINDS = ("asinh", "minmax", "linear")
_MAX_FIT_PIXELS = 20_000_000


class Stretch:
    r"""Invertible map between flux and network space, one set of numbers a band.

    ``asinh``
        :math:`x = \operatorname{asinh}((f - b) / s) / \operatorname{asinh}((q - b) / s)`
        with the sky level b, the sky noise s and the 99.9th percentile q of the set
        (Lupton et al. 1999, AJ 118, 1406). Nothing is clipped.
    ``minmax``
        :math:`x = (f - lo) / (hi - lo)` with the smallest and largest value of the set.
    ``linear``
        the same with the fixed range of a display image, 0 to 255.

    Parameters
    ----------
    kind
        One of `KINDS`.
    low, scale, top
        Per band: offset b (lo), softening s (1 for the linear kinds), and q (hi).

    Examples
    --------
    >>> import torch
    >>> flux = torch.randn(8, 2, 16, 16) + 5
    >>> stretch = Stretch.fit(flux, "asinh")
    >>> bool(torch.allclose(stretch.inverse(stretch(flux)), flux, atol=1e-4))
    True
    """

    def __init__(self, kind: str, low: Tensor, scale: Tensor, top: Tensor) -> None:
        self.kind = _known(kind)
        self.low = low.detach().double().cpu().reshape(-1)
        self.scale = scale.detach().double().cpu().reshape(-1)
        self.top = top.detach().double().cpu().reshape(-1)
        if not self.low.shape == self.scale.shape == self.top.shape:
            raise ConfigError("a stretch needs as many offsets, scales and tops as it has bands.")
        if not bool((self.top > self.low).all() and (self.scale > 0).all()):
            raise ConfigError("a stretch needs a scale above 0 and a top above its offset.")

    @property
    def n_bands(self) -> int:
        """Number of bands it was fitted on."""
        return self.low.numel()

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if like.shape[-3] != self.n_bands:
            raise ValueError(f"image of {like.shape[-3]} bands for a stretch of {self.n_bands}")
        span = (self.top - self.low) / self.scale
        gain = torch.asinh(span) if self.kind == "asinh" else span
        shape = (self.n_bands, 1, 1)
        return (
            self.low.to(like).view(shape),
            self.scale.to(like).view(shape),
            gain.to(like).view(shape),
        )

    def __call__(self, flux: Tensor) -> Tensor:
        """Flux (..., C, H, W) to network space, same shape and dtype."""
        low, scale, gain = self._constants(flux)
        x = (flux - low).div_(scale)
        if x.requires_grad:
            return (torch.asinh(x) if self.kind == "asinh" else x) / gain
        return (x.asinh_() if self.kind == "asinh" else x).div_(gain)

    def inverse(self, x: Tensor) -> Tensor:
        """Network space (..., C, H, W) to flux, same shape and dtype."""
        low, scale, gain = self._constants(x)
        x = x * gain
        return (torch.sinh(x) if self.kind == "asinh" else x) * scale + low

    @classmethod
    def fit(cls, flux: Tensor, kind: str = "asinh") -> Stretch:
        """Fit on a training set.

        The sky level is the median of the images' border pixels, the sky noise the median
        over images of 1.4826 times the median absolute deviation of those pixels. Where an
        image set has no noise (a noiseless simulation, a clipped picture) the softening is
        a thousandth of the range.

        Parameters
        ----------
        flux
            Images (N, C, H, W), in flux, without NaN. Of sets above 20 million values only
            every k-th image is looked at, but by ``minmax``.
        kind
            One of `KINDS`.

        Raises
        ------
        ConfigError
            If the kind is not known.
        DataError
            If a band is constant over the set, or a pixel is NaN or infinite.
        """
        _known(kind)
        if flux.ndim != 4:
            raise ValueError(f"expected (N, C, H, W), got {tuple(flux.shape)}")
        bands = flux.shape[1]
        if kind == "linear":
            return cls(kind, torch.zeros(bands), torch.ones(bands), torch.full((bands,), 255.0))
        if kind == "asinh":
            flux = flux[:: max(1, flux.numel() // _MAX_FIT_PIXELS)].float()
        bottom, peak = _range(flux)
        if kind == "minmax":
            return cls(kind, bottom, torch.ones(bands), peak)
        level, noise = _sky(flux)
        top = torch.stack([_quantile(flux[:, c], 0.999) for c in range(bands)]).double()
        # specks on a clipped sky: more than 99.9 % of the pixels are sky
        top = torch.where(top > level, top, peak)
        span = torch.where(top > level, top - level, peak - bottom)
        noise = torch.where(noise > 0, noise, span / 1000)
        return cls(kind, level, noise, torch.maximum(top, level + 3 * noise))

    def select(self, rows: Sequence[int]) -> Stretch:
        """The same for some of the bands, in that order."""
        chosen = list(rows)
        return Stretch(self.kind, self.low[chosen], self.scale[chosen], self.top[chosen])

    def state(self) -> dict[str, Any]:
        """Plain dict for checkpoints and headers."""
        return {
            "kind": self.kind,
            "low": self.low.tolist(),
            "scale": self.scale.tolist(),
            "top": self.top.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Stretch:
        """Inverse of `state`.

        Raises
        ------
        CheckpointError
            If the dict is not one that `state` wrote.
        """
        try:
            numbers = [torch.tensor(state[k], dtype=torch.float64) for k in ("low", "scale", "top")]
            return cls(str(state["kind"]), *numbers)
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise CheckpointError(
                f"the stretch in the checkpoint is damaged ({error}): take another snapshot."
            ) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stretch) and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Stretch({self.kind}, {self.n_bands} bands)"


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(f"stretch {kind!r} is not known: choose one of {', '.join(KINDS)}.")
    return kind


def _range(flux: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each band, float64."""
    bottom, peak = (v.double().cpu() for v in torch.aminmax(_by_band(flux), dim=1))
    if not bool(torch.isfinite(bottom).all() and torch.isfinite(peak).all()):
        raise DataError(
            "the training set has NaN or infinite pixels: fill them, or leave those files out."
        )
    constant = torch.nonzero(peak <= bottom).flatten().tolist()
    if constant:
        raise DataError(
            f"band {constant[0] + 1} of {flux.shape[1]} has the value {bottom[constant[0]]:g} in "
            "every pixel of the training set: leave it out with --bands."
        )
    return bottom, peak


def _sky(flux: Tensor) -> tuple[Tensor, Tensor]:
    """Level and noise of the border pixels of each band, float64."""
    edge = max(1, flux.shape[-1] // 16)
    mask = torch.ones(flux.shape[-2:], dtype=torch.bool)
    mask[edge:-edge, edge:-edge] = False
    border = flux[:, :, mask]
    level = _by_band(border).median(dim=1).values
    centre = border.median(dim=2, keepdim=True).values
    deviation = (border - centre).abs().median(dim=2).values
    return level.double(), 1.4826 * deviation.median(dim=0).values.double()


def _by_band(values: Tensor) -> Tensor:
    """(N, C, ...) to (C, all the rest)."""
    return values.transpose(0, 1).reshape(values.shape[1], -1)


def _quantile(values: Tensor, q: float) -> Tensor:
    """Quantile of all values; torch.quantile refuses more than 16 million of them."""
    flat = values.reshape(-1)
    return flat.kthvalue(max(1, round(q * flat.numel()))).values
