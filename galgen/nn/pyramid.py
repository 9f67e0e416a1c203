"""Resolutions and widths of networks that double their side from stage to stage."""

from __future__ import annotations

from collections.abc import Sequence

from galgen.errors import ConfigError

MIN_SIZE, MAX_SIZE = 16, 256
#: Side lengths that a network starts from.
BASES = (4, 5, 6, 7)
_WIDTHS = (32, 64, 96, 128)


def _check_size(size: int, name: str) -> None:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ConfigError(
            f"{name} makes images of {MIN_SIZE} to {MAX_SIZE} px, not {size}: see --size."
        )


def levels(size: int, name: str) -> tuple[int, int]:
    """(base side, number of doublings) whose product is the smallest that holds `size`.

    >>> levels(32, "dcgan"), levels(48, "dcgan"), levels(100, "dcgan")
    ((4, 3), (6, 3), (7, 4))
    """
    _check_size(size, name)
    choices = [(-(-size // 2**n), n) for n in range(1, 8)]
    return min((c for c in choices if c[0] in BASES), key=lambda choice: choice[0] * 2 ** choice[1])


def exact_levels(size: int, name: str) -> tuple[int, int]:
    """(base side, number of doublings) whose product is `size`.

    Raises
    ------
    ConfigError
        If `size` is not 4, 5, 6 or 7 times a power of two; it names the nearest that are.

    Examples
    --------
    >>> exact_levels(64, "progan"), exact_levels(96, "progan")
    ((4, 4), (6, 4))
    """
    _check_size(size, name)
    base, doublings = levels(size, name)
    if base * 2**doublings == size:
        return base, doublings
    sides = sorted(b * 2**n for b in BASES for n in range(2, 7) if b * 2**n <= MAX_SIZE)
    below = max(side for side in sides if side < size)
    above = min(side for side in sides if side > size)
    raise ConfigError(
        f"--size {size}: {name} doubles its side from stage to stage, so it makes images of 4, 5, "
        f"6 or 7 times a power of two: choose {below} or {above}."
    )


def doubling_widths(doublings: int, width: int, max_width: int) -> list[int]:
    """Feature maps per resolution, coarse to fine: `width` at the finest, doubled below it.

    >>> doubling_widths(4, 32, 128)
    [128, 128, 128, 64, 32]
    """
    for name, value in (("width", width), ("max_width", max_width)):
        if value < 1:
            raise ConfigError(f"model.options.{name} must be 1 or more, not {value}.")
    return [min(max_width, width * 2 ** (doublings - level)) for level in range(doublings + 1)]


def pyramid(
    size: int, widths: Sequence[int] | None, option: str, name: str, *, fine_first: bool = False
) -> tuple[int, list[int]]:
    """Base side and the feature maps per resolution, in the order of `widths`.

    Parameters
    ----------
    widths
        One number per resolution; None for 32 at the finest, growing to 128.
    option, name
        Of the option that gives them and of the pair, for messages.
    fine_first
        Whether `widths` run from fine to coarse.
    """
    base, doublings = levels(size, name)
    default = [_WIDTHS[min(i, len(_WIDTHS) - 1)] for i in range(doublings + 1)]
    if not fine_first:
        default = default[::-1]
    features = default if widths is None else [int(w) for w in widths]
    if len(features) != doublings + 1 or min(features) < 1:
        order = "fine to coarse" if fine_first else "coarse to fine"
        raise ConfigError(
            f"model.options.{option} needs {doublings + 1} positive numbers at {size} px, "
            f"{order}, for example {default}; got {features}."
        )
    return base, features
