"""Adaptive instance normalisation: a style sets the mean and the scale of every feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from galgen.nn.equalised import EqualisedLinear


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Each feature map (N, C, H, W) of each image with mean 0 and variance 1, in float32.

    The variance is the mean square over the map's pixels (not divided by one fewer); `eps` is
    added to it, so that a flat map, dark sky, stays flat.
    """
    y = x.float()
    y = y - y.mean(dim=(2, 3), keepdim=True)
    return (y * torch.rsqrt(y.square().mean(dim=(2, 3), keepdim=True) + eps)).to(x.dtype)


class AdaIN(nn.Module):
    r"""Adaptive instance normalisation

    .. math:: AdaIN(x_i, y) = y_{s,i} \frac{x_i - \mu(x_i)}{\sigma(x_i)} + y_{b,i}

    for feature map i, where :math:`(y_s, y_b)` is an affine function of the style w (Huang and
    Belongie 2017, arXiv:1703.06868; Karras et al. 2019, arXiv:1812.04948, equation 1). At the
    start the biases of :math:`y_s` are 1 and those of :math:`y_b` are 0.

    Parameters
    ----------
    width
        Length of the style w.
    channels
        Feature maps C.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.affine = EqualisedLinear(width, 2 * channels)
        assert self.affine.bias is not None
        with torch.no_grad():
            self.affine.bias[:channels] = 1.0

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Feature maps (N, C, H, W) and styles (N, width) to feature maps."""
        scale, shift = self.affine(w)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return torch.addcmul(shift, instance_norm(x), scale)
