"""Memory of ``galgen sample`` from its first thousand galaxies to its last.

    python benchmarks/sampling_memory.py                     (100,000 at 64 px: FITS, then a pack)
    python benchmarks/sampling_memory.py --count 5000 --kind pack --devices 2

Watched from outside, every tenth of a second: the memory of the command and of all processes
that it starts, as RSS, where pages that several share count for each, as PSS, where they are
divided, and of it what belongs to no file. Growth is the most that there is after the first
thousand galaxies were stored, less the most until then, for it goes up and down with what is under
way in the threads: ``making`` until the last of them is stored, and ``whole`` to the end of the
command, with the catalogue, the pack's checksums and the libraries that are loaded for Parquet and
for the picture. The aim is less than 50 MB while they are made. The generator is a small ``dcgan``,
so that measuring and writing are most of the work. Ends with exit code 1 where the aim is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from galgen.sampling.rows import DONE

AIM = 50.0
SETTLED = 1000
MB = 1e6
#: Of /proc/PID/smaps_rollup.
KINDS = ("Rss", "Pss", "Anonymous")
#: Moments of the table, as parts of the whole.
PARTS = (0.1, 0.25, 0.5, 0.75)
BANDS = "g,r,i"


def small_model(size: int, folder: Path) -> Path:
    """A `dcgan` of few maps after a moment's training on simulated galaxies."""
    from galgen.train import train

    widths = [8] * (size.bit_length() - 2)
    outcome = train(
        {
            "data.source": "sersic",
            "data.count": 64,
            "data.size": size,
            "data.bands": BANDS,
            "model.name": "dcgan",
            "model.options": {"latent": 16, "widths": widths, "critic_widths": widths},
            "train.images": 64,
            "train.metric_images": 0,
            "train.grid_images": 0,
            "train.accelerator": "cpu",
        },
        out=folder,
    )
    return Path(outcome.run)


def processes(leader: int) -> list[int]:
    """A process and all that came of it."""
    found, new = [], [leader]
    while new:
        found.append(new.pop())
        try:
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                new += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def memory(leader: int) -> list[float]:
    """MB of them together, as `KINDS`."""
    totals = dict.fromkeys(KINDS, 0)
    for process in processes(leader):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name in totals:
                totals[name] += 1024 * int(rest.split()[0])
    return [total / MB for total in totals.values()]


def stored(out: Path, count: int) -> int:
    """Galaxies whose row in the file of rows says that they are stored."""
    found = 0
    for path in out.glob(".sampling/rows-*/rows-*"):
        try:
            size = path.stat().st_size // count
            with open(path, "rb") as file:
                states = np.memmap(file, np.uint8, "r", shape=(count, size))[:, 0]
                found += int((states == DONE).sum())
        except (OSError, ValueError):
            continue
    return found


def watch(command: list[str], out: Path, count: int) -> dict[str, Any]:
    """Run a command and give what was seen of it."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    environment = os.environ | {"OMP_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    begin = time.monotonic()
    child = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    seen: list[tuple[float, ...]] = []
    done, looked = 0, 0.0
    while child.poll() is None:
        now = time.monotonic()
        # Counting reads a file of rows, so not at every look but at the beginning and the end.
        if now - looked > 1 or done < SETTLED or done > 0.98 * count:
            done, looked = max(done, stored(out, count)), now
        seen.append((now - begin, done, *memory(child.pid)))
        time.sleep(0.1)
    assert child.stderr is not None
    said = child.stderr.read().decode(errors="replace")
    if child.returncode:
        raise SystemExit(f"exit code {child.returncode}: {said[-500:]}")
    rows = np.array([row for row in seen if row[2] > 0])
    late = rows[rows[:, 1] >= SETTLED]
    making = late[late[:, 1] < count]
    before = rows[rows[:, 1] < SETTLED].max(0)

    def said_of(row: Any) -> list[int]:
        return [round(float(value)) for value in row[2:]]

    later = (late[np.searchsorted(late[:, 1], part * count)] for part in PARTS)
    return {
        "seconds": round(time.monotonic() - begin),
        "kinds": KINDS,
        "galaxies_and_mb": {
            f"{row[1]:,.0f}": said_of(row) for row in (late[0], *later, making[-1])
        },
        "last": said_of(late[-1]),
        "most_before": said_of(before),
        "making": [round(float(x), 1) for x in (making.max(0) - before)[2:]],
        "whole": [round(float(x), 1) for x in (late.max(0) - before)[2:]],
        "samples": len(rows),
    }


def main() -> int:
    """Print a JSON object for each kind; 1 where memory grew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--kind", nargs="+", choices=["fits", "pack"], default=["fits", "pack"])
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder on the disk to write to")
    asked = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=asked.out))
    grew = False
    try:
        model = small_model(asked.size, place / "model")
        # An image of three bands with its headers.
        wanted = asked.count * (3 * 4 * asked.size**2 + 6 * 2880)
        if shutil.disk_usage(place).free < 1.5 * wanted:
            raise SystemExit(f"{place} has no room for {wanted / 1e9:.1f} GB: give --out.")
        for kind in asked.kind:
            out = place / kind
            command = [str(Path(sys.executable).with_name("galgen")), "sample", str(model)]
            command += ["-n", str(asked.count), f"--{kind}", "--out", str(out), "--seed", "1"]
            command += ["--devices", str(asked.devices)]
            found = watch(command, out, asked.count)
            gigabytes = sum(path.stat().st_size for path in out.iterdir()) / 1e9
            shutil.rmtree(out)
            found = {
                "kind": kind,
                "galaxies": asked.count,
                "gigabytes": round(gigabytes, 1),
            } | found
            grew |= max(found["making"]) >= AIM
            print(json.dumps(found), flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print("Not met." if grew else "Met.")
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
