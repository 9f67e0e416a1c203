"""What ``--condition`` asks for: numbers by name, each from a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galgen.errors import ConfigError
from galgen.sections import split_conditions

OPTION = "--condition"
MEASURE, HEADER, CATALOGUE = "measure", "header", "catalogue"
_TABLES = (".csv", ".fits", ".fits.gz", ".fit")
#: Names of angles on the sky, which turns and mirror images change.
_ANGLES = frozenset("pa theta phi angle orientation position_angle posang pos_angle".split())


@dataclass(frozen=True)
class Wanted:
    """A number and where it comes from: a table's name, or one of the three words above."""

    source: str
    name: str

    def __str__(self) -> str:
        return f"{OPTION} {self.source}:{self.name}"


def parse(condition: str | Sequence[str]) -> tuple[Wanted, ...]:
    """``"[SOURCE:]name,name"`` to what is wanted, in order; without SOURCE the catalogue.

    Raises
    ------
    ConfigError
        If a name is missing or is given twice.

    Examples
    --------
    >>> [str(each) for each in parse("measure:mag_r,g-r catalog.csv:z")]
    ['--condition measure:mag_r', '--condition measure:g-r', '--condition catalog.csv:z']
    """
    found: list[Wanted] = []
    for text in split_conditions(condition):
        source = CATALOGUE
        for part in text.split(","):
            # A source holds for the names after it, until another one.
            said, colon, name = (piece.strip() for piece in part.rpartition(":"))
            if colon:
                source = CATALOGUE if said in ("", "catalog") else said
            # A table alone, its column forgotten.
            if not name or (not colon and name.lower().endswith(_TABLES)):
                raise ConfigError(
                    f"{OPTION} {text!r} lacks a name: write SOURCE:name,name, "
                    "for example measure:mag_r,g-r or catalog.csv:z."
                )
            if any(name == other.name for other in found):
                raise ConfigError(f"{OPTION} names {name!r} twice: take it from one source only.")
            found.append(Wanted(source, name))
    return tuple(found)


def turned(wanted: Sequence[Wanted]) -> list[str]:
    """A note on every number that the augmentation scrambles."""
    return [
        f"{each.name} changes as images are turned and mirrored, so it says something only with "
        "--set data.rotate=none --set data.flip=false."
        for each in wanted
        if each.name.lower() in _ANGLES
    ]
