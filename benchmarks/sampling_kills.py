"""Whether sampling that is killed goes on as if it had not been: byte for byte, at any moment.

    python benchmarks/sampling_kills.py                              (some ten minutes on two cores)
    python benchmarks/sampling_kills.py --kills 3 --count 300 --mode fits-1

``galgen sample`` is killed, with all its processes, at a random moment, and the same command given
again, until it ends; then the next folder is begun, until there were so many kills. One kill in
five comes after a random time; one in five a moment after all galaxies are there, when catalogue
and index are made; the others when a random number of them is there, up to a fifth of all more than
before. After every kill what lies under its final name has to be the file of a run that nobody
disturbed, byte for byte. At the end the whole folder has to be that run's, catalogue and all, with
nothing missing and nothing left over, and the same command once more has to write no galaxy again.
The files of the undisturbed run have to be valid to astropy and to galgen, with all their sums.

Modes are ``fits-1`` (one process), ``fits-2`` (two, ``--devices 2``), ``pack-1`` and ``pack-2``.
The undisturbed run is one of a single process for all modes of a kind. Ends with exit code 1
where something differs.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Processes on a CPU, of which there are as many as are asked for.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

# First: it limits the threads and finds the tests' helpers.
from kills import Life, live

from galgen.data.pack.checking import prepare_check, run_check
from galgen.data.pack.index import is_pack
from galgen.data.sets import open_set
from galgen.io.sums import verify
from galgen.sampling.rows import DONE
from sampling import model_of

MODES = ("fits-1", "fits-2", "pack-1", "pack-2")
#: What tells how a folder came to be, not what is in it.
HISTORY = ("sampling.json",)


def plain_main() -> None:
    """Further processes import no script: they would import torch for it once more."""
    sys.modules["__main__"] = types.ModuleType("__main__")


def sample(
    model: Path,
    out: Path,
    count: int,
    mode: str,
    log: Path,
    kill_after: float | None = None,
    kill_when: Callable[[], bool] = lambda: False,
) -> Life:
    """``galgen sample``, killed after so many seconds, or when it is time to."""
    kind, processes = mode.split("-")
    command = ["sample", str(model), "-n", str(count), f"--{kind}", "--out", str(out)]
    command += ["--seed", "3", "--devices", processes]
    return live(command, log, kill_after, plain_main, kill_when)


def files(folder: Path) -> dict[str, Path]:
    """Files of a folder by name, less its history; also those in folders in it."""
    return {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in HISTORY
    }


def unlike(one: Path, other: Path) -> list[str]:
    """Where two finished folders differ."""
    mine, theirs = files(one), files(other)
    found = [f"{name} is missing" for name in sorted(mine.keys() - theirs.keys())]
    found += [f"{name} is left over" for name in sorted(theirs.keys() - mine.keys())]
    for name in sorted(mine.keys() & theirs.keys()):
        if not filecmp.cmp(mine[name], theirs[name], shallow=False):
            found.append(f"{name} differs")
    return found


def broken(path: Path) -> list[str]:
    """What astropy finds wrong with a FITS file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)
        try:
            with fits.open(path, checksum=True) as hdus:
                hdus.verify("exception")
                pack = hdus[0].header.get("DATASUM") is None and "GALAXIES" in hdus
                if not pack and any("CHECKSUM" not in hdu.header for hdu in hdus):
                    return [f"{path.name} has no CHECKSUM"]
                for hdu in hdus:
                    _ = hdu.data
        # Any of astropy's.
        except Exception as error:
            return [f"{path.name}: {error}"]
    return []


def invalid(folder: Path) -> list[str]:
    """What is wrong with the files of a finished folder: by astropy, and by galgen."""
    found = []
    for path in sorted(folder.glob("*.fits")):
        found += broken(path)
        if not is_pack(folder) and (flaw := verify(path)):
            found.append(f"{path.name}: {flaw}")
    if is_pack(folder):
        found += [f"{file}: {reason}" for file, reason in run_check(prepare_check(folder), 1)]
    else:
        found += [f"{file}: {reason}" for file, reason in open_set(folder).bad]
    return found


def check_after_kill(whole: Path, out: Path) -> list[str]:
    """What a kill has spoilt: nothing that is there by its own name may be."""
    there = list(out.glob("galaxy_*"))
    if is_pack(out):
        there += [out / "pack.json", out / "galaxies.fits", *out.glob("shard-*")]
    return [
        f"{path.name} was there, and not whole"
        for path in there
        if not filecmp.cmp(whole / path.name, path, shallow=False)
    ]


