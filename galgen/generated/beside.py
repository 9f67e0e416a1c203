"""Real galaxies as items beside generated ones, and sets of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.data.module import CutoutDataModule
from galgen.data.sets import CutoutSet, open_set
from galgen.errors import ConfigError
from galgen.exported import own_data
from galgen.generated.datasets import GeneratedDataset, GeneratedStream
from galgen.generated.items import Item, Space, Transform, check_space, item, rows_of
from galgen.randomness import generator
from galgen.stretch import Stretch


class RealDataset(Dataset[Any]):
    """Real galaxies, an item each, with keys, types and space as generated ones have them.

    Parameters
    ----------
    source
        A `CutoutDataModule`, whose training galaxies these are; a set of
        `galgen.data.sets.open_set`; a folder, pack or name for that; or None for the galaxies that
        the model of `beside` was trained on, read as its run read them.
    beside
        Generated galaxies to stand beside: gives the space, the stretch, the classes and numbers,
        and the transform; and the size and bands that a folder is opened with.
    space, transform
        As `GeneratedDataset`, where there is nothing to stand beside. Network space is then that
        of the module.
    held_out
        The held-out galaxies of a module rather than those it trains on.
    reading
        What `open_set` takes, for a folder.

    Raises
    ------
    ConfigError
        If the images or classes are not those of the generated ones.
    DataError
        As `open_set`.
    """

    def __init__(
        self,
        source: CutoutDataModule | CutoutSet | str | Path | None,
        beside: GeneratedDataset | GeneratedStream | None = None,
        *,
        space: Space | None = None,
        transform: Transform | None = None,
        held_out: bool = False,
        **reading: Any,
    ) -> None:
        if source is None:
            source = _own_module(beside)
        module = source if isinstance(source, CutoutDataModule) else None
        self.cutouts = _opened(source, beside, reading)
        self.space: Space = space or ("network" if beside is None else beside.space)
        check_space(self.space)
        self.transform = transform or (None if beside is None else beside.transform)
        rows = np.arange(len(self.cutouts))
        if module is not None:
            rows = module.split[int(held_out)]
        elif held_out:
            raise ConfigError("held_out is for a CutoutDataModule, which holds galaxies out.")
        self.rows = rows
        self.stretch: Stretch | None = None
        if self.space == "network":
            self.stretch = _stretch(module, beside)
        if beside is not None:
            _check_alike(self.cutouts, beside.spec)
            self.conditions = beside.conditions
        else:
            self.conditions = module.conditions if module is not None else _own(self.cutouts)
        self._rows = self._encoded()

    @property
    def spec(self) -> ImageSpec:
        """Facts about the images."""
        return self.cutouts.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by number."""
        return self.conditions.classes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """Several at once, read together."""
        rows = self.rows[list(places)].tolist()
        flux = torch.from_numpy(self.cutouts.read(rows))
        found: list[Item] = [
            item(
                flux[k],
                self.stretch,
                self.conditions,
                None if self._rows is None else self._rows[place],
                rows[k],
                generated=False,
            )
            for k, place in enumerate(places)
        ]
        return found if self.transform is None else [self.transform(one) for one in found]

    def _encoded(self) -> torch.Tensor | None:
        """Conditions as the networks see them, by the names and numbers of `conditions`."""
        have, conditions = self.cutouts, self.conditions
        labels = values = None
        if conditions.classes and have.labels is not None:
            unknown = [name for name in have.classes if name not in conditions.classes]
            if unknown:
                raise ConfigError(
                    f"{have.name} has the class {unknown[0]}, and the model knows "
                    f"{', '.join(conditions.classes)}: merge or leave it out (data.merge)."
                )
            number = np.array([conditions.classes.index(name) for name in have.classes])
            own = have.labels[self.rows]
            labels = np.where(own >= 0, number[own], -1)
        names = [number.name for number in have.numbers]
        if (
            conditions.numbers
            and have.values is not None
            and all(name in names for name in conditions.names)
        ):
            columns = [names.index(name) for name in conditions.names]
            values = have.values[self.rows][:, columns]
        return rows_of(conditions, labels, values, len(self.rows))


def _own_module(beside: GeneratedDataset | GeneratedStream | None) -> CutoutDataModule:
    """The data that a model was trained on, with the galaxies held out that it never saw."""
    way_out = "name the folder of real galaxies"
    if beside is None:
        raise ConfigError(f"without generated galaxies to stand beside, {way_out}.")
    model = beside.model
    settings = {**(model.config.get("data") or {}), "source": own_data(model, way_out)}
    if model.holdout:
        settings["holdout"] = model.holdout
    return CutoutDataModule(**settings, seed=int(model.config.get("seed", 0)))


def _opened(
    source: CutoutDataModule | CutoutSet | str | Path,
    beside: GeneratedDataset | GeneratedStream | None,
    reading: dict[str, Any],
) -> CutoutSet:
    if isinstance(source, str | Path):
        if beside is not None:
            reading = {"size": beside.spec.size, "bands": beside.spec.bands} | reading
        return open_set(source, **reading)
    if reading:
        raise ConfigError(
            f"{', '.join(reading)}: only a folder or pack is opened here; this set is open already."
        )
    return source.cutouts if isinstance(source, CutoutDataModule) else source


