"""How many layers to freeze: the thesis' question (Concepción 2023), as one command.

A model that knows simulated galaxies is fine-tuned on few real ones with 0, 1, 2, ... of the
generator's layers frozen, and the same pair is trained on them from scratch as the control. All
runs have the same training galaxies and one device, and all are judged by the same real ones::

    python -m galgen.studies.freezing --config examples/freezing.yaml

Run again, it goes on: what has finished is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.config import RunConfig, merge
from galgen.errors import GalgenError
from galgen.evaluate import JSON_NAME, evaluate
from galgen.exported import digest as digest_of
from galgen.finetune import begin, is_own
from galgen.finetune import prepare as prepare_tuning
from galgen.runs import newest_run
from galgen.stages import following, require_data, try_out
from galgen.studies.freezing_settings import (
    FreezingConfig,
    keep_to,
    parse,
    refuse_mixing,
    same_for_every_seed,
    settings_of,
    validate,
)
from galgen.studies.freezing_table import Row, draw, rich_table, row_of, write_csv, write_markdown
from galgen.train import Outcome, Say, make_data, make_model, plan_resume, prepare, resume, start
from galgen.training.freezing import select

_INTERRUPTED = 130


@dataclass(frozen=True)
class Study:
    """What the study left behind.

    Attributes
    ----------
    rows
        One for each run, the control's last.
    csv, markdown, plot
        Files.
    """

    rows: tuple[Row, ...]
    csv: Path
    markdown: Path
    plot: Path


class Interrupted(Exception):
    """A run was interrupted; the study goes on when it is started again."""


def freezing(
    config: Mapping[str, Any] | FreezingConfig,
    *,
    out: str | Path = "freezing",
    say: Say | None = None,
    console: Console | None = None,
) -> Study:
    """Pre-train, fine-tune with every depth, train the control, judge all and draw the result.

    Parameters
    ----------
    config
        Fields of `FreezingConfig`.
    out
        Folder for the runs, ``table.csv``, ``table.md`` and ``plot.png``. If it holds such a study
        already, that one goes on.
    say, console
        As `galgen.train.train`.

    Raises
    ------
    UserError
        If a setting, the data or the folder cannot be used.
    Interrupted
        After Ctrl-C.
    """
    settings = validate(config.model_dump() if isinstance(config, FreezingConfig) else config)
    say = say or (lambda line: None)
    folder = Path(out)
    require_data(settings.named_data, "--data FOLDER")
    same_for_every_seed(settings)
    refuse_mixing(folder, settings)
    source = checkpoint.load(_pretrained(settings, folder, say, console))
    for frozen in settings.depths:
        try_out(_tuning(settings, source, frozen, settings.seeds[0]), source.spec.size)
    _scratch(settings, source, settings.seeds[0])
    keep_to(folder, settings)
    holdout = _holdout(settings, source)
    runs: list[tuple[int | None, int, Path]] = []
    for depth in (*settings.depths, None):
        for seed in settings.seeds:
            name = "scratch" if depth is None else f"freeze-{depth}"
            place = folder / f"{name}-seed-{seed}"
            say(f"{name}, seed {seed}")
            run = newest_run(place)
            if run is not None:
                _go_on(run, say, console)
            elif depth is None:
                run = _control(settings, source, seed, holdout, place, say, console)
            else:
                run = _tune(settings, source, depth, seed, holdout, place, say, console)
            runs.append((depth, seed, run))
    rows = tuple(_judge(settings, source, depth, seed, run, say) for depth, seed, run in runs)
    floor = "The floor is what real galaxies score against others, at the same number."
    study = Study(rows, folder / "table.csv", folder / "table.md", folder / "plot.png")
    write_csv(rows, study.csv)
    write_markdown(rows, study.markdown, floor)
    draw(rows, study.plot, settings.unit)
    return study


def _pretrained(settings: FreezingConfig, folder: Path, say: Say, console: Console | None) -> Path:
    """Checkpoint that all fine-tuning starts from."""
    if settings.checkpoint is not None:
        return checkpoint.resolve(settings.checkpoint)
    place = folder / "pretrained"
    say("pre-training")
    run = newest_run(place)
    if run is not None:
        _check_ahead(settings, plan_resume(run)[1])
        _go_on(run, say, console)
        return checkpoint.resolve(run)
    config = prepare(settings.pretrain, settings.fixed)
    data = make_data(config)
    model = make_model(config, data)
    _check_ahead(settings, config.replace({"data.size": data.spec.size}))
    keep_to(folder, settings)
    run = _finished(start(config, data, model, out=place, say=say, console=console))
    return checkpoint.resolve(run)


def _check_ahead(settings: FreezingConfig, pretrain: RunConfig) -> None:
    """Find what would only show after the pre-training."""
    assert pretrain.data.size is not None
    for depth in settings.depths:
        tuned = following(pretrain, *_of_run(settings, depth, settings.seeds[0]))
        try_out(tuned, pretrain.data.size)


def _of_run(settings: FreezingConfig, depth: int, seed: int) -> tuple[Mapping[str, Any], ...]:
    """Settings of a fine-tuning, later ones win."""
    own = {"finetune.freeze": depth, "finetune.freeze_unit": settings.unit, "seed": seed}
    return settings.finetune, settings.fixed, own


def _holdout(settings: FreezingConfig, source: TrainedModel) -> list[str]:
    """Galaxies that no run is trained on, the same for all seeds."""
    config = _tuning(settings, source, 0, settings.seeds[0])
    if source.holdout and is_own(source, config.data.source):
        return list(source.holdout)
    return list(make_data(config).holdout_names)


def _tuning(settings: FreezingConfig, source: TrainedModel, depth: int, seed: int) -> RunConfig:
    return prepare_tuning(source, settings.named_data, *_of_run(settings, depth, seed))


def _tune(
    settings: FreezingConfig,
    source: TrainedModel,
    depth: int,
    seed: int,
    holdout: Sequence[str],
    place: Path,
    say: Say,
    console: Console | None,
) -> Path:
    config = _tuning(settings, source, depth, seed)
    config, data, model, callbacks = begin(source, config, say, holdout)
    return _finished(
        start(config, data, model, out=place, say=say, console=console, callbacks=callbacks)
    )


def _control(
    settings: FreezingConfig,
    source: TrainedModel,
    seed: int,
    holdout: Sequence[str],
    place: Path,
    say: Say,
    console: Console | None,
) -> Path:
    config = _scratch(settings, source, seed)
    data = make_data(config, holdout=list(holdout))
    model = make_model(config, data)
    return _finished(start(config, data, model, out=place, say=say, console=console))


def _scratch(settings: FreezingConfig, source: TrainedModel, seed: int) -> RunConfig:
    """The same pair on the same galaxies for as many images, by the recipe of the pre-training."""
    tuned = _tuning(settings, source, 0, seed)
    recipe = {**source.card["recipe"], "grow_images": "auto"}
    said = merge(settings.finetune).get("recipe", {})
    sections = {name: getattr(tuned, name).model_dump() for name in ("model", "data", "train")}
    return prepare({"recipe": recipe}, {"recipe": said}, sections, {"seed": seed})


def _go_on(run: Path, say: Say, console: Console | None) -> None:
    """Finish a run that an earlier start of the study began."""
    _, config, card = plan_resume(run)
    if card["clock"]["images"] >= config.train.images:
        say(f"{run} is there already")
    else:
        _finished(resume(run, say=say, console=console))


def _finished(outcome: Outcome) -> Path:
    if outcome.reason == "interrupted":
        raise Interrupted
    return outcome.run


def _judge(
    settings: FreezingConfig,
    source: TrainedModel,
    depth: int | None,
    seed: int,
    run: Path,
    say: Say,
) -> Row:
    """Score the best checkpoint of a run, unless that was done."""
    path = run / JSON_NAME
    result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    digest = digest_of(checkpoint.resolve(run))
    asked = {"digest": digest, "n": settings.n}
    if result is None or {k: result["generated"].get(k) for k in asked} != asked:
        say(f"judging {run}")
        result = evaluate(run, n=settings.n, metrics="physics,photometry,copies").result
    layers = source.module.generator.layers()  # type: ignore[operator]
    chosen = select(layers, depth or 0, settings.unit, "--freeze")
    return row_of(result, depth, seed, [layer.name for layer in chosen], run)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code."""
    given = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False)

    try:
        study = freezing(settings_of(given), out=given.out, say=say, console=console)
    except GalgenError as error:
        print(f"galgen: {error}", file=sys.stderr)
        return error.exit_code
    except (Interrupted, KeyboardInterrupt):
        say("interrupted; the same command goes on")
        return _INTERRUPTED
    console.print(rich_table(study.rows), soft_wrap=False)
    for path in (study.csv, study.markdown, study.plot):
        say(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
