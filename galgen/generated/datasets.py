"""PyTorch data sets of generated galaxies, for use beside real ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from galgen.errors import ConfigError
from galgen.generated.drawing import Drawing, Galaxies, check_window, whole
from galgen.generated.items import Item, Space, Transform, check_space, item
from galgen.models.rendering import CHUNK

if TYPE_CHECKING:
    from galgen.bands import ImageSpec
    from galgen.checkpoint import TrainedModel
    from galgen.conditions import Conditions
    from galgen.stretch import Stretch

#: Memory for galaxies that were drawn before, in bytes, of each process.
CACHE_BYTES = 256 * 1024**2


class _Generated:
    """What both kinds of sets share: a drawing that other processes make anew from the file."""

    def __init__(
        self,
        model: TrainedModel | str | Path | None,
        *,
        seed: int,
        space: Space,
        transform: Transform | None,
        asked: dict[str, Any],
    ) -> None:
        from galgen.checkpoint import TrainedModel, load

        check_space(space)
        self.model = model if isinstance(model, TrainedModel) else load(model)
        self.seed, self.space, self.transform = whole("seed", seed), space, transform
        self.asked, self._again = asked, self.model.again()
        self._drawing: Drawing | None = Drawing(self.model, self.seed, **asked)
        self.spec: ImageSpec = self._drawing.spec
        self.conditions: Conditions = self._drawing.conditions
        self.stretch: Stretch = self.model.stretch

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by number, empty for a model without classes."""
        return self.conditions.classes

    @property
    def drawing(self) -> Drawing:
        """What draws the galaxies, in this process."""
        device = self.model.module.device
        if get_worker_info() is not None and device.type != "cpu":
            # A process that was forked cannot use the device of its parent, nor free what is there.
            self._parents = self.model, self._drawing
            self.model, self._drawing = self._again.load(), None
        if self._drawing is None:
            self._drawing = Drawing(self.model, self.seed, **self.asked)
        return self._drawing

    def _items(self, drawn: Galaxies) -> Iterator[Any]:
        for place, index in enumerate(drawn.indices):
            row = None if drawn.condition is None else drawn.condition[place]
            yield self._item(index, drawn.flux[place], row)

    def _item(self, index: int, flux: Tensor, row: Tensor | None) -> Any:
        stretch = self.stretch if self.space == "network" else None
        found: Item = item(flux, stretch, self.conditions, row, index, generated=True)
        return found if self.transform is None else self.transform(found)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "_parents"}
        return kept | {"model": None, "_drawing": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, model=state["_again"].load())


