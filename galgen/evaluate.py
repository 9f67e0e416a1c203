"""Evaluate: score a model, or a folder of images, against real galaxies.

Writes ``evaluation.json`` and the self-contained ``report.html``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.data.source import canonical, left_out
from galgen.errors import ConfigError, DataError
from galgen.io.atomic import replacing
from galgen.training.machine import find_accelerator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.checkpoint import TrainedModel
    from galgen.data.sets import CutoutSet
    from galgen.metrics.comparison import Comparison
    from galgen.metrics.matching import Match

#: Called with what is being done, how many are done and how many there are.
Progress = Callable[[str, int, int], None]

JSON_NAME, HTML_NAME = "evaluation.json", "report.html"
_BLOCK = 512
#: A copy check needs so many galaxies that were not trained on.
_FEWEST_HELD = 4
#: What `open_set` takes from a run's configuration.
READING = ("size", "crop", "bands", "labels", "group", "select", "redshift", "unit", "magzero",
            "pixscale", "psf_fwhm", "count", "bad_fraction")  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    scores
        Metric name to value, floor, interval, z and n (see `galgen.metrics.scorecard`).
    verdict
        The same in sentences.
    result
        Content of evaluation.json.
    json, html
        The files.
    """

    scores: dict[str, Any]
    verdict: tuple[str, ...]
    result: dict[str, Any]
    json: Path
    html: Path


def evaluate(
    source: str | Path | None = None,
    real: str | Path | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    crop: int | None = None,
    size: int | None = None,
    bands: Sequence[str] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Evaluation:
    """Score generated galaxies against real ones and write the report.

    Parameters
    ----------
    source
        Checkpoint (file, run or exported folder) or a folder of generated images; by default
        the newest run.
    real
        DATA with real galaxies; by default the data that the run was trained on.
    n
        Generated galaxies; a folder with fewer is used whole.
    seed
        Of the samples, splits and resamplings.
    crop, size, bands
        How the real images are read, as in training.
    out
        Folder for ``evaluation.json`` and ``report.html``; by default the run's own, and
        ``./evaluation-00001`` (counted up) where there is none.
    progress
        Called with (what, done, all).
    **reading
        Further arguments of `galgen.data.sets.open_set` for the real images.

    Raises
    ------
    ConfigError
        If the two sets cannot be compared, or the real images are not named.
    CheckpointError, DataError
        If the checkpoint or a folder cannot be used.
    OutputError
        If `out` cannot be written.
    """
    from galgen import specialists
    from galgen.metrics.comparison import judge
    from galgen.metrics.matching import match
    from galgen.report.build import build
    from galgen.report.html import render
    from galgen.report.verdict import verdict

    if n < 2:
        raise ConfigError(f"-n {n}: an evaluation needs at least two galaxies.")
    asked = {"crop": crop, "size": size, "bands": bands, **reading}
    asked = {name: value for name, value in asked.items() if value is not None}
    model = _model(source)
    generated = None if model is not None else _generated_set(source, real, asked, seed)
    spec = model.spec if model is not None else generated.spec  # type: ignore[union-attr]
    cutouts = _real_set(model, real, {"size": spec.size, **asked}, seed)
    matched = match(spec, cutouts.spec)
    folder = _out_folder(out, model)

    redshift = None
    if model is not None:
        flux = _samples(model, n, seed, progress)
        facts = {"source": str(model.path), "name": model.name, "digest": model.digest,
                 "images": model.images, **specialists.facts(model)}  # fmt: skip
    else:
        assert generated is not None
        rows = _some(len(generated), n, seed)
        flux, redshift = _read(generated, rows), _redshift(generated, rows)
        facts = {"source": str(source), "name": generated.name}
    sets, notes = _comparison(matched, flux, redshift, cutouts, model, seed)
    if model is not None:
        notes = [*specialists.told(model), *notes]
    judged = judge(sets, seed=seed, progress=progress)
    result = {
        "metrics": judged.scores,
        "generated": {**facts, "n": len(sets.fake)},
        "real": {"source": str(real or _config(model).get("source")), "name": cutouts.name,
                 "n": len(cutouts)},
        "size": sets.spec.size,
        "bands": list(sets.spec.bands),
        "seed": seed,
        "details": judged.details,
        "notes": [*_told(cutouts), *_told(generated), *matched.notes, *notes, *judged.notes],
        "version": _version(),
    }  # fmt: skip
    sentences = verdict(result)
    result["verdict"] = sentences
    paths = _write(folder, result, render(build(sets, judged, result)))
    return Evaluation({**judged.scores}, tuple(sentences), result, *paths)


def _model(source: str | Path | None) -> TrainedModel | None:
    """The model, or None where `source` is a folder of images."""
    from galgen import checkpoint

    if source is None or checkpoint.looks_like_checkpoint(source):
        return checkpoint.load(source)
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path} does not exist: give a checkpoint, a run or a folder of images.")
    # A file that is no checkpoint gets the checkpoint reader's own explanation.
    return checkpoint.load(path) if path.is_file() else None


