"""The only list of generator/critic pairs: name -> module and the defaults of its preset."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from galgen.errors import ConfigError

if TYPE_CHECKING:
    from galgen.models.base import AdversarialModule


@dataclass(frozen=True)
class Pair:
    """One entry of the registry.

    Attributes
    ----------
    path
        ``module:class``, imported at first use.
    summary
        One line for people.
    preset
        Configuration that differs from the defaults, nested.
    """

    path: str
    summary: str
    preset: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> type[AdversarialModule]:
        """The LightningModule class."""
        module, _, name = self.path.partition(":")
        loaded: type[AdversarialModule] = getattr(import_module(module), name)
        return loaded


PAIRS: dict[str, Pair] = {
    "dcgan": Pair(
        "galgen.models.dcgan:DCGAN", "convolutional, small, stable: a laptop, hundreds of galaxies"
    ),
}


def find(name: str) -> Pair:
    """The pair of that name.

    Raises
    ------
    ConfigError
        With the nearest names, if there is none.
    """
    if name in PAIRS:
        return PAIRS[name]
    near = difflib.get_close_matches(name, PAIRS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(PAIRS)}."
    raise ConfigError(f"--model {name} is not known: {hint}")


def check_options(pair: Pair, options: Mapping[str, Any]) -> None:
    """Refuse network options that the pair does not have, and values of another type."""
    build = pair.load().build
    known = [
        p.name
        for p in inspect.signature(build).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty
    ]
    kinds = get_type_hints(build)
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise ConfigError(f"model.options.{name} is not an option of this model: {hint}")
        try:
            TypeAdapter(kinds[name]).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].replace("Input should be", "should be")
            raise ConfigError(f"model.options.{name}: {message}, got {value!r}.") from None
