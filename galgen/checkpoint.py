"""Save and load models, safely: tensors and plain values only, no code from the file runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import CheckpointError, ConfigError
from galgen.exported import CARD, FROM, WEIGHTS, digest, known_as, read_card
from galgen.generated.source import Source
from galgen.io.tensors import read_tensors
from galgen.runs import checkpoint_in, newest_run
from galgen.stored import OtherVersion as OtherVersion
from galgen.stored import check_format
from galgen.stored import read as read
from galgen.stretch import Stretch

if TYPE_CHECKING:
    from galgen.generated.again import Again
    from galgen.models.base import AdversarialModule
    from galgen.specialists import Specialist

#: The small model that galgen ships.
PACKAGED = "hubble-32px"


@dataclass(frozen=True)
class TrainedModel(Source):
    """A trained pair with its facts, ready to sample.

    Attributes
    ----------
    module
        The pair; its averaged generator makes the samples.
    card
        galgen's part of the checkpoint, JSON types only.
    path
        The file or folder that it came from.
    specialists
        Snapshots that draw the galaxies of some classes, by name.
    """

    module: AdversarialModule
    card: Mapping[str, Any]
    path: Path
    specialists: Mapping[str, Specialist] = field(default_factory=dict)

    @property
    def spec(self) -> ImageSpec:
        """Facts about the images."""
        return self.module.spec

    @property
    def stretch(self) -> Stretch:
        """Flux to network space and back."""
        if self.module.stretch is None:
            raise CheckpointError(f"{self.path} was saved before it saw data: train it first.")
        return self.module.stretch

    @property
    def name(self) -> str:
        """Name of the pair."""
        return self.module.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, empty for an unconditional model."""
        return self.module.classes

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the run, empty for models trained through the library alone."""
        return dict(self.card.get("config") or {})

    @property
    def holdout(self) -> tuple[str, ...]:
        """Names of the galaxies that were never trained on."""
        return tuple(self.card["holdout"])

    @property
    def images(self) -> int:
        """Images that the critic had seen."""
        return int(self.card["clock"]["images"])

    @property
    def side(self) -> int:
        """Side in pixels that the generator has grown to; the images' size for most pairs."""
        network = self.module.average.network
        if not self.module.grows:
            return self.spec.size
        return int(network.sides[network.level])  # type: ignore[index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint's file, in hex.

        A folder that was exported in full precision answers to that of the checkpoint that it was
        made from, because the galaxies are the same bit for bit.
        """
        if not self.path.is_dir():
            return digest(self.path)
        return known_as(self.path, self.card, WEIGHTS, self.card.get(FROM))

    def made_by(self, label: str | None) -> dict[str, Any]:
        """Digest and images of the snapshot that draws galaxies of a class, for their files."""
        maker = self if label is None else self.specialists.get(label, self)
        return {"checkpoint": maker.digest, "images": maker.images}

    def again(self) -> Again:
        """How another process loads the same model: with the snapshots of its classes where this
        one has them, and without where it has none.

        Raises
        ------
        CheckpointError
            If the files that it came from are not there any more.
        """
        from galgen.generated.again import Again

        return Again.of(self)

    def to(self, device: str) -> TrainedModel:
        """Move the networks; gives the model itself."""
        self.module.to(device)
        return self

    def sample_chunks(
        self, indices: Sequence[int], *, seed: int = 0, **asked: Any
    ) -> Iterator[tuple[list[int], Tensor]]:
        """As `AdversarialModule.sample_chunks`."""
        return self.module.sample_chunks(indices, seed=seed, **asked)


def digests(source: TrainedModel | str | Path) -> set[str]:
    """Every hash that a galaxy of this model may name as its checkpoint's.

    Parameters
    ----------
    source
        A loaded model; or a checkpoint file, run folder or exported folder, which is not loaded.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    from galgen.specialists import exported_from

    if isinstance(source, TrainedModel):
        known = {source.digest, *(one.digest for one in source.specialists.values())}
        return known | (digests(source.path) if source.path.is_dir() else set())
    path = resolve(source)
    if path.is_file():
        beside = path.parent.glob("best-*.ckpt") if Path(source).is_dir() else ()
        return {digest(file) for file in (path, *beside)}
    card = read_card(path)
    made = {WEIGHTS: card.get(FROM), **exported_from(card)}
    there = {file: by for file, by in made.items() if (path / file).is_file()}
    known = {known_as(path, card, file, by) for file, by in there.items()}
    return known | {digest(path / file) for file in there}


