"""The verb ``sample``: galaxies from a model to files and a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import galgen
from galgen import checkpoint
from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel
from galgen.conditions import Conditions
from galgen.errors import ConfigError, OutputError
from galgen.io.atomic import replacing
from galgen.io.cutout import file_kind
from galgen.io.header import fits_text, write_galaxy
from galgen.io.psf import read_psf
from galgen.io.raster import write_raster
from galgen.models.requests import Asked, Request, Where, read_rows
from galgen.models.sampling import Look, ends_in_psf
from galgen.report.overview import Overview
from galgen.report.pictures import composite
from galgen.runs import make_folder
from galgen.stretch import Stretch
from galgen.training.machine import find_accelerator

FORMATS = ("fits", "png", "jpg")
CATALOGUE = "catalogue.fits"


@dataclass(frozen=True)
class Samples:
    """What was written.

    Attributes
    ----------
    folder
        Where.
    count
        Galaxies.
    files
        Names of the first galaxy's files.
    catalogue
        The FITS table beside them.
    picture
        An overview of some of them.
    """

    folder: Path
    count: int
    files: tuple[str, ...]
    catalogue: Path
    picture: Path


def sample(
    source: str | Path | TrainedModel | None = None,
    n: int = 16,
    *,
    seed: int = 0,
    start: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    truncation: float = 1.0,
    psf: str | None = None,
    noise: bool = True,
    formats: Sequence[str] | None = None,
    cube: bool = False,
    out: str | Path | None = None,
    device: str | None = None,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """Write galaxies ``start`` to ``start + n`` of a seed to files.

    Parameters
    ----------
    source
        Checkpoint, run or exported folder, or a loaded model; None for the newest run's, else
        the model that galgen ships.
    n, seed, start
        Which galaxies. Galaxy *i* of a seed is the same whatever `n`, `start`, and `batch`.
    label
        Class of all galaxies, for a model with classes; None for the training set's mix.
    where
        Numbers of all galaxies, for a model with numbers: ``"mag_r=18..20, g-r=0.6"``, or numbers
        and ranges by name. What is not asked for is that of training galaxies.
    no_condition
        Ask for nothing, of a model that was trained with dropped labels.
    truncation
        Towards the mean galaxy: 1 for none, 0 for the mean itself.
    psf
        Another PSF than that of the layer that the model was trained with, as in
        `galgen.io.psf.read_psf`; ``none`` for galaxies without one.
    noise
        False leaves the grain out, the noise of sky and photons.
    formats
        Of ``fits``, ``png`` and ``jpg``; None for FITS from a photometric model and PNG from
        one that was trained on pictures.
    cube
        One (band, y, x) HDU rather than one per band.
    out
        Folder; None for ``./samples-00001``, counted up.
    device
        ``cpu``, ``cuda`` or ``mps``; None for the fastest there is.
    batch
        Galaxies in memory at a time.
    progress
        Called with the number of galaxies of each piece of work.

    Raises
    ------
    ConfigError
        If `n`, `label`, `where`, `formats` or what was asked of their looks cannot be met.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    enough_galaxies(n)
    if start < 0:
        raise ConfigError(f"--start {start}: galaxies are counted from 0.")
    if batch < 1:
        raise ConfigError(f"--batch {batch}: use at least 1.")
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    kinds = known_formats(formats) or (("png",) if model.spec.display else ("fits",))
    indices = range(start, start + n)
    conditions = model.module.conditions
    request = Request.of(conditions, label, where, no_condition)
    condition = model.module.sample_conditions(indices, seed, request)
    told = read_rows(conditions, condition, n)
    names = [file_stem(i) for i in indices]
    look = Look(truncation, psf, noise)
    model.to(device or find_accelerator())
    writer = Writer(model, seed, kinds, cube, look, request.nothing)
    chunks = model.module.stream(indices, condition, seed, look)
    folder = open_folder(out)

    overview = Overview.of(conditions, told, request)
    shown = {place for row in overview.places for place in row}
    kept: dict[int, Tensor] = {}
    done = 0
    for members, flux in _pieces(chunks, batch):
        for index, galaxy in zip(members, flux, strict=True):
            asked = told[index - start]
            facts = {"index": index, **condition_facts(asked), **model.made_by(asked.label)}
            writer.write(folder / file_stem(index), galaxy, **facts)
            if index - start in shown:
                kept[index - start] = galaxy
        done += len(members)
        if progress is not None:
            progress(len(members))
    columns: dict[str, Any] = {
        "file": [f"{name}.{kinds[0]}" for name in names],
        "sample": np.asarray(indices, dtype=np.int64),
        **condition_columns(conditions, told),
        **maker_columns(model, [asked.label for asked in told]),
    }
    catalogue = writer.catalogue(folder, columns)
    picture = overview.draw(kept, model.spec, model.stretch, folder / "overview.png")
    files = tuple(f"{names[0]}.{kind}" for kind in kinds)
    return Samples(folder, done, files, catalogue, picture)


def condition_facts(asked: Asked) -> dict[str, Any]:
    """What a galaxy's file says of the conditions that were asked for."""
    return {"label": asked.label, "conditions": asked.numbers or None}


