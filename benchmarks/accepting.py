"""Is every galaxy of ``--accept`` what was asked for, and what does that cost?

    python benchmarks/accepting.py [CKPT] [--count 1000] [--where "mag_r=19..21"] [--accept 0.1]

CKPT is a conditional model; without it that of ``examples/conditions.yaml`` is trained, some four
minutes on one core. Galaxies are drawn with and without ``--accept``, read back from their files,
and measured anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

from galgen import load
from galgen.bands import ImageSpec
from galgen.config import load_yaml
from galgen.io import read_cutout
from galgen.measure.quantities import measure_numbers
from galgen.sample import Samples, sample
from galgen.train import train


def trained() -> Path:
    """Run of the configuration that the examples have."""
    config = Path(__file__).resolve().parents[1] / "examples" / "conditions.yaml"
    out = Path(tempfile.mkdtemp())
    return train(load_yaml(config) | {"train.metric_images": 0}, out=out).run


def off(made: Samples, names: list[str]) -> np.ndarray:
    """Differences (galaxies, numbers) between the files, measured anew, and the request."""
    table = Table.read(made.catalogue, unit_parse_strict="silent")
    cutouts = [read_cutout(made.folder / str(name)) for name in table["file"]]
    spec = load_spec(made)
    found = measure_numbers(np.stack([cutout.pixels for cutout in cutouts]), spec, names)
    asked = np.stack([np.asarray(table[f"{name}_requested"]) for name in names], axis=1)
    return found - asked


def load_spec(made: Samples) -> ImageSpec:
    """Facts about the images of a set, from its first file."""
    first = read_cutout(made.folder / made.files[0])
    assert first.bands is not None
    assert first.zero_points is not None
    return ImageSpec(
        first.pixels.shape[-1],
        first.bands,
        first.unit or "count",
        first.zero_points,
        first.pixel_scale,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--where")
    parser.add_argument("--accept", default="0.1")
    parser.add_argument("--redraws", type=int, default=50)
    given = parser.parse_args()
    model = load(given.model or trained())
    names = [name for name in model.module.conditions.names if name != "r_half"]
    print("| accept | files | drawn anew | draws | left out | largest difference, mag | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for accept in (None, given.accept):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            made = sample(
                model, given.count, where=given.where, accept=accept, redraws=given.redraws,
                formats=["fits"], out=Path(folder) / "set",
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            worst = np.nanmax(np.abs(off(made, names)), axis=0)
        told = made.told
        print(
            f"| {accept} | {made.count:,} | {told.get('redrawn', 0):,} | "
            f"{told.get('draws', made.count):,} | {told.get('left_out', 0):,} | "
            + ", ".join(f"{name} {value:.4f}" for name, value in zip(names, worst, strict=True))
            + f" | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
