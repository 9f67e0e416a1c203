"""A fixed point spread function after the generator."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.stretch import Stretch

#: From this side on a product of spectra is faster than the sum over a kernel (measured on a CPU:
#: 32 images of 3 x 64 x 64 forward and backward, 15 px 28 ms against 18, 31 px 142 against 27).
SPECTRAL_SIDE = 15
#: Above this argument the hyperbolic sine goes on as a straight line, so that no picture overflows:
#: it stands for 2e8 times the sky noise.
_STEEPEST = 20.0


def convolve(flux: Tensor, kernels: Tensor) -> Tensor:
    r""":math:`y_c(p) = \sum_a k_c(a)\, x_c(p - a)`, each band with its own kernel.

    Beyond its edges an image goes on as its mirror image, half a pixel outside the last row. A flat
    sky stays flat, and with a kernel that is symmetric along both axes the sum over the image stays
    as it is.

    Parameters
    ----------
    flux
        Images (N, C, H, W).
    kernels
        (C, k, k), k odd and at most ``2 min(H, W) + 1``.
    """
    side = kernels.shape[-1]
    padded = _mirrored(flux, side // 2)
    if side < SPECTRAL_SIDE or flux.device.type == "mps":
        return F.conv2d(padded, kernels.flip(-1, -2)[:, None], groups=len(kernels))
    # In float64: the error of a spectrum is a fraction of the brightest pixel, everywhere.
    shape = [_smooth(n) for n in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded.double(), s=shape)
    whole = torch.fft.irfft2(spectrum * torch.fft.rfft2(kernels.double(), s=shape), s=shape)
    first = side - 1
    return whole[..., first : padded.shape[-2], first : padded.shape[-1]].to(flux.dtype)


def _mirrored(x: Tensor, margin: int) -> Tensor:
    if not margin:
        return x
    for axis in (-2, -1):
        length = x.shape[axis]
        before = x.narrow(axis, 0, margin).flip(axis)
        after = x.narrow(axis, length - margin, margin).flip(axis)
        x = torch.cat([before, x, after], dim=axis)
    return x


def _smooth(length: int) -> int:
    """The next length that has no prime factor above 5, which a Fourier transform is fast at."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


class Psf(nn.Module):
    r"""Convolves pictures with the point spread function of each band, in flux.

    The generator in front of it learns galaxies as they are above the telescope (Dia et al. 2019,
    arXiv:1909.12160). Under an asinh stretch :math:`x = \operatorname{asinh}((f-b)/s) / g` the
    picture becomes

    .. math:: \operatorname{asinh}(k * \sinh(g x)) / g,

    since a kernel of sum 1 leaves offset and scale alone; the linear stretches commute with it as a
    whole. Nothing here is trained.

    Attributes
    ----------
    kernels
        (bands, k, k), part of the state, None until they are set.
    """

    kernels: Tensor | None
    gain: Tensor | None

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("kernels", None)
        # No part of the state: it follows from the stretch, which a checkpoint holds already.
        self.register_buffer("gain", None, persistent=False)

    def set_kernels(self, kernels: Tensor | None) -> None:
        """Take kernels (bands, k, k) with k odd, scaled to the sum 1; None for no PSF at all."""
        if kernels is None:
            kernels = torch.ones(self.bands, 1, 1)
        if kernels.ndim != 3 or len(kernels) != self.bands or kernels.shape[1] % 2 == 0:
            raise ValueError(f"kernels {tuple(kernels.shape)} for {self.bands} bands")
        if kernels.shape[1] != kernels.shape[2]:
            raise ValueError(f"kernels must be square, not {tuple(kernels.shape[1:])}")
        whole = kernels.detach().cpu().double()
        self._keep((whole / whole.sum(dim=(1, 2), keepdim=True)).float())

    def _keep(self, kernels: Tensor) -> None:
        old = self.kernels if self.kernels is not None else self.gain
        self.kernels = kernels.clone() if old is None else kernels.to(old, copy=True)

    def set_stretch(self, stretch: Stretch | None) -> None:
        """Say how pictures follow from flux; None for a linear stretch."""
        if stretch is None or stretch.kind != "asinh":
            self.gain = None
            return
        gain = torch.asinh((stretch.top - stretch.low) / stretch.scale).float().view(-1, 1, 1)
        like = self.kernels if self.kernels is not None else gain
        self.gain = gain.to(like)

    def forward(self, picture: Tensor) -> Tensor:
        """Pictures (N, bands, h, h) in network space to the same with the PSF, in float32."""
        if self.kernels is None:
            raise ValueError("this generator ends in a PSF that was not set: see End.set_kernels")
        with torch.autocast(picture.device.type, enabled=False):
            x = picture.to(self.kernels.dtype)
            if self.kernels.shape[-1] == 1:
                return x
            if self.gain is None:
                return convolve(x, self.kernels)
            x = x * self.gain
            bounded = x.clamp(-_STEEPEST, _STEEPEST)
            flux = bounded.sinh() + bounded.cosh() * (x - bounded)
            return convolve(flux, self.kernels).asinh() / self.gain

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:
        """Take stored kernels whatever their size; keep one's own where the state has none."""
        stored = state_dict.get(f"{prefix}kernels")
        if stored is not None:
            whole = stored.detach().cpu().double()
            total = whole.sum(dim=(1, 2), keepdim=True)
            # A model exported in half precision has lost the last digits of the sum.
            exact = bool(((total - 1).abs() < 1e-6).all())
            self._keep(stored if exact else (whole / total).to(stored.dtype))
        if self.kernels is not None:
            state_dict = {**state_dict, f"{prefix}kernels": self.kernels}
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)
