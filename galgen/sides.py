"""The two sides of an evaluation: which galaxies they are, and what is known of them."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.data.classes import label_of
from galgen.data.source import left_out
from galgen.data.wanted import MEASURE
from galgen.errors import ConfigError, OutputError
from galgen.exported import learned_from, own_data
from galgen.metrics.conditional import Asked, Pool
from galgen.metrics.images import Images
from galgen.training.machine import find_accelerator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.checkpoint import TrainedModel
    from galgen.data.sets import CutoutSet
    from galgen.metrics.comparison import Comparison
    from galgen.metrics.matching import Match

#: Real galaxies that a stretch for the pictures is fitted on.
_SAMPLE = 2000
#: A copy check needs so many galaxies that were not trained on.
_FEWEST_HELD = 4
#: Begins the sentence that says so where there are no such galaxies.
COPY_CHECK = "The copy check compares with a random half of the real set"
#: Real galaxies that a classifier learns from, at most.
_POOL = 6000
#: What `open_set` takes from a run's configuration.
READING = ("size", "crop", "bands", "labels", "merge", "condition", "group", "select", "redshift",
           "unit", "magzero", "pixscale", "psf_fwhm", "count", "bad_fraction")  # fmt: skip
#: How `galgen.sample` names the columns of what it asked for.
_LABEL, _REQUESTED = "label", "_requested"


@dataclass(frozen=True)
class Generated:
    """Generated galaxies, with what they were asked to be.

    Attributes
    ----------
    images
        Their fluxes.
    redshift
        (M,), or None.
    classes, labels
        Class names, and class numbers (M,), -1 for none; None without classes.
    numbers, values
        Names, and (M, K) in their own units, NaN for none.
    catalogue
        Columns (M,) of a table beside them, such as ``mag_r``.
    """

    images: Images
    redshift: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None
    numbers: tuple[str, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    catalogue: dict[str, NDArray[Any]] = field(default_factory=dict)


def sampled(model: TrainedModel, n: int, seed: int, progress: Callable[[int], None]) -> Generated:
    """Galaxies of a model, by the training set's mix of conditions.

    They lie in a temporary file that goes when nobody uses them, because they are looked at more
    than once. `progress` is called with the number of galaxies of each chunk.
    """
    images = _spooled(model.to(find_accelerator()), n, seed, progress)
    conditions = model.module.conditions
    rows = model.module.sample_conditions(range(n), seed)
    if rows is None:
        return Generated(images)
    labels, values = conditions.decode(rows.numpy())
    return Generated(
        images,
        None,
        conditions.classes,
        labels if conditions.classes else None,
        conditions.names,
        values,
    )


def _spooled(model: TrainedModel, n: int, seed: int, progress: Callable[[int], None]) -> Images:
    shape = (n, *model.spec.shape)
    needed, folder = 4 * math.prod(shape), tempfile.gettempdir()
    # Writing to a mapped file on a full disk kills the process, so there is no asking later.
    if needed > shutil.disk_usage(folder).free:
        raise OutputError(
            f"{folder} has no room for {n:,} generated galaxies ({needed / 1e9:.1f} GB): ask for "
            "fewer by -n, or name a folder on another disk by the variable TMPDIR."
        )
    with tempfile.TemporaryFile(prefix="galgen-") as file:
        kept = np.memmap(file, np.float32, "w+", shape=shape)
    for members, flux in model.sample_chunks(range(n), seed=seed):
        kept[members] = flux.cpu().numpy()
        progress(len(members))
    return Images(n, lambda rows: torch.from_numpy(np.asarray(kept[rows])))


def from_folder(cutouts: CutoutSet, n: int, seed: int) -> Generated:
    """At most `n` galaxies of a folder.

    Their classes are those of sub-folders or of the catalogue's column ``label``, their numbers
    those of columns ``NAME_requested``, as ``galgen sample`` writes them.
    """
    rows = some(len(cutouts), n, seed)
    classes, labels = cutouts.classes, cutouts.labels
    if labels is None and _LABEL in cutouts.catalogue:
        # A column of blank cells alone reads as one of numbers that are all missing.
        names = [label_of(str(name)) for name in cutouts.catalogue[_LABEL].tolist()]
        classes = tuple(sorted({name for name in names if name is not None}))
        labels = np.array([-1 if name is None else classes.index(name) for name in names])
    columns = {
        name.removesuffix(_REQUESTED): column[rows].astype(np.float64)
        for name, column in cutouts.catalogue.items()
        if name.endswith(_REQUESTED) and column.dtype.kind in "iuf"
    }
    return Generated(
        images_of(cutouts, rows),
        redshift(cutouts, rows),
        classes,
        labels[rows].astype(np.int64) if labels is not None and classes else None,
        tuple(columns),
        np.column_stack(list(columns.values())) if columns else np.zeros((len(rows), 0)),
        _numbers(cutouts, rows),
    )


def _numbers(cutouts: CutoutSet, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Columns of numbers of a set's table."""
    kinds = cutouts.catalogue.items()
    return {name: column[rows] for name, column in kinds if column.dtype.kind in "iuf"}


