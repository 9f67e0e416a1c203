"""Several trainings in a row, each from the best checkpoint of the one before."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from galgen import checkpoint
from galgen.config import load_yaml
from galgen.errors import CheckpointError, ConfigError
from galgen.finetune import begin
from galgen.finetune import prepare as prepare_tuning
from galgen.io.atomic import replacing
from galgen.io.lock import only
from galgen.runs import RUNS, can_go_on, checkpoint_in, make_folder, new_folder
from galgen.stages import Stage, named, plan
from galgen.train import Outcome, Say, make_data, make_model, prepare, resume, start
from galgen.training.replicas import is_first

RECORD = "chain.yaml"
#: A run that ended so is not gone on with.
_ENDED = ("finished", "minutes")


@dataclass(frozen=True)
class StageOutcome:
    """What a stage left behind.

    Attributes
    ----------
    name, source
        Of the stage.
    run, checkpoint, images, reason
        As `galgen.train.Outcome`.
    frechet, colour_magnitude_ratio
        Of best.ckpt, as metrics.csv has them; None where they were not measured.
    best_at
        Images at which best.ckpt was saved.
    """

    name: str
    source: str
    run: Path
    checkpoint: Path
    images: int
    reason: str
    frechet: float | None = None
    colour_magnitude_ratio: float | None = None
    best_at: int | None = None


@dataclass(frozen=True)
class ChainOutcome:
    """What a chain left behind.

    Attributes
    ----------
    folder
        With the record, ``chain.yaml``.
    reason
        ``finished`` or ``interrupted``.
    stages
        Those that ran.
    """

    folder: Path
    reason: str
    stages: tuple[StageOutcome, ...]


@dataclass
class _Record:
    """The settings of a chain and which runs its stages made, kept in its folder."""

    folder: Path
    stages: Sequence[Stage]
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run_of(self, name: str) -> tuple[Path, dict[str, Any]] | None:
        """Run folder of a stage and how it ended, None where there is nothing to go on with."""
        entry = self.runs.get(name)
        if entry is None:
            return None
        run = self.folder.parent / entry["run"]
        if entry.get("reason") in _ENDED:
            if checkpoint_in(run) is None:
                raise CheckpointError(
                    f"stage {name} has ended, but {run} holds no checkpoint any more: put the "
                    "folder back, or begin another chain."
                )
            return run, entry
        return (run, entry) if can_go_on(run) else None

    def note(self, name: str, run: Path, **more: Any) -> None:
        """Keep a stage's run folder and how it ended."""
        self.runs[name] = {"run": run.name, **more}
        self.write()

    def write(self) -> None:
        """Write chain.yaml, on the first process."""
        if not is_first():
            return
        stages = [{"name": stage.name, **stage.settings} for stage in self.stages]
        # Through JSON, so that lists that stages share are not written as references.
        content = json.loads(json.dumps({"chain": stages, "runs": self.runs}))
        with replacing(self.folder / RECORD) as path:
            path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def chain(
    config: Mapping[str, Any],
    *layers: Mapping[str, Any],
    out: str | Path = RUNS,
    say: Say | None = None,
    console: Console | None = None,
) -> ChainOutcome:
    """Train the stages of a chain, one after the other.

    Every stage is a run of its own in `out`. The first trains from scratch, each later one
    fine-tunes from the best checkpoint of the one before. A folder ``00001-chain`` beside them
    keeps the record that `resume_chain` goes on from.

    Parameters
    ----------
    config, *layers
        See `galgen.stages.plan`.
    out, say, console
        As `galgen.train.train`.

    Raises
    ------
    UserError
        If the data, a configuration or the folder cannot be used, with the stage's name.
    """
    stages = plan(config, *layers)
    folder = Path(out) / "chain"
    if is_first():
        folder = new_folder(Path(out), "chain")
    record = _Record(folder, stages)
    with only(folder) if is_first() else nullcontext():
        record.write()
        return _run(record, say or (lambda line: None), console)


def resume_chain(
    folder: str | Path, *, say: Say | None = None, console: Console | None = None
) -> ChainOutcome:
    """Go on with a chain: what has finished stays, what was interrupted is gone on with.

    Raises
    ------
    CheckpointError
        If the folder holds no record of a chain.
    """
    record = _read(Path(folder))
    make_folder(record.folder)
    with only(record.folder) if is_first() else nullcontext():
        # What it noted while another process still worked here is what counts.
        return _run(_read(record.folder), say or (lambda line: None), console)


