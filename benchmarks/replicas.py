"""Images a second of two replicas against two copies that know nothing of each other.

    python benchmarks/replicas.py [--pairs dcgan,progan] [--size 32] [--batch 32] [--rounds 9]

Four processes of one thread each train the same pair on the same simulated galaxies, as
``galgen train`` does: two replicas with half of the batch each, and two single processes with a
batch of that half. In turns the replicas train while the copies sleep, and the copies while the
replicas sleep, for some seconds each, so that whatever else the machine does slows both alike.
Medians over the rounds count. What is lost is the exchange, and waiting for the slower one;
processor time an image, which holds the first alone, stands beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

PAIRS = ("dcgan", "stylegan2", "progan", "r3gan")
#: Steps of which a round has a whole number, with every lazy penalty in it.
CYCLE = 16
WARM_UP = CYCLE
SECONDS = 3.0


def train(pair: str, size: int, batch: int, out: str, wire: Connection) -> None:
    """Train a pair, so many steps whenever told to; 0 ends it."""
    import torch

    torch.set_num_threads(1)
    import lightning as L

    from galgen.fitting import quiet_lightning
    from galgen.train import make_data, make_model, prepare, start

    class Turns(L.Callback):
        """Waits between the turns, and tells how long each took, in all and of the processor."""

        left = WARM_UP
        began, busy = 0.0, 0.0

        def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
            self.left -= 1
            if self.left == 0:
                wire.send((time.perf_counter() - self.began, time.process_time() - self.busy))
                self.left = wire.recv()
                self.began, self.busy = time.perf_counter(), time.process_time()
                if self.left == 0:
                    trainer.should_stop = True

    quiet_lightning()
    settings = {
        "data.source": "sersic", "data.count": 400, "data.size": size, "model.name": pair,
        "train.batch": batch, "train.images": 100_000_000, "train.precision": "32",
        "train.compile": "off", "train.accelerator": "cpu", "train.metric_images": 0,
        "train.grid_images": 0, "train.snapshot_images": 10_000_000, "recipe.grow_images": 0,
    }  # fmt: skip
    config = prepare(settings)
    data = make_data(config)
    model = make_model(config, data)
    sizes = [sum(p.numel() for p in n.parameters()) for n in (model.generator, model.critic)]
    wire.send(sum(sizes))
    start(config, data, model, out=out, say=None, console=None, callbacks=[Turns()])


def replica(rank: int, port: int, *arguments: Any) -> None:
    """One of two replicas, as torchrun starts them."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "benchmark", "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    train(*arguments)


def turn(wires: Sequence[Connection], steps: int) -> list[tuple[float, float]]:
    """Seconds that each of the processes took for so many steps, and those of the processor."""
    for wire in wires:
        wire.send(steps)
    return [wire.recv() for wire in wires]


def measure(pair: str, size: int, batch: int, rounds: int, folder: Path) -> list[str]:
    """A row of the table."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = mp.get_context("spawn")
    wires, processes = [], []
    for number in range(4):
        mine, theirs = spawn.Pipe()
        out = str(folder / f"{pair}-{number if number > 1 else 'replicas'}")
        arguments = (pair, size, batch if number < 2 else batch // 2, out, theirs)
        kind, own = (replica, (number, port)) if number < 2 else (train, ())
        processes.append(spawn.Process(target=kind, args=(*own, *arguments), daemon=True))
        wires.append(mine)
        processes[-1].start()
    parameters = max(wire.recv() for wire in wires)
    for wire in wires:
        wire.recv()
    pairs = {"replicas": wires[:2], "copies": wires[2:]}
    # How many steps a round has: by the first ones.
    slowest = max(max(turn(which, CYCLE))[0] for which in pairs.values())
    steps = CYCLE * max(1, round(SECONDS / slowest))
    speeds: dict[str, list[float]] = {name: [] for name in pairs}
    costs: dict[str, list[float]] = {name: [] for name in pairs}
    for number in range(rounds):
        for name in sorted(pairs, reverse=bool(number % 2)):
            took = turn(pairs[name], steps)
            speeds[name].append(sum(steps * batch / 2 / seconds for seconds, _ in took))
            costs[name].append(sum(busy for _, busy in took))
    for wire in wires:
        wire.send(0)
    for process in processes:
        process.join(60)
    ratios = [a / b for a, b in zip(speeds["replicas"], speeds["copies"], strict=True)]
    cost = median(a / b for a, b in zip(costs["replicas"], costs["copies"], strict=True))
    both, alone = median(speeds["replicas"]), median(speeds["copies"])
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return [pair, f"{parameters / 1e6:.2f} M", f"{both:.0f}", f"{alone:.0f}",
            f"{median(ratios):.2f}", spread, f"{cost:.2f}"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", default=",".join(PAIRS), help="with commas")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32, help="of both replicas")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, {given.size} px, batch {given.batch}, float32\n")
    heads = ("pair", "parameters", "replicas, images/s", "copies, images/s", "ratio",
             "of the rounds", "processor time, ratio")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    with tempfile.TemporaryDirectory() as folder:
        for pair in given.pairs.split(","):
            row = measure(pair, given.size, given.batch, given.rounds, Path(folder))
            print("| " + " | ".join(row) + " |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
