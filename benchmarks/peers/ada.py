"""`stylegan2` with adaptive augmentation on the device at hand: how fast, how much of the peak, and
where the rest goes.

The recipe for one GPU: z and w of 256, two mapping layers, 128 feature maps at 128 px up to 256,
no path length, style mixing 0.9, augmentation with a target of 0.6 and p up to 0.8, R1 every 16th
iteration, Adam with a rate of 0.0025, bfloat16, batches of 64 (32 for more images a second is no
gain). Images are white noise, which costs what galaxies cost.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import lightning as L
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torch.utils.flop_counter import flop_registry

from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.training.compiling import lacks
from peers.loop import How, trainer

RECIPE = {
    "loss": "logistic", "r1": "auto", "r2": 0.0, "penalty_every": 16, "lr": 2.5e-3,
    "lr_decay": 1.0, "ema_images": 20_000, "mixing": 0.9, "ada": True, "ada_target": 0.6,
    "ada_max": 0.8, "ada_images": 100_000,
}  # fmt: skip
NETWORKS = {"latent": 256, "depth": 2, "width": 128, "max_width": 256}
#: TFLOP/s in bfloat16 without sparsity, from the makers' data sheets.
PEAKS = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "A100": 312, "L40S": 362}
#: Seconds per 1,000 images at 128 px that count as met on an H100.
AIM = 2.5
#: What kernels are called, and what they do; the first that fits counts.
KINDS = {
    "convolutions and matrices": ("conv", "gemm", "xmma", "cutlass", "wgrad", "dgrad", "addmm"),
    "copies and casts": ("copy", "memcpy", "memset", "cast", "_to_", "contiguous"),
    "optimizers and averages": ("adam", "lerp", "multi_tensor", "foreach"),
    "sums and norms": ("reduce", "norm", "sum", "mean"),
    "gathers": ("index", "gather", "scatter"),
    "random numbers": ("distribution", "normal", "uniform", "random"),
    "pointwise": ("elementwise", "triton_poi", "leaky", "mul", "add", "vectorized"),
}
STEADY, TIMED = 2, 4


class Counter(TorchDispatchMode):
    """Floating point operations of convolutions and matrix products, of any order of gradient,
    which torch's own counter cannot follow.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (count := flop_registry.get(func.overloadpacket)) is not None:
            self.total += count(*args, **kwargs, out_val=result)
        return result


class Watch(L.Callback):
    """Counts the arithmetic of one cycle of penalties, times some, and profiles one."""

    def __init__(self, cycle: int, device: str) -> None:
        self.cycle, self.device = cycle, device
        self.seconds: list[float] = []
        self.flop = 0
        self.profile: profile | None = None
        self._count, self._then = 0, 0.0
        self._counter = Counter()

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._counter.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        self._count += 1
        if self._count % self.cycle:
            return
        done, now = self._count // self.cycle, self._now()
        if done == 1:
            # Counted before anything is compiled.
            self._counter.__exit__(None, None, None)
            self.flop = self._counter.total
            module.passes.compile(module.benchmark_compiled)
        if 1 + STEADY < done <= 1 + STEADY + TIMED:
            self.seconds.append(now - self._then)
        if done == 1 + STEADY + TIMED:
            activities = [ProfilerActivity.CPU]
            activities += [ProfilerActivity.CUDA] if self.device == "cuda" else []
            self.profile = profile(activities=activities).__enter__()
        elif self.profile is not None:
            self.profile.__exit__(None, None, None)
        self._then = self._now()


def shares(watch: Watch, device: str) -> dict[str, tuple[float, int]]:
    """Milliseconds and calls by kind, of the device's kernels or of the CPU's operations."""
    assert watch.profile is not None
    found: dict[str, tuple[float, int]] = {}
    for event in watch.profile.key_averages():
        on_gpu = event.device_type == torch.autograd.DeviceType.CUDA
        if on_gpu != (device == "cuda"):
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        name = event.key.lower()
        kinds = (kind for kind, parts in KINDS.items() if any(part in name for part in parts))
        kind = next(kinds, "other")
        total, calls = found.get(kind, (0.0, 0))
        found[kind] = (total + spent / 1e3, calls + event.count)
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def table(options: argparse.Namespace) -> None:
    """Print seconds per 1,000 images, the share of the peak and the profile."""
    size = options.sizes[-1]
    batch = options.batch if options.device == "cpu" else max(options.batch, 64)
    networks = NETWORKS if options.device == "cuda" else {**NETWORKS, "width": 16, "max_width": 32}
    torch.manual_seed(0)
    model: AdversarialModule = find("stylegan2").load()(size, 3, recipe=RECIPE, **networks)
    compiled = options.compile == "on" and lacks(options.device) is None
    model.__dict__["benchmark_compiled"] = compiled
    cycle = RECIPE["penalty_every"]
    assert isinstance(cycle, int)
    watch = Watch(cycle, options.device)
    precision = options.precision[-1]
    how = How(batch, TIMED, time.perf_counter, options.device, precision)
    batches: Any = [{"images": 0.2 * torch.randn(batch, 3, size, size)}] * (
        cycle * (2 + STEADY + TIMED)
    )
    trainer(how, [watch]).fit(model, DataLoader(batches, batch_size=None))
    seconds = median(watch.seconds)
    per_thousand = 1000 * seconds / (cycle * batch)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(
        f"\n`stylegan2` with adaptive augmentation, {size} px, batch {batch}, {precision}, "
        f"{'compiled' if compiled else 'not compiled'}, {name}: "
        f"{per_thousand:.2f} s per 1,000 images, {1000 / per_thousand:.0f} images/s"
    )
    if options.device == "cuda" and size == 128:
        print(f"aim: {AIM} or less on an H100: {'met' if per_thousand <= AIM else 'not met'}")
    rate = watch.flop / seconds / 1e12
    peak = options.peak or next((p for key, p in PEAKS.items() if key in name), None)
    share = f", {rate / peak:.1%} of {peak:g}" if peak else " (of --peak, if you give it)"
    print(f"{watch.flop / (cycle * batch) / 1e9:.3g} GFLOP an image, {rate:.3g} TFLOP/s{share}\n")
    parts = shares(watch, options.device)
    whole = sum(spent for spent, _ in parts.values())
    print(
        f"| {'kernels' if options.device == 'cuda' else 'operations'} of {cycle} iterations "
        "| ms | share | calls |\n| --- | --- | --- | --- |"
    )
    for kind, (spent, calls) in parts.items():
        print(f"| {kind} | {spent:.1f} | {spent / whole:.1%} | {calls:,} |")
    if options.device == "cuda":
        idle = max(0.0, 1e3 * seconds - whole)
        print(f"| none: the device waits | {idle:.1f} | | |")
    sort = "self_device_time_total" if options.device == "cuda" else "self_cpu_time_total"
    assert watch.profile is not None
    print(watch.profile.key_averages().table(sort_by=sort, row_limit=25, max_name_column_width=60))
