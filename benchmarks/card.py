"""How long does a whole score card take, and where does the time go?

1,000 against 1,000 galaxies of 64 px in three bands, with the extractors ``galaxy`` and
``physics``, without statmorph, from images in memory to the finished page::

    python benchmarks/card.py
    python benchmarks/card.py --n 4000 --memory
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

from galgen.data.sets import open_set
from galgen.evaluate import _version
from galgen.measure.composite import display_stretch
from galgen.metrics import survey as surveying
from galgen.metrics.comparison import Comparison, judge, set_up
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.images import Images
from galgen.metrics.wanted import parse_metrics
from galgen.report.build import build
from galgen.report.html import render
from galgen.report.verdict import questions, verdict


class Watch:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def of(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - before
                self.spent[name] = self.spent.get(name, 0.0) + took

        return timed


class Timed:
    """An extractor, timed."""

    def __init__(self, extractor: FeatureExtractor, watch: Watch) -> None:
        self.name, self.n_features = extractor.name, extractor.n_features
        self._call = watch.of(f"features, {extractor.name}", extractor)

    def __call__(self, flux: torch.Tensor) -> torch.Tensor:
        return self._call(flux)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--n", type=int, default=1000, help="galaxies a side")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="read images when they are needed")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    n = given.n
    cutouts = open_set("sersic", size=given.size, count=2 * n)
    if given.memory:
        cutouts = open_set("sersic", size=given.size, count=64)

    def images(first: int, count: int) -> Images:
        if not given.memory:
            flux = torch.from_numpy(cutouts.read(range(first, first + count)))
            return Images.of(flux)
        return Images(count, lambda rows: torch.from_numpy(cutouts.read((rows % 64).tolist())))

    watch = Watch()
    sample = images(0, 64).read(range(64))
    sets = Comparison(
        cutouts.spec,
        images(0, n),
        images(n, n),
        display_stretch(sample, cutouts.spec),
        images(n, n // 2),
        images(n + n // 2, n - n // 2),
    )
    surveying.measure = watch.of("photometry", surveying.measure)
    before = time.perf_counter()
    bench = set_up(sets, parse_metrics("-conditions"))
    extractors = bench.instruments.extractors
    names = list(extractors)
    for name in names:
        extractors[name] = Timed(extractors[name], watch)
    # Once more with the watch on; what is set up twice is taken off the total.
    set_up_took = time.perf_counter() - before
    instruments = bench.instruments
    object.__setattr__(instruments, "shapes", watch.of("morphology", instruments.shapes))
    object.__setattr__(instruments, "spectrum", watch.of("spectra", instruments.spectrum))
    watch.spent.clear()
    before = time.perf_counter()
    marks: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        marks.setdefault(f"{what} from", time.perf_counter())
        marks[f"{what} to"] = time.perf_counter()

    judged = judge(sets, bench, progress=progress)
    result: dict[str, Any] = {
        "metrics": judged.scores, "generated": {"name": "generated", "n": n, "source": "sersic"},
        "real": {"name": "real", "n": n, "source": "sersic"},
        "size": given.size, "bands": list(cutouts.spec.bands),
        "details": judged.details, "notes": judged.notes, "version": _version(), "seed": 0,
    }  # fmt: skip
    result["questions"], result["verdict"] = questions(result), verdict(result)
    began = time.perf_counter()
    page = render(build(sets, judged, result, None))
    ended = time.perf_counter()
    fake = dict(watch.spent)
    copies = marks["training galaxies to"] - marks["generated galaxies to"]
    scores = marks["scores to"] - marks["scores from"]
    total = set_up_took + ended - before
    print(f"\n{n} against {n}, {given.size} px, {cutouts.spec.n_bands} bands, "
          f"{given.threads} threads\n\n| what | seconds |\n| --- | --- |")  # fmt: skip
    print(f"| real set: networks loaded, everything measured | {set_up_took:.1f} |")
    for name, seconds in fake.items():
        print(f"| generated set: {name} | {seconds:.1f} |")
    print(f"| copy audit | {copies:.1f} |\n| scores, floors and intervals | {scores:.1f} |")
    print(f"| report ({len(page) / 1e6:.1f} MB) | {ended - began:.1f} |\n| all | {total:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nlargest memory of the process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
