"""Evaluate: score a model, or a folder of images, against real galaxies.

Writes ``evaluation.json`` and the self-contained ``report.html``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen.errors import ConfigError, DataError
from galgen.io.atomic import replacing

if TYPE_CHECKING:
    from galgen.bands import ImageSpec
    from galgen.checkpoint import TrainedModel
    from galgen.data.sets import CutoutSet
    from galgen.measure.photometry import Method
    from galgen.metrics.comparison import Comparison, Judgement
    from galgen.metrics.matching import Match

#: Called with what is being done, how many are done and how many there are.
Progress = Callable[[str, int, int], None]

JSON_NAME, HTML_NAME = "evaluation.json", "report.html"


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
    metrics: str | Sequence[str] | None = None,
    against: str | Path | None = None,
    crop: int | None = None,
    size: int | None = None,
    bands: Sequence[str] | None = None,
    out: str | Path | None = None,
    classifier: bool = True,
    photometry: Method = "kron",
    inception: str | Path | None = None,
    extractor_size: int | None = None,
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
    metrics
        Names with commas, see `galgen.metrics.wanted.parse_metrics`; by default all that need
        neither a download nor minutes.
    against
        A second checkpoint or folder of generated images, to be scored beside the first, with as
        many galaxies of each.
    crop, size, bands
        How the real images are read, as in training.
    out
        Folder for ``evaluation.json`` and ``report.html``; by default the run's own, and
        ``./evaluation-00001`` (counted up) where there is none or another set is named.
    classifier
        Where classes were asked for, train a classifier on the real galaxies, which takes about a
        minute, and see whether it finds them.
    photometry
        ``kron``, ``dilated`` or ``aperture``, see `galgen.measure.photometry.measure`.
    inception
        File with the weights for the metric ``inception``.
    extractor_size
        Side in pixels that a network of the user's own wants; by default the images'.
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
    from galgen.metrics.comparison import judge, set_up
    from galgen.metrics.extractors import ExtractorOptions
    from galgen.metrics.matching import match
    from galgen.metrics.wanted import check, parse_metrics
    from galgen.report.build import build
    from galgen.report.html import render
    from galgen.report.verdict import questions, verdict
    from galgen.sides import COPY_CHECK, config_of, real_set, told
    from galgen.training.machine import find_accelerator

    if n < 2:
        raise ConfigError(f"-n {n}: an evaluation needs at least two galaxies.")
    wanted = parse_metrics(metrics)
    check_named(source, real, against)
    asked = {"crop": crop, "size": size, "bands": bands, **reading}
    asked = {name: value for name, value in asked.items() if value is not None}
    model = _model(source)
    sides = [_Side.open(source, model, real, asked, seed)]
    if against is not None:
        sides.append(_Side.open(against, _model(against), real or _own(model), asked, seed))
        n = min(n, *(side.most for side in sides if side.most is not None))
    for side in sides:
        if side.most is not None and side.most < 2:
            raise DataError(f"{side.source} holds one image: an evaluation needs at least two.")
    spec = sides[0].spec
    cutouts = real_set(model, real, {"size": spec.size, **asked}, seed)
    matched = [match(side.spec, cutouts.spec) for side in sides]
    # One unit for both, so that what measures the one may measure the other.
    matched[1:] = [one.beside(matched[0]) for one in matched[1:]]
    check(wanted, inception)
    theirs = real is None or _same(real, _own(model))
    with _folder(_out_path(out, model if theirs and against is None else None)) as folder:
        found, bench = [], None
        for side, one in zip(sides, matched, strict=True):
            sets, notes = side.compare(one, cutouts, n, seed, progress)
            if "copies" not in wanted:
                notes = [note for note in notes if not note.startswith(COPY_CHECK)]
            if crop is not None and side.generated is not None:
                notes = [f"{side.name}: taken whole (--crop is for the real galaxies).", *notes]
            bench = bench or set_up(
                sets,
                wanted,
                photometry=photometry,
                options=ExtractorOptions(
                    None if inception is None else Path(inception), extractor_size
                ),
                device=find_accelerator(),
                progress=progress,
            )
            judged = judge(sets, bench, seed=seed, classifier=classifier, progress=progress)
            if not judged.scores and not judged.conditions:
                named = ",".join([*wanted.extractors, *sorted(wanted.groups)])
                raise ConfigError(
                    f"--metrics {named}: nothing of it applies to these galaxies, since radio is "
                    "for pictures of one band and conditions for conditional models; ask for "
                    "galaxy, physics or photometry."
                )
            found.append((sets, judged, notes))
        sets, judged, notes = found[0]
        result = {
            **_scored(sides[0], sets, judged),
            "real": {"source": str(real or config_of(model).get("source")), "name": cutouts.name,
                     "n": len(cutouts)},
            "size": sets.spec.size,
            "bands": list(sets.spec.bands),
            "seed": seed,
            "notes": [*told(cutouts), *sides[0].told, *matched[0].notes, *notes, *judged.notes],
            "version": _version(),
        }  # fmt: skip
        other = None
        if len(found) > 1:
            other = found[1][:2]
            result["against"] = _scored(sides[1], *other)
            more = (*sides[1].told, *matched[1].notes, *found[1][2], *other[1].notes)
            result["notes"] += [f"{sides[1].name}: {s}" for s in more if s not in result["notes"]]
        result["questions"] = questions(result)
        sentences = verdict(result)
        result["verdict"] = sentences
        paths = _write(folder, result, render(build(sets, judged, result, other)))
        return Evaluation({**judged.scores}, tuple(sentences), result, *paths)


@dataclass(frozen=True)
class _Side:
    """A generator, or a folder of its images."""

    source: str
    name: str
    spec: ImageSpec
    model: TrainedModel | None
    generated: CutoutSet | None

    @classmethod
    def open(
        cls,
        source: str | Path | None,
        model: TrainedModel | None,
        real: str | Path | None,
        asked: dict[str, Any],
        seed: int,
    ) -> _Side:
        from galgen.sides import generated_set

        if model is not None:
            return cls(str(model.path), model.name, model.spec, model, None)
        generated = generated_set(source, real, asked, seed)
        return cls(str(source), generated.name, generated.spec, None, generated)

    @property
    def most(self) -> int | None:
        """As many galaxies as there are; None for a generator."""
        return None if self.generated is None else len(self.generated)

    @property
    def told(self) -> list[str]:
        from galgen import specialists
        from galgen.sides import told

        return specialists.told(self.model) if self.model is not None else told(self.generated)

    @property
    def facts(self) -> dict[str, Any]:
        from galgen import specialists

        facts: dict[str, Any] = {"source": self.source, "name": self.name}
        if self.model is not None:
            facts |= {"digest": self.model.digest, "images": self.model.images}
            facts |= specialists.facts(self.model)
        return facts

    def compare(
        self, matched: Match, cutouts: CutoutSet, n: int, seed: int, progress: Progress | None
    ) -> tuple[Comparison, list[str]]:
        from galgen.sides import compare, from_folder, sampled

        if self.model is not None:
            made = sampled(self.model, n, seed, _counting(n, progress))
        else:
            assert self.generated is not None
            made = from_folder(self.generated, n, seed)
        return compare(made, matched, cutouts, self.model, seed)


def _scored(side: _Side, sets: Comparison, judged: Judgement) -> dict[str, Any]:
    """What evaluation.json says of one generator."""
    return {
        "metrics": judged.scores,
        **({"classes": judged.classes} if judged.classes else {}),
        **({"conditions": judged.conditions} if judged.conditions else {}),
        "generated": {**side.facts, "n": len(sets.fake)},
        "details": judged.details,
    }


def _same(one: str | Path, other: str | None) -> bool:
    from galgen.data.source import canonical

    return other is not None and canonical(one) == canonical(other)


def _own(model: TrainedModel | None) -> str | None:
    """Data that a model was trained on, which a second generator is compared with too."""
    from galgen.sides import config_of

    return config_of(model).get("source")


def check_named(
    source: str | Path | None, real: str | Path | None, against: str | Path | None = None
) -> None:
    """Find out before anything is read whether what is named is there.

    Raises
    ------
    ConfigError
        If `source` is a folder of images and the real ones are not named.
    DataError
        If `source` or `against` does not exist.
    """
    from galgen.checkpoint import looks_like_checkpoint

    for named in (source, against):
        if named is None or looks_like_checkpoint(named):
            continue
        if not Path(named).exists():
            raise DataError(
                f"{named} does not exist: give a checkpoint, a run or a folder of images."
            )
        if named == source and real is None and Path(named).is_dir():
            raise ConfigError(
                f"{named} is a folder of images: name the real ones to compare with by --real."
            )


def _model(source: str | Path | None) -> TrainedModel | None:
    """The model, or None where `source` is a folder of images."""
    from galgen import checkpoint

    if source is None or checkpoint.looks_like_checkpoint(source):
        return checkpoint.load(source)
    path = Path(source)
    # A file that is no checkpoint gets the checkpoint reader's own explanation.
    return checkpoint.load(path) if path.is_file() else None


def _counting(n: int, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def count(members: int) -> None:
        nonlocal done
        done += members
        if progress is not None:
            progress("sampling", done, n)

    return count


def _out_path(out: str | Path | None, model: TrainedModel | None) -> Path:
    from galgen.runs import make_folder

    if out is not None:
        return Path(out)
    if model is not None:
        path = model.path
        run = path.parent.parent if path.parent.name == "checkpoints" else path
        if (run / "config.yaml").is_file():
            return run
    make_folder(Path())
    number = 1
    while Path(f"evaluation-{number:05d}").exists():
        number += 1
    return Path(f"evaluation-{number:05d}")


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """The folder, made now so that minutes are not spent on what cannot be written; taken away
    again where nothing came of it.
    """
    from galgen.runs import make_folder

    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield make_folder(path)
    except BaseException:
        for folder in new:
            # What somebody wrote to in the meantime stays.
            with suppress(OSError):
                folder.rmdir()
        raise


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
