"""Blur of random width, so that light above the range of a picture is spread and not cut off."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Smear(nn.Module):
    r"""Gaussian blur of 3x3 pixels before the clamp, its width drawn per image (Rustige et al.
    2023, RASTI 2, 264, arXiv:2212.08504).

    :math:`y = k_\sigma * x` with :math:`k_\sigma(a) \propto e^{-|a|^2 / 2\sigma^2}` at
    :math:`a \in \{-1, 0, 1\}^2` and :math:`\sigma` uniform in 0 to `WIDEST` pixels. The edges are
    repeated, so that the sum over an image stays as it is.
    """

    #: Largest sigma in pixels.
    WIDEST = 2.0

    #: Shape of the noise that `forward` takes.
    noise_shape = (1, 1, 1)

    def forward(self, picture: Tensor, noise: Tensor | None = None, amount: float = 1.0) -> Tensor:
        """Pictures (N, C, h, w) to the same, blurred.

        Parameters
        ----------
        noise
            Standard normal numbers (N, 1, 1, 1) that sigma follows from by their distribution
            function; drawn freshly when None.
        amount
            Of sigma, for a resolution that fades in.
        """
        x = picture.float()
        if noise is None:
            noise = torch.randn(len(x), 1, 1, 1, device=x.device)
        uniform = 0.5 * (1 + torch.erf(noise.float() / math.sqrt(2)))
        sigma = amount * self.WIDEST * uniform
        side = torch.exp(-0.5 / sigma.square().clamp_min(1e-12))
        side = side / (1 + 2 * side)
        middle = 1 - 2 * side
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = middle * x[..., 1:-1] + side * (x[..., :-2] + x[..., 2:])
        x = middle * x[..., 1:-1, :] + side * (x[..., :-2, :] + x[..., 2:, :])
        return x.to(picture.dtype)
