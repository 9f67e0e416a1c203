"""Milliseconds per training iteration of galgen's pairs beside those of other projects.

    python benchmarks/step.py [--pairs stylegan2 ...] [--sizes 32 64 128] [--path NAME=FOLDER ...]
    python benchmarks/step.py --loop
    python benchmarks/step.py --device cuda

Both sides have the same feature maps at each resolution, 3 bands, batches of 16, the same loss,
penalties and interval of penalties, the same threads. An iteration is a critic step and a generator
step, with Adam and the average of the generator. galgen's side is the training step of its module
under a Lightning Trainer, in each of ``--precision``, compiled with ``--compile on``; the other is
a loop written by hand around the peer's own networks, in float32 as the project runs (with
``--both`` in bfloat16 too). They take turns, a cycle of penalties of the one after one of
the other, so that whatever else the machine does slows both alike. GFLOP are those of one forward
pass of generator and critic: how far the work is equal.

Peers that pip installs run in a virtual environment of their own that is made at the first run and
kept (``--folder``); others from a folder that ``--path`` names; what is missing is left out with
the reason. ``--loop`` measures galgen's Trainer loop against a loop written by hand around the same
`dcgan` networks. On a GPU the run ends with `stylegan2` under adaptive augmentation: seconds per
1,000 images, the share of the peak, and a profile.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers.environment import default_folder, set_up, why_not

if TYPE_CHECKING:
    from peers.matches import Match

HEAD = (
    "| pair | peer | size | penalties | precision | parameters | peer's | GFLOP | peer's "
    "| ms | images/s | peer's ms | images/s | times as fast |"
)
#: (pair, peer, size, precision) to how many times as fast.
Ratios = dict[tuple[str, str, int, str], float]


def thousands(*networks: Any) -> str:
    """Parameters of generator / critic."""
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    return " / ".join(f"{count / 1000:,.0f} k" for count in counts)


def work(generator: Any, critic: Any, batch: int) -> str:
    """Multiplications and additions of both networks on one batch, forwards, in 1e9."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # Copies, since some networks cannot be copied any more once they have run.
    generator, critic = copy.deepcopy(generator), copy.deepcopy(critic)
    with FlopCounterMode(display=False) as counter:
        critic(generator(torch.randn(batch, generator.latent)))
    return f"{counter.get_total_flops() / 1e9:.1f}"


def missing(match: Match, size: int) -> str | None:
    """Why a peer is not compared at a size; None if it is."""
    from peers.checkouts import FOLDERS, PROJECTS

    if size not in match.sizes:
        return "it has no such size"
    if match.project and match.project not in FOLDERS:
        return f"give --path {match.project}=FOLDER ({PROJECTS[match.project]})"
    return why_not(match.package) if match.package else None


def compare(options: argparse.Namespace) -> Ratios:
    """Print a row for each match, size and precision."""
    import torch
    from peers.loop import How, race
    from peers.matches import MATCHES

    def clock() -> float:
        if options.device == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if options.cpu else time.perf_counter()

    print(
        f"batch {options.batch}, 3 bands, {torch.get_num_threads()} thread(s), "
        f"{'processor' if options.cpu else 'wall'} time"
        f"{', galgen compiled' if options.compile == 'on' else ''}: medians, and the middle half "
        f"of the ratios of {options.cycles} cycles\n"
    )
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    left_out: dict[str, None] = {}
    ratios: Ratios = {}
    both = [(one, "32") for one in options.precision]
    both += [("bf16", "bf16")] if options.both and "bf16" in options.precision else []
    for match in MATCHES:
        if options.pairs and match.pair not in options.pairs:
            continue
        if options.peers and not any(part in match.peer for part in options.peers):
            continue
        for size in options.sizes:
            if reason := missing(match, size):
                left_out[f"{match.peer} at {size} px: {reason}"] = None
                continue
            for ours, theirs in both:
                torch.manual_seed(0)
                model = match.ours(size)
                peer = match.theirs(model)
                if peer.train is not None and theirs != "32":
                    continue
                facts = [thousands(model.generator, model.critic), thousands(*peer[:2])]
                facts += [
                    work(*pair, options.batch)
                    for pair in ((model.generator, model.critic), peer[:2])
                ]
                how = How(
                    options.batch, options.cycles, clock, options.device, ours, theirs,
                    options.compile == "on",
                )  # fmt: skip
                result = race(model, peer, how)
                low, middle, high = result.ratios
                speeds = [f"{ms:.0f} | {1e3 * options.batch / ms:.1f}" for ms in result.medians]
                precision = ours if ours == theirs else f"{ours}, peer {theirs}"
                print(
                    f"| `{match.pair}` | {match.peer} | {size} | {match.penalties} | {precision} "
                    f"| {' | '.join([*facts, *speeds])} | {middle:.2f} ({low:.2f} to {high:.2f}) |",
                    flush=True,
                )
                ratios[match.pair, match.peer, size, precision] = middle
    print("".join(f"\nleft out: {line}" for line in left_out))
    return ratios


def aims(ratios: Ratios) -> None:
    """Print which aims are met."""
    from peers.matches import AIMS

    print("\n| aim | size | precision | times as fast | |\n| --- | --- | --- | --- | --- |")
    for (pair, peer, size, precision), ratio in ratios.items():
        if least := AIMS.get((pair, peer)):
            print(
                f"| `{pair}` at least {least:g} times as fast as {peer} | {size} | {precision} "
                f"| {ratio:.2f} | {'met' if ratio >= least else 'not met'} |"
            )


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=[], help="galgen's pairs, all by default")
    parser.add_argument("--peers", nargs="+", default=[], help="parts of their names")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--cycles", type=int, default=8, help="of penalties, timed of each side")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, for a busy machine; with one thread"
    )
    parser.add_argument("--precision", nargs="+", choices=["32", "bf16"], default=["32", "bf16"])
    parser.add_argument("--both", action="store_true", help="rows with both sides in bf16 too")
    parser.add_argument("--compile", choices=["on", "off"], default="off", help="galgen's side")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--path", action="append", default=[], metavar="NAME=FOLDER", help="code of a peer"
    )
    parser.add_argument("--loop", action="store_true", help="only galgen's loop on `dcgan`")
    parser.add_argument("--ada", action="store_true", help="only `stylegan2` with augmentation")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device in bf16")
    parser.add_argument("--folder", type=Path, default=default_folder())
    return parser.parse_args()


def main() -> None:
    """Set up the environment, and compare inside it."""
    options = parse()
    folder = options.folder.expanduser().resolve()
    if Path(sys.prefix).resolve() != folder:
        python = set_up(folder)
        sys.exit(subprocess.run([str(python), __file__, *sys.argv[1:]]).returncode)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    from peers import ada, checkouts, overhead

    from galgen.train import quiet_lightning

    if options.threads:
        torch.set_num_threads(options.threads)
    for text in options.path:
        name, _, path = text.partition("=")
        if name not in checkouts.PROJECTS or not Path(path).is_dir():
            sys.exit(f"--path {text}: name one of {', '.join(checkouts.PROJECTS)} and a folder")
        checkouts.FOLDERS[name] = Path(path).resolve()
    quiet_lightning()
    if options.loop:
        overhead.table(options)
        return
    if not options.ada:
        aims(compare(options))
    if options.ada or options.device == "cuda":
        ada.table(options)


if __name__ == "__main__":
    main()