class GeneratedDataset(_Generated, Dataset[Any]):
    """Galaxies ``start`` to ``start + n`` of a seed as a map-style set.

    Items are dicts as `galgen.generated.items.item` makes them, and item *i* is sample
    ``start + i`` whatever the order and the number of workers. Galaxies are drawn in chunks and
    kept in memory, up to `cache_bytes` of flux. In the worker processes of a `DataLoader` a model
    on a GPU is loaded anew on the CPU: with a GPU leave ``num_workers`` at 0.

    Parameters
    ----------
    model
        A loaded one, or what `galgen.load` takes.
    n, seed, start
        Which galaxies.
    space
        ``network``, as the batches of a `CutoutDataModule` are, or ``flux``.
    transform
        Done to each item; ``lambda item: (item["images"], item["label"])`` for pairs.
    cache_bytes
        Memory for flux, of each process.
    asked
        ``label``, ``where``, ``no_condition``, ``telescope`` and what decides the galaxies' look,
        as in `galgen.checkpoint.TrainedModel.sample`.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it.
    """

    def __init__(
        self,
        model: TrainedModel | str | Path | None,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        space: Space = "network",
        transform: Transform | None = None,
        cache_bytes: int = CACHE_BYTES,
        **asked: Any,
    ) -> None:
        check_window(n, start)
        super().__init__(model, seed=seed, space=space, transform=transform, asked=asked)
        self.n, self.start, self.cache_bytes = int(n), int(start), cache_bytes
        self._kept: OrderedDict[int, tuple[Tensor, Tensor | None]] = OrderedDict()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """Several at once, which costs less where they lie far apart."""
        numbers = [self.start + self._checked(place) for place in places]
        found = self._fetch(numbers)
        return [self._item(index, *found[index]) for index in numbers]

    def _checked(self, place: int) -> int:
        if not -self.n <= place < self.n:
            raise IndexError(f"item {place} of a set of {self.n} galaxies")
        return int(place) % self.n

    def _fetch(self, numbers: Sequence[int]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """Flux and row of each sample."""
        wanted = dict.fromkeys(numbers)
        missing = [index for index in wanted if index not in self._kept]
        found = {index: self._kept[index] for index in wanted if index in self._kept}
        if missing:
            drawn = self.drawing.draw(self._with_neighbours(missing))
            new = {
                index: (
                    drawn.flux[place].clone(),
                    None if drawn.condition is None else drawn.condition[place],
                )
                for place, index in enumerate(drawn.indices)
            }
            found |= {index: new[index] for index in missing}
            self._keep(new)
        for index in found:
            if index in self._kept:
                self._kept.move_to_end(index)
        return found

    def _with_neighbours(self, missing: Sequence[int]) -> list[int]:
        """Whole chunks where what they cost is kept for later, else what is needed alone."""
        size = 4 * self.spec.n_bands * self.spec.size**2
        whole = self.n * size <= self.cache_bytes
        if not whole and len(missing) > 1:
            return list(missing)
        chunks = dict.fromkeys(index // CHUNK for index in missing)
        end = self.start + self.n
        return [
            index
            for chunk in chunks
            for index in range(max(self.start, chunk * CHUNK), min(end, (chunk + 1) * CHUNK))
            if index not in self._kept
        ]

    def _keep(self, new: dict[int, tuple[Tensor, Tensor | None]]) -> None:
        self._kept.update(new)
        size = 4 * self.spec.n_bands * self.spec.size**2
        most = max(CHUNK, self.cache_bytes // size)
        while len(self._kept) > most:
            self._kept.popitem(last=False)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": OrderedDict()}


class GeneratedStream(_Generated, IterableDataset[Any]):
    """Galaxies from number ``start`` on, one after the other, shared out without duplicates.

    Items are those of `GeneratedDataset`. The worker processes of a `DataLoader` and the replicas
    of a distributed run take turns in chunks of 32 galaxies. Each pass gives the same galaxies
    again; give another `start` for new ones.

    Parameters
    ----------
    n
        Galaxies in all; None for a stream without an end. Replicas of a stream with an end may
        differ by up to a chunk for each worker.
    rank, world
        This replica and how many there are; by default as torch.distributed says.
    model, seed, start, space, transform, asked
        As `GeneratedDataset`.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it, or there is no such replica.
    """

    def __init__(
        self,
        model: TrainedModel | str | Path | None,
        n: int | None = None,
        *,
        seed: int = 0,
        start: int = 0,
        space: Space = "network",
        transform: Transform | None = None,
        rank: int | None = None,
        world: int | None = None,
        **asked: Any,
    ) -> None:
        check_window(n, start)
        if (rank is None) != (world is None):
            raise ConfigError("rank and world belong together: give both or neither.")
        if rank is not None and world is not None and not 0 <= rank < world:
            raise ConfigError(f"rank = {rank} of {world}: replicas are counted from 0.")
        super().__init__(model, seed=seed, space=space, transform=transform, asked=asked)
        self.n, self.start, self.rank, self.world = n, int(start), rank, world

    def __iter__(self) -> Iterator[Any]:
        rank, world = self._replica()
        worker = get_worker_info()
        turn, turns = rank, world
        if worker is not None:
            turn, turns = rank * worker.num_workers + worker.id, world * worker.num_workers
        end = None if self.n is None else self.start + self.n
        drawing = self.drawing
        chunk = self.start // CHUNK + turn
        while end is None or chunk * CHUNK < end:
            first, last = chunk * CHUNK, (chunk + 1) * CHUNK
            numbers = range(max(first, self.start), last if end is None else min(last, end))
            yield from self._items(drawing.draw(numbers))
            chunk += turns

    def _replica(self) -> tuple[int, int]:
        """This replica and how many there are."""
        if self.rank is not None and self.world is not None:
            return self.rank, self.world
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is spawned knows nothing of the other replicas.
        rank, world = self._replica()
        return super().__getstate__() | {"rank": rank, "world": world}
