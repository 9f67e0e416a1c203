"""How much memory the backward passes of a training step need."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class SavedActivations:
    """Bytes that autograd keeps for backward passes, and their peak, without the parameters.

    A context manager. Tensors that share a storage count once.

    Parameters
    ----------
    apart
        Tensors that are counted elsewhere.
    """

    def __init__(self, apart: Sequence[Tensor]) -> None:
        self._apart = {t.untyped_storage().data_ptr() for t in apart}
        self._users: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)
        self.now = self.peak = 0

    def _pack(self, tensor: Tensor) -> Callable[[], Tensor]:
        def kept() -> Tensor:
            return tensor

        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self._apart:
            users = self._users.get(place, 0)
            self._users[place] = users + 1
            if not users:
                self.now += size
                self.peak = max(self.peak, self.now)
            weakref.finalize(kept, self._release, place, size)
        return kept

    @staticmethod
    def _unpack(kept: Callable[[], Tensor]) -> Tensor:
        return kept()

    def _release(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            self.now -= size

    def __enter__(self) -> SavedActivations:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
