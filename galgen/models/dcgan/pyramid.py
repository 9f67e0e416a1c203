"""Resolutions and widths that both networks of the `dcgan` pair share."""

from __future__ import annotations

from collections.abc import Sequence

from galgen.errors import ConfigError

MIN_SIZE, MAX_SIZE = 16, 256
_WIDTHS = (32, 64, 96, 128)


def levels(size: int) -> tuple[int, int]:
    """(base side, number of doublings) whose product is the smallest that holds `size`.

    >>> levels(32), levels(48), levels(100)
    ((4, 3), (6, 3), (7, 4))
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ConfigError(
            f"dcgan makes images of {MIN_SIZE} to {MAX_SIZE} px, not {size}: see --size."
        )
    choices = [(-(-size // 2**n), n) for n in range(1, 8)]
    return min(
        (c for c in choices if 4 <= c[0] <= 7), key=lambda choice: choice[0] * 2 ** choice[1]
    )


def pyramid(size: int, widths: Sequence[int] | None, option: str) -> tuple[int, list[int]]:
    """Base side and the feature maps per resolution, coarse to fine."""
    base, doublings = levels(size)
    default = [_WIDTHS[min(i, len(_WIDTHS) - 1)] for i in range(doublings + 1)][::-1]
    features = default if widths is None else [int(w) for w in widths]
    if len(features) != doublings + 1 or min(features) < 1:
        raise ConfigError(
            f"model.options.{option} needs {doublings + 1} positive numbers at {size} px, "
            f"coarse to fine, for example {default}; got {features}."
        )
    return base, features
