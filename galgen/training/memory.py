"""What to do where memory runs out: smaller parts of a batch."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch

from galgen.errors import ConfigError
from galgen.training.replicas import world

#: How allocators that raise a plain RuntimeError say it: the CPU's, Apple's, cuDNN's, cuBLAS'.
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def smaller(part: int, group: int) -> int:
    """At most half of `part` images, in whole groups of so many.

    >>> smaller(32, 4), smaller(24, 4), smaller(4, 1), smaller(9, 3)
    (16, 12, 2, 3)

    Raises
    ------
    ConfigError
        If there is no such number.
    """
    half = part // 2 // group * group
    if half < 1:
        raise ConfigError(
            f"memory runs out with {part} image{'s' if part > 1 else ''} at a time, which cannot "
            "be fewer: lower --size or the networks' widths (model.options)."
        )
    return half


def parts(count: int, most: int | None) -> list[slice]:
    """A batch of `count` images in parts of at most so many; None for the whole.

    >>> parts(8, None), parts(6, 4)
    ([slice(0, 8, None)], [slice(0, 4, None), slice(4, 6, None)])
    """
    step = count if most is None else min(most, count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def smallest(given: int | None, known: Sequence[int | None]) -> int | None:
    """Images at a time where a run goes on.

    Parameters
    ----------
    given
        What was asked for.
    known
        What each replica had come to when the checkpoint was written. This one takes its own, or
        the least where the number of replicas is another.
    """
    rank, replicas = world()
    own = [known[rank]] if len(known) == replicas else known
    return min((part for part in (given, *own) if part is not None), default=None)


def release() -> None:
    """Give back what is no longer needed."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
