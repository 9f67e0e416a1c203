"""The two sets that an evaluation compares, brought to the same bands, size and flux unit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec, band_indices
from galgen.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Match:
    """How images of one `ImageSpec` become comparable with those of another.

    Attributes
    ----------
    spec
        Facts of the common images: bands and unit of the generated ones.
    fake_rows, real_rows
        Channels to take, in the order of `spec`.
    gain
        (C,) factors that bring real fluxes to the unit of `spec`.
    fake_gain
        The same of generated ones; empty where they are in it.
    notes
        What was chosen, a sentence each.
    """

    spec: ImageSpec
    fake_rows: tuple[int, ...]
    real_rows: tuple[int, ...]
    gain: tuple[float, ...]
    notes: tuple[str, ...] = field(default=())
    fake_gain: tuple[float, ...] = field(default=())

    def beside(self, first: Match) -> Match:
        """The same in bands and unit of `first`, which compares others with the same real images.

        Raises
        ------
        ConfigError
            If they share other bands with the real images, or another size.
        """
        own = [band.lower() for band in self.spec.bands]
        theirs = [band.lower() for band in first.spec.bands]
        if sorted(own) != sorted(theirs) or self.spec.size != first.spec.size:
            raise ConfigError(
                "the two generators share other bands or another size with the real galaxies: name "
                "what both have by --bands and --size."
            )
        order = [own.index(band) for band in theirs]
        return replace(
            first,
            fake_rows=tuple(self.fake_rows[k] for k in order),
            fake_gain=tuple(a / self.gain[k] for a, k in zip(first.gain, order, strict=True)),
            notes=self.notes,
        )

    def fake(self, flux: Tensor | NDArray[Any]) -> Tensor:
        """Generated flux (N, C, H, W) in common bands and size."""
        chosen = _tensor(flux)[:, list(self.fake_rows)]
        if self.fake_gain:
            chosen = chosen * torch.tensor(self.fake_gain, dtype=torch.float32).view(-1, 1, 1)
        return _cropped(chosen, self.spec.size)

    def real(self, flux: Tensor | NDArray[Any]) -> Tensor:
        """Real flux (N, C, H, W) in common bands, size and unit."""
        chosen = _tensor(flux)[:, list(self.real_rows)]
        gain = torch.tensor(self.gain, dtype=torch.float32).view(-1, 1, 1)
        return _cropped(chosen * gain, self.spec.size)


def match(fake: ImageSpec, real: ImageSpec) -> Match:
    """Match bands by name, sizes by a central crop and fluxes by their zero points.

    Raises
    ------
    ConfigError
        If the sets share no band, or one holds fluxes and the other pictures.
    """
    if fake.display != real.display:
        kinds = {True: "display pictures", False: "fluxes"}
        raise ConfigError(
            f"the generated images hold {kinds[fake.display]} and the real ones "
            f"{kinds[real.display]}: give real images of the same kind to --real."
        )
    known = {b.lower() for b in real.bands}
    common = tuple(b for b in fake.bands if b.lower() in known)
    if not common:
        raise ConfigError(
            f"generated bands {', '.join(fake.bands)} and real bands {', '.join(real.bands)} have "
            "none in common: choose other --real images, or name their bands with --bands."
        )
    notes = []
    if len(common) < max(fake.n_bands, real.n_bands):
        notes.append(f"Only the bands {', '.join(common)} are in both sets and were compared.")
    size = min(fake.size, real.size)
    if fake.size != real.size:
        larger = "generated" if fake.size > real.size else "real"
        notes.append(f"The {larger} images were cropped to their central {size} pixels.")
    rows = band_indices(fake.bands, common), band_indices(real.bands, common)
    fake_zero = [fake.zero_points[c] for c in rows[0]]
    real_zero = [real.zero_points[c] for c in rows[1]]
    gains = [
        1.0 if a is None or b is None else 10 ** (0.4 * (a - b))
        for a, b in zip(fake_zero, real_zero, strict=True)
    ]
    if any(abs(g - 1) > 1e-6 for g in gains):
        notes.append("Real fluxes were brought to the generated ones' zero points.")
    elif fake.unit != real.unit and not fake.display:
        notes.append(
            f"Units differ ({fake.unit} and {real.unit}) without zero points that relate them; "
            "fluxes were compared as they are."
        )
    zero_points = tuple(
        a if a is not None else b for a, b in zip(fake_zero, real_zero, strict=True)
    )
    spec = fake.select(common).replace(size=size, zero_points=zero_points)
    return Match(spec, tuple(rows[0]), tuple(rows[1]), tuple(gains), tuple(notes))


def _tensor(flux: Tensor | NDArray[Any]) -> Tensor:
    if isinstance(flux, Tensor):
        return flux.detach().float().cpu()
    return torch.from_numpy(np.ascontiguousarray(flux, dtype=np.float32))


def _cropped(images: Tensor, size: int) -> Tensor:
    start = [(side - size) // 2 for side in images.shape[-2:]]
    return images[..., start[0] : start[0] + size, start[1] : start[1] + size].contiguous()
