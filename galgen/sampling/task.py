"""What decides a set of galaxies, but how many of them there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen.io.cutout import file_kind
from galgen.models.rendering import in_chunks
from galgen.models.requests import Request
from galgen.models.sampling import Look
from galgen.sampling.accept import Accept

if TYPE_CHECKING:
    from galgen.telescope import Telescope

#: Kinds of files, one a galaxy.
FORMATS = ("fits", "png", "jpg")
#: Compressions of FITS.
COMPRESSIONS = ("rice",)


@dataclass(frozen=True)
class Task:
    """Which galaxies of a model, how they look, and what they become.

    Attributes
    ----------
    seed, start
        Of the sample stream, and the first sample.
    request, look
        What they should be, and how they look.
    bands
        Those that are wanted; None for all.
    telescopes
        That each galaxy is seen by; none for the model's own.
    accept
        What is held against them as they are measured; None for nothing.
    kinds
        Of `FORMATS`, or ``("pack",)``.
    cube
        FITS with one (band, y, x) image rather than one per band.
    compress
        Of `COMPRESSIONS`, or None.
    """

    seed: int = 0
    start: int = 0
    request: Request = field(default_factory=Request)
    look: Look = field(default_factory=Look)
    bands: tuple[str, ...] | None = None
    telescopes: tuple[Telescope, ...] = ()
    accept: Accept | None = None
    kinds: tuple[str, ...] = ("fits",)
    cube: bool = False
    compress: str | None = None

    @property
    def pack(self) -> bool:
        """Whether the galaxies become one pack rather than a file each."""
        return self.kinds == ("pack",)

    def state(self) -> dict[str, Any]:
        """What decides the files, as JSON types."""
        return {
            "seed": self.seed,
            "start": self.start,
            "request": self.request.typed(),
            "look": asdict(self.look) | _placed(asdict(self.look)),
            "bands": None if self.bands is None else list(self.bands),
            "telescopes": [
                telescope.state() | _placed(telescope.state()) for telescope in self.telescopes
            ],
            "accept": None if self.accept is None else dict(self.accept.tolerances),
            "kinds": list(self.kinds),
            "cube": self.cube,
            "compress": self.compress,
        }


def chunks_of(task: Task, places: Sequence[int]) -> Iterator[list[int]]:
    """Places in chunks whose samples are in different rows."""
    for first in range(0, len(places), 4096):
        part = places[first : first + 4096]
        for chunk in in_chunks([task.start + place for place in part]):
            yield [part[k] for k in chunk]


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two states of tasks do not share, in words; where a PSF's file lies decides nothing."""
    return [
        f"{name} {_said(before.get(name))} and not {_said(now.get(name))}"
        for name in now
        if _anywhere(before.get(name)) != _anywhere(now.get(name))
    ]


def _placed(state: Mapping[str, Any]) -> dict[str, str]:
    """PSFs that are files, so that they are found from any folder."""
    return {
        name: str(Path(state[name].strip()).resolve())
        for name in ("psf", "own_psf")
        if isinstance(state.get(name), str) and file_kind(state[name].strip()) == "fits"
    }


def _anywhere(value: Any) -> Any:
    """The same without the folders of files."""
    if isinstance(value, Mapping):
        return {k: _anywhere(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_anywhere(v) for v in value]
    is_file = isinstance(value, str) and file_kind(value) == "fits"
    return Path(value).name if is_file else value


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{k}={_said(v)}" for k, v in value.items() if v not in (None, [], {}))
    if isinstance(value, list | tuple):
        value = ", ".join(map(_said, value))
    return "nothing" if value in (None, "") else str(value)
