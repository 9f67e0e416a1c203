"""What is asked for in a set of galaxies, checked against the model that is to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galgen.errors import ConfigError
from galgen.models.requests import Request, Where
from galgen.models.sampling import Look
from galgen.sampling.accept import REDRAWS, Accept
from galgen.sampling.files import known_formats
from galgen.sampling.folder import Share
from galgen.sampling.layout import Layout
from galgen.sampling.task import COMPRESSIONS, Task

#: Samples of a seed.
LAST = 10**12

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.telescope import Telescope


def make_task(
    model: TrainedModel,
    *,
    seed: int = 0,
    start: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    accept: str | float | Mapping[str, float] | None = None,
    redraws: int = REDRAWS,
    truncation: float = 1.0,
    bands: Sequence[str] | None = None,
    psf: str | None = None,
    own_psf: str | None = None,
    noise: bool = True,
    telescopes: Sequence[Telescope] = (),
    formats: Sequence[str] | None = None,
    cube: bool = False,
    compress: str | None = None,
    pack: bool = False,
) -> Task:
    """What `galgen.sample.sample` is asked for, checked against the model.

    Raises
    ------
    ConfigError
        If it cannot be met.
    """
    conditions = model.module.conditions
    spec = model.spec
    if bands is not None:
        if not bands or len(set(bands)) < len(bands):
            said = ",".join(bands)
            raise ConfigError(f"--bands {said}: name one band or more, each once, as in g,r.")
        spec = spec.select(bands)
    kinds = known_formats(formats) or (("png",) if model.spec.display else ("fits",))
    request = Request.of(conditions, label, where, no_condition)
    if compress is not None:
        if compress not in COMPRESSIONS:
            raise ConfigError(f"--compress {compress}: choose {' or '.join(COMPRESSIONS)}.")
        if "fits" not in kinds or pack:
            raise ConfigError(f"--compress {compress} is for FITS files: add --fits.")
    if cube and "fits" not in kinds:
        raise ConfigError("--cube is for FITS files: add --fits.")
    if pack:
        if formats or cube:
            raise ConfigError("--pack writes one pack and no file a galaxy: leave formats out.")
        if len(telescopes) > 1:
            raise ConfigError("--pack holds images of one telescope: write a pack for each.")
        kinds = ("pack",)
    names = [telescope.name for telescope in telescopes]
    if len(telescopes) > 1 and (None in names or len(set(names)) < len(names)):
        raise ConfigError(f"telescopes need different names, not {', '.join(map(str, names))}.")
    if telescopes and psf is not None:
        raise ConfigError("psf: it is the telescopes' to say, leave it out beside them.")
    return Task(
        seed,
        start,
        request,
        Look(truncation, psf, noise, own_psf),
        None if bands is None else spec.bands,
        tuple(telescopes),
        Accept.of(accept, redraws, conditions, request, spec),
        kinds,
        cube,
        compress,
    )


def check(model: TrainedModel, task: Task, n: int) -> Layout:
    """The task laid out, everything refused that the model cannot draw.

    Raises
    ------
    ConfigError
        If there is such a thing.
    """
    layout = Layout(model, task, task.start + n - 1)
    # Refuses a model that never saw data.
    _ = model.stretch
    model.module.sample_conditions([task.start], task.seed, task.request)
    for view in layout.views:
        model.module.renderer(task.seed, view.look)
    return layout


def checked_share(shard: tuple[int, int], n: int, out: str | Path | None) -> Share:
    """The part of a set that a call makes.

    Raises
    ------
    ConfigError
        If there is no such part.
    """
    i, parts = shard
    if not 0 <= i < parts:
        raise ConfigError(f"--shard {i}/{parts}: give i/n with i from 0 to n - 1.")
    if parts > n:
        raise ConfigError(f"--shard {i}/{parts}: there are only {n} galaxies, use fewer parts.")
    if parts > 1 and out is None:
        raise ConfigError(f"--shard {i}/{parts}: name the folder of all parts by --out.")
    return Share(i, parts)


def enough_galaxies(n: int, start: int = 0) -> int:
    """The number of galaxies as it is.

    Raises
    ------
    ConfigError
        If it is below 1, or their numbers are not those of samples.
    """
    if n < 1:
        raise ConfigError(f"-n {n}: ask for at least one galaxy.")
    if start < 0:
        raise ConfigError(f"--start {start}: galaxies are counted from 0.")
    if start + n > LAST:
        option = f"-n {n}" if n > start else f"--start {start}"
        raise ConfigError(f"{option}: samples are counted up to {LAST:,}, give less.")
    return n
