"""The source in the middle of each image: the one that `galgen.measure.photometry` measures.

Which pixels belong to it is decided on the CPU and carries no gradient; the light does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.sky import SkyModel, estimate_sky, reference_image
from galgen.measure.sources import central_label, segments

#: Neighbours that touch at a corner belong together; images do not touch each other.
_EIGHT = np.zeros((3, 3, 3), dtype=bool)
_EIGHT[1] = True


@dataclass(frozen=True)
class Sources:
    """Reference images and who owns which pixel; all of shape (N, H, W) but `detected` (N,).

    Attributes
    ----------
    light
        The reference image (noise-weighted sum of the bands above the sky), in units of its noise;
        0 in pixels that are not finite.
    segment
        True where the central source is.
    other
        True where another source is, or a pixel is not finite in any band.
    detected
        False where there is no central source.
    """

    light: Tensor
    segment: Tensor
    other: Tensor
    detected: Tensor

    def __getitem__(self, rows: Any) -> Sources:
        """The same of some images."""
        return Sources(*(getattr(self, f.name)[rows] for f in fields(self)))


def find_sources(flux: Tensor, spec: ImageSpec) -> Sources:
    """Find the central source of every image.

    Parameters
    ----------
    flux
        (N, C, H, W) in the unit of `spec`, or images of one band (N, H, W). NaN is no data.
    spec
        Facts about the images.

    Notes
    -----
    The sky's level and noise, the sum of the bands, threshold and choice of the source are those of
    `galgen.measure.photometry.measure`. Level and noise are taken as given by the gradient.
    """
    flux = banded(flux, spec)
    pixels = flux.detach().cpu().numpy()
    # Finite numbers have a finite sum.
    whole = bool(np.isfinite(pixels.sum(dtype=np.float64)))
    sky = estimate_sky(pixels, spec.display)
    above = pixels - sky.level[:, :, None, None]
    if not whole:
        finite = np.isfinite(pixels)
        above[~finite] = 0.0
    reference = reference_image(above, sky.noise)
    labels = segments(reference)
    central = [central_label(image) or 0 for image in labels]
    own = np.array(central, dtype=labels.dtype)[:, None, None]
    segment = (labels == own) & (labels > 0)
    other = (labels > 0) & ~segment
    if not whole:
        # A band that is blank all over is no reason to distrust the others.
        blank = ~finite.any(axis=(2, 3))[:, :, None, None]
        other |= ~(finite | blank).all(axis=1)
        segment &= ~other

    if flux.requires_grad and torch.is_grad_enabled():
        light = _added_up(flux, sky)
    else:
        light = torch.as_tensor(reference, dtype=flux.dtype, device=flux.device)
    masks = (torch.as_tensor(m, device=flux.device) for m in (segment, other, own[:, 0, 0] > 0))
    return Sources(light, *masks)


def _added_up(flux: Tensor, sky: SkyModel) -> Tensor:
    """The reference image (N, H, W) again, through which the gradient goes."""
    noise = sky.noise
    weight = np.divide(1.0, noise, out=np.zeros_like(noise), where=noise > 0)
    weight /= np.sqrt(np.maximum(np.count_nonzero(weight, axis=1), 1))[:, None]
    level, weights = (torch.as_tensor(v).to(flux)[:, :, None, None] for v in (sky.level, weight))
    return (torch.where(torch.isfinite(flux), flux - level, 0.0) * weights).sum(1)


def banded(flux: Tensor, spec: ImageSpec) -> Tensor:
    """Images (N, C, H, W) in float32 or float64, from such or from (N, H, W)."""
    if flux.dtype not in (torch.float32, torch.float64):
        flux = flux.float()
    if flux.ndim == 3:
        return flux[:, None]
    if flux.ndim != 4 or flux.shape[1] != spec.n_bands:
        raise ValueError(
            f"expected (N, {spec.n_bands}, H, W) or (N, H, W), got {tuple(flux.shape)}"
        )
    return flux


def part_at(mask: Tensor, place: Tensor) -> Tensor:
    """The connected part, corners included, of each mask (N, H, W) at flat index `place` (N,)."""
    from scipy.ndimage import label

    labels, _ = label(mask.cpu().numpy(), structure=_EIGHT)
    found = torch.as_tensor(labels, device=mask.device)
    mine = found.flatten(1).gather(1, place[:, None])[:, :, None]
    return (found == mine) & mask