def condition_columns(conditions: Conditions, told: Iterable[Asked]) -> dict[str, Any]:
    """Columns of a catalogue: ``label``, and ``<name>_requested`` for each number."""
    told = list(told)
    columns: dict[str, Any] = {}
    if conditions.classes:
        columns["label"] = [asked.label or "" for asked in told]
    for name in conditions.names:
        values = [asked.numbers.get(name, np.nan) for asked in told]
        columns[f"{name}_requested"] = np.array(values, dtype=np.float64)
    return columns


def maker_columns(model: TrainedModel, labels: Iterable[str | None]) -> dict[str, Any]:
    """Columns ``checkpoint`` and ``images``, for a model with several snapshots."""
    if not model.specialists:
        return {}
    makers = [model.made_by(label) for label in labels]
    return {name: [maker[name] for maker in makers] for name in ("checkpoint", "images")}


def enough_galaxies(n: int) -> int:
    """The number of galaxies as it is.

    Raises
    ------
    ConfigError
        If it is below 1.
    """
    if n < 1:
        raise ConfigError(f"-n {n}: ask for at least one galaxy.")
    return n


def file_stem(index: int) -> str:
    """``galaxy_000017`` for sample 17."""
    return f"galaxy_{index:06d}"


def open_folder(out: str | Path | None) -> Path:
    """The folder to write to, made and empty: by default the next ``samples-00001``."""
    if out is None:
        number = 1
        while (folder := Path(f"samples-{number:05d}")).exists():
            number += 1
        return make_folder(folder)
    refuse_full(out)
    return make_folder(Path(out))


def refuse_full(out: str | Path) -> None:
    """Refuse a folder that cannot be written to without touching what is there.

    Raises
    ------
    OutputError
        If it holds files, or is a file itself.
    """
    folder = Path(out)
    if folder.is_file():
        raise OutputError(f"{folder} is a file: give another folder to --out.")
    if folder.is_dir():
        found = next((p for p in folder.iterdir() if not p.name.startswith(".")), None)
        if found is not None:
            raise OutputError(
                f"{folder} holds files already ({found.name}), and nothing is overwritten: "
                "give another folder to --out."
            )


def known_formats(formats: Sequence[str] | None) -> tuple[str, ...]:
    """The formats as they are, checked."""
    for kind in formats or ():
        if kind not in FORMATS:
            raise ConfigError(f"format {kind} is not known: choose of {', '.join(FORMATS)}.")
    return tuple(formats or ())


def _pieces(
    chunks: Iterator[tuple[list[int], Tensor]], batch: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Samples in pieces of at least `batch`, a whole number of chunks."""
    members: list[int] = []
    parts: list[Tensor] = []
    for some, flux in chunks:
        members += some
        parts.append(flux)
        if len(members) >= batch:
            yield members, torch.cat(parts)
            members, parts = [], []
    if members:
        yield members, torch.cat(parts)


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
    nothing
        Whether they were asked for nothing, of a model with conditions.
    """

    def __init__(
        self,
        model: TrainedModel,
        seed: int,
        kinds: Sequence[str],
        cube: bool = False,
        look: Look | None = None,
        nothing: bool = False,
    ) -> None:
        self.model, self.seed, self.kinds, self.cube = model, seed, tuple(kinds), cube
        self.stretch, self.spec = model.stretch, model.spec
        look = look or Look()
        layered = ends_in_psf(model.module.average.network)
        psf = model.module.options["psf"] if layered else None
        if layered and look.psf is not None:
            psf, other = look.psf, read_psf(look.psf, model.spec, "--psf")
            self.spec = model.spec.replace(psf_fwhm=None if other is None else other.fwhm)
        if isinstance(psf, list):
            psf = ",".join(map(str, psf))
        if isinstance(psf, str) and file_kind(psf.strip()) == "fits":
            psf = Path(psf.strip()).name
        self.provenance: dict[str, Any] = {
            "seed": seed,
            "truncation": float(look.truncation),
            "psf": None if psf is None else str(psf),
            "grain": None if look.noise else False,
            "asked": False if nothing else None,
            "model": model.name,
            "checkpoint": model.digest,
            "images": model.images,
            "version": galgen.__version__,
            "stretch": self.stretch.state(),
        }

    def write(self, path: Path, galaxy: Tensor, **facts: Any) -> None:
        """One galaxy (C, H, W) in flux, to `path` with the ending of each kind."""
        for kind in self.kinds:
            if kind == "fits":
                where = path.with_suffix(".fits")
                provenance = {**self.provenance, **facts}
                write_galaxy(where, galaxy.numpy(), self.spec, provenance, cube=self.cube)
            else:
                shown = picture(galaxy, self.spec, self.stretch)
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
        path = folder / CATALOGUE
        with replacing(path) as temporary:
            rows.write(temporary, format="fits", overwrite=True)
        return path


def picture(galaxy: Tensor, spec: ImageSpec, stretch: Stretch) -> np.ndarray:
    """What a PNG or JPG shows, (1 or 3, H, W) in 0..255: display images as they are, with R, G
    and B in that order, fluxes as the one composite of all galaxies.
    """
    if spec.display and spec.n_bands in (1, 3):
        if {*spec.bands} == {"R", "G", "B"}:
            galaxy = galaxy[[spec.bands.index(band) for band in "RGB"]]
        return galaxy.clamp(0, 255).numpy()
    shown = composite(galaxy[None], spec, stretch)[0]
    return np.moveaxis(shown, -1, 0).astype(np.float32)
