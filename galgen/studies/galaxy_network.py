"""Train the network of the features `galaxy`, in about half an hour of a CPU.

It learns from real galaxies and simulated ones: classes of real galaxies, true numbers of
simulated ones, that a turned galaxy is the same galaxy, and how strongly a picture was blurred,
dimmed, reddened or spoilt by noise::

    python -m galgen.studies.galaxy_network --data FOLDER --out galaxy.safetensors --minutes 35

FOLDER holds the sets that ``galgen/metrics/weights/galaxy.md`` lists; those that are absent are
left out, and without it there are the built-in sets. A GPU is used where there is one.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from galgen.errors import DataError, GalgenError
from galgen.io.atomic import replacing
from galgen.metrics.galaxy_network import GalaxyNetwork
from galgen.randomness import generator, key
from galgen.runs import make_folder
from galgen.studies.galaxy_check import check
from galgen.studies.galaxy_pool import Pool, Say, pools
from galgen.studies.galaxy_tasks import WEIGHTS, Batch, Heads, draw_rows, losses, make_batch
from galgen.training.machine import fast_bf16, find_accelerator

BATCH = 160
_RATE, _WARM, _DECAY = 2e-3, 0.04, 0.02
_AVERAGE = 0.998
_CALIBRATION = 30
_SHOWN = 100


def train(
    sets: Sequence[Pool],
    *,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch: int = BATCH,
    device: str = "auto",
    say: Say = print,
) -> tuple[GalaxyNetwork, Heads]:
    """Train on the galaxies that are not held out.

    Parameters
    ----------
    sets
        From `galgen.studies.galaxy_pool.pools`.
    seconds, steps
        How long; one of the two. The learning rate falls to 0 at the end of either.
    seed
        The same seed gives the same batches on every device and, with `steps`, the same network
        on one CPU.
    batch
        Galaxies of a step, each in three views.
    device
        ``cpu``, ``cuda`` or ``mps``; ``auto`` takes a GPU where there is one.

    Returns
    -------
    network, heads
        The moving average of the network, with standardised features and its normalisations
        folded into the layers, and what reads the tasks' answers from its features; on the CPU.
    """
    place = torch.device(find_accelerator() if device == "auto" else device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key(seed, "galaxy network weights"))
        network, heads = GalaxyNetwork(), Heads(sets)
    network.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads.to(place)
    average = copy.deepcopy(network)
    average_heads = copy.deepcopy(heads)
    parameters = [*network.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, _RATE, weight_decay=_DECAY)
    members = [torch.nonzero(~pool.held).flatten() for pool in sets]
    begin, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = _rate(done)
        g = generator(seed, "galaxy batches", step)
        views = make_batch(sets, *draw_rows(sets, members, batch, g), g).to(place)
        parts = _learn(network, heads, sets, views, optimizer)
        step += 1
        kept = min(_AVERAGE, step / (step + 10))
        with torch.no_grad():
            for mine, its in ((average, network), (average_heads, heads)):
                for a, b in zip(mine.parameters(), its.parameters(), strict=True):
                    a.lerp_(b, 1 - kept)
        spent = time.monotonic() - begin
        done = step / steps if steps is not None else spent / (seconds or 1.0)
        if step % _SHOWN == 0 or done >= 1:
            shown = "  ".join(f"{name} {part.detach():.3f}" for name, part in parts.items())
            say(f"{step} steps, {spent:.0f} s, {min(done, 1):.0%}: {shown}")
    measured = min(_CALIBRATION, step)
    return _finished(average, average_heads, sets, members, seed, batch, measured)


def _rate(done: float) -> float:
    if done < _WARM:
        return _RATE * (0.05 + 0.95 * done / _WARM)
    return _RATE * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done)).item())


def _learn(
    network: GalaxyNetwork,
    heads: Heads,
    sets: Sequence[Pool],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Tensor]:
    """One step, on the device of the network, the heads and the batch; gives the loss's parts."""
    with _fast(batch.views.device.type):
        features = network(_flat(batch.views))
    parts = losses(sets, heads, features.unflatten(0, batch.views.shape[:2]), batch)
    loss = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([*network.parameters(), *heads.parameters()], 5.0)
    optimizer.step()
    return parts


