"""Score cards made on the spot: sets, a judgement with measured galaxies, and scores by hand."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from blobs import galaxies
from galgen.bands import ImageSpec
from galgen.measure.composite import display_stretch
from galgen.metrics.colour_magnitude import fit_box, points_of
from galgen.metrics.comparison import Comparison, Judgement
from galgen.metrics.conditional import Asked, Following
from galgen.metrics.entries import Copying
from galgen.metrics.images import Images
from galgen.metrics.nearest import Nearest
from galgen.metrics.scorecard import null
from galgen.metrics.spectrum import spectrum_rows
from galgen.metrics.survey import Instruments, Survey, survey
from galgen.report.verdict import questions, verdict

SHAPES = ("gini", "m20", "concentration", "asymmetry", "smoothness", "bulge", "orientation")


class Card(NamedTuple):
    """What `build` takes."""

    sets: Comparison
    judged: Judgement
    result: dict[str, Any]
    other: tuple[Comparison, Judgement] | None


def entry(value: float, floor: float, z: float | None, n: int = 190) -> dict[str, Any]:
    """A score whose interval is a tenth of it to both sides."""
    wide = abs(0.1 * value)
    return {"value": value, "floor": floor, "interval": [value - wide, value + wide], "z": z,
            "n": n}  # fmt: skip


def metrics(**changes: Any) -> dict[str, Any]:
    """Scores of every kind, all as a second real sample would have them."""
    found: dict[str, Any] = {}
    for extractor in ("galaxy", "physics"):
        found |= {
            f"frechet_{extractor}": entry(4.1, 4.0, 0.2),
            f"kid_{extractor}": entry(0.001, 0.0005, 0.4),
            f"precision_{extractor}": entry(0.9, 0.91, 0.3),
            f"recall_{extractor}": entry(0.9, 0.91, 0.3),
            f"density_{extractor}": entry(1.0, 0.99, -0.3),
            f"coverage_{extractor}": entry(0.9, 0.91, 0.3),
            f"repeats_{extractor}": entry(0.01, 0.011, -0.1),
        }
    found |= {"detected": entry(1.0, 1.0, None), "colour_magnitude": entry(0.82, 0.83, 0.3)}
    found |= {f"wasserstein_{name}": entry(0.06, 0.055, 0.5) for name in ("r_half", "gini")}
    found |= {"morphology": entry(0.06, 0.055, 0.5), "wasserstein": entry(0.06, 0.055, 0.5)}
    for space in ("aligned", "polar"):
        found |= {f"copies_{space}": entry(0.4, 0.0, -0.4), f"nearer_{space}": entry(0.01, 0.01, 0)}
    return found | changes


def result(sets: Comparison | None = None, **scores: Any) -> dict[str, Any]:
    """Content of evaluation.json."""
    found: dict[str, Any] = {
        "metrics": metrics(**scores),
        "generated": {"source": "a <b> & c", "name": "dcgan", "n": 190, "digest": "ab" * 32,
                      "images": 5000},
        "real": {"source": "hubble", "name": "hubble", "n": 300},
        "size": 16, "bands": ["g", "r"], "seed": 0, "details": {}, "notes": ["A note."],
        "version": "0",
    }  # fmt: skip
    if sets is not None:
        found |= {"size": sets.spec.size, "bands": list(sets.spec.bands)}
        found["generated"]["n"], found["real"]["n"] = len(sets.fake), len(sets.real)
    return found


def against(found: dict[str, Any], **scores: Any) -> dict[str, Any]:
    """The same with a second generator."""
    other = {**found["generated"], "name": "r3gan", "source": "other"}
    return {**found, "against": {"generated": other, "metrics": metrics(**scores), "details": {}}}


def card(
    n: int = 40,
    size: int = 24,
    bands: tuple[str, ...] = ("g", "r", "i"),
    *,
    two: bool = False,
    classes: bool = False,
) -> Card:
    """Everything, of n generated and 2 n real galaxies."""
    spec = ImageSpec(size, bands)
    flux = [_galaxies(count, len(bands), size, k) for k, count in enumerate((2 * n, n, n, n))]
    real, fake, held, second = flux
    pool = Images.of(real, [f"sky-{k:04d} <b>" for k in range(len(real))])
    asked = None
    if classes:
        asked = Asked(("early", "late<"), np.arange(n) % 2, np.arange(2 * n) % 2, np.arange(n) % 2)
    sets = Comparison(
        spec, Images.of(fake), pool, display_stretch(real, spec), pool, Images.of(held), asked=asked
    )
    judged = judgement(sets, _survey(real, spec, 0), 1)
    found, other = result(sets), None
    if classes:
        values = np.random.default_rng(0).normal(20, 1, n)
        judged.following = {"mag_r": Following(values, values + 0.1, None, None, "mag")}
    if two:
        other_sets = Comparison(
            spec, Images.of(second), pool, sets.stretch, pool, sets.held, asked=asked
        )
        other = other_sets, judgement(other_sets, judged.real, 2)
        found = against(found, frechet_galaxy=entry(12.0, 4.0, 9.0))
    found["questions"], found["verdict"] = questions(found), verdict(found)
    return Card(sets, judged, found, other)


def judgement(sets: Comparison, real: Survey, seed: int) -> Judgement:
    """Measured galaxies and distances that chance drew."""
    rng = np.random.default_rng(seed)
    fake = _survey(sets.fake.read(range(len(sets.fake))), sets.spec, seed)
    judged = Judgement(fake, real, scores=metrics())
    if len(sets.spec.bands) > 1:
        judged.real_points, judged.fake_points = (points_of(s.columns) for s in (real, fake))
        judged.box = fit_box(judged.real_points)
    else:
        judged.scores["colour_magnitude"] = null("one band has no colour")
    judged.copying = Copying(
        *({space: _nearest(rng, len(images), len(sets.train)) for space in ("aligned", "polar")}
          for images in (sets.fake, sets.held))
    )  # fmt: skip
    return judged


def _nearest(rng: np.random.Generator, n: int, references: int) -> Nearest:
    return Nearest(rng.integers(references, size=n), rng.uniform(0.5, 1, size=n))


@cache
def _galaxies(n: int, bands: int, size: int, seed: int) -> Tensor:
    return galaxies(n, bands, size, seed)


def _survey(flux: Tensor, spec: ImageSpec, seed: int) -> Survey:
    instruments = Instruments(spec, "aperture", spectrum=partial(spectrum_rows, spec=spec))
    found = survey(Images.of(flux), instruments)
    rng = np.random.default_rng(seed)
    found.columns |= {name: rng.normal(size=len(flux)) for name in SHAPES}
    found.columns["gini"][0] = np.nan
    return found
