"""Which code follows which property of a galaxy: what InfoGAN has found out by itself.

A model that was trained with ``model.options.codes`` or ``categories`` draws galaxies, each is
measured, and the table says how far every property follows from each code::

    python -m galgen.studies.codes RUN -n 1000 --out codes

It writes ``codes.json``, ``codes.md``, and ``codes.png``: the same galaxies while one code varies.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError, GalgenError
from galgen.io.atomic import replacing
from galgen.measure.bandorder import colour_pair, reference_band
from galgen.measure.moments import stretch
from galgen.measure.quantities import measure_numbers
from galgen.models.rendering import Renderer
from galgen.models.rules import sort_options
from galgen.models.sweeping import parse_axis, render
from galgen.nn.condition import ConditionSettings, Guess, category
from galgen.nn.scoring import ScoringCritic
from galgen.report.pictures import composite
from galgen.report.strips import table, write_png
from galgen.runs import make_folder
from galgen.training.machine import find_accelerator

#: Seed of the galaxies that are measured, apart from those of pictures and metrics.
SEED = 2_000_003
#: Galaxies and steps of the picture.
ROWS, STEPS = 3, 9
#: Fewest galaxies that correlations are taken of.
FEWEST = 20
#: How often codes are shuffled.
_SHUFFLES = 20
_AT_ONCE = 64
_GREY = 40


@dataclass(frozen=True)
class Code:
    """One code and what follows from it.

    Attributes
    ----------
    name
        ``code1``, ``code2``, ..., ``category``.
    found
        How far the critic finds it again in generated images: the squared correlation of a
        continuous code with what is read, the fraction of categories that are read right.
    follows
        Property to the part of the variance of its ranks that the code explains: the squared
        Spearman correlation of a continuous code, eta squared of the category.
    chance
        Property to the same with the codes shuffled, the mean of 20 times: what is nothing.
    """

    name: str
    found: float
    follows: dict[str, float]
    chance: dict[str, float]


@dataclass(frozen=True)
class Study:
    """What the study left behind."""

    codes: tuple[Code, ...]
    measured: int
    picture: Path
    json: Path
    markdown: Path


def properties(model: TrainedModel) -> tuple[str, ...]:
    """What is measured: magnitude, colour where there is one, half-light radius, ellipticity."""
    bands = model.spec.bands
    pair = colour_pair(bands)
    colour = () if pair is None else (f"{bands[pair[0]]}-{bands[pair[1]]}",)
    return (f"mag_{bands[reference_band(bands)]}", *colour, "r_half", "ellipticity")


def codes(
    source: str | Path | TrainedModel | None = None, n: int = 1000, out: str | Path = "codes"
) -> Study:
    """Draw and measure `n` galaxies, and say which code follows which property.

    Parameters
    ----------
    source
        As `galgen.checkpoint.load`.
    n
        Galaxies.
    out
        Folder.

    Raises
    ------
    ConfigError
        If the model has no codes, or `n` is below 20.
    """
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    settings = sort_options(model.module.options)[1]
    if not settings.codes and not settings.categories:
        raise ConfigError(
            f"{model.path} has no codes: train one with --set model.options.codes=3, say."
        )
    if n < FEWEST:
        raise ConfigError(f"-n {n}: correlations need at least {FEWEST} galaxies.")
    folder = make_folder(Path(out))
    model.to(find_accelerator())
    renderer = model.module.renderer(SEED)
    condition = model.module.sample_conditions(range(n), SEED)
    flux = torch.cat([part for _, part in renderer.stream(range(n), condition)])
    z = renderer.latents(range(n))
    names = properties(model)
    # Turned images have another stretch, so no model is conditional on it; a code may well be.
    measured = np.column_stack(
        [measure_numbers(flux, model.spec, names), stretch(flux, model.spec)]
    )
    names = (*names, "e1", "e2")
    good = np.isfinite(measured).all(axis=1)
    if good.sum() < FEWEST:
        raise ConfigError(f"only {good.sum()} of {n} galaxies can be measured: train the model on.")
    found = _found(model, settings, flux, z, condition)
    rows = []
    for name, values in _values(settings, z).items():
        follow = explained_by_category if name == "category" else explained
        mine = values[good]
        rows.append(
            Code(
                name,
                found[name],
                {p: follow(mine, measured[good, k]) for k, p in enumerate(names)},
                {p: by_chance(follow, mine, measured[good, k]) for k, p in enumerate(names)},
            )
        )
    study = Study(
        tuple(rows), int(good.sum()), folder / "codes.png", folder / "codes.json",
        folder / "codes.md",
    )  # fmt: skip
    _draw(model, renderer, list(_values(settings, z)), study.picture)
    _write(study, n)
    return study


def explained(code: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Squared Spearman correlation of a code (N,) with measured values (N,)."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(code), rankdata(values))[0, 1] ** 2)


def explained_by_category(kinds: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Eta squared: the part of the variance of the ranks of values (N,) between categories (N,)."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    between = sum(
        (kinds == kind).sum() * (ranks[kinds == kind].mean() - ranks.mean()) ** 2
        for kind in np.unique(kinds)
    )
    return float(between / ((ranks - ranks.mean()) ** 2).sum())


def by_chance(
    follow: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    code: NDArray[np.float64],
    values: NDArray[np.float64],
) -> float:
    """What a code (N,) explains of values (N,) when it is shuffled, the mean of 20 times."""
    random = np.random.default_rng(0)
    return float(np.mean([follow(random.permutation(code), values) for _ in range(_SHUFFLES)]))


def _values(settings: ConditionSettings, z: Tensor) -> dict[str, NDArray[np.float64]]:
    """Codes (N,) of latents by name."""
    values = {f"code{k + 1}": z[:, k].double().numpy() for k in range(settings.codes)}
    if settings.categories:
        values["category"] = category(z, settings).double().numpy()
    return values


@torch.no_grad()
def _found(
    model: TrainedModel,
    settings: ConditionSettings,
    flux: Tensor,
    z: Tensor,
    condition: Tensor | None,
) -> dict[str, float]:
    """How far the critic finds each code again; fluxes, latents and rows lie on the CPU."""
    critic = model.module.critic
    device = next(critic.parameters()).device
    assert isinstance(critic, ScoringCritic)
    assert isinstance(critic.guess, Guess)
    parts = []
    for start in range(0, len(flux), _AT_ONCE):
        piece = slice(start, start + _AT_ONCE)
        rows = None if condition is None else condition[piece].to(device)
        read = critic.judge(model.stretch(flux[piece]).to(device), rows).read
        assert read is not None
        parts.append(read.cpu())
    _, _, codes_read, kinds_read = torch.cat(parts).split(critic.guess.parts, dim=1)
    found = {
        f"code{k + 1}": float(np.corrcoef(z[:, k].numpy(), codes_read[:, k].numpy())[0, 1] ** 2)
        for k in range(settings.codes)
    }
    if settings.categories:
        right = kinds_read.argmax(dim=1) == category(z, settings)
        found["category"] = float(right.double().mean())
    return found


def _draw(model: TrainedModel, renderer: Renderer, names: Sequence[str], path: Path) -> None:
    """The same galaxies while one code varies, a block of rows a code."""
    pictures, heads = [], []
    for name in names:
        axis = parse_axis(name, model.module, STEPS)
        condition = model.module.sample_conditions(range(ROWS), SEED)
        images = render(model.module, renderer, axis, range(ROWS), condition)
        shown = composite(images.flatten(0, 1), model.spec, model.stretch)
        shown = shown.reshape(ROWS, -1, *shown.shape[1:])
        # Fewer categories than steps leave the rest of a row grey.
        rest = np.full((ROWS, STEPS - shown.shape[1], *shown.shape[2:]), _GREY, np.uint8)
        pictures.append(np.concatenate([shown, rest], axis=1)[:, :STEPS])
        heads += [name, *[""] * (ROWS - 1)]
    write_png(table(np.concatenate(pictures), heads), path)


def markdown(study: Study) -> str:
    """The table, with what shuffled codes reach as the last row."""
    names = list(study.codes[0].follows)
    lines = [
        "| code | read again | " + " | ".join(names) + " |",
        "| --- | --- |" + " --- |" * len(names),
    ]
    lines += [
        f"| {code.name} | {code.found:.2f} | "
        + " | ".join(f"{code.follows[name]:.2f}" for name in names)
        + " |"
        for code in study.codes
    ]
    most = {name: max(code.chance[name] for code in study.codes) for name in names}
    lines.append("| shuffled | | " + " | ".join(f"{most[name]:.2f}" for name in names) + " |")
    return "\n".join(lines) + "\n"


def _write(study: Study, n: int) -> None:
    result = {"n": n, "measured": study.measured, "codes": [asdict(code) for code in study.codes]}
    texts = ((study.json, json.dumps(result, indent=1) + "\n"), (study.markdown, markdown(study)))
    for path, text in texts:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m galgen.studies.codes", description="Which code follows which property."
    )
    parser.add_argument("source", nargs="?", help="checkpoint, run or exported folder [newest run]")
    parser.add_argument("-n", type=int, default=1000, help="galaxies [1000]")
    parser.add_argument("--out", default="codes", help="folder [codes]")
    given = parser.parse_args(arguments)
    try:
        study = codes(given.source, given.n, given.out)
    except GalgenError as error:
        print(f"galgen: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown(study), end="")
    print(f"{study.measured} of {given.n} galaxies measured; picture: {study.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