def packaged_model() -> Path:
    """Folder of the small model that galgen ships."""
    return Path(str(files("galgen") / "assets" / PACKAGED))


def looks_like_checkpoint(path: str | Path) -> bool:
    """True for a .ckpt file, a run folder (also before its first checkpoint), an exported one."""
    path = Path(path)
    if path.is_file():
        return path.suffix == ".ckpt"
    return path.is_dir() and (
        (path / CARD).is_file()
        or (path / "config.yaml").is_file()
        or checkpoint_in(path) is not None
    )


def resolve(source: str | Path | None = None) -> Path:
    """The checkpoint file or exported folder that a command means.

    Parameters
    ----------
    source
        A file, a run folder, an exported folder, or None for the newest run under ``./runs``
        and, with no run, the model that galgen ships.

    Raises
    ------
    CheckpointError
        If it does not exist or holds no checkpoint.
    """
    if source is None:
        run = newest_run()
        found = None if run is None else checkpoint_in(run)
        return packaged_model() if found is None else found
    path = Path(source)
    if path.is_file() or (path / CARD).is_file():
        return path
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist: give a .ckpt file, a run folder or an exported folder."
        )
    found = checkpoint_in(path)
    if found is None:
        raise CheckpointError(
            f"{path} holds no checkpoint: give a .ckpt file, a run folder with "
            "checkpoints/last.ckpt, or an exported folder with card.json."
        )
    return found


def load(source: str | Path | None = None) -> TrainedModel:
    """Load a model from a checkpoint file, a run folder or an exported folder.

    Parameters
    ----------
    source
        As in `resolve`. A run or exported folder that has snapshots of single classes draws the
        galaxies of those from them, see `galgen.specialists`.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be used.
    """
    from galgen.specialists import attach

    path = resolve(source)
    if path.is_dir():
        return attach(assemble(path, read_card(path)))
    content = read(path)
    card = content["galgen"]
    module = _build(card, path)
    _fill(module, content["state_dict"], content["ema"], path)
    model = TrainedModel(module, card, path)
    return model if source is not None and Path(source).is_file() else attach(model)


def assemble(folder: Path, card: Mapping[str, Any]) -> TrainedModel:
    """The model of the weights in an exported folder and of its card."""
    check_format(card, folder)
    try:
        state = read_tensors(folder / WEIGHTS)
    except ValueError as error:
        raise CheckpointError(
            f"{folder} is no exported model that can be read ({error})."
        ) from None
    module = _build(card, folder)
    prefix = "generator."
    average = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    _fill(module, state, average, folder)
    return TrainedModel(module, card, folder)


def _build(card: Mapping[str, Any], path: Path) -> AdversarialModule:
    from galgen.models.card import take_card
    from galgen.models.registry import find

    try:
        spec = ImageSpec.from_dict(card["spec"])
        conditions = Conditions.from_dict(card["conditions"])
        cls = find(str(card["model"])).load()
        module = cls(
            spec.size,
            spec.bands,
            classes=conditions.classes,
            numbers=conditions.names,
            seed=card["seed"],
            recipe=card["recipe"],
            **card["options"],
        )
        take_card(module, card)
        module.run = dict(card.get("config") or {})
    except (KeyError, TypeError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise CheckpointError(f"{path} lacks or distorts an entry ({detail}).") from None
    except ConfigError as error:
        raise CheckpointError(f"{path} describes a model that cannot be built: {error}") from None
    return module


def _fill(
    module: AdversarialModule, state: dict[str, Tensor], average: dict[str, Tensor], path: Path
) -> None:
    try:
        module.load_state_dict(state)
        module.average.load(average)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit its own description ({detail}).") from None
    module.eval()
