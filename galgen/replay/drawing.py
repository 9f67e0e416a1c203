"""From what files say of themselves to the galaxies that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from galgen.checkpoint import TrainedModel
from galgen.errors import DataError
from galgen.film import Step, drawn
from galgen.io.cards import fits_text
from galgen.io.cutout import file_kind
from galgen.models.requests import Request
from galgen.models.sampling import Look
from galgen.models.sweeping import Axis, base, parse_axis, render_cells
from galgen.replay.reading import Written
from galgen.sampling.views import View, own, views
from galgen.styles import Stage, mixed
from galgen.telescope import Telescope

#: Galaxies that are in memory at a time.
BATCH = 128


@dataclass(frozen=True)
class Scene:
    """What files have in common that are drawn together.

    Attributes
    ----------
    kind
        ``galaxy``, ``mix``, ``film`` or ``sweep``.
    seed, attempt, request, look, bands, telescope
        As they were drawn.
    more
        Of a sweep: what varied, and in how many steps.
    device
        To draw on.
    """

    kind: str
    seed: int
    attempt: int
    request: tuple[tuple[str, Any], ...]
    look: Look
    bands: tuple[str, ...] | None
    telescope: Telescope | None
    more: tuple[Any, ...]
    device: str


#: Paths of files by folder and by their name as a header has it.
Listed = dict[Path, dict[str, list[Path]]]


def scene_of(
    file: Written, model: TrainedModel, device: str, psf: str | None, listed: Listed | None = None
) -> Scene:
    """What decides a galaxy, beside its own numbers.

    Parameters
    ----------
    psf
        A file to take a PSF from, where the header names one of that name.
    listed
        Folders that were looked into before; filled in.

    Raises
    ------
    DataError
        If the header lacks something or holds something else than is written there, or a PSF's
        file is not there.
    """
    facts, asked = file.provenance, file.request
    listed = {} if listed is None else listed
    keys = {"mix_row": "mix", "film_from": "film", "sweep": "sweep"}
    kind = next((keys[key] for key in keys if key in facts), "galaxy")
    try:
        telescope = Telescope.from_cards(facts)
    except DataError as error:
        raise DataError(f"{file.path} cannot be drawn again: {error}") from None
    look = Look(file.number("truncation", 1.0), None, facts.get("grain") is not False)
    if telescope is None:
        told = facts.get("own_psf")
        carried = _existing(file, None if told is None else str(told), psf, listed)
        look = replace(look, psf=_psf_of(file, model, psf, listed), own_psf=carried)
    else:
        telescope = replace(
            telescope,
            psf=_existing(file, telescope.psf, psf, listed),
            own_psf=_existing(file, telescope.own_psf, psf, listed),
        )
    more: tuple[Any, ...] = ()
    if kind == "sweep":
        if not {"sweep", "frames"} <= asked.keys():
            raise DataError(f"{file.path} cannot be drawn again: its card REQUEST lacks the sweep.")
        more = asked["sweep"], asked["frames"]
    typed = {name: asked.get(name) for name in ("label", "where", "no_condition")}
    return Scene(
        kind,
        file.whole("seed"),
        file.whole("attempt", 0),
        tuple((name, _hashable(value)) for name, value in typed.items()),
        look,
        tuple(map(str, asked["bands"])) if "bands" in asked else None,
        telescope,
        more,
        device,
    )


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in value.items())
    return value


def view_of(scene: Scene, model: TrainedModel) -> View:
    """How the galaxies of a scene are seen."""
    telescopes = () if scene.telescope is None else (scene.telescope,)
    return views(model, scene.look, telescopes, scene.bands)[0]


def draw(
    scene: Scene, model: TrainedModel, view: View, files: Sequence[Written]
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (places in `files`, flux (n, C, H, W)) of the galaxies of one scene.

    Raises
    ------
    ConfigError
        If the model cannot draw such galaxies.
    """
    asked = dict(scene.request)
    where = dict(asked["where"]) if isinstance(asked["where"], tuple) else asked["where"]
    conditions = model.module.conditions
    request = Request.of(conditions, asked["label"], where, bool(asked["no_condition"]))
    model.to(scene.device)
    if scene.kind == "galaxy":
        yield from _galaxies(scene, model, view, request, files)
        return
    stage = Stage(model, scene.seed, request, view.look, scene.device)
    make = {"mix": _mixed, "film": _frames, "sweep": _cells}[scene.kind]
    for first in range(0, len(files), BATCH):
        flux = make(scene, stage, files[first : first + BATCH])
        places = list(range(first, first + len(flux)))
        yield places, view.see(flux, places, scene.seed)