def generated_set(
    source: str | Path | None, real: str | Path | None, asked: dict[str, Any], seed: int
) -> CutoutSet:
    from galgen.data.sets import open_set

    if real is None:
        raise ConfigError(
            f"{source} is a folder of images: name the real ones to compare with by --real."
        )
    # --crop, --select and the like describe the real images; generated ones are taken whole.
    keep = {name: asked[name] for name in ("size", "bands") if name in asked}
    return open_set(str(source), seed=seed, **keep)


def real_set(
    model: TrainedModel | None, real: str | Path | None, options: dict[str, Any], seed: int
) -> CutoutSet:
    from galgen.data.sets import open_set

    config = config_of(model)
    if model is None or (real is not None and not learned_from(model, real)):
        return open_set(str(real), seed=seed, **options)
    source = own_data(model, "name them with --real") if real is None else str(real)
    own = {name: config[name] for name in READING if config.get(name) is not None}
    options = {"bands": model.spec.bands, **own, **options}
    return open_set(source, seed=int(model.config.get("seed", 0)), **options)


def told(cutouts: CutoutSet | None) -> list[str]:
    """What reading a set chose and left out."""
    if cutouts is None:
        return []
    told = [*cutouts.notes, *left_out(cutouts.bad)]
    return [f"{cutouts.name}: {sentence}" for sentence in told]


def config_of(model: TrainedModel | None) -> dict[str, Any]:
    return {} if model is None else dict(model.config.get("data") or {})


def compare(
    made: Generated,
    matched: Match,
    cutouts: CutoutSet,
    model: TrainedModel | None,
    seed: int,
) -> tuple[Comparison, list[str]]:
    """The sets side by side, and what was decided on the way."""
    from galgen.measure.composite import display_stretch, select_bands
    from galgen.metrics.comparison import Comparison

    fake = Images(made.images.n, lambda k: matched.fake(made.images.read(k)), made.images.names)
    rows = some(len(cutouts), 2 * len(fake), seed)
    train, held, notes = _split(cutouts, model, seed)
    # Twice as many as generated ones, as of the real galaxies: half of them make the floor.
    chosen = held[some(len(held), 2 * len(fake), seed)]

    def real(chosen: NDArray[np.int64]) -> Images:
        own = images_of(cutouts, chosen)
        return Images(own.n, lambda k: matched.real(own.read(k)), own.names)

    if model is None:
        stretch = display_stretch(real(rows).sample(_SAMPLE), matched.spec)
    else:
        stretch = select_bands(model.stretch, model.spec.bands, matched.spec.bands)
    asked = _asked(made, cutouts, matched, model, rows, chosen, seed)
    strange = [name for name in cutouts.classes if asked and name not in asked.classes]
    if asked and asked.classes and strange:
        notes = [
            *notes,
            f"Real galaxies of {', '.join(strange)} are of no class of the model: they are in "
            "the scores of all galaxies alone.",
        ]
    sets = Comparison(
        spec=matched.spec,
        fake=fake,
        real=real(rows),
        stretch=stretch,
        train=real(train),
        held=real(chosen),
        fake_redshift=made.redshift,
        real_redshift=redshift(cutouts, rows),
        asked=asked,
        fake_catalogue=made.catalogue,
        real_catalogue=_numbers(cutouts, rows),
    )
    return sets, notes