def _stretch(
    module: CutoutDataModule | None, beside: GeneratedDataset | GeneratedStream | None
) -> Stretch:
    if beside is not None:
        return beside.stretch
    if module is not None:
        return module.stretch
    raise ConfigError(
        "space = 'network' needs a stretch: give a CutoutDataModule, generated galaxies to stand "
        "beside, or space='flux'."
    )


def _own(cutouts: CutoutSet) -> Conditions:
    classes = cutouts.classes if len(cutouts.classes) > 1 else ()
    labels = cutouts.labels if classes else None
    return Conditions.of(classes, labels, cutouts.numbers, cutouts.values)


def _check_alike(real: CutoutSet, made: ImageSpec) -> None:
    """Refuse real images that cannot stand beside generated ones."""
    for what, mine, theirs, way in (
        ("bands", ",".join(real.spec.bands), ",".join(made.bands), "bands"),
        ("size", real.spec.size, made.size, "size"),
        ("unit", real.spec.unit, made.unit, "unit"),
    ):
        if mine != theirs:
            raise ConfigError(
                f"{real.name} has the {what} {mine} and the generated galaxies {theirs}: open it "
                f"with {way}={theirs!r}."
            )


class MixedDataset(Dataset[Any]):
    """Real galaxies, each replaced by a generated one with probability `alpha`.

    Parameters
    ----------
    real, generated
        Map-style sets whose items have one form. Item *i* is item *i* of one of them; where there
        are fewer generated galaxies, they come again.
    alpha
        Between 0 and 1. A larger one replaces the same galaxies and more.
    seed
        Decides, with the item's number, whether it is replaced.
    """

    def __init__(
        self, real: Dataset[Any], generated: Dataset[Any], alpha: float, seed: int = 0
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha = {alpha}: give a probability between 0 and 1.")
        for name, one in (("real", real), ("generated", generated)):
            if not (hasattr(one, "__len__") and hasattr(one, "__getitem__")) or not len(one):
                raise ConfigError(f"{name} is no set of numbered items: take a map-style dataset.")
        self.real, self.generated, self.alpha, self.seed = real, generated, float(alpha), int(seed)
        # In one draw for each item, so that no other item and no other alpha changes it.
        self.chance = torch.tensor(
            [
                torch.rand((), dtype=torch.float64, generator=generator(seed, "mixed", i)).item()
                for i in range(len(real))  # type: ignore[arg-type]
            ],
            dtype=torch.float64,
        )
        _check_form(real[0], generated[0])

    @property
    def replaced(self) -> torch.Tensor:
        """(N,) bool: which items are generated."""
        return self.chance < self.alpha

    def __len__(self) -> int:
        return len(self.chance)

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """Several at once, in two reads."""
        places = [range(len(self))[place] for place in places]
        taken = self.replaced
        mine = {
            True: [p % len(self.generated) for p in places if taken[p]],  # type: ignore[arg-type]
            False: [p for p in places if not taken[p]],
        }
        found = {
            True: iter(_several(self.generated, mine[True])),
            False: iter(_several(self.real, mine[False])),
        }
        return [next(found[bool(taken[p])]) for p in places]


def _several(dataset: Dataset[Any], places: list[int]) -> list[Any]:
    if not places:
        return []
    many = getattr(dataset, "__getitems__", None)
    return list(many(places)) if many is not None else [dataset[place] for place in places]


def _check_form(real: Any, made: Any) -> None:
    """Refuse items that no batch can hold together."""
    ways = "give both the same space and transform, as RealDataset(data, beside=generated) does"
    if type(real) is not type(made):
        raise ConfigError(
            f"real items are of type {type(real).__name__} and generated ones "
            f"{type(made).__name__}: {ways}."
        )
    if isinstance(real, dict) and real.keys() != made.keys():
        odd = ", ".join(map(str, sorted(real.keys() ^ made.keys())))
        raise ConfigError(f"only one of real and generated items has {odd}: {ways}.")
    pairs = (
        [(name, real[name], made[name]) for name in real]
        if isinstance(real, dict)
        else list(zip(range(len(real)), real, made, strict=False))
        if isinstance(real, tuple | list)
        else [("tensor", real, made)]
    )
    for name, one, other in pairs:
        a, b = ((getattr(x, "shape", None), getattr(x, "dtype", None)) for x in (one, other))
        if a != b:
            raise ConfigError(
                f"{name} of real items has the shape and type {a}, of generated ones {b}: {ways}."
            )


def mixed(real: Dataset[Any], generated: Dataset[Any], alpha: float, seed: int = 0) -> MixedDataset:
    """As `MixedDataset`, for a training set of which a part `alpha` is generated."""
    return MixedDataset(real, generated, alpha, seed)
