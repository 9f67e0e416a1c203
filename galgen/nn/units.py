"""The units of freezing that a network is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from galgen.nn.condition import Branch, Embedding, Entrance


@dataclass(frozen=True)
class Layer:
    """One unit of freezing.

    Attributes
    ----------
    name
        What a person reads, ``16x16 conv``.
    block
        Name of the block that it belongs to, ``16x16`` or ``mapping``.
    modules
        The modules that hold its parameters and buffers. What conditions and codes pass inside them
        is no part of the unit: it says what to make, and has to learn new classes and numbers
        whatever is frozen.
    """

    name: str
    block: str
    modules: tuple[nn.Module, ...]

    def parts(self) -> Iterator[nn.Module]:
        """All modules of the layer, those within them too."""
        for module in self.modules:
            yield from _parts(module)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of the layer."""
        for part in self.parts():
            yield from part.parameters(recurse=False)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, Entrance | Embedding | Branch):
        return
    yield module
    for child in module.children():
        yield from _parts(child)
