"""Frechet distance on the features `galaxy` against the strength of distortions.

    python benchmarks/galaxy_network.py --data FOLDER

Half of a set against the other half, distorted; beside the trained network a randomly initialised
one of the same shape. Training saw none of these galaxies but four fifths of those of `gz1_jpg`,
of which too few are held out to drop a class; simulated ones are of another seed. Prints a table in
Markdown: strengths, distances and z, which is the distance above that of an undistorted half in
standard deviations over the splits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from galgen.bands import ImageSpec
from galgen.data.sersic import KINDS, simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.data.sets import CutoutSet, open_set
from galgen.measure.composite import display_stretch
from galgen.metrics.frechet import frechet_between
from galgen.metrics.galaxy import WEIGHTS, GalaxyFeatures, load_network
from galgen.metrics.galaxy_network import GalaxyNetwork
from galgen.studies.galaxy_pool import is_held

SPLITS = 20
_SIMULATED = 4000
_SEED = 2026

Distort = Callable[[Tensor, float, bool], Tensor]


@dataclass(frozen=True)
class Images:
    """A set, and which of its galaxies are of which class."""

    name: str
    flux: Tensor
    spec: ImageSpec
    classes: dict[str, np.ndarray] = field(default_factory=dict)


def blurred(flux: Tensor, sigma: float, display: bool) -> Tensor:
    """Blurred by a Gaussian of so many pixels, mirrored at the edges."""
    reach = max(1, round(4 * sigma))
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(flux.shape[1], 1, 1, -1)
    flux = F.pad(flux, (reach,) * 4, mode="reflect")
    flux = F.conv2d(flux, kernel, groups=flux.shape[1])
    return F.conv2d(flux, kernel.mT, groups=flux.shape[1])


def noisy(flux: Tensor, sigma: float, display: bool) -> Tensor:
    """White noise, in 255ths of the range for pictures, else in units of the sky noise."""
    noise = sigma * torch.randn(flux.shape, generator=torch.Generator().manual_seed(_SEED))
    if display:
        return (flux + noise).clamp(0, 255)
    return flux + noise * flux[..., :2, :2].std((0, 2, 3))[:, None, None]


def reddened(flux: Tensor, magnitudes: float, display: bool) -> Tensor:
    """The reddest channel (first of pictures, last of g, r, i) brighter by so much."""
    flux = flux.clone()
    flux[:, 0 if display else -1] *= 10 ** (0.4 * magnitudes)
    return flux


def scaled(flux: Tensor, gain: float, display: bool) -> Tensor:
    return flux * (1 + gain)


#: What is done, how strongly on pictures, and on fluxes.
DISTORTIONS: dict[str, tuple[Distort, Sequence[float], Sequence[float]]] = {
    "blur, sigma in pixels": (blurred, (0.3, 0.5, 0.75, 1, 1.5, 2, 3), (0.3, 0.5, 0.75, 1, 1.5, 2)),
    "noise, 255ths or sky sigmas": (noisy, (1, 2, 4, 8, 16, 32), (0.25, 0.5, 1, 2, 4)),
    "colour, magnitudes": (reddened, (0.05, 0.1, 0.2, 0.3, 0.4), (0.05, 0.1, 0.2, 0.3, 0.4)),
    "flux scale": (scaled, (0.05, 0.1, 0.2, 0.3, 0.5), (0.05, 0.1, 0.2, 0.3, 0.5)),
}
DROPPED = (0.25, 0.5, 0.75, 1.0)
REPEATED = (0.1, 0.3, 0.5, 0.7, 0.9)


def curve(
    clean: Tensor, others: Sequence[Tensor], picks: Sequence[Callable[[np.ndarray], np.ndarray]]
) -> list[tuple[float, float]]:
    """Distance and z at each strength, the mean over random halves.

    Parameters
    ----------
    clean, others
        Features (N, F) of the set, and of the set at each strength.
    picks
        Which of the second half's galaxies are compared, at each strength.
    """
    rng = np.random.default_rng(_SEED)
    floors, values = [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(clean))
        half = len(clean) // 2
        first, second = order[:half], order[half : 2 * half]
        floors.append(frechet_between(clean[first], clean[second]))
        values.append(
            [
                frechet_between(clean[first], other[pick(second)])
                for other, pick in zip(others, picks, strict=True)
            ]
        )
    floor, spread = float(np.mean(floors)), float(np.std(floors, ddof=1))
    means = np.mean(values, 0)
    return [(floor, 0.0), *((float(m), float(m - floor) / spread) for m in means)]


def all_of(rows: np.ndarray) -> np.ndarray:
    return rows


def repeating(fraction: float) -> Callable[[np.ndarray], np.ndarray]:
    """So many replaced by the first of the others, over and over."""

    def pick(rows: np.ndarray) -> np.ndarray:
        kept = max(1, round(len(rows) * (1 - fraction)))
        return rows[np.arange(len(rows)) % kept]

    return pick


def dropping(chosen: np.ndarray, fraction: float) -> Callable[[np.ndarray], np.ndarray]:
    """So much of the class `chosen` left out."""

    def pick(rows: np.ndarray) -> np.ndarray:
        its = np.flatnonzero(chosen[rows])
        return np.delete(rows, its[: round(len(its) * fraction)])

    return pick


def table(images: Images, network: GalaxyNetwork, shapes: bool) -> None:
    """Print the rows of one set; `shapes` for distortions of pixels."""
    stretch = None if images.spec.display else display_stretch(images.flux, images.spec)
    makers = {
        "galaxy": GalaxyFeatures(images.spec, stretch, network),
        "random": GalaxyFeatures.fit(images.flux, images.spec, random=_SEED),
    }
    clean = {name: make(images.flux) for name, make in makers.items()}
    if shapes:
        for what, (distort, on_pictures, on_fluxes) in DISTORTIONS.items():
            if images.spec.n_bands == 1 and what.startswith("colour"):
                continue
            strengths = on_pictures if images.spec.display else on_fluxes
            distorted = [distort(images.flux, s, images.spec.display) for s in strengths]
            curves = {
                name: curve(clean[name], [make(d) for d in distorted], [all_of] * len(strengths))
                for name, make in makers.items()
            }
            _print(images.name, what, strengths, curves)
        picks = [repeating(f) for f in REPEATED]
        curves = {n: curve(c, [c] * len(picks), picks) for n, c in clean.items()}
        _print(images.name, "fraction repeated", REPEATED, curves)
    for kind, chosen in images.classes.items():
        picks = [dropping(chosen, f) for f in DROPPED]
        curves = {n: curve(c, [c] * len(picks), picks) for n, c in clean.items()}
        share = f"{100 * chosen.mean():.0f} %"
        _print(images.name, f"fraction of {kind} ({share}) dropped", DROPPED, curves)


def _print(
    name: str,
    what: str,
    strengths: Sequence[float],
    curves: dict[str, list[tuple[float, float]]],
) -> None:
    cells = [name, what, " ".join(f"{s:g}" for s in (0, *strengths))]
    for points in curves.values():
        values = [v for v, _ in points]
        grows = all(a < b for a, b in pairwise(values))
        cells += [
            " ".join(f"{v:.3g}" for v in values),
            " ".join(f"{z:.0f}" for _, z in points[1:]),
            "yes" if grows else "no",
        ]
    print("| " + " | ".join(cells) + " |", flush=True)


def pictures(place: Path, crop: int, held: bool, name: str, labels: str | None = None) -> Images:
    cutouts = open_set(place, crop=crop, size=64, labels=labels)
    rows = np.arange(len(cutouts))
    if held:
        rows = np.flatnonzero(is_held(cutouts.groups).numpy())
    flux = torch.from_numpy(cutouts.read(rows.tolist()))
    return Images(f"{name}, {len(flux)}", flux, cutouts.spec, by_class(cutouts, rows))


def by_class(cutouts: CutoutSet, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Which of these galaxies are of each class; the two senses of spirals are one."""
    found: dict[str, np.ndarray] = {}
    if cutouts.labels is None:
        return found
    for number, name in enumerate(cutouts.classes):
        kind = name.split("_")[0] if name.startswith("spiral") else name
        found[kind] = found.get(kind, False) | (cutouts.labels[rows] == number)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="folder of the sets of real galaxies")
    parser.add_argument("--weights", type=Path, help="another file than the package's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load_network(given.weights or WEIGHTS)
    print("| set | distortion | strength | `galaxy` | z | grows | random network | z | grows |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    if given.data is not None:
        table(pictures(given.data / "sdss_gri_jpg", 212, True, "SDSS, held out"), network, True)
        labels = str(given.data / "gz1_jpg" / "labels.csv") + ":label"
        table(pictures(given.data / "gz1_jpg", 212, False, "Galaxy Zoo", labels), network, False)
        table(
            pictures(given.data / "radio_first_png" / "train", 150, False, "FIRST"), network, True
        )
    flux, catalogue = simulate(_SIMULATED, seed=_SEED)
    kinds = {name: catalogue["kind"] == number for number, name in enumerate(KINDS)}
    name = f"sersic, {_SIMULATED}"
    simulated = Images(name, torch.from_numpy(flux), sersic_spec(), kinds)
    table(simulated, network, True)


if __name__ == "__main__":
    main()
