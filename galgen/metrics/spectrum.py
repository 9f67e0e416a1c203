"""Power spectra of images, ring by ring (H2 of Holzschuh et al. 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from galgen.bands import ImageSpec

#: Rings that are compared, from the mean on.
RINGS = 15
#: Part of the brightest pixel below which an amplitude is rounding, not light; and of nothing.
_ROUNDING, _NOTHING = 1e-7, 1e-12
_CHUNK = 256


def n_rings(spec: ImageSpec) -> int:
    """Whole rings within the frame's frequencies, at most `RINGS`."""
    return max(1, min(RINGS, spec.size // 2))


def ring_names(spec: ImageSpec) -> tuple[str, ...]:
    """``spectrum_0`` (the mean of the image), ``spectrum_1``, ..."""
    return tuple(f"spectrum_{k}" for k in range(n_rings(spec)))


def spectrum_rows(flux: Tensor, spec: ImageSpec) -> Tensor:
    r"""Logarithm of the amplitude in rings of frequency, in dex, mean over the bands.

    :math:`S_k = \langle \log_{10} \langle |\mathrm{fft2}(f)| / n^2 \rangle_{k \le |\nu| < k + 1}
    \rangle_\mathrm{bands}` with the frequency :math:`\nu` in cycles per side. Each band counts
    alike, whatever its unit; ring 0 is the mean of the image, sky included.

    Parameters
    ----------
    flux
        (N, C, H, W) on any device. Not-a-number pixels get the median of their image.
    spec
        Facts about the images.

    Returns
    -------
    (N, rings) float32 tensor on that device
        Finite for any input. Amplitudes below a ten-millionth of the brightest pixel, which are
        rounding, count as that.
    """
    weights = _weights(spec).to(flux.device)
    parts = [_rows(flux[i : i + _CHUNK], weights) for i in range(0, len(flux), _CHUNK)]
    return torch.cat(parts) if parts else flux.new_zeros((0, n_rings(spec)))


def _weights(spec: ImageSpec) -> Tensor:
    """(H W, rings), which average the pixels of a ring."""
    frequency = torch.fft.fftfreq(spec.size, d=1 / spec.size)
    ring = torch.hypot(frequency[:, None], frequency[None]).floor().long().flatten()
    masks = (ring[:, None] == torch.arange(n_rings(spec))).float()
    return masks / masks.sum(0)


def _rows(flux: Tensor, weights: Tensor) -> Tensor:
    x = flux.detach().float()
    finite = torch.isfinite(x)
    if not bool(finite.all()):
        pixels = torch.where(finite, x, float("nan")).flatten(2)
        middle: Any = pixels.nanmedian(2).values[..., None, None]
        x = torch.where(finite, x, torch.nan_to_num(middle))
    peak = x.abs().amax((-2, -1), keepdim=True)
    # In units of the brightest pixel, so that no square leaves float32.
    x = x / peak.clamp_min(torch.finfo(x.dtype).tiny)
    amplitude = torch.fft.fft2(x).abs() / x[0, 0].numel()
    rings = (amplitude.flatten(2) @ weights).clamp_min(_ROUNDING)
    scale = peak.flatten(2).clamp_min(_NOTHING)
    return (rings.log10() + scale.log10()).mean(1)
