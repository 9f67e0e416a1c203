"""Items of data sets of single galaxies: the same whether real or generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from galgen.conditions import Conditions
from galgen.errors import ConfigError
from galgen.stretch import Stretch

#: What a training loop takes of one galaxy; see `item`.
Item = dict[str, Any]
Transform = Callable[[Item], Any]
Space = Literal["network", "flux"]


def check_space(space: str) -> None:
    """Refuse a space that there is not.

    Raises
    ------
    ConfigError
        With those that there are.
    """
    if space not in get_args(Space):
        raise ConfigError(f"space = {space!r}: choose of {', '.join(get_args(Space))}.")


def item(
    flux: Tensor,
    stretch: Stretch | None,
    conditions: Conditions,
    condition: Tensor | None,
    index: int,
    generated: bool,
) -> Item:
    """One galaxy as a dict that torch's own collation makes batches of.

    Parameters
    ----------
    flux
        (C, H, W).
    stretch
        Into network space; None leaves the flux.
    conditions, condition
        What galaxies can be asked to be, and the row (width,) of this one.
    index
        Its number in its set.
    generated
        Whether it is.

    Returns
    -------
    dict
        ``images`` (C, H, W) float32 and, where there are conditions, ``condition`` (width,), named
        as in the batches of `galgen.data.module.CutoutDataModule`; ``label``, the number of its
        class, -1 for none, where there are classes; ``index`` and ``generated``.
    """
    found: Item = {"images": flux.clone() if stretch is None else stretch(flux[None])[0]}
    if conditions and condition is not None:
        found["condition"] = condition.clone()
        if conditions.classes:
            place = condition[: len(conditions.classes)]
            found["label"] = int(place.argmax()) if bool(place.any()) else -1
    return found | {"index": int(index), "generated": generated}


def rows_of(conditions: Conditions, labels: Any, values: Any, count: int) -> Tensor | None:
    """Rows (count, width) of conditions; None where there are none."""
    if not conditions:
        return None
    if labels is None and values is None:
        return torch.zeros(count, conditions.width)
    return torch.from_numpy(conditions.encode(labels, values))