def touched(model: Path, out: Path, count: int, mode: str, log: Path) -> list[str]:
    """What the same command changes of galaxies that are all there: nothing should be."""
    galaxies = [*out.glob("galaxy_*"), *out.glob("shard-*")]
    before = {path: path.stat().st_mtime_ns for path in galaxies}
    life = sample(model, out, count, mode, log)
    found = [] if life.code == 0 else [f"once more: exit code {life.code}: {life.said[-200:]}"]
    return found + [
        f"once more: {path.name} was written again"
        for path, time in before.items()
        if path.stat().st_mtime_ns != time
    ]


def moments(mode: str, kills: int, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill a run at random moments, again and again."""
    draw = random.Random(f"{seed} {mode}")
    kind = mode.split("-")[0]
    model = folder / "model"
    if not model.exists():
        model_of(32, 3, model)
    whole = folder / kind
    if not whole.exists():
        life = sample(model, whole, count, f"{kind}-1", folder / "whole.log")
        assert life.code == 0, life.said
        flaws = invalid(whole)
        assert not flaws, flaws[:5]
    # This mode undisturbed, which must not matter to what comes out.
    out = folder / f"{mode}-undisturbed"
    undisturbed = sample(model, out, count, mode, folder / "mode.log")
    faults = [] if undisturbed.code == 0 else [f"exit code: {undisturbed.said[-200:]}"]
    faults += [f"undisturbed: {place}" for place in unlike(whole, out)[:5]]
    shutil.rmtree(out)
    names = ("kills", "runs", "lives", "before_the_folder", "in_a_write", "at_the_end")
    counts = dict.fromkeys(names, 0)
    at: list[int] = []
    while counts["kills"] < kills:
        out = folder / f"{mode}-{counts['runs']}"
        while True:
            how: dict[str, Any] = {}
            if counts["kills"] < kills:
                how = moment(draw, out, count, undisturbed.seconds)
            life = sample(model, out, count, mode, folder / "life.log", **how)
            counts["lives"] += 1
            if life.code != -signal.SIGKILL:
                break
            counts["kills"] += 1
            faults += check_after_kill(whole, out)
            at.append(rows_done(out, count))
            counts["before_the_folder"] += not out.exists()
            counts["in_a_write"] += any(out.rglob(".*.tmp"))
            counts["at_the_end"] += at[-1] == count
        counts["runs"] += 1
        if life.code:
            faults.append(f"exit code {life.code}: {life.said.strip().splitlines()[-1:]}")
            shutil.move(out, folder / f"failed-{mode}-{counts['runs']}")
            continue
        faults += [f"run {counts['runs']}: {place}" for place in unlike(whole, out)[:5]]
        if counts["runs"] == 1:
            faults += touched(model, out, count, mode, folder / "again.log")
        shutil.rmtree(out)
    return {
        "mode": mode,
        "count": count,
        **counts,
        "killed_at": sorted(at),
        "seconds_of_a_run": round(undisturbed.seconds, 1),
        "faults": faults,
    }


def moment(draw: random.Random, out: Path, count: int, seconds: float) -> dict[str, Any]:
    """When to kill a run, as `kills.live` has it."""
    kind = draw.random()
    if kind < 0.2:
        return {"kill_after": draw.uniform(0, 1.1 * seconds)}
    done = rows_done(out, count)
    if done == count:
        # Else it would be killed there again and again.
        return {}
    wanted = count if kind < 0.4 else draw.randint(done, min(count, done + count // 5))
    delay = draw.uniform(0, 0.05 if wanted < count else 0.5)
    due: list[float] = []

    def now() -> bool:
        if not due and rows_done(out, count) >= wanted:
            due.append(time.monotonic() + delay)
        return bool(due) and time.monotonic() >= due[0]

    return {"kill_when": now}


def rows_done(out: Path, count: int) -> int:
    """Galaxies that count as made: the first byte of their row says so."""
    found = 0
    for path in out.glob(".sampling/rows-*/rows-*"):
        if size := path.stat().st_size:
            states = np.memmap(path, np.uint8, "r", shape=(count, size // count))[:, 0]
            found += int((states == DONE).sum())
    return found


def main() -> int:
    """Print a JSON object a line; 1 where something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--kills", type=int, default=20, help="of each mode")
    parser.add_argument("--count", type=int, default=2000, help="galaxies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that the runs stay in where they failed")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    faults = 0
    try:
        for mode in asked.mode:
            found = moments(mode, asked.kills, asked.count, asked.seed, folder)
            faults += len(found["faults"])
            print(json.dumps(found), flush=True)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
