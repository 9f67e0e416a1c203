"""Sets and models made on the spot, for the tests of evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galgen.bands import ImageSpec
from galgen.conditions import Conditions, Number
from galgen.stretch import Stretch

#: Quick metrics, for what any metric shows.
FEW = "physics,photometry,copies,conditions"
SHORT = "physics"
Opened = list[tuple[str, dict[str, Any]]]


def galaxies(n: int, bands: int = 3, size: int = 16, seed: int = 0) -> np.ndarray:
    """Round galaxies of different flux, colour and size in unit noise."""
    rng = np.random.default_rng(seed)
    axis = np.arange(size) - (size - 1) / 2
    square = axis**2 + axis[:, None] ** 2
    images = rng.normal(size=(n, bands, size, size))
    for i in range(n):
        profile = np.exp(-square / 2 / rng.uniform(1.2, 2.5) ** 2)
        flux = 100 * np.exp(rng.normal(0, 0.4)) * np.linspace(1, 2, bands)
        images[i] += (flux * np.exp(rng.normal(0, 0.1, bands)))[:, None, None] * profile
    return images.astype(np.float32)


@dataclass
class ArraySet:
    """The part of a `CutoutSet` that evaluate uses, in memory."""

    pixels: np.ndarray
    spec: ImageSpec
    name: str = "arrays"
    catalogue: dict[str, np.ndarray] = field(default_factory=dict)
    bad: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    values: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.names = [f"{self.name}-{i}" for i in range(len(self.pixels))]
        self.groups = self.names

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Sequence[int], margin: int = 0) -> np.ndarray:
        assert margin == 0
        return self.pixels[list(indices)]


@dataclass
class Model:
    """What evaluate asks of a trained model."""

    samples: np.ndarray
    spec: ImageSpec
    path: Path
    holdout: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    name: str = "dcgan"
    digest: str = "0" * 64
    images: int = 1234
    specialists: dict[str, Any] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    rows: np.ndarray | None = None

    @property
    def module(self) -> Model:
        return self

    def sample_conditions(self, indices: Sequence[int], seed: int) -> torch.Tensor | None:
        return None if self.rows is None else torch.from_numpy(self.rows[list(indices)])

    @property
    def stretch(self) -> Stretch:
        return Stretch.fit(torch.from_numpy(self.samples), "asinh")

    def to(self, device: str) -> Model:
        return self

    def sample_chunks(
        self, indices: Sequence[int], *, seed: int
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        for start in range(0, len(indices), 16):
            members = list(indices)[start : start + 16]
            yield members, torch.from_numpy(self.samples[members])


def folders(
    known: dict[str, ArraySet],
    root: Path,
    fake: np.ndarray,
    real: np.ndarray,
    bands: tuple[str, ...] = ("g", "r", "i"),
    display: bool = False,
) -> tuple[Path, Path]:
    spec = ImageSpec(fake.shape[-1], bands, display=display)
    known["fake"] = ArraySet(fake, spec, "fake")
    known["real"] = ArraySet(real, spec.replace(size=real.shape[-1]), "real")
    for name in ("fake", "real"):
        (root / name).mkdir()
    return root / "fake", root / "real"


def run_of(workdir: Path, **changes: Any) -> Model:
    run = workdir / "runs" / "00001-x"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 7\n")
    config = {"seed": 7, "data": {"source": "train", "crop": 40, "unit": "nanomaggy", "bands": None,
                                  "rotate": "quarter", "holdout": 0.1}}  # fmt: skip
    spec = ImageSpec(16, ("g", "r", "i"))
    made: dict[str, Any] = {"samples": galaxies(30, seed=1), "spec": spec, "config": config}
    return Model(**{**made, "path": run / "checkpoints" / "best.ckpt", **changes})