def _galaxies(
    scene: Scene, model: TrainedModel, view: View, request: Request, files: Sequence[Written]
) -> Iterator[tuple[list[int], Tensor]]:
    # Which of several files of one sample it is does not matter.
    places: dict[int, list[int]] = {}
    for place, file in enumerate(files):
        places.setdefault(file.whole("index"), []).append(place)
    indices = sorted(places)
    condition = model.module.sample_conditions(indices, scene.seed, request)
    stream = model.module.stream(indices, condition, scene.seed, view.look, scene.attempt)
    for members, flux in stream:
        seen = view.see(flux, members, scene.seed, scene.attempt)
        rows = [row for row, index in enumerate(members) for _ in places[index]]
        yield [place for index in members for place in places[index]], seen[rows]


def _mixed(scene: Scene, stage: Stage, files: Sequence[Written]) -> Tensor:
    keys = ("mix_row", "mix_column", "mix_layer")
    cells = [tuple(file.whole(key) for key in keys) for file in files]
    return mixed(stage, [(row, column, layer) for row, column, layer in cells])


def _frames(scene: Scene, stage: Stage, files: Sequence[Written]) -> Tensor:
    steps = []
    for file in files:
        # A card may lack the last digit of a part such as 1/300; the fraction is exact.
        part = Fraction(file.number("film_part")).limit_denominator(1_000_000)
        start, end, noise_of = (file.whole(key) for key in ("film_from", "film_to", "noise_of"))
        steps.append(Step(start, end, part.numerator / part.denominator, noise_of))
    return drawn(stage, steps)


def _cells(scene: Scene, stage: Stage, files: Sequence[Written]) -> Tensor:
    text, frames = scene.more
    module = stage.model.module
    axis = parse_axis(text, module, frames)
    indices = [file.whole("index") for file in files]
    values = [_value(axis, file) for file in files]
    rows = base(module, axis, stage.request, scene.seed, indices)
    return render_cells(module, stage.renderer, axis, indices, values, rows)


def _value(axis: Axis, file: Written) -> float:
    """The axis' own value of a file, whose card may lack the last digits."""
    told = file.fact("sweep_value")
    if axis.kind == "label":
        names = [fits_text(text) for text in axis.texts]
        if told not in names:
            raise DataError(f"{file.path}: the sweep that it is of has no {told}.")
        return axis.values[names.index(told)]
    return min(axis.values, key=lambda value: abs(value - file.number("sweep_value")))


# -- point spread functions ----------------------------------------------------------------


def _psf_of(file: Written, model: TrainedModel, given: str | None, listed: Listed) -> str | None:
    """What ``--psf`` was, None for the model's own."""
    told = file.provenance.get("psf")
    if told is None:
        return None
    given_name = None if given is None else fits_text(Path(given).name)
    named = "psf_hash" in file.provenance or told == given_name
    if told == _own_psf(model) and not named:
        return None
    return _existing(file, str(told), given, listed)


def _own_psf(model: TrainedModel) -> str | None:
    told = own(model, Look()).cards["psf"]
    return None if told is None else fits_text(told)


def _existing(file: Written, text: str | None, given: str | None, listed: Listed) -> str | None:
    """A PSF as it is written, a file's name with its folder."""
    if text is None or file_kind(text) != "fits":
        return text
    if given is not None and fits_text(Path(given).name) == text and Path(given) != file.path:
        return given
    for folder in (file.path.parent, Path()):
        if folder not in listed:
            names: dict[str, list[Path]] = {}
            for path in folder.iterdir():
                names.setdefault(fits_text(path.name), []).append(path)
            listed[folder] = names
        for place in listed[folder].get(text, []):
            if place != file.path and place.is_file():
                return str(place)
    if given is not None:
        return given
    raise DataError(
        f"{file.path} was seen through the PSF of {text}, which lies neither beside it nor here: "
        "name the file by --psf."
    )
