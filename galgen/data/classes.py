"""Classes of a set: their names and numbers, and galaxies that have none."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from galgen.data.conditioned import Reducible, changed, leave_out
from galgen.errors import ConfigError

#: So many images a class needs to be trained on, or there is nothing to tell it from a copy.
FEWEST = 2

S = TypeVar("S", bound=Reducible)


class Classed(Reducible, Protocol):
    """A set that has classes, or could."""

    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


C = TypeVar("C", bound=Classed)


def label_of(text: str | None) -> str | None:
    """A label as it stands in a table, None for an empty cell and for NaN."""
    return None if text is None or text.strip().lower() in ("", "nan") else text


def class_numbers(values: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class number of each galaxy and the class names, in order of number or of name."""
    names = sorted(set(values))
    if all(name.lstrip("-").isdigit() for name in names):
        names.sort(key=int)
    number = {name: k for k, name in enumerate(names)}
    return np.array([number[value] for value in values], dtype=np.int64), tuple(names)


def classify(
    cutouts: S,
    values: Sequence[str | None],
    text: str,
    files: Sequence[str],
    bad_fraction: float,
    source: str,
) -> S:
    """A set with the classes that its galaxies have, less the galaxies that have none.

    Parameters
    ----------
    cutouts
        The set.
    values
        Label of each galaxy, None for none.
    text
        What ``--labels`` said.
    files, bad_fraction, source
        As `galgen.data.conditioned.leave_out`.

    Raises
    ------
    ConfigError
        If the labels are a number that differs from galaxy to galaxy.
    DataError
        If too many galaxies have none.
    """
    known = [value for value in values if value is not None]
    if not known:
        raise ConfigError(f"--labels {text} has a label for none of the images of {source}.")
    _refuse_numbers(known, text)
    reasons = [f"no label in {text}" if value is None else None for value in values]
    kept = leave_out(cutouts, reasons, files, bad_fraction, source)
    numbers, names = class_numbers(known)
    notes = list(kept.notes)
    if len(names) == 1:
        notes.append(f"every label in {text} is {names[0]}: without a second class there is none.")
    notes += handed(names)
    return changed(kept, labels=numbers, classes=names, notes=notes)


def merged(cutouts: C, merge: Mapping[str, Sequence[str]], source: str) -> C:
    """A set in which several classes are one.

    Parameters
    ----------
    merge
        New name to the names of the classes that it takes the place of.

    Raises
    ------
    ConfigError
        If the set has no such class, or one is merged twice.
    """
    if not merge:
        return cutouts
    classes = tuple(cutouts.classes)
    if cutouts.labels is None:
        raise ConfigError(f"data.merge: {source} has no classes to merge, see --labels.")
    new: dict[str, str] = {}
    for name, parts in merge.items():
        for part in parts:
            if part not in classes:
                near = difflib.get_close_matches(part, classes, 1)
                have = (
                    f"did you mean {near[0]}?"
                    if near
                    else f"it has {', '.join(classes) or 'none'}."
                )
                raise ConfigError(f"data.merge: {source} has no class {part!r}: {have}")
            if part in new:
                raise ConfigError(f"data.merge puts {part!r} into two classes: choose one of them.")
            new[part] = name
    values = [new.get(classes[number], classes[number]) for number in cutouts.labels]
    numbers, names = class_numbers(values)
    notes = [note for note in cutouts.notes if note not in handed(classes)]
    if len(names) == 1:
        notes.append(
            f"data.merge makes every class {names[0]}: without a second class there is none."
        )
    return changed(cutouts, labels=numbers, classes=names, notes=[*notes, *handed(names)])


def handed(names: Sequence[str]) -> list[str]:
    """A note where mirror images turn one class into another."""
    if not any("clockwise" in name.lower() for name in names):
        return []
    return ["mirror images turn clockwise into anticlockwise: --set data.flip=false keeps both."]


def _refuse_numbers(values: Sequence[str], text: str) -> None:
    counts = Counter(values)
    alone = sum(count == 1 for count in counts.values())
    try:
        _ = [float(value) for value in counts]
    except ValueError:
        return
    if len(values) >= 10 and 2 * alone > len(values):
        raise ConfigError(
            f"--labels {text} has {len(counts):,} different numbers for {len(values):,} galaxies, "
            f"which are no classes: ask for them as --condition {text}."
        )


def too_few(
    counts: dict[str, int], labels: str | None, built_in: bool, held: Mapping[str, int]
) -> str | None:
    """A sentence on classes with fewer than `FEWEST` training images, and the way out.

    Parameters
    ----------
    counts
        Training images of each class.
    labels
        What ``--labels`` said, None for classes that are sub-folders.
    built_in
        True for a set without files.
    held
        Held-out images of each class.
    """
    few = {name: count for name, count in counts.items() if count < FEWEST}
    if not few:
        return None
    name, count = next(iter(few.items()))
    images = "1 image" if count == 1 else f"{count} images"
    aside = []
    if held[name]:
        aside.append(f"{held[name]} more held out")
    if len(few) > 1:
        aside.append(f"{len(few) - 1} more classes have too few")
    more = f" ({'; '.join(aside)})" if aside else ""
    ways = ["leave classes alone by --labels none"]
    other = next((each for each in counts if each != name), "...")
    join = f"merge it with another class by --set 'data.merge={{NAME: [{name}, {other}]}}'"
    if built_in:
        ways.insert(0, "make more galaxies by --set data.count=...")
    elif labels is None or labels.startswith("header:"):
        ways.insert(0, f"take its files out of the folder, {join}")
    else:
        file, _, column = labels.rpartition(":")
        picked = f"{column}!={name}" if file == "catalogue" else f"{file}:{column}!={name}"
        ways.insert(0, f"leave it out by --set 'data.select={picked}', {join}")
    return (
        f"the class {name!r} has {images} to train on{more}, and at least {FEWEST} are needed: "
        f"{', or '.join(ways)}."
    )
