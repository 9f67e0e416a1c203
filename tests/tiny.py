"""Runs of a second: tiny configurations, generated folders, and exact comparison of results."""

from __future__ import annotations

import csv
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

OPTIONS = {"latent": 8, "widths": [8, 8, 8], "critic_widths": [8, 8, 8]}


def tiny(**changes: Any) -> dict[str, Any]:
    """Settings of a dcgan run of 12 batches; changes are written section__key=value."""
    settings: dict[str, Any] = {
        "data.source": "sersic",
        "data.count": 48,
        "data.size": 16,
        "model.options": OPTIONS,
        "train.images": 96,
        "train.batch": 8,
        "train.precision": "32",
        "train.accelerator": "cpu",
        "train.devices": 1,
        "train.log_images": 16,
        "train.snapshot_images": 32,
        "train.grid_images": 0,
        "train.metric_images": 0,
    }
    return settings | {name.replace("__", "."): value for name, value in changes.items()}


def run(out: Path, **changes: Any) -> Any:
    """Train; gives the `Outcome`."""
    from galgen.train import train

    return train(tiny(**changes), out=out)


def last(outcome: Any) -> dict[str, Any]:
    """Content of a run's last.ckpt."""
    return torch.load(outcome.run / "checkpoints" / "last.ckpt", weights_only=True)


def interrupt_at(patch: pytest.MonkeyPatch, images: int) -> None:
    """Ctrl-C in every later run when the critic has seen so many images."""
    import galgen.fitting
    from galgen.callbacks.ending import Ending

    class Interrupting(Ending):
        def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
            if module.clock.images == images:
                self.signals.hear(signal.SIGINT, None)
            super().on_train_batch_end(trainer, module, *rest)

    patch.setattr(galgen.fitting, "Ending", Interrupting)


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two nested structures of tensors and plain values are not bit-equal."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.shape == b.shape and a.dtype == b.dtype
        nan_proof = same and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()
        return [] if nan_proof else [place]
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        odd = [f"{place}.{k} on one side only" for k in a.keys() ^ b.keys()]
        return odd + [
            d for k in a.keys() & b.keys() for d in differences(a[k], b[k], f"{place}.{k}")
        ]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        pairs = zip(a, b, strict=True)
        return [d for i, (x, y) in enumerate(pairs) for d in differences(x, y, f"{place}[{i}]")]
    return [] if type(a) is type(b) and a == b else [f"{place}: {a!r} and {b!r}"]


def assert_same_training(a: Any, b: Any, leave_out: Sequence[str] = ("loops",)) -> None:
    """Two checkpoints agree bit for bit, less Lightning's own counters of restarts."""
    found = differences(
        {k: v for k, v in a.items() if k not in leave_out},
        {k: v for k, v in b.items() if k not in leave_out},
    )
    assert not found, "; ".join(found[:5])


def logged(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without what depends on the time of day."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]


#: What galaxies of `classes_folder` can be conditioned on, by settings of the data.
KINDS: dict[str, dict[str, Any]] = {
    "neither": {"labels": "none"},
    "classes": {},
    "numbers": {"labels": "none", "condition": ["catalogue.csv:height,width"]},
    "both": {"condition": ["catalogue.csv:height,width"]},
}


def classes_folder(folder: Path, counts: Mapping[str, int] | None = None, side: int = 16) -> Path:
    """Pictures of blobs in one folder a class, round ones and elongated ones, and a catalogue.

    Its columns ``height`` and ``width`` are theirs in pixels.
    """
    from PIL import Image

    lines = ["file,height,width"]
    random = np.random.default_rng(1)
    axis = np.arange(side) - (side - 1) / 2
    shapes = (counts or {"edge": 12, "round": 24}).items()
    for number, (name, count) in enumerate(shapes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            width = random.uniform(1.5, 2.5)
            height = width * (3 if number == 0 else 1)
            radius = (axis[:, None] / height) ** 2 + (axis[None, :] / width) ** 2
            light = 180 * np.exp(-radius / 2)[..., None] * np.array([1.0, 0.8, 0.6])
            pixels = light + random.normal(20, 3, (side, side, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / name / f"{name}_{i:03d}.png"
            )
            lines.append(f"{name}/{name}_{i:03d}.png,{height:.4f},{width:.4f}")
    (folder / "catalogue.csv").write_text("\n".join(lines) + "\n")
    return folder
