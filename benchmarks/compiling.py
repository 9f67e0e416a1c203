"""Milliseconds per training step in float32 and bfloat16, plain and compiled, for every pair.

    python benchmarks/compiling.py [--pairs dcgan,r3gan] [--sizes 32,64] [--compile 32] [--rounds 5]

Whole steps of galgen's own trainer with the pair's own recipe, fully grown, batch 16, three bands,
random images: what ``--precision auto`` and ``--compile auto`` measure. The forms take turns, a
cycle of penalties each, so that whatever else the machine does slows all alike; on a CPU processor
time counts. Medians over the rounds. Compiled forms are measured at the sizes of ``--compile``;
compiling is the time until the first cycle is done, on an empty cache of torch's compiler, and
``off`` the largest relative difference of a parameter's gradient from the plain one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from statistics import median

import torch

from galgen.fitting import quiet_lightning
from galgen.models.registry import PAIRS, find
from galgen.train import prepare
from galgen.training.compiling import lacks
from galgen.training.machine import Machine, fast_bf16, find_accelerator
from galgen.training.stopwatch import Form, Stopwatch, furthest

BATCH = 16


def make(name: str, size: int) -> torch.nn.Module:
    """A pair as its preset has it; the conditional one with two classes."""
    config = prepare({"model.name": name})
    torch.manual_seed(0)
    return find(name).load()(
        size,
        3,
        classes=("FRI", "FRII") if name == "radiogan" else (),
        recipe=config.recipe,
        **config.model.options,
    )


def measure(name: str, size: int, accelerator: str, rounds: int, compiled: bool) -> str:
    """One row of the table."""
    clock = time.process_time if accelerator == "cpu" else time.perf_counter
    machine = Machine(accelerator, 1, "32")
    stopwatch = Stopwatch(make(name, size), BATCH, None, machine, clock)
    forms = [Form("32")] + [Form("bf16")] * fast_bf16(accelerator)
    took, off = {}, {}
    if compiled:
        for form in list(forms):
            plain = stopwatch.gradients(form)
            other = Form(form.precision, compiled=True)
            begin = time.perf_counter()
            off[form] = furthest(plain, stopwatch.gradients(other))
            stopwatch.cycle(other)
            took[form] = time.perf_counter() - begin
            forms.append(other)
    times: dict[Form, list[float]] = {form: [] for form in forms}
    for turn in range(rounds + 1):
        for form in forms:
            step = stopwatch.cycle(form)
            if turn:
                times[form].append(1e3 * step)
    cells = []
    for precision in ("32", "bf16"):
        form, other = Form(precision), Form(precision, compiled=True)
        if form not in times:
            cells += ["", ""]
            continue
        cells.append(f"{median(times[form]):.1f}")
        if other not in times:
            cells.append("")
            continue
        ratio = median(a / b for a, b in zip(times[form], times[other], strict=True))
        cells.append(
            f"{median(times[other]):.1f} ({ratio:.2f}; {took[form]:.0f} s, off {off[form]:.0e})"
        )
    gain = "-"
    if Form("bf16") in times:
        pairs = zip(times[Form("32")], times[Form("bf16")], strict=True)
        gain = f"{median(a / b for a, b in pairs):.2f}"
    return f"| {name} | {size} | " + " | ".join([cells[0], cells[2], gain, cells[1], cells[3]])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--sizes", default="32,64")
    parser.add_argument("--compile", default="32", help="sizes at which compiled forms are timed")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    accelerator = find_accelerator()
    quiet_lightning()
    lack = lacks(accelerator)
    sizes = options.compile.split(",") if lack is None else []
    print(
        f"ms per step on {Machine(accelerator, 1, '32')}, torch {torch.__version__}; compiled: ms "
        "(times as fast as plain; seconds of compiling, gradients off by)"
        + ("" if lack is None else f"; nothing compiled, since {lack}")
        + "\n"
    )
    print("| pair | px | float32 | bfloat16 | gain | float32 compiled | bfloat16 compiled |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes.split(","):
        for name in options.pairs.split(","):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
                print(
                    measure(name, int(size), accelerator, options.rounds, size in sizes) + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
