"""Is the score card calibrated, and does it see what it should see?

Two random halves of a real set must score as equals; the second half blurred, with noise, without
one class, or with repeats must not; nor may a colour shift or a flux scale of simulated galaxies go
unseen::

    python benchmarks/calibration.py --data DATA --sets sdss first hsc gz1 sersic --json out.json

DATA has the folders of the development data; what is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from galgen.bands import ImageSpec
from galgen.data.sets import open_set
from galgen.measure.composite import display_stretch
from galgen.metrics.comparison import Comparison, judge, set_up
from galgen.metrics.images import Images
from galgen.metrics.wanted import parse_metrics

#: Galaxies a side, at most.
HALF = 2500
SERSIC_HALF = 2000
#: What must see what: these at z > 5.
EXPECTED = {
    "blur": ("frechet_galaxy", "kid_galaxy", "coverage_galaxy"),
    "noise": ("frechet_galaxy", "kid_galaxy", "frechet_physics"),
    "without a class": ("frechet_galaxy", "kid_galaxy"),
    "repeats": ("repeats_physics",),
    "colour +0.1 mag": ("wasserstein_colour", "frechet_galaxy", "kid_galaxy"),
    "flux +10 %": ("frechet_galaxy", "frechet_physics"),
}


@dataclass
class Real:
    """A set with what is known of it."""

    flux: Tensor
    spec: ImageSpec
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    extra: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = field(default_factory=dict)


def load(name: str, data: Path, seed: int) -> Real:
    """One of the sets by name."""
    if name == "sersic":
        cutouts = open_set("sersic", size=64, count=2 * SERSIC_HALF, seed=seed)
        flux = torch.from_numpy(cutouts.read(range(len(cutouts))))
        shift = 10 ** (0.4 * 0.1)
        reddest = torch.ones(cutouts.spec.n_bands, 1, 1)
        reddest[cutouts.spec.bands.index("g")] = 1 / shift
        return Real(
            flux,
            cutouts.spec,
            extra={
                "colour +0.1 mag": lambda x, rng: x * reddest,
                "flux +10 %": lambda x, rng: x * 1.1,
            },
        )
    folder, options = {
        "sdss": ("sdss_gri_jpg", {"crop": 212, "size": 64}),
        "gz1": ("gz1_jpg", {"crop": 212, "size": 64, "labels": "labels.csv:label"}),
        "hsc": ("hsc_grizy_fits_32", {"size": 32}),
        "first": ("radio_first_png/train", {"crop": 128, "size": 64}),
    }[name]
    cutouts = open_set(str(data / folder), seed=seed, **options)
    flux = torch.from_numpy(cutouts.read(range(len(cutouts))))
    return Real(flux, cutouts.spec, cutouts.labels, cutouts.classes)


def blurred(flux: Tensor, sigma: float) -> Tensor:
    """Convolved with a Gaussian of that many pixels."""
    reach = max(1, int(np.ceil(3 * sigma)))
    axis = torch.arange(-reach, reach + 1, dtype=flux.dtype)
    kernel = torch.exp(-axis.square() / 2 / sigma**2)
    kernel = (kernel / kernel.sum()).expand(flux.shape[1], 1, 1, -1)
    padded = F.pad(flux, (reach, reach, reach, reach), mode="reflect")
    once = F.conv2d(padded, kernel, groups=flux.shape[1])
    return F.conv2d(once, kernel.mT, groups=flux.shape[1])


def noisier(flux: Tensor, spec: ImageSpec, rng: np.random.Generator) -> Tensor:
    """With as much noise again as the sky's; of pictures, 4 grey levels, rounded and clipped."""
    if spec.display:
        noise = torch.from_numpy(rng.normal(0, 4, flux.shape)).float()
        return (flux + noise).round().clamp(0, 255)
    sky = (flux - flux.median()).abs().flatten(2).median(2).values.median(0).values * 1.4826
    noise = torch.from_numpy(rng.normal(0, 1, flux.shape)).float()
    return flux + noise * sky.view(-1, 1, 1)


