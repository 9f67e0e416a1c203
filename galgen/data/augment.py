"""Turns, flips and shifts of a batch, on the device that holds it.

Random numbers are drawn once for the global batch (`Augmentation.draw`), on the CPU, so that
a rank takes its rows of them and gets what one process would have got.

Quarter turns, flips and shifts move pixels and change none of them. Any other angle is a
bilinear interpolation, which smooths the noise of the pixels: white noise keeps two thirds of
its standard deviation (0.667, measured 0.666 after 45 degrees and 0.668 after any angle).
Turned and unturned images then differ in their noise, which a critic can see; where that
matters, use quarter turns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from galgen.errors import ConfigError

ROTATIONS = ("none", "quarter", "45", "any")
FILLS = ("constant", "reflect", "none")


@dataclass(frozen=True)
class Augmentation:
    """A random turn, flip and shift for every image of a batch.

    An image is mirrored left to right, then turned counter-clockwise (as `numpy.rot90` does)
    about its middle, then shifted.

    Attributes
    ----------
    rotate
        ``none``, ``quarter`` (multiples of 90 degrees), ``45`` (multiples of 45 degrees, the
        steps of Concepción 2023) or ``any``.
    flip
        Mirror half of the images.
    shift
        Largest shift in pixels, drawn as whole numbers from -shift to shift on each axis.
    fill
        What to put where no pixel of the image falls: ``constant`` (the background),
        ``reflect`` (the image mirrored about its outermost pixels), or ``none``: nothing is
        made up. Then either the input is larger than the output by `margin` or more on each
        side, or everything outside the largest area that is surely covered (a circle, or a
        square for quarter turns) is set to the background, in every image alike.
    """

    rotate: str = "quarter"
    flip: bool = True
    shift: int = 0
    fill: str = "reflect"

    def __post_init__(self) -> None:
        if self.rotate not in ROTATIONS:
            raise ConfigError(
                f"data.rotate is {self.rotate!r}: choose one of {', '.join(ROTATIONS)}."
            )
        if self.fill not in FILLS:
            raise ConfigError(f"data.fill is {self.fill!r}: choose one of {', '.join(FILLS)}.")
        if self.shift < 0:
            raise ConfigError(f"data.shift is {self.shift}: give 0 pixels or more.")

    @property
    def margin_factor(self) -> float:
        """Side of the input over side of the output with which no corner is empty."""
        return math.sqrt(2.0) if self.fill == "none" and self._interpolates else 1.0

    def margin(self, size: int) -> int:
        """Pixels on each side of a `size` output that leave nothing to fill in."""
        if self.fill != "none":
            return 0
        turned = (self.margin_factor - 1.0) * size / 2
        return math.ceil(turned) + (self.shift if not self._interpolates else 2 * self.shift)

    @property
    def _interpolates(self) -> bool:
        return self.rotate in ("45", "any")

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Random numbers for `n` images.

        Draw them for the global batch; rows a to b belong to its images a to b.

        Parameters
        ----------
        n
            Number of images.
        generator
            On the CPU.

        Returns
        -------
        Tensor
            Shape (n, 4), float32, on the CPU: angle in degrees, 1 where mirrored, and the
            shift in pixels down and to the right.
        """
        u = torch.rand((n, 4), generator=generator)
        draws = torch.zeros(n, 4)
        if self._interpolates or self.rotate == "quarter":
            step = {"quarter": 90.0, "45": 45.0, "any": 0.0}[self.rotate]
            draws[:, 0] = torch.floor(u[:, 0] * (360.0 / step)) * step if step else u[:, 0] * 360.0
        if self.flip:
            draws[:, 1] = (u[:, 1] < 0.5).float()
        if self.shift:
            draws[:, 2:] = torch.floor(u[:, 2:] * (2 * self.shift + 1)) - self.shift
        return draws

    def apply(
        self, images: Tensor, draws: Tensor, size: int | None = None, background: float = 0.0
    ) -> Tensor:
        """Turned, flipped and shifted images.

        Gradients reach `images`. Images whose angle is a multiple of 90 degrees are copied
        pixel by pixel, also under ``45`` and ``any``. On CUDA the gradient of the other
        angles, and that of reflected corners, is summed in an order that may change.

        Parameters
        ----------
        images
            Shape (N, C, H, H), any device and floating type, any number of bands.
        draws
            Shape (N, 4) from `draw`.
        size
            Side of the output, at most H and H - size even; default H. The pixels around it
            are used before anything is filled in.
        background
            Value for the fills ``constant`` and ``none``.

        Returns
        -------
        Tensor
            Shape (N, C, size, size), contiguous.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        side = images.shape[-1]
        size = side if size is None else size
        if images.ndim != 4 or images.shape[-2] != side:
            raise ValueError(f"expected square images (N, C, H, H), got {tuple(images.shape)}")
        if tuple(draws.shape) != (len(images), 4):
            raise ValueError(f"expected draws ({len(images)}, 4), got {tuple(draws.shape)}")
        if not 0 < size <= side or (side - size) % 2:
            raise ValueError(f"size {size} must be at most {side} and differ by an even number")
        draws = draws.detach().cpu().double()
        exact = draws[:, 0] % 90.0 == 0
        if bool(exact.all()):
            out = self._copy(images, draws, size, background)
        elif not bool(exact.any()):
            out = self._interpolate(images, draws, size, background)
        else:
            rows = [torch.nonzero(mask)[:, 0] for mask in (exact, ~exact)]
            copied, turned = (images[r.to(images.device, non_blocking=True)] for r in rows)
            parts = [
                self._copy(copied, draws[rows[0]], size, background),
                self._interpolate(turned, draws[rows[1]], size, background),
            ]
            back = torch.argsort(torch.cat(rows)).to(images.device, non_blocking=True)
            out = torch.cat(parts)[back]
        if self.fill == "none":
            out = self._mask(out, side, size, background)
        return out.contiguous()

    def _copy(self, images: Tensor, draws: Tensor, size: int, background: float) -> Tensor:
        """Quarter turns, flips and shifts: one gather of source pixels."""
        bands, side = images.shape[1:3]
        moving = bool((draws != 0).any())
        if not moving and size == side:
            return images.clone()
        start = (side - size) // 2
        angle, flip, down, right = draws.long().unbind(1)
        turns = angle // 90 % 4
        axis = torch.arange(start, start + size)
        i, outside_i = self._inside(axis - down[:, None], side)
        j, outside_j = self._inside(axis - right[:, None], side)
        # rot90: out[i, j] = in[j, last - i]; an odd turn swaps which axis a coordinate walks
        last, odd = side - 1, (turns % 2 == 1)[:, None]
        i = torch.where(((turns == 1) | (turns == 2))[:, None], last - i, i)
        j = torch.where(((turns == 2) | (turns == 3))[:, None], last - j, j)
        mirrored = flip.bool()[:, None]
        i = torch.where(odd & mirrored, last - i, i)
        j = torch.where(~odd & mirrored, last - j, j)
        step_i, step_j = torch.where(odd, 1, side), torch.where(odd, side, 1)
        # A row and a column an image are little to send; the places of all pixels are not.
        rows, columns = (k.to(images.device, non_blocking=True) for k in (i * step_i, j * step_j))
        source = (rows[:, :, None] + columns[:, None, :]).flatten(1)[:, None]
        flat = images.flatten(2).gather(2, source.expand(-1, bands, -1))
        out = flat.view(-1, bands, size, size)
        if outside_i is not None and outside_j is not None:
            outside = (outside_i[:, :, None] | outside_j[:, None, :])[:, None]
            out = out.masked_fill(outside.to(images.device, non_blocking=True), background)
        return out

    def _inside(self, index: Tensor, side: int) -> tuple[Tensor, Tensor | None]:
        """Indices brought into the image, and which were outside where that gets filled."""
        if self.fill == "reflect":
            period = max(1, 2 * (side - 1))
            index = index.abs() % period
            return torch.where(index > side - 1, period - index, index), None
        inside = index.clamp(0, side - 1)
        return inside, inside != index

    def _interpolate(self, images: Tensor, draws: Tensor, size: int, background: float) -> Tensor:
        """Any angle, with the flip and the shift, in one bilinear sampling."""
        side = images.shape[-1]
        angle = torch.deg2rad(draws[:, 0])[:, None, None]
        mirror = 1.0 - 2.0 * draws[:, 1, None, None]
        axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        v = axis[None, :, None] - draws[:, 2, None, None]
        u = axis[None, None, :] - draws[:, 3, None, None]
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = v * cos + u * sin
        columns = mirror * (u * cos - v * sin)
        # grid_sample counts from -1 to 1 between the centres of the outermost pixels
        grid = torch.stack([columns, rows], dim=-1) * (2.0 / max(1, side - 1))
        # half precision cannot hold a coordinate to a hundredth of a pixel
        dtype = images.dtype if images.dtype == torch.float64 else torch.float32
        grid = grid.to(dtype).to(images.device, non_blocking=True)
        source = images.to(dtype)
        if self.fill == "reflect":
            out = functional.grid_sample(
                source, grid, padding_mode="reflection", align_corners=True
            )
            return out.to(images.dtype)
        out = functional.grid_sample(
            source - background, grid, padding_mode="zeros", align_corners=True
        )
        return (out + background).to(images.dtype)

    def _mask(self, images: Tensor, side: int, size: int, background: float) -> Tensor:
        """Set what is not surely covered by real pixels to the background."""
        axis = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2).abs()
        if self._interpolates:
            radius = (side - 1) / 2 - self.shift * math.sqrt(2.0)
            outside = torch.hypot(axis[:, None], axis[None, :]) > max(radius, 0.0)
        else:
            far = axis > (side - 1) / 2 - self.shift
            outside = far[:, None] | far[None, :]
        if not bool(outside.any()):
            return images
        return images.masked_fill(outside.to(images.device, non_blocking=True), background)
