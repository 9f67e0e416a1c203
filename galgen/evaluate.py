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
    from galgen.checkpoint import TrainedModel

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
    crop: int | None = None,
    size: int | None = None,
    bands: Sequence[str] | None = None,
    out: str | Path | None = None,
    classifier: bool = True,
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
    classifier
        Where classes were asked for, train a classifier on the real galaxies, which takes about a
        minute, and see whether it finds them.
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
    from galgen.sides import (
        compare,
        config_of,
        from_folder,
        generated_set,
        real_set,
        sampled,
        told,
    )

    if n < 2:
        raise ConfigError(f"-n {n}: an evaluation needs at least two galaxies.")
    asked = {"crop": crop, "size": size, "bands": bands, **reading}
    asked = {name: value for name, value in asked.items() if value is not None}
    model = _model(source)
    generated = None if model is not None else generated_set(source, real, asked, seed)
    spec = model.spec if model is not None else generated.spec  # type: ignore[union-attr]
    cutouts = real_set(model, real, {"size": spec.size, **asked}, seed)
    matched = match(spec, cutouts.spec)
    with _folder(_out_path(out, model)) as folder:
        if model is not None:
            made = sampled(model, n, seed, _counting(n, progress))
            facts = {"source": str(model.path), "name": model.name, "digest": model.digest,
                     "images": model.images, **specialists.facts(model)}  # fmt: skip
        else:
            assert generated is not None
            made = from_folder(generated, n, seed)
            facts = {"source": str(source), "name": generated.name}
        sets, notes = compare(made, matched, cutouts, model, seed)
        if model is not None:
            notes = [*specialists.told(model), *notes]
        judged = judge(sets, seed=seed, classifier=classifier, progress=progress)
        result = {
            "metrics": judged.scores,
            **({"classes": judged.classes} if judged.classes else {}),
            **({"conditions": judged.conditions} if judged.conditions else {}),
            "generated": {**facts, "n": len(sets.fake)},
            "real": {"source": str(real or config_of(model).get("source")), "name": cutouts.name,
                     "n": len(cutouts)},
            "size": sets.spec.size,
            "bands": list(sets.spec.bands),
            "seed": seed,
            "details": judged.details,
            "notes": [*told(cutouts), *told(generated), *matched.notes, *notes, *judged.notes],
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
