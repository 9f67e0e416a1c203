"""Which metrics an evaluation takes: the words of ``--metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from galgen.errors import ConfigError, DataError

#: Extractors that galgen knows by name; a file is a user's own.
EXTRACTORS = ("galaxy", "physics", "inception")
#: What is no distance between features.
GROUPS = ("photometry", "morphology", "spectrum", "radio", "copies", "conditions", "statmorph")
#: Without ``--metrics``: all that needs neither a download nor minutes.
DEFAULT = ("galaxy", "physics", "photometry", "morphology", "spectrum", "radio", "copies",
           "conditions")  # fmt: skip
_FILES = (".pt", ".ts", ".pt2")


@dataclass(frozen=True)
class Wanted:
    """What is taken.

    Attributes
    ----------
    extractors
        Names, or files with a network, in the order of the table.
    groups
        Of `GROUPS`.
    """

    extractors: tuple[str, ...]
    groups: frozenset[str]

    def __contains__(self, name: str) -> bool:
        return name in self.groups or name in self.extractors


def parse_metrics(text: str | Sequence[str] | None = None) -> Wanted:
    """``--metrics``: names with commas; a leading + adds to the default, - takes away from it.

    Raises
    ------
    ConfigError
        For a name that is none.

    Examples
    --------
    >>> parse_metrics("galaxy,copies").extractors
    ('galaxy',)
    >>> "inception" in parse_metrics("+inception"), "radio" in parse_metrics("-radio")
    (True, False)
    """
    parts = [text] if isinstance(text, str) else list(text or ())
    names = [name.strip() for part in parts for name in part.split(",") if name.strip()]
    relative = [name for name in names if name[0] in "+-"]
    if relative and len(relative) < len(names):
        raise ConfigError(
            f"--metrics {','.join(names)}: either every name has a + or - and changes the "
            f"default ({', '.join(DEFAULT)}), or none has."
        )
    chosen = list(DEFAULT if relative or not names else names)
    for name in relative:
        word = _known(name[1:].strip())
        if name[0] == "+" and word not in chosen:
            chosen.append(word)
        elif name[0] == "-":
            chosen = [other for other in chosen if other != word]
    chosen = [_known(name) for name in dict.fromkeys(chosen)]
    if not chosen:
        raise ConfigError(f"--metrics {','.join(names)} leaves nothing to take.")
    return Wanted(
        tuple(name for name in chosen if name not in GROUPS),
        frozenset(name for name in chosen if name in GROUPS),
    )


def check(wanted: Wanted, inception: str | Path | None = None) -> None:
    """Find out before galaxies are made whether a metric lacks a package or a file.

    Raises
    ------
    ConfigError, DataError
        With what is missing. Inception's weights are downloaded now if they are not there.
    """
    if "statmorph" in wanted and find_spec("statmorph") is None:
        raise ConfigError("--metrics statmorph needs a package: pip install galgen[morphology].")
    for name in wanted.extractors:
        if name not in EXTRACTORS and not Path(name).expanduser().is_file():
            raise DataError(f"--metrics {name}: there is no such file: check its name.")
    if "inception" in wanted:
        from galgen.metrics.inception.weights import find_weights

        find_weights(inception)


def _known(name: str) -> str:
    if name in EXTRACTORS or name in GROUPS or Path(name).suffix.lower() in _FILES:
        return name
    every = (*EXTRACTORS, *GROUPS)
    near = get_close_matches(name, every, 1)
    raise ConfigError(
        f"--metrics {name}: there is no such metric{f'; did you mean {near[0]}?' if near else ';'} "
        f"choose from {', '.join(every)}, or name a file with a network ({', '.join(_FILES)})."
    )
