"""Milliseconds per training iteration of galgen's pairs against those of other projects.

    python benchmarks/peers.py [PAIR ...] [--sizes 32 64] [--cycles 8] [--threads 2] [--cpu]

Both sides have the same feature maps at each resolution, 3 bands, batches of 16, the same loss,
penalties and interval of penalties, float32, the same threads. An iteration is a critic step and
a generator step, with Adam and the average of the generator. galgen's side is the training step of
its module under a Lightning Trainer; the other is a loop written by hand around the peer's own
networks. They take turns, a cycle of penalties of the one after one of the other, so that whatever
else the machine does slows both alike. GFLOP are those of one forward pass of generator and critic:
how far the work is equal.

Peers that pip installs run for real, in a virtual environment of their own that is made at the
first run and kept (``--folder``). What cannot be installed is left out with the reason. The others
are plain forms of their papers in ``benchmarks/peers``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers.environment import default_folder, set_up, why_not

HEAD = (
    "| pair | peer | size | penalties | parameters | peer's | GFLOP | peer's | ms | peer's "
    "| times as fast |"
)


def thousands(*networks: Any) -> str:
    """Parameters of generator / critic."""
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    return " / ".join(f"{count / 1000:,.0f} k" for count in counts)


def work(generator: Any, critic: Any) -> str:
    """Multiplications and additions of both networks on one batch, forwards, in 1e9."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        critic(generator(torch.randn(16, generator.latent)))
    return f"{counter.get_total_flops() / 1e9:.1f}"


def compare(pairs: list[str], sizes: list[int], cycles: int, cpu: bool) -> None:
    """Print a row for each match and size."""
    import torch
    from peers.loop import race
    from peers.matches import MATCHES

    from galgen.train import quiet_lightning

    quiet_lightning()
    print(
        f"batch 16, 3 bands, float32, {torch.get_num_threads()} thread(s), "
        f"{'processor' if cpu else 'wall'} time: medians, and the middle half of the ratios of "
        f"{cycles} cycles\n"
    )
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    left_out: dict[str, None] = {}
    for match in MATCHES:
        if pairs and match.pair not in pairs:
            continue
        reason = match.package and why_not(match.package)
        for size in sizes:
            if reason or size not in match.sizes:
                left_out[f"{match.peer} at {size} px: {reason or 'it has no such size'}"] = None
                continue
            torch.manual_seed(0)
            model, peer = match.ours(size), match.build(size)
            result = race(model, peer, cycles, time.process_time if cpu else time.perf_counter)
            ours, theirs = result.medians
            low, middle, high = result.ratios
            print(
                f"| `{match.pair}` | {match.peer} | {size} | {match.penalties} "
                f"| {thousands(model.generator, model.critic)} | {thousands(*peer)} "
                f"| {work(model.generator, model.critic)} | {work(*peer)} "
                f"| {ours:.0f} | {theirs:.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) |",
                flush=True,
            )
    print("".join(f"\nleft out: {line}" for line in left_out))


def main() -> None:
    """Set up the environment, and compare inside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="*", help="names of galgen's pairs, all where none is given")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--cycles", type=int, default=8, help="of penalties, timed of each side")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, for a busy machine; with one thread"
    )
    parser.add_argument("--folder", type=Path, default=default_folder())
    options = parser.parse_args()
    folder = options.folder.expanduser().resolve()
    if Path(sys.prefix).resolve() != folder:
        python = set_up(folder)
        sys.exit(subprocess.run([str(python), __file__, *sys.argv[1:]]).returncode)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    compare(options.pairs, options.sizes, options.cycles, options.cpu)


if __name__ == "__main__":
    main()