def _split(
    cutouts: CutoutSet, model: TrainedModel | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Rows trained on and rows held out, as the checkpoint stored it, else seeded halves."""
    from galgen.data.split import split_by_group

    names = set(model.holdout) if model is not None else set()
    mask = np.array([name in names for name in cutouts.names], dtype=bool)
    if mask.sum() >= _FEWEST_HELD and not mask.all():
        return np.flatnonzero(~mask), np.flatnonzero(mask), []
    if len(set(cutouts.groups)) < 2:
        return np.arange(len(cutouts)), np.arange(0), []
    train, held = split_by_group(cutouts.groups, 0.5, seed)
    note = COPY_CHECK
    if model is not None:
        note += ", because it holds too few galaxies that the model kept out of training"
    return train, held, [note + "."]


def some(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """At most n of the rows 0..total-1, in order, the same for the same seed."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:n])


def images_of(cutouts: CutoutSet, rows: NDArray[np.int64]) -> Images:
    """Some galaxies of a set, in its own bands, size and unit."""

    def read(chosen: NDArray[np.int64]) -> Tensor:
        if not len(chosen):
            return torch.zeros(0, *cutouts.spec.shape)
        flux = cutouts.read(rows[chosen].tolist())
        return torch.from_numpy(np.asarray(flux, dtype=np.float32))

    return Images(len(rows), read, [cutouts.names[row] for row in rows.tolist()])


def redshift(cutouts: CutoutSet, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    column = cutouts.catalogue.get("redshift")
    return None if column is None else np.asarray(column, dtype=np.float64)[rows]


def _asked(
    made: Generated,
    cutouts: CutoutSet,
    matched: Match,
    model: TrainedModel | None,
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    seed: int,
) -> Asked | None:
    """What was asked of the generated galaxies, and the same of real ones, if anything was."""
    if made.labels is None and not made.numbers:
        return None
    classes, fake_labels, real_labels = _same_classes(made, cutouts, model)
    pool = None
    if classes and cutouts.labels is not None:
        pool = _pool(cutouts, matched, model, real_labels, len(classes), seed)
    known = {number.name: k for k, number in enumerate(cutouts.numbers)}
    values, why = np.full((len(rows), len(made.numbers)), np.nan), {}
    for k, name in enumerate(made.numbers):
        if name not in known or cutouts.values is None:
            why[name] = "the real galaxies come without it: name its source by data.condition"
        elif cutouts.numbers[known[name]].source == MEASURE:
            why[name] = "those of the real galaxies were measured in the same way"
        else:
            values[:, k] = cutouts.values[rows, known[name]]
    return Asked(
        classes=classes,
        fake_labels=fake_labels,
        real_labels=real_labels[rows],
        held_labels=real_labels[chosen],
        numbers=made.numbers,
        fake_values=made.values,
        real_values=values,
        no_values=why,
        pool=pool,
    )


def _same_classes(
    made: Generated, cutouts: CutoutSet, model: TrainedModel | None
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Class names, and class numbers of the generated and of all real galaxies.

    The classes are the model's; of a folder, which may show only some, those of the real galaxies
    and its own.
    """
    nothing = np.full(len(made.images), -1)
    unknown = np.full(len(cutouts), -1)
    if made.labels is None:
        return (), nothing, unknown
    classes = made.classes
    if model is None:
        classes = tuple(dict.fromkeys((*cutouts.classes, *made.classes)))
    # One more entry than names, so that -1 stays -1.
    place = np.array([*(classes.index(name) for name in made.classes), -1])
    if cutouts.labels is None:
        return classes, place[made.labels], unknown
    theirs = [classes.index(name) if name in classes else -1 for name in cutouts.classes]
    return classes, place[made.labels], np.array([*theirs, -1])[cutouts.labels]


def _pool(
    cutouts: CutoutSet,
    matched: Match,
    model: TrainedModel | None,
    labels: NDArray[np.int64],
    classes: int,
    seed: int,
) -> Pool:
    """Real galaxies for a classifier: as many of each class as there are, up to a number."""
    most = max(1, _POOL // max(1, classes))
    kept = []
    for number in range(classes):
        members = np.flatnonzero(labels == number)
        kept.append(members[some(len(members), most, seed)])
    rows = np.sort(np.concatenate(kept))
    out = set(model.holdout) if model is not None else set()
    held = np.array([cutouts.names[row] in out for row in rows.tolist()], dtype=bool)

    def images() -> Tensor:
        return matched.real(images_of(cutouts, rows).read(range(len(rows))))

    groups = [cutouts.groups[row] for row in rows.tolist()]
    return Pool(images, labels[rows], groups, held if out else None)
