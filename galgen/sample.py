"""The verb ``sample``: galaxies from a model to files and a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from galgen.errors import ConfigError, OutputError
from galgen.io.atomic import replacing
from galgen.io.header import write_galaxy
from galgen.io.raster import write_raster
from galgen.report.pictures import composite, grid_png
from galgen.runs import make_folder
from galgen.stretch import Stretch
from galgen.training.machine import find_accelerator

FORMATS = ("fits", "png", "jpg")
CATALOGUE = "catalogue.fits"
#: Galaxies on the overview picture.
OVERVIEW, OVERVIEW_COLUMNS = 64, 8


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
        An overview of the first galaxies.
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
        If `n`, `label` or `formats` cannot be met.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    if n < 1:
        raise ConfigError(f"-n {n}: ask for at least one galaxy.")
    if start < 0:
        raise ConfigError(f"--start {start}: galaxies are counted from 0.")
    if batch < 1:
        raise ConfigError(f"--batch {batch}: use at least 1.")
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    kinds = tuple(formats or (("png",) if model.spec.display else ("fits",)))
    for kind in kinds:
        if kind not in FORMATS:
            raise ConfigError(f"format {kind} is not known: choose of {', '.join(FORMATS)}.")
    indices = range(start, start + n)
    labels = model.module.sample_labels(indices, seed, label)
    names = [file_stem(i) for i in indices]
    provenance = _provenance(model, seed)
    folder = _folder(out)
    model.to(device or find_accelerator())

    kept: list[Tensor] = []
    done = 0
    for members, flux in _pieces(model, indices, seed, label, batch):
        for index, galaxy in zip(members, flux, strict=True):
            name = None if labels is None else model.classes[int(labels[index - start])]
            _write(folder, index, galaxy, model, kinds, cube, {**provenance, "label": name})
            if len(kept) < OVERVIEW:
                kept.append(galaxy)
        done += len(members)
        if progress is not None:
            progress(len(members))
    table = _catalogue(model, names, indices, seed, labels, kinds[0])
    catalogue = folder / CATALOGUE
    with replacing(catalogue) as path:
        table.write(path, format="fits", overwrite=True)
    picture = folder / "overview.png"
    grid_png(
        torch.stack(kept), model.spec, picture, columns=OVERVIEW_COLUMNS, stretch=model.stretch
    )
    files = tuple(f"{names[0]}.{kind}" for kind in kinds)
    return Samples(folder, done, files, catalogue, picture)


def file_stem(index: int) -> str:
    """``galaxy_000017`` for sample 17."""
    return f"galaxy_{index:06d}"


def _folder(out: str | Path | None) -> Path:
    if out is None:
        number = 1
        while (folder := Path(f"samples-{number:05d}")).exists():
            number += 1
        return make_folder(folder)
    folder = Path(out)
    if folder.is_dir():
        found = next((p for p in folder.iterdir() if not p.name.startswith(".")), None)
        if found is not None:
            raise OutputError(
                f"{folder} holds files already ({found.name}), and nothing is overwritten: "
                "give another folder to --out."
            )
    return make_folder(folder)


def _pieces(
    model: TrainedModel, indices: range, seed: int, label: str | None, batch: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Samples in pieces of at least `batch`, a whole number of chunks."""
    members: list[int] = []
    parts: list[Tensor] = []
    for some, flux in model.sample_chunks(indices, seed=seed, label=label):
        members += some
        parts.append(flux)
        if len(members) >= batch:
            yield members, torch.cat(parts)
            members, parts = [], []
    if members:
        yield members, torch.cat(parts)


def _provenance(model: TrainedModel, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "truncation": 1.0,
        "model": model.name,
        "checkpoint": model.digest,
        "images": model.images,
        "version": galgen.__version__,
        "stretch": model.stretch.state(),
    }


def _write(
    folder: Path,
    index: int,
    galaxy: Tensor,
    model: TrainedModel,
    kinds: Sequence[str],
    cube: bool,
    provenance: dict[str, Any],
) -> None:
    path = folder / file_stem(index)
    for kind in kinds:
        if kind == "fits":
            facts = {**provenance, "index": index}
            write_galaxy(path.with_suffix(".fits"), galaxy.numpy(), model.spec, facts, cube=cube)
        else:
            write_raster(path.with_suffix(f".{kind}"), picture(galaxy, model.spec, model.stretch))


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


def _catalogue(
    model: TrainedModel,
    names: Sequence[str],
    indices: range,
    seed: int,
    labels: Tensor | None,
    kind: str,
) -> Any:
    from astropy.table import Table

    table = Table()
    table["file"] = [f"{name}.{kind}" for name in names]
    table["seed"] = np.full(len(names), seed, dtype=np.int64)
    table["sample"] = np.asarray(indices, dtype=np.int64)
    if labels is not None:
        table["label"] = [model.classes[int(k)] for k in labels]
    table.meta.update(
        {"MODEL": model.name, "CKPTHASH": model.digest, "GALGENV": galgen.__version__}
    )
    return table
