"""The checkpoint that drew a galaxy, by the hash in its header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import CheckpointError, GalgenError
from galgen.exported import CARD, read_card
from galgen.replay.reading import Written
from galgen.runs import RUNS


@dataclass(frozen=True)
class Found:
    """A model to draw with.

    Attributes
    ----------
    model
        It.
    proven
        Whether its hash is the one that is wanted; another one has to draw the same.
    """

    model: TrainedModel
    proven: bool = True


@dataclass
class Finder:
    """Finds checkpoints, each once.

    Hashing a file takes as long as reading it, so only those are hashed that are of the pair that
    the header names and have been trained as long.

    Parameters
    ----------
    given
        File, run or exported folder, in place of all that lies around.
    """

    given: str | Path | None = None
    _known: dict[str, Found] = field(default_factory=dict)
    _hashes: dict[Path, set[str]] = field(default_factory=dict)

    def find(self, file: Written) -> Found:
        """The model that a file names.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        wanted = str(file.fact("checkpoint"))
        if wanted not in self._known:
            self._known[wanted] = self._search(wanted, file)
        return self._known[wanted]

    def _search(self, wanted: str, file: Written) -> Found:
        places = list(_around() if self.given is None else _inside(Path(self.given)))
        pair = file.provenance.get("model")
        images = file.whole("images") if "images" in file.provenance else None
        for place in places:
            facts = _facts(place)
            fits = facts is not None and pair in (None, facts[0]) and images in (None, *facts[1])
            if fits and wanted in self._digests(place):
                return Found(checkpoint.load(place))
        told = f"SHA-256 {wanted}" + (f" ({pair} at {images:,} images)" if images else "")
        if self.given is not None:
            # Maybe the same network in another file: then it draws the same.
            try:
                return Found(checkpoint.load(self.given), proven=False)
            except CheckpointError as error:
                raise CheckpointError(f"{error} {file.path} was drawn by {told}.") from None
        raise CheckpointError(
            f"{file.path} was drawn by a checkpoint with {told}, which is neither under ./{RUNS} "
            f"nor in an exported folder here nor the one that galgen ships ({len(places):,} looked "
            "at): name it by --checkpoint."
        )

    def _digests(self, place: Path) -> set[str]:
        if place not in self._hashes:
            try:
                self._hashes[place] = checkpoint.digests(place)
            except (OSError, GalgenError):
                self._hashes[place] = set()
        return self._hashes[place]


def refuse(given: str | Path | None, file: Written) -> CheckpointError:
    """The sentence on a checkpoint that draws other galaxies than a file's."""
    return CheckpointError(
        f"--checkpoint {given} did not draw {file.path}: that was the one with SHA-256 "
        f"{file.provenance['checkpoint']}; name it, or leave --checkpoint out to look for it."
    )


def _around() -> Iterator[Path]:
    """Checkpoint files of all runs, exported folders, and the model that galgen ships."""
    if RUNS.is_dir():
        for run in sorted(RUNS.iterdir(), reverse=True):
            yield from _inside(run)
    here = Path()
    for folder in (here, *sorted(path for path in here.iterdir() if path.is_dir())):
        if (folder / CARD).is_file():
            yield folder
    yield checkpoint.packaged_model()


def _inside(path: Path) -> list[Path]:
    """A file or an exported folder itself; all checkpoints of a run, best first."""
    if path.is_dir() and not (path / CARD).is_file():
        return sorted((path / "checkpoints").glob("*.ckpt"))
    return [path] if path.exists() else []


def _facts(place: Path) -> tuple[str, set[int]] | None:
    """Pair and images of a checkpoint, those of each snapshot of an exported one; None for none."""
    try:
        if place.is_dir():
            card = read_card(place)
        else:
            card = checkpoint.read(place, mapped=True)["galgen"]
        snapshots = (card.get("specialists") or {}).values()
        images = {int(one["images"]) for one in (card["clock"], *snapshots)}
        return str(card["model"]), images
    except (GalgenError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
