"""The units of freezing that a network is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


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
        The modules that hold its parameters and buffers.
    """

    name: str
    block: str
    modules: tuple[nn.Module, ...]

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of the layer."""
        for module in self.modules:
            yield from module.parameters()
