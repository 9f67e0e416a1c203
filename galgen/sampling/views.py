"""How galaxies are seen: by the telescope of the data that a model was trained on, or by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from galgen.bands import ImageSpec, band_indices
from galgen.io.cutout import file_kind
from galgen.io.psf import read_psf
from galgen.models.sampling import Look, ends_in_psf
from galgen.nn.ending import End
from galgen.stretch import Stretch
from galgen.telescope import prepare

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.telescope import Telescope

#: Flux (n, C, H, W), sample numbers, seed and attempt to flux (n, C, H', W').
Apply = Callable[[Tensor, Sequence[int], int, int], Tensor]


@dataclass(frozen=True)
class View:
    """One way of seeing every galaxy.

    Attributes
    ----------
    name
        Of the telescope; None for the model's own.
    look
        How the generator has to draw them.
    spec
        What comes out.
    stretch
        That the model's own pictures of these bands have.
    apply
        From what the generator draws to what is seen; None for the same.
    cards
        What files say of it.
    """

    name: str | None
    look: Look
    spec: ImageSpec
    stretch: Stretch
    apply: Apply | None = None
    cards: Mapping[str, Any] = field(default_factory=dict)

    def see(self, flux: Tensor, indices: Sequence[int], seed: int, attempt: int = 0) -> Tensor:
        """Flux (n, C, H, W) as this telescope has it; each galaxy by itself."""
        return flux if self.apply is None else self.apply(flux, indices, seed, attempt)


def views(
    model: TrainedModel,
    look: Look,
    telescopes: Sequence[Telescope] = (),
    bands: Sequence[str] | None = None,
) -> list[View]:
    """How galaxies of a model are seen: once for each telescope, or once as it is asked for.

    Parameters
    ----------
    look
        Its `psf` and `noise` are those of the model's own telescope.
    bands
        Those that are wanted; None for all.

    Raises
    ------
    ConfigError
        If a galaxy of the model cannot be seen so.
    """
    if not telescopes:
        mine = own(model, look)
        return [mine if bands is None else _selected(mine, bands)]
    # What a telescope has to know of bands that nobody wants, it may not know.
    facts = model.spec if bands is None else model.spec.select(bands)
    rows = None if bands is None else band_indices(model.spec.bands, bands)
    stretch = model.stretch if rows is None else model.stretch.select(rows)
    network = model.module.average.network
    end = getattr(network, "end", None)
    layered, grained = ends_in_psf(network), isinstance(end, End) and end.grain is not None
    found = []
    for telescope in telescopes:
        view = prepare(telescope, facts, layered, grained)
        noise = look.noise and (view.look_noise or not grained)
        drawn = replace(look, psf=view.look_psf, noise=noise)
        cards = {"grain": None if noise else False, **view.cards}
        name = telescope.name if len(telescopes) > 1 else None
        apply = _of_rows(rows, view.apply)
        found.append(View(name, drawn, view.spec, stretch, apply, cards))
    return found


def _selected(view: View, bands: Sequence[str]) -> View:
    """The same in some of the bands."""
    rows = band_indices(view.spec.bands, bands)
    return replace(
        view,
        spec=view.spec.select(bands),
        stretch=view.stretch.select(rows),
        apply=_of_rows(rows, lambda flux, indices, seed, attempt: flux),
    )


def _of_rows(rows: Sequence[int] | None, apply: Apply) -> Apply:
    """The same for some of the bands."""
    if rows is None:
        return apply
    chosen = list(rows)
    return lambda flux, indices, seed, attempt: apply(flux[:, chosen], indices, seed, attempt)


def own(model: TrainedModel, look: Look) -> View:
    """As the telescope of the model's data sees them, or the PSF that the look names."""
    spec, psf, digest = model.spec, None, None
    layered = ends_in_psf(model.module.average.network)
    if layered:
        psf = model.module.options["psf"]
    if look.psf is not None:
        psf, other = look.psf, read_psf(look.psf, spec, "--psf")
        spec = spec.replace(psf_fwhm=None if other is None else other.fwhm)
        digest = None if other is None else other.digest()
    cards = {
        "psf": None if psf is None else _told(psf),
        "psf_hash": digest,
        "own_psf": None if look.own_psf is None else _told(look.own_psf),
        "grain": None if look.noise else False,
    }
    return View(None, look, spec, model.stretch, None, cards)


def _told(psf: str | float | Sequence[float]) -> str:
    """A PSF as headers tell it: a file without its folder."""
    text = psf.strip() if isinstance(psf, str) else ",".join(map(str, np.atleast_1d(psf).tolist()))
    return Path(text).name if file_kind(text) == "fits" else text
