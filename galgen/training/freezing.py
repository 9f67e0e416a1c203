"""Which parts of a network stay as they are.

Layers are counted from the latent in a generator and from the image in a critic. A layer is
one dense or convolution with its norm, bias and noise, and the mapping network counts as
one; a block is one resolution. The networks say what their layers are, in order, by their
``layers()``; a layer's block is its resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from galgen.errors import ConfigError
from galgen.nn.units import Layer

UNITS = ("layer", "block")


def select(layers: Sequence[Layer], depth: int, unit: str, option: str) -> list[Layer]:
    """The first `depth` layers or blocks.

    Raises
    ------
    ConfigError
        If the network has fewer, or `depth` is negative, or the unit is unknown.
    """
    if unit not in UNITS:
        raise ConfigError(f"--freeze-unit {unit} is not known: choose layer or block.")
    blocks = list(dict.fromkeys(layer.block for layer in layers))
    available = len(layers) if unit == "layer" else len(blocks)
    if not 0 <= depth <= available:
        names = ", ".join(layer.name for layer in layers) if unit == "layer" else ", ".join(blocks)
        raise ConfigError(
            f"{option} {depth} asks for more than the network has: "
            f"choose 0 to {available} {unit}s ({names})."
        )
    if unit == "layer":
        return list(layers[:depth])
    return [layer for layer in layers if layer.block in blocks[:depth]]


def freeze(layers: Sequence[Layer]) -> None:
    """Stop gradients into the layers and keep their norms and dropouts in evaluation mode."""
    for layer in layers:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
    hold(layers)


def hold(layers: Sequence[Layer]) -> None:
    """Set the layers' norms and dropouts to evaluation mode."""
    for layer in layers:
        for part in layer.parts():
            part.training = False
