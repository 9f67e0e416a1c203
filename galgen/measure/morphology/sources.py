"""The source in the middle of each image: the one that `galgen.measure.photometry` measures.

Which pixels belong to it is decided on the CPU and carries no gradient; the light does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.sky import estimate_sky, reference_image
from galgen.measure.sources import central_label, segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    if flux.ndim == 3:
        flux = flux[:, None]
    elif flux.ndim != 4 or flux.shape[1] != spec.n_bands:
        raise ValueError(
            f"expected (N, {spec.n_bands}, H, W) or (N, H, W), got {tuple(flux.shape)}"
        )
    pixels = flux.detach().cpu().double().numpy()
    sky = estimate_sky(pixels, spec.display)
    finite = np.isfinite(pixels)
    above = np.where(finite, pixels - sky.level[:, :, None, None], 0.0)
    segment, other, detected = _own(reference_image(above, sky.noise))
    if not finite.all():
        # A band that is blank all over is no reason to distrust the others.
        blank = ~finite.any(axis=(2, 3))[:, :, None, None]
        other |= ~(finite | blank).all(axis=1)

    like = {"device": flux.device, "dtype": flux.dtype}
    noise = torch.as_tensor(sky.noise).clamp_min(1e-300)
    weight = torch.where(torch.as_tensor(sky.noise) > 0, 1 / noise, 0.0)
    bands = weight.count_nonzero(1).clamp_min(1)
    weight = (weight / bands.sqrt()[:, None]).to(**like)[:, :, None, None]
    level = torch.as_tensor(sky.level).to(**like)[:, :, None, None]
    residual = flux - level
    if not finite.all():
        residual = torch.where(torch.isfinite(flux), residual, 0.0)
    light = (residual * weight).sum(1)
    masks = (torch.as_tensor(m, device=flux.device) for m in (segment & ~other, other, detected))
    return Sources(light, *masks)


def label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Numbers from 1 for the connected parts of each mask (N, H, W), and how many there are."""
    from scipy.ndimage import label as connected

    labels, count = connected(mask, structure=_EIGHT)
    return labels, int(count)


def part_at(mask: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The connected part of each mask (N, H, W) that holds the pixel of flat index `rows` (N,).

    Returns the part, and whether the mask has no other (N,).
    """
    labels, _ = label(mask.detach().cpu().numpy())
    found = torch.as_tensor(labels, device=mask.device)
    mine = found.flatten(1).gather(1, rows[:, None])[:, :, None]
    part = (found == mine) & mask
    return part, (part == mask).flatten(1).all(1)


def _own(reference: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Masks of the central source and of the others (N, H, W), and whether there is one (N,)."""
    labels = segments(reference)
    central = [central_label(image) or 0 for image in labels]
    own = np.array(central, dtype=labels.dtype)[:, None, None]
    segment = (labels == own) & (labels > 0)
    return segment, (labels > 0) & ~segment, own[:, 0, 0] > 0
