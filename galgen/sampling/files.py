"""Files of galaxies that are few and made one by one: mixed styles, films, sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

import galgen
from galgen.errors import ConfigError
from galgen.io.atomic import replacing, write_whole
from galgen.io.galaxyfile import GalaxyWriter
from galgen.io.header import fits_text
from galgen.io.raster import write_raster
from galgen.models.requests import Asked, Request
from galgen.models.sampling import Look
from galgen.sampling.catalogue import FITS
from galgen.sampling.layout import provenance
from galgen.sampling.sinks import picture
from galgen.sampling.task import FORMATS, Task
from galgen.sampling.views import own

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel


def known_formats(formats: Sequence[str] | None) -> tuple[str, ...]:
    """The formats, each once, in the order of `FORMATS`, checked.

    Raises
    ------
    ConfigError
        If one is not known.
    """
    for kind in formats or ():
        if kind not in FORMATS:
            raise ConfigError(f"format {kind} is not known: choose of {', '.join(FORMATS)}.")
    return tuple(kind for kind in FORMATS if kind in (formats or ()))


def condition_facts(asked: Asked) -> dict[str, Any]:
    """What a galaxy's file says of the conditions that were asked for."""
    return {"label": asked.label, "conditions": asked.numbers or None}


def maker_columns(model: TrainedModel, labels: Iterable[str | None]) -> dict[str, Any]:
    """Columns ``checkpoint`` and ``images``, for a model with several snapshots."""
    if not model.specialists:
        return {}
    makers = [model.made_by(label) for label in labels]
    return {name: [maker[name] for maker in makers] for name in ("checkpoint", "images")}


class Writer:
    """Writes galaxies of a model to files that say where they come from.

    Parameters
    ----------
    model
        That drew them.
    seed
        Of the samples.
    kinds
        Of `FORMATS`.
    cube
        One (band, y, x) HDU rather than one per band.
    look
        How they were drawn.
    request
        What was asked of them.
    """

    def __init__(
        self,
        model: TrainedModel,
        seed: int,
        kinds: Sequence[str],
        cube: bool = False,
        look: Look | None = None,
        request: Request | None = None,
    ) -> None:
        self.model, self.seed, self.kinds = model, seed, tuple(kinds)
        task = Task(seed, request=request or Request(), look=look or Look())
        view = own(model, task.look)
        self.spec = view.spec
        self.provenance = provenance(model, task, view)
        self.fits = GalaxyWriter(view.spec, self.provenance, cube=cube)

    def write(self, path: Path, galaxy: Tensor, **facts: Any) -> None:
        """One galaxy (C, H, W) in flux, to `path` with the ending of each kind."""
        for kind in self.kinds:
            if kind == "fits":
                data = self.fits.encode(galaxy.numpy(), facts).data
                write_whole(path.with_suffix(".fits"), data)
            else:
                shown = picture(galaxy.numpy(), self.spec, self.model.stretch)
                write_raster(path.with_suffix(f".{kind}"), shown)

    def catalogue(self, folder: Path, columns: Mapping[str, Any]) -> Path:
        """The table of the files, with the seed in each row and the model in its header."""
        from astropy.table import Table

        rows = Table(
            {
                name: [fits_text(v) if isinstance(v, str) else v for v in values]
                for name, values in columns.items()
            }
        )
        rows.add_column(np.full(len(rows), self.seed, dtype=np.int64), name="seed", index=1)
        rows.meta.update(
            {
                "MODEL": fits_text(self.model.name),
                "CKPTHASH": self.model.digest,
                "GALGENV": galgen.__version__,
                "TRUNC": self.provenance["truncation"],
            }
        )
        path = folder / FITS
        with replacing(path) as temporary:
            rows.write(temporary, format="fits", overwrite=True)
        return path