def comparison(real: Real, rows: np.ndarray, flux: Tensor) -> Comparison:
    """Generated images against the real ones of `rows`, half of which count as trained on."""
    # Not as they come: folders are sorted by class.
    own = real.flux[np.random.default_rng(0).permutation(rows)]
    half = len(own) // 2
    return Comparison(
        spec=real.spec,
        fake=Images.of(flux),
        real=Images.of(own),
        stretch=display_stretch(own[:2000], real.spec),
        train=Images.of(own[:half]),
        held=Images.of(own[half:]),
    )


def scored(
    real: Real, seed: int, wanted: Sequence[str] | None = None, metrics: str = "-conditions"
) -> dict[str, dict[str, dict]]:
    """Case to the metrics of the second half as it is, and distorted."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(real.flux))[: 2 * HALF]
    one, two = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    flux = real.flux[two]
    cases = {"equal halves": flux}
    if seed == 0:
        cases |= {"blur": blurred(flux, 0.7), "noise": noisier(flux, real.spec, rng)}
        if real.labels is not None and real.classes:
            counts = np.bincount(real.labels[real.labels >= 0], minlength=len(real.classes))
            common = int(counts.argmax())
            cases["without a class"] = flux[torch.from_numpy(real.labels[two] != common)]
        repeated = flux.clone()
        tenth = len(flux) // 10
        repeated[:tenth] = torch.rot90(flux[tenth : 2 * tenth], 1, (2, 3))
        cases["repeats"] = repeated[torch.from_numpy(rng.permutation(len(flux)))]
        cases |= {name: change(flux, rng) for name, change in real.extra.items()}
    bench, found = None, {}
    for case, images in cases.items():
        if wanted and case not in wanted:
            continue
        sets = comparison(real, one, images)
        bench = bench or set_up(sets, parse_metrics(metrics))
        found[case] = dict(judge(sets, bench, seed=seed).scores)
        print(f"  {case}: scored", flush=True)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path,
                        default=Path(os.environ.get("GALGEN_DATA", "../shared/data")))  # fmt: skip
    parser.add_argument("--sets", nargs="+", default=["sdss", "first", "hsc", "gz1", "sersic"])
    parser.add_argument("--seeds", type=int, default=3, help="random halves of each set")
    parser.add_argument("--cases", nargs="+", help="those alone")
    parser.add_argument("--metrics", default="-conditions", help="as of galgen evaluate")
    parser.add_argument("--json", type=Path, help="where all scores go")
    given = parser.parse_args()
    every = {}
    for name in given.sets:
        if name != "sersic" and not given.data.is_dir():
            print(f"{name}: {given.data} is not there")
            continue
        print(name, flush=True)
        every[name] = [
            scored(load(name, given.data, 0), seed, given.cases, given.metrics)
            for seed in range(given.seeds)
        ]
    if given.json:
        given.json.write_text(json.dumps(every, indent=1))
    _equal(every)
    _distorted(every)


def _equal(every: dict[str, list[dict]]) -> None:
    print("\n| set | scores | |z| < 3 | largest |z| |\n| --- | --- | --- | --- |")
    for name, runs in every.items():
        zs = {
            f"{metric} (seed {k})": score["z"]
            for k, run in enumerate(runs)
            for metric, score in run["equal halves"].items()
            if score["z"] is not None
        }
        worst = max(zs, key=lambda key: abs(zs[key]))
        inside = np.mean([abs(z) < 3 for z in zs.values()])
        print(f"| {name} | {len(zs)} | {inside:.1%} | {abs(zs[worst]):.2f}: {worst} |")


def _distorted(every: dict[str, list[dict]]) -> None:
    for name, runs in every.items():
        cases = [case for case in runs[0] if case != "equal halves"]
        print(f"\n{name}: z\n\n| metric | {' | '.join(cases)} |\n| --- |{' --- |' * len(cases)}")
        for metric in runs[0]["equal halves"]:
            zs = [runs[0][case][metric]["z"] for case in cases]
            if any(z is not None and abs(z) > 5 for z in zs):
                cells = " | ".join("" if z is None else f"{z:+.1f}" for z in zs)
                print(f"| {metric} | {cells} |")
        for case in cases:
            for metric in EXPECTED[case]:
                score = runs[0][case].get(metric)
                if score is not None and not (score["z"] or 0) > 5:
                    print(f"NOT SEEN: {metric} of {case} on {name}: z = {score['z']}")


if __name__ == "__main__":
    main()
