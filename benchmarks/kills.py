"""Whether a run that is killed goes on as if it had not been: bit for bit, at any moment.

    python benchmarks/kills.py                      (both parts, some half an hour on two cores)
    python benchmarks/kills.py moments --kills 50   (kill -9 at random moments of a small run)
    python benchmarks/kills.py pairs --pair dcgan   (0 and 2 workers, 1 and 2 processes)

*moments*: a small run is killed, with all its processes, after a random time, and gone on with,
until it has finished; then the next one begins, until there were so many kills. After every kill
all checkpoints have to be whole, and every run has to end as one that nobody disturbed.

*pairs*: N images in one go against N/2, kill -9 one step later, --resume, N/2, for every pair of
the registry with classes and numbers as conditions.

The runs are ``galgen train`` itself, in a process that is forked once torch has been imported,
which would take longer than all the rest. Ends with exit code 1 where something differs.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch
import yaml

import galgen.fitting
import galgen_cli.main
from cases import CASES
from contract import Case
from galgen.callbacks.ending import Ending
from galgen.recovery import latest, read_whole
from tiny import KINDS, classes_folder, differences, tiny

#: Columns of metrics.csv that tell the time of day.
TIMES = ("seconds", "images_per_second")
#: Lightning's own counters, which tell how often it was started.
COUNTERS = "loops"


@dataclass(frozen=True)
class Life:
    """One ``galgen train`` from its start to its end.

    Attributes
    ----------
    code
        Exit code, or minus the signal that killed it.
    said
        What it printed.
    seconds
        How long it lived.
    """

    code: int
    said: str
    seconds: float


def live(
    arguments: list[str],
    log: Path,
    kill_after: float | None = None,
    before: Callable[[], None] | None = None,
    kill_when: Callable[[], bool] = lambda: False,
) -> Life:
    """Run ``galgen`` in a group of processes of its own, killed after so many seconds, or when it
    is time to.
    """
    started = time.monotonic()
    child = os.fork()
    if not child:
        _become(arguments, log, before)
    due = None if kill_after is None else started + kill_after
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if (due is not None and time.monotonic() >= due) or kill_when():
            try:
                os.killpg(child, signal.SIGKILL)
            except ProcessLookupError:
                # So early that it has no group yet.
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    _wait_for_group(child)
    return Life(code, log.read_text(errors="replace"), time.monotonic() - started)


def _become(arguments: list[str], log: Path, before: Callable[[], None] | None) -> None:
    """The forked child: the command itself, until it exits."""
    code = 1
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        torch.set_num_threads(1)
        # What further replicas are started as.
        sys.argv = [str(Path(sys.executable).with_name("galgen")), *arguments]
        sys.modules["__main__"].__spec__ = None
        if before is not None:
            before()
        galgen_cli.main.app(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait_for_group(leader: int) -> None:
    """Until the last process of a group is gone: a replica may take a moment to die."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.killpg(leader, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.01)
    os.killpg(leader, signal.SIGKILL)


def kill_at(images: int) -> Callable[[], None]:
    """Has the run kill its whole group when the critic has seen so many images."""

    class Killed(Ending):
        def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
            if module.clock.images >= images:
                os.killpg(0, signal.SIGKILL)
            super().on_train_batch_end(trainer, module, *rest)

    return lambda: setattr(galgen.fitting, "Ending", Killed)


