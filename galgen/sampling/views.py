"""How galaxies are seen: by the telescope of the data that a model was trained on, or by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from galgen.bands import ImageSpec
from galgen.io.cutout import file_kind
from galgen.io.psf import read_psf
from galgen.models.sampling import Look, ends_in_psf
from galgen.nn.ending import End
from galgen.telescope import prepare

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.telescope import Telescope

#: Flux (n, C, H, W), sample numbers and seed to flux (n, C, H', W').
Apply = Callable[[Tensor, Sequence[int], int], Tensor]


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
    apply
        From what the generator draws to what is seen; None for the same.
    cards
        What files say of it.
    """

    name: str | None
    look: Look
    spec: ImageSpec
    apply: Apply | None = None
    cards: Mapping[str, Any] = field(default_factory=dict)

    def see(self, flux: Tensor, indices: Sequence[int], seed: int) -> Tensor:
        """Flux (n, C, H, W) as this telescope has it; each galaxy by itself."""
        return flux if self.apply is None else self.apply(flux, indices, seed)


def views(model: TrainedModel, look: Look, telescopes: Sequence[Telescope] = ()) -> list[View]:
    """How galaxies of a model are seen: once for each telescope, or once as it is asked for.

    Parameters
    ----------
    look
        Its `psf` and `noise` are those of the model's own telescope.

    Raises
    ------
    ConfigError
        If a galaxy of the model cannot be seen so.
    """
    if not telescopes:
        return [own(model, look)]
    network = model.module.average.network
    end = getattr(network, "end", None)
    layered, grained = ends_in_psf(network), isinstance(end, End) and end.grain is not None
    found = []
    for telescope in telescopes:
        view = prepare(telescope, model.spec, layered, grained)
        noise = look.noise and (view.look_noise or not grained)
        drawn = replace(look, psf=view.look_psf, noise=noise)
        cards = {"grain": None if noise else False, **view.cards}
        name = telescope.name if len(telescopes) > 1 else None
        found.append(View(name, drawn, view.spec, view.apply, cards))
    return found


def own(model: TrainedModel, look: Look) -> View:
    """As the telescope of the model's data sees them, or the PSF that the look names."""
    spec, psf = model.spec, None
    layered = ends_in_psf(model.module.average.network)
    if layered:
        psf = model.module.options["psf"]
    if look.psf is not None:
        psf, other = look.psf, read_psf(look.psf, spec, "--psf")
        spec = spec.replace(psf_fwhm=None if other is None else other.fwhm)
    if isinstance(psf, list):
        psf = ",".join(map(str, psf))
    if isinstance(psf, str) and file_kind(psf.strip()) == "fits":
        psf = Path(psf.strip()).name
    cards = {
        "psf": None if psf is None else str(psf),
        "grain": None if look.noise else False,
    }
    return View(None, look, spec, None, cards)