@dataclass(frozen=True)
class Standing:
    """How far a stage has come; as text, a sentence.

    Attributes
    ----------
    name
        Of the stage.
    run
        Its run folder; None if it has not begun.
    images
        At which it ended; None if it has not.
    """

    name: str
    run: Path | None = None
    images: int | None = None

    def __str__(self) -> str:
        if self.run is None:
            return f"{self.name}: would begin"
        if self.images is None:
            return f"{self.name}: would go on with {self.run}"
        return f"{self.name}: done at {self.images:,} images, {self.run}"


def standing(folder: str | Path) -> list[Standing]:
    """How far the stages of a chain have come."""
    record = _read(Path(folder))
    known = {stage.name: record.run_of(stage.name) for stage in record.stages}
    return [
        Standing(name) if found is None else Standing(name, found[0], found[1].get("images"))
        for name, found in known.items()
    ]


def _read(folder: Path) -> _Record:
    if not (folder / RECORD).is_file():
        raise CheckpointError(f"{folder} holds no {RECORD}: give the folder of a chain.")
    content = load_yaml(folder / RECORD)
    stages = plan({"chain": content.get("chain")}, begun=True)
    runs = content.get("runs") or {}
    entries = runs.values() if isinstance(runs, dict) else [runs]
    if not all(_is_entry(entry) for entry in entries):
        raise ConfigError(
            f"{folder / RECORD} does not say under runs which run each stage made: leave the "
            "record as galgen writes it."
        )
    return _Record(folder, stages, runs)


def _is_entry(entry: Any) -> bool:
    """Whether that is what `_Record.note` writes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("run"), str):
        return False
    return entry.get("reason") not in _ENDED or isinstance(entry.get("images"), int)


def _run(record: _Record, say: Say, console: Console | None) -> ChainOutcome:
    outcomes: list[StageOutcome] = []
    for number, stage in enumerate(record.stages, 1):
        say(f"stage {number} of {len(record.stages)}: {stage.name}")
        before = outcomes[-1].checkpoint if outcomes else None
        with named(stage):
            outcome = _stage(stage, before, record, say, console)
        outcomes.append(outcome)
        if outcome.reason not in _ENDED:
            break
        record.note(stage.name, outcome.run, images=outcome.images, reason=outcome.reason)
    return ChainOutcome(record.folder, _reason(outcomes), tuple(outcomes))


def _reason(outcomes: Sequence[StageOutcome]) -> str:
    return "finished" if outcomes[-1].reason in _ENDED else outcomes[-1].reason


def _stage(
    stage: Stage, before: Path | None, record: _Record, say: Say, console: Console | None
) -> StageOutcome:
    known = record.run_of(stage.name)
    if known is not None:
        run, entry = known
        if entry.get("reason") in _ENDED:
            say(f"{run} is there already")
            return _left(stage, run, int(entry["images"]), str(entry["reason"]))
        outcome = resume(run, say=say, console=console)
    else:
        outcome = _start(stage, before, record, say, console)
    return _left(stage, outcome.run, outcome.images, outcome.reason)


def _start(
    stage: Stage, before: Path | None, record: _Record, say: Say, console: Console | None
) -> Outcome:
    """Begin a stage in a run folder of its own, which the record notes at once."""
    callbacks: list[Any] = []
    if before is None:
        config = prepare(stage.settings)
        data = make_data(config)
        model = make_model(config, data)
    else:
        source = checkpoint.load(before)
        config = prepare_tuning(source, stage.source, stage.settings)
        config, data, model, callbacks = begin(source, config, say)
    return start(
        config,
        data,
        model,
        out=record.folder.parent,
        say=say,
        console=console,
        callbacks=callbacks,
        opened=lambda run: record.note(stage.name, run),
    )


def _left(stage: Stage, run: Path, images: int, reason: str) -> StageOutcome:
    found = checkpoint_in(run)
    if found is None:
        raise CheckpointError(f"{run} holds no checkpoint, so the next stage cannot begin.")
    source = str(load_yaml(run / "config.yaml")["data"]["source"])
    return StageOutcome(stage.name, source, run, found, images, reason, *_best(run))


def _best(run: Path) -> tuple[float | None, float | None, int | None]:
    """Frechet distance, colour-magnitude ratio and images of best.ckpt.

    Where that has no row, those of the lowest distance: a run that went back may have a lower one,
    whose snapshot is gone.
    """
    path = run / "metrics.csv"
    if not path.is_file():
        return None, None, None
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("frechet")]
    if not rows:
        return None, None, None
    best = min(rows, key=lambda row: float(row["frechet"]))
    best_file = run / "checkpoints" / "best.ckpt"
    if best_file.is_file():
        images = checkpoint.read(best_file, mapped=True)["galgen"]["clock"]["images"]
        best = next((row for row in rows if int(row["images"]) == images), best)
    ratio = best.get("colour_magnitude_ratio")
    return float(best["frechet"]), float(ratio) if ratio else None, int(best["images"])