def rows(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without columns of time and a line that was cut off."""
    path = run / "metrics.csv"
    text = path.read_text() if path.exists() else ""
    found = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in found]


def unlike(one: Path, other: Path) -> list[str]:
    """Where two finished runs differ: their checkpoints bit for bit, and their rows."""
    found = []
    names = [sorted(p.name for p in (run / "checkpoints").iterdir()) for run in (one, other)]
    if names[0] != names[1]:
        found.append(f"checkpoints {names[0]} and {names[1]}")
    for name in names[0]:
        a, b = (read_whole(run / "checkpoints" / name) for run in (one, other))
        for content in (a, b):
            del content[COUNTERS]
        found += [f"{name}{place}" for place in differences(a, b)]
    if rows(one) != rows(other):
        found.append("metrics.csv")
    return found


def settings_file(folder: Path, settings: dict[str, Any]) -> Path:
    """A configuration for ``--config``."""
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        section, _, key = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[key] = value
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(nested)), sort_keys=False))
    return path


def begun(out: Path) -> Path | None:
    """The run in a folder, once there is something to go on with."""
    runs = sorted(out.glob("*/config.yaml")) if out.is_dir() else []
    return runs[0].parent if runs else None


def train_command(config: Path, out: Path) -> list[str]:
    """Begin a run, or go on with the one that is there."""
    run = begun(out)
    if run is None:
        shutil.rmtree(out, ignore_errors=True)
        return ["train", "--config", str(config), "--out", str(out)]
    return ["train", str(run), "--resume"]


def check_after_kill(out: Path) -> list[str]:
    """What a kill has spoilt: nothing may be."""
    run, found = begun(out), []
    if run is None:
        return []
    files = list((run / "checkpoints").glob("*.ckpt")) if (run / "checkpoints").is_dir() else []
    for path in files:
        try:
            read_whole(path)
        except Exception as error:
            found.append(f"{path.name} is not whole: {error}")
    if rows(run) and not files:
        found.append("rows, but no checkpoint")
    if files and (checkpoint := latest(run)) is not None and checkpoint.damaged:
        found.append(checkpoint.damaged)
    return found


def moments(
    kills: int, images: int, seed: int, devices: int, workers: int, folder: Path
) -> dict[str, Any]:
    """Kill a small run at random moments, again and again."""
    draw = random.Random(seed)
    small = tiny(
        train__images=images,
        train__devices=devices,
        train__snapshot_images=16,
        train__log_images=8,
        train__grid_images=256,
        train__metric_images=192,
        train__metric_samples=16,
        data__workers=workers,
    )
    config = settings_file(folder, small)
    whole = live(train_command(config, folder / "whole"), folder / "whole.log")
    assert whole.code == 0, whole.said
    undisturbed = begun(folder / "whole")
    assert undisturbed is not None
    counts = dict.fromkeys(
        ("kills", "runs", "before_the_run", "before_a_checkpoint", "in_a_write", "lives"), 0
    )
    faults: list[str] = []
    at: list[int] = []
    while counts["kills"] < kills:
        out = folder / f"run{counts['runs']}"
        while True:
            left = counts["kills"] < kills
            delay = draw.uniform(0, 1.1 * whole.seconds) if left else None
            life = live(train_command(config, out), folder / "life.log", delay)
            counts["lives"] += 1
            if life.code != -signal.SIGKILL:
                break
            counts["kills"] += 1
            faults += check_after_kill(out)
            run = begun(out)
            found = None if run is None else latest(run)
            counts["before_the_run"] += run is None
            counts["before_a_checkpoint"] += run is not None and found is None
            counts["in_a_write"] += run is not None and any(run.rglob(".*.tmp"))
            at.append(0 if found is None else found.images)
        counts["runs"] += 1
        finished = begun(out)
        if life.code or finished is None:
            faults.append(f"exit code {life.code}: {life.said.strip().splitlines()[-1:]}")
            shutil.move(str(out), folder / f"failed{counts['runs']}")
            continue
        faults += [f"run {counts['runs']}: {place}" for place in unlike(undisturbed, finished)[:5]]
        faults += [f"left behind: {p.name}" for p in finished.rglob(".*.tmp")]
        shutil.rmtree(out)
    counts["different_moments"] = len(set(at))
    return {**counts, "seconds_of_a_run": round(whole.seconds, 1), "faults": faults}


def settings_of(case: Case, data: Path, workers: int, devices: int) -> dict[str, Any]:
    """A run of a pair that uses everything that a checkpoint has to hold."""
    changes = case.changes(
        recipe__critic_steps=2,
        recipe__label_dropout=0.2,
        data__source=str(data),
        data__count=None,
        data__workers=workers,
        train__devices=devices,
        train__metric_images=32,
        train__metric_samples=16,
        train__log_images=8,
        train__snapshot_images=16,
    )
    changes |= {f"data__{name}": value for name, value in KINDS["both"].items()} | case.resumed
    changes["model__options"] = {**changes["model__options"], "conditioning": "both"}
    return tiny(**changes)


def pairs(
    names: list[str], workers: list[int], devices: list[int], folder: Path
) -> Iterator[dict[str, Any]]:
    """N images against N/2, kill, N/2."""
    data = classes_folder(folder / "blobs")
    for case in (case for case in CASES if case.pair in names):
        for count in devices:
            for readers in workers:
                place = folder / f"{case.pair}-{count}-{readers}"
                place.mkdir()
                settings = settings_of(case, data, readers, count)
                config = settings_file(place, settings)
                half = settings["train.images"] // 2
                whole = live(train_command(config, place / "whole"), place / "whole.log")
                cut = live(
                    train_command(config, place / "cut"),
                    place / "cut.log",
                    before=kill_at(half + settings["train.batch"]),
                )
                rest = live(train_command(config, place / "cut"), place / "rest.log")
                faults = [
                    f"{what}: exit code {life.code}: {life.said.strip().splitlines()[-1:]}"
                    for what, life, code in (
                        ("whole", whole, 0),
                        ("cut", cut, -signal.SIGKILL),
                        ("rest", rest, 0),
                    )
                    if life.code != code
                ]
                if f"at {half} of" not in rest.said:
                    faults.append(f"went on from elsewhere than {half} images")
                runs = begun(place / "whole"), begun(place / "cut")
                if not faults and runs[0] is not None and runs[1] is not None:
                    faults += unlike(runs[0], runs[1])
                    tensors = read_whole(runs[0] / "checkpoints" / "last.ckpt")
                    del tensors[COUNTERS]
                yield {
                    "pair": case.pair,
                    "processes": count,
                    "workers": readers,
                    "tensors": 0 if faults else count_tensors(tensors),
                    "rows": len(rows(runs[0])) if runs[0] is not None else 0,
                    "faults": faults[:5],
                }
                if not faults:
                    shutil.rmtree(place)


def count_tensors(content: Any) -> int:
    """Tensors in a nested structure."""
    if isinstance(content, torch.Tensor):
        return 1
    if isinstance(content, dict):
        content = list(content.values())
    return sum(map(count_tensors, content)) if isinstance(content, list | tuple) else 0


def main() -> int:
    """Print a JSON object a line; 1 where something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["moments", "pairs"])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=768, help="length of the run of moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pair", nargs="+", default=[case.pair for case in CASES])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", type=Path, help="folder that the runs stay in where they failed")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    faults = 0
    try:
        if asked.part != "pairs":
            place = folder / "moments"
            place.mkdir()
            how = asked.devices[0], asked.workers[0]
            found = moments(asked.kills, asked.images, asked.seed, *how, place)
            faults += len(found["faults"])
            print(json.dumps(found), flush=True)
        if asked.part != "moments":
            place = folder / "pairs"
            place.mkdir()
            for line in pairs(asked.pair, asked.workers, asked.devices, place):
                faults += len(line["faults"])
                print(json.dumps(line), flush=True)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