def _flat(views: Tensor) -> Tensor:
    return views.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _fast(kind: str) -> torch.autocast | nullcontext[None]:
    """Half the bits where such a device multiplies them faster."""
    on_cpu = kind == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if on_cpu or (kind == "cuda" and fast_bf16(kind)):
        return torch.autocast(kind, torch.bfloat16)
    return nullcontext()


@torch.no_grad()
def _finished(
    network: GalaxyNetwork,
    heads: Heads,
    sets: Sequence[Pool],
    members: Sequence[Tensor],
    seed: int,
    batch: int,
    steps: int,
) -> tuple[GalaxyNetwork, Heads]:
    """Measure the normalisations of the averaged weights, fold them and standardise; on the CPU."""
    network.cpu().train()
    heads.cpu()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    for step in range(steps):
        g = generator(seed, "galaxy calibration", step)
        network(_flat(make_batch(sets, *draw_rows(sets, members, batch, g), g).views))
    folded = network.folded()
    features, source = [], []
    for step in range(steps):
        g = generator(seed, "galaxy standard", step)
        numbers, rows = draw_rows(sets, members, batch, g)
        planes = torch.stack(
            [sets[s].views[r, 0] for s, r in zip(numbers.tolist(), rows.tolist(), strict=True)]
        )
        features.append(
            folded((planes.float() / 255).contiguous(memory_format=torch.channels_last))
        )
        source.append(numbers)
    rows, numbers = torch.cat(features), torch.cat(source)
    # The spread within a set, because distances are between sets of one kind.
    within = torch.stack([rows[numbers == k].var(0) for k in range(len(sets))
                          if int((numbers == k).sum()) > 1])  # fmt: skip
    mean, scale = rows.mean(0), within.mean(0).sqrt().clamp_min(1e-3)
    folded.mean.copy_(mean)
    folded.scale.copy_(scale)
    _rescale(heads, mean, scale)
    return folded, heads


def _rescale(heads: Heads, mean: Tensor, scale: Tensor) -> None:
    """Let the heads read standardised features."""
    for head in (heads.absolute, heads.truth, heads.difference, *heads.classes):
        assert isinstance(head, nn.Linear)
        if head.bias is not None:
            head.bias.add_(head.weight @ mean)
        head.weight.mul_(scale)


def save(network: GalaxyNetwork, path: Path, about: dict[str, object]) -> None:
    """Write the weights as safetensors, to a temporary name first."""
    from safetensors.torch import save_file

    make_folder(path.parent)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={"about": json.dumps(about)})


def run(
    data: Path | None,
    out: Path,
    *,
    seconds: float | None,
    steps: int | None,
    seed: int = 0,
    batch: int = BATCH,
    most: int | None = None,
    device: str = "auto",
    say: Say = print,
) -> dict[str, object]:
    """Train, check on held-out galaxies and write the weights; gives what was measured."""
    if data is not None and not data.is_dir():
        raise DataError(f"there is no folder {data}: name the folder of real galaxies in --data.")
    device = find_accelerator(device, "--device")
    sets = pools(data, seed, most, say)
    network, heads = train(
        sets, seconds=seconds, steps=steps, seed=seed, batch=batch, device=device, say=say
    )
    about: dict[str, object] = {"seed": seed, "sets": {pool.name: len(pool.views) for pool in sets}}
    about["held out"] = check(network, heads, sets, seed)
    save(network, out, about)
    say(json.dumps(about, indent=1))
    return about


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m galgen.studies.galaxy_network",
        description="Train the network of the features 'galaxy'.",
    )
    parser.add_argument("--data", type=Path, help="folder of the sets of real galaxies")
    parser.add_argument("--out", type=Path, default=Path("galaxy.safetensors"))
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--steps", type=int, help="so many steps instead of --minutes")
    parser.add_argument("--batch", type=int, default=BATCH, help="galaxies of a step")
    parser.add_argument("--most", type=int, help="galaxies of each set, to try it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    given = parser.parse_args(arguments)
    try:
        run(
            given.data,
            given.out,
            seconds=60 * given.minutes,
            steps=given.steps,
            seed=given.seed,
            batch=given.batch,
            most=given.most,
            device=given.device,
            say=lambda line: print(line, flush=True),
        )
    except GalgenError as error:
        print(f"galgen: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
