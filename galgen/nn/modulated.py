"""Convolutions whose weights follow from a style (Karras et al. 2020, arXiv:1912.04958)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.nn.equalised import EqualisedLinear
from galgen.nn.resample import blur


class ModulatedConv2d(nn.Module):
    r"""Convolution with weights that a style scales and whose output is brought to unit variance.

    For one image with scales :math:`s_i`, an affine function of its style, the weights are
    (equations 1 and 3)

    .. math::

       w'_{ijk} = s_i w_{ijk}, \qquad
       w''_{ijk} = w'_{ijk} \Big/ \sqrt{\textstyle\sum_{i,k} {w'_{ijk}}^2 + \epsilon}.

    Both scalings factor out of the convolution, so the features are scaled by s, convolved with
    the one w for the whole batch, and scaled again. The second scale is taken in float32.

    Parameters
    ----------
    features_in, features_out
        Feature maps.
    kernel
        Side of the square kernel, odd; at least 3 with `up`.
    style
        Length of the style.
    up
        Double the side: a transposed convolution, then the blur of `galgen.nn.resample`. Away
        from the edges that is `upsample2` and a convolution with the kernel read backwards, at
        a third of the work.
    demodulate
        With the second scaling.
    gain
        Of the initial response, as of `EqualisedConv2d`.
    """

    EPSILON = 1e-8

    def __init__(
        self,
        features_in: int,
        features_out: int,
        kernel: int,
        style: int,
        *,
        up: bool = False,
        demodulate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.affine = EqualisedLinear(style, features_in, bias_start=1.0)
        self.weight = nn.Parameter(torch.randn(features_out, features_in, kernel, kernel))
        self.scale = 1 / math.sqrt(features_in * kernel**2)
        self.up, self.demodulate, self.gain = up, demodulate, gain

    def scales(self, style: Tensor) -> tuple[Tensor, Tensor | None]:
        """Styles (N, W) to the scales of the features before, (N, features_in), and behind the
        convolution, (N, features_out), None without demodulation; as precise as the weights.
        """
        # Doubling spreads the pixels over four times the area.
        gain = 4 * self.gain if self.up else self.gain
        with torch.autocast(style.device.type, enabled=False):
            before = self.affine(style.to(self.weight.dtype)) * self.scale
            if not self.demodulate:
                return before * gain, None
            power = self.weight.square().sum(dim=(2, 3))
            behind = torch.rsqrt(F.linear(before.square(), power) + self.EPSILON)
        return before, behind * gain

    def forward(self, x: Tensor, style: Tensor, bias: Tensor | None = None) -> Tensor:
        """Features (N, features_in, H, W) and styles (N, W) to (N, features_out, H, W), or twice
        that high and wide with `up`; `bias` (features_out,) is added at the end.
        """
        before, behind = self.scales(style)
        x = x * before.to(x.dtype)[..., None, None]
        padding = self.weight.shape[-1] // 2
        if self.up:
            weight = self.weight.transpose(0, 1)
            x = blur(F.conv_transpose2d(x, weight, stride=2, padding=padding - 1), 1)
        else:
            x = F.conv2d(x, self.weight, padding=padding)
        offset = None if bias is None else bias.to(x.dtype)[:, None, None]
        if behind is None:
            return x if offset is None else x + offset
        factor = behind.to(x.dtype)[..., None, None]
        return x * factor if offset is None else torch.addcmul(offset, x, factor)
