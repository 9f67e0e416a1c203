"""The one bridge between flux space and network space, and back.

A `Stretch` is fitted once on the training set, per band over the whole set, and saved in
every checkpoint. There is no scaling per image: it would destroy flux and colour.
In network space the sky lies near 0 and bright cores near 1, for every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from galgen.errors import ConfigError

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
        if kind not in KINDS:
            raise ConfigError(f"stretch {kind!r} is not known: choose one of {', '.join(KINDS)}.")
        self.kind = kind
        self.low = low.detach().double().cpu().reshape(-1)
        self.scale = scale.detach().double().cpu().reshape(-1)
        self.top = top.detach().double().cpu().reshape(-1)
        if not bool((self.top > self.low).all() and (self.scale > 0).all()):
            raise ConfigError(
                "the stretch has an empty range in one band: is a band of the training set constant?"
            )

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
        x = (flux - low) / scale
        return (torch.asinh(x) if self.kind == "asinh" else x) / gain

    def inverse(self, x: Tensor) -> Tensor:
        """Network space (..., C, H, W) to flux, same shape and dtype."""
        low, scale, gain = self._constants(x)
        x = x * gain
        return (torch.sinh(x) if self.kind == "asinh" else x) * scale + low

    @classmethod
    def fit(cls, flux: Tensor, kind: str = "asinh") -> Stretch:
        """Fit on a training set of shape (N, C, H, W), in flux.

        The sky level is the median of the images' border pixels, the sky noise the median
        over images of 1.4826 times the median absolute deviation of those pixels. Where an
        image set has no noise (a noiseless simulation, a clipped picture) the softening is
        a thousandth of the range.
        """
        if flux.ndim != 4:
            raise ValueError(f"expected (N, C, H, W), got {tuple(flux.shape)}")
        n, bands = flux.shape[:2]
        if kind == "linear":
            return cls(kind, torch.zeros(bands), torch.ones(bands), torch.full((bands,), 255.0))
        if kind == "minmax":
            flat = flux.transpose(0, 1).reshape(bands, -1)
            return cls(kind, flat.amin(1), torch.ones(bands), flat.amax(1))
        step = max(1, flux.numel() // _MAX_FIT_PIXELS)
        flux = flux[::step].float()
        edge = max(1, flux.shape[-1] // 16)
        mask = torch.ones(flux.shape[-2:], dtype=torch.bool)
        mask[edge:-edge, edge:-edge] = False
        border = flux[:, :, mask]
        level = border.transpose(0, 1).reshape(bands, -1).median(dim=1).values
        centre = border.median(dim=2, keepdim=True).values
        noise = 1.4826 * (border - centre).abs().median(dim=2).values.median(dim=0).values
        top = torch.stack([_quantile(flux[:, c], 0.999) for c in range(bands)])
        top = torch.maximum(top, flux.transpose(0, 1).reshape(bands, -1).amax(1) * 1e-6 + level)
        span = (top - level).clamp_min(torch.finfo(torch.float32).tiny)
        noise = torch.where(noise > 0, noise, span / 1000)
        return cls("asinh", level, noise, torch.maximum(top, level + 3 * noise))

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
        """Inverse of `state`."""
        numbers = (torch.tensor(state[k], dtype=torch.float64) for k in ("low", "scale", "top"))
        return cls(str(state["kind"]), *numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stretch) and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Stretch({self.kind}, {self.n_bands} bands)"


def _quantile(values: Tensor, q: float) -> Tensor:
    """Quantile of all values; torch.quantile refuses more than 16 million of them."""
    flat = values.reshape(-1)
    return flat.kthvalue(max(1, round(q * flat.numel()))).values
