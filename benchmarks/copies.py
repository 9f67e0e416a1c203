"""Does the copy audit see copies that are turned, shifted and noisy, and pass fresh galaxies?

Cuts each set into training images, held-out ones and fresh ones, takes each kind of copy of
training images for a generated set, and prints C_T (below -3 is copying) and the fraction that is
nearer than 99 % of held-out galaxies are. Fresh galaxies are cut out anew some times::

    python benchmarks/copies.py --data DATA
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.data.sets import open_set
from galgen.metrics.copies import COPIES, NEIGHBOUR, nearest_training
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures
from galgen.metrics.frames import Framing, blur_matrix, blurred, turned
from galgen.metrics.galaxy import GalaxyFeatures
from galgen.metrics.nearest import Nearest, Search
from galgen.metrics.spaces import Space, fit_spaces
from galgen.stretch import Stretch

#: Set to folder (built-in sets have none) and how it is opened.
SETS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "sdss": ("sdss_gri_jpg", {"crop": 212, "size": 64}),
    "gz1": ("gz1_jpg", {"crop": 212, "size": 64}),
    "hsc": ("hsc_grizy_fits_32", {}),
    "first": ("radio_first_png/train", {"crop": 128, "size": 64}),
    "sersic": (None, {"size": 64}),
    "hubble": (None, {"size": 64}),
}
COPIES_OF = (
    "exact",
    "quarter turn",
    "any angle",
    "2-3 px",
    "noise",
    "all three",
    "20 % of all three",
)
FRESH = ("fresh", "fresh, blurred by 1 px", "fresh, 20 % fainter")


def kinds(train: Tensor, fresh: Tensor, spec: ImageSpec, noise: Tensor) -> dict[str, Tensor]:
    """Generated sets (n, C, H, W): copies of `train`, and fresh galaxies."""
    generator = torch.Generator().manual_seed(0)
    n = len(train)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    size = torch.randint(2, 4, (n, 2), generator=generator)
    shift = size * (1 - 2 * torch.randint(2, (n, 2), generator=generator))
    still, here = torch.zeros(n), torch.zeros(n, 2)
    added = noise.view(-1, 1, 1) * torch.randn(train.shape, generator=generator)

    def noisy(images: Tensor) -> Tensor:
        # As a picture is saved: whole numbers from 0 to 255.
        return (images + added).round().clamp(0, 255) if spec.display else images + added

    everything = noisy(turned(train, angle, shift))
    return {
        "exact": train,
        "quarter turn": train.rot90(1, (-2, -1)),
        "any angle": turned(train, angle, here),
        "2-3 px": turned(train, still, shift),
        "noise": noisy(train),
        "all three": everything,
        "20 % of all three": torch.cat([everything[: n // 5], fresh[: n - n // 5]]),
        "fresh": fresh,
        "fresh, blurred by 1 px": blurred(fresh, blur_matrix(spec.size, 1.0)),
        "fresh, 20 % fainter": 0.8 * fresh,
    }


def cut(count: int, most: int, train: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of training, held-out and fresh images; the last two of one number."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    n = min(most, count // 4)
    return order[2 * n :][:train], order[:n], order[n : 2 * n]


def calibration(
    images: Tensor, spaces: list[Space], cuts: Sequence[tuple[Tensor, ...]]
) -> list[str]:
    r"""Share of cuts in which fresh galaxies have \|C_T\| < 3, and the largest, by space."""
    cells = []
    for space in spaces:
        blocks = [space(block) for block in images.split(256)]
        rows, active = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        values = []
        for train, *sides in cuts:
            distances = []
            for side in sides:
                search = Search(rows[side[active[side]]], NEIGHBOUR, space.variants)
                search.add(rows[train], active[train])
                every = torch.ones(int(active[side].sum()), dtype=torch.bool)
                distances.append(Nearest.of(search.found(), every.numpy()).rows)
            values.append(abs(COPIES.between(*distances)["copies"]))
        cells.append(f"{sum(v < 3 for v in values)} of {len(values)} (< {max(values):.1f})")
    return cells


def main() -> None:
    """Print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("-n", type=int, default=500, help="most generated and held-out galaxies")
    parser.add_argument("--train", type=int, default=1500, help="most training images")
    parser.add_argument("--cuts", type=int, default=20, help="of fresh galaxies")
    given = parser.parse_args()
    for name in given.sets.split(","):
        folder, options = SETS[name]
        cutouts = open_set(given.data / folder if folder else name, **options)
        spec = cutouts.spec
        images = torch.from_numpy(cutouts.read(range(len(cutouts))))
        cuts = [cut(len(images), given.n, given.train, seed) for seed in range(given.cuts)]
        train, held, fresh = (images[part] for part in cuts[0])
        begun = time.perf_counter()
        stretch = None if spec.display else Stretch.fit(train)
        extractors: list[FeatureExtractor] = [
            GalaxyFeatures(spec, stretch),
            PhysicsFeatures.fit(train, spec),
        ]
        spaces = fit_spaces(train, extractors)
        # Noise doubles the sky's variance.
        noise = Framing.fit(train).sky_noise
        sets = kinds(train[: len(held)], fresh, spec, noise)
        sides = {side: flux.split(256) for side, flux in {"held": held, **sets}.items()}
        found = nearest_training(spaces, sides, train.split(256))
        seconds = time.perf_counter() - begun
        print(f"\n{name}: {len(train)} training, {len(held)} held-out images, {seconds:.0f} s\n")
        print(f"| generated set | {' | '.join(space.name for space in spaces)} |")
        print("| --- |" + " --- |" * len(spaces))
        for side in sets:
            cells = []
            for space in spaces:
                rows = found[space.name]["held"].rows, found[space.name][side].rows
                value = COPIES.between(*rows)
                cells.append(f"{value['copies']:+.1f} ({value['nearer']:.1%})")
            print(f"| {side} | {' | '.join(cells)} |", flush=True)
        drawn = calibration(images, spaces, cuts)
        print(f"| fresh, {len(cuts)} cuts | {' | '.join(drawn)} |", flush=True)


if __name__ == "__main__":
    main()