def _generated_set(
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


def _real_set(
    model: TrainedModel | None, real: str | Path | None, options: dict[str, Any], seed: int
) -> CutoutSet:
    from galgen.data.sets import open_set

    config = _config(model)
    own_source = config.get("source")
    if model is None or (
        real is not None and (own_source is None or canonical(real) != canonical(str(own_source)))
    ):
        return open_set(str(real), seed=seed, **options)
    if not config.get("source"):
        raise ConfigError(
            f"{model.path} does not say which data it was trained on: name it with --real."
        )
    own = {name: config[name] for name in READING if config.get(name) is not None}
    options = {"bands": model.spec.bands, **own, **options}
    return open_set(config["source"], seed=int(model.config.get("seed", 0)), **options)


def _told(cutouts: CutoutSet | None) -> list[str]:
    """What reading a set chose and left out."""
    if cutouts is None:
        return []
    told = [*cutouts.notes, *left_out(cutouts.bad)]
    return [f"{cutouts.name}: {sentence}" for sentence in told]


def _config(model: TrainedModel | None) -> dict[str, Any]:
    return {} if model is None else dict(model.config.get("data") or {})


def _samples(model: TrainedModel, n: int, seed: int, progress: Progress | None) -> Tensor:
    done = 0

    def count(members: int) -> None:
        nonlocal done
        done += members
        if progress is not None:
            progress("sampling", done, n)

    return model.to(find_accelerator()).sample(n, seed=seed, progress=count)


def _comparison(
    matched: Match,
    flux: Tensor,
    redshift: NDArray[np.float64] | None,
    cutouts: CutoutSet,
    model: TrainedModel | None,
    seed: int,
) -> tuple[Comparison, list[str]]:
    """The sets side by side, and what was decided on the way."""
    from galgen.metrics.comparison import Comparison
    from galgen.report.pictures import display_stretch, select_bands

    fake = matched.fake(flux)
    rows = _some(len(cutouts), 2 * len(fake), seed)
    real = matched.real(_read(cutouts, rows))
    train, held, notes = _split(cutouts, model, seed)
    chosen = held[_some(len(held), len(fake), seed)]
    if model is None:
        stretch = display_stretch(real, matched.spec)
    else:
        stretch = select_bands(model.stretch, model.spec.bands, matched.spec.bands)

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(train), _BLOCK):
            yield matched.real(_read(cutouts, train[start : start + _BLOCK]))

    sets = Comparison(
        spec=matched.spec,
        fake=fake,
        real=real,
        stretch=stretch,
        train=blocks,
        train_names=[cutouts.names[i] for i in train],
        held=matched.real(_read(cutouts, chosen)),
        held_names=[cutouts.names[i] for i in chosen],
        fake_redshift=redshift,
        real_redshift=_redshift(cutouts, rows),
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
    note = "The copy check compares with a random half of the real set"
    if model is not None:
        note += ", because it holds too few galaxies that the model kept out of training"
    return train, held, [note + "."]


def _some(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """At most n of the rows 0..total-1, in order, the same for the same seed."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:n])


def _read(cutouts: CutoutSet, rows: NDArray[np.int64]) -> Tensor:
    parts = [
        torch.from_numpy(np.asarray(cutouts.read(rows[k : k + _BLOCK].tolist()), dtype=np.float32))
        for k in range(0, len(rows), _BLOCK)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, *cutouts.spec.shape)


def _redshift(cutouts: CutoutSet, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    column = cutouts.catalogue.get("redshift")
    return None if column is None else np.asarray(column, dtype=np.float64)[rows]


def _out_folder(out: str | Path | None, model: TrainedModel | None) -> Path:
    from galgen.runs import make_folder

    if out is not None:
        return make_folder(Path(out))
    if model is not None:
        path = model.path
        run = path.parent.parent if path.parent.name == "checkpoints" else path
        if (run / "config.yaml").is_file():
            return make_folder(run)
    make_folder(Path())
    number = 1
    while Path(f"evaluation-{number:05d}").exists():
        number += 1
    return make_folder(Path(f"evaluation-{number:05d}"))


def _write(folder: Path, result: dict[str, Any], page: str) -> tuple[Path, Path]:
    # NaN is no JSON: a metric that cannot be computed is null, so none may be left.
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    written = []
    for name, content in ((JSON_NAME, text), (HTML_NAME, page)):
        with replacing(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
        written.append(folder / name)
    return written[0], written[1]


def _version() -> str:
    from galgen import __version__

    return __version__
