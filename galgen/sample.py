"""The verb ``sample``: galaxies from a model to files and a catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import CheckpointError, ConfigError, OutputError
from galgen.generated.again import Again
from galgen.models.requests import Where
from galgen.sampling import catalogue, picture
from galgen.sampling.accept import REDRAWS
from galgen.sampling.asking import check, checked_share, enough_galaxies, make_task
from galgen.sampling.engine import Engine
from galgen.sampling.folder import Folder
from galgen.sampling.layout import Layout
from galgen.sampling.opening import next_folder
from galgen.sampling.record import RECORD, read_record
from galgen.sampling.workers import devices_of, make, make_on

if TYPE_CHECKING:
    from galgen.sampling.rows import Rows
    from galgen.telescope import Telescope


@dataclass(frozen=True)
class Samples:
    """What was written.

    Attributes
    ----------
    folder
        Where.
    count
        Galaxies of the set that are there; of a part of it, those of the part.
    files
        Names of the first galaxy's files.
    made
        How many of them this call made; the others were there already, whole.
    complete
        Whether the set is; False for a part whose fellows are still to come.
    catalogue, picture
        The FITS table beside them, and an overview of some of them; None until the set is complete.
    told
        What `galgen.sampling.catalogue.summary` says of the set: how the galaxies follow the
        request, how many were drawn anew, and how many left out.
    """

    folder: Path
    count: int
    files: tuple[str, ...]
    made: int = 0
    complete: bool = True
    catalogue: Path | None = None
    picture: Path | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


def sample(
    source: str | Path | TrainedModel | None = None,
    n: int = 16,
    *,
    seed: int = 0,
    start: int = 0,
    label: str | None = None,
    where: Where | None = None,
    no_condition: bool = False,
    accept: str | float | Mapping[str, float] | None = None,
    redraws: int = REDRAWS,
    truncation: float = 1.0,
    bands: Sequence[str] | None = None,
    psf: str | None = None,
    own_psf: str | None = None,
    noise: bool = True,
    telescopes: Sequence[Telescope] = (),
    formats: Sequence[str] | None = None,
    cube: bool = False,
    compress: str | None = None,
    pack: bool = False,
    out: str | Path | None = None,
    shard: tuple[int, int] = (0, 1),
    device: str | None = None,
    devices: int | str = "auto",
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Samples:
    """Write galaxies ``start`` to ``start + n`` of a seed to files.

    The same call again goes on where it was interrupted, makes anew what is damaged, and makes the
    set longer if `n` has grown.

    Parameters
    ----------
    source
        Checkpoint, run or exported folder, or a loaded model; None for the newest run's, else
        the model that galgen ships.
    n, seed, start
        Which galaxies. Galaxy *i* of a seed is the same whatever `n`, `start`, `batch`, `shard`
        and `devices`.
    label
        Class of all galaxies, for a model with classes; None for the training set's mix.
    where
        Numbers of all galaxies, for a model with numbers: ``"mag_r=18..20, g-r=0.6"``, or numbers
        and ranges by name. What is not asked for is that of training galaxies.
    no_condition
        Ask for nothing, of a model that was trained with dropped labels.
    accept
        Draw galaxies anew whose numbers, as measured, are farther from the request than this:
        ``0.1`` for magnitudes and colours, or ``"mag_r=0.1,r_half=0.2"``.
    redraws
        How often at most; a galaxy that has not come near by then is left out.
    truncation
        Towards the mean galaxy: 1 for none, 0 for the mean itself.
    bands
        Those that are wanted, in that order; None for all.
    psf
        Another PSF than the model's own, as in `galgen.io.psf.read_psf`; ``none`` for galaxies
        without one, of a model that was trained with a layer for it.
    own_psf
        The PSF that the galaxies of a model without such a layer carry; None for what its data say.
    noise
        False leaves the grain out, the noise of sky and photons.
    telescopes
        Other telescopes, see `galgen.telescope`: each galaxy is written as each of them sees it.
    formats
        Of ``fits``, ``png`` and ``jpg``; None for FITS from a photometric model and PNG from
        one that was trained on pictures.
    cube
        One (band, y, x) HDU rather than one per band.
    compress
        ``rice``: tile-compressed FITS, whose headers state the error.
    pack
        One pack (see `galgen.data.pack`) in place of a file a galaxy.
    out
        Folder; None for ``./samples-00001``, counted up.
    shard
        (i, n): the i-th of n parts, counted from 0, all with the same `out`. The part that is
        complete last writes the catalogue.
    device
        ``cpu``, ``cuda`` or ``mps``; None for the fastest there is.
    devices
        How many; ``auto`` for all of a CUDA machine, else one. On a CPU that many processes.
    batch
        Galaxies in memory at a time.
    progress
        Called with the number of galaxies of each piece of work.
    say
        Takes sentences on what is found of an earlier call.

    Raises
    ------
    ConfigError
        If something of this cannot be met.
    OutputError
        If `out` holds anything else, or cannot be written.
    """
    enough_galaxies(n, start)
    if not -(2**63) <= seed < 2**63:
        raise ConfigError(f"--seed {seed}: give a whole number of at most 63 bits.")
    if batch < 1:
        raise ConfigError(f"--batch {batch}: use at least 1.")
    share = checked_share(shard, n, out)
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    task = make_task(
        model, seed=seed, start=start, label=label, where=where, no_condition=no_condition,
        accept=accept, redraws=redraws, truncation=truncation, bands=bands, psf=psf,
        own_psf=own_psf, noise=noise, telescopes=telescopes, formats=formats, cube=cube,
        compress=compress, pack=pack,
    )  # fmt: skip
    where_to = devices_of(devices, device)
    model.to(where_to[0])
    layout = check(model, task, n)
    path = Path(out) if out is not None else next_folder()
    folder = Folder(path, layout, n, share)
    with folder.held():
        try:
            made, engine = _make(folder, where_to, batch, progress, say)
        except BaseException:
            folder.release()
            raise
        again = folder.finished and made and pack
        if again:
            folder.open_again()
        folder.complete()
    if folder.finished and not again:
        # The same files as before: what was told of them holds.
        folder.leave()
        return _samples(folder, made, folder.before)

    def finish(stores: list[Rows]) -> dict[str, Any]:
        told = catalogue.summary(layout, stores)
        sinks = layout.sinks(folder.path, n)
        for sink in (sink for row in sinks for sink in row):
            sink.finish(catalogue.table_rows(layout, stores))
        catalogue.write(folder.path, layout, stores, told)
        drawn = picture.draw(
            picture.overview(layout, n), layout, stores, engine.kept, folder.path / OVERVIEW
        )
        return {**told, "picture": drawn is not None}

    return _samples(folder, made, folder.close(finish))


def _samples(folder: Folder, made: int, told: Mapping[str, Any] | None) -> Samples:
    """What came of a set, or of a part of it where nothing is told of the set."""
    task, places = folder.layout.task, folder.places
    files = _files(folder.layout, task.start + places.start)
    if told is None:
        return Samples(folder.path, len(places), files, made, complete=False)
    known = {name: told[name] for name in TOLD if name in told}
    return Samples(
        folder.path,
        told["count"],
        files,
        made,
        True,
        folder.path / catalogue.FITS,
        folder.path / OVERVIEW if told["picture"] else None,
        known,
    )


def go_on(
    folder: str | Path,
    source: str | Path | TrainedModel | None = None,
    n: int | None = None,
    **how: Any,
) -> Samples:
    """Go on with a set that was interrupted, or make it longer.

    Parameters
    ----------
    folder
        Of the set.
    source
        Its model; None for the file that it was begun with.
    n
        Galaxies in all; None for as many as were asked for.
    how
        ``shard``, ``device``, ``devices``, ``batch``, ``progress`` and ``say`` as `sample`.

    Raises
    ------
    UserError
        As `sample`; OutputError if nothing was begun there.
    """
    from galgen.telescope import Telescope

    record = read_record(Path(folder))
    if record is None:
        raise OutputError(
            f"{folder} holds no set of galaxies that was begun: give the folder to --out."
        )
    task = record["task"]
    kinds = task["kinds"]
    if source is None:
        told = record["model"]
        path = os.path.join(folder, told["path"])
        if not Path(path).exists():
            raise CheckpointError(f"{folder} was begun with {path}, which is gone: name the model.")
        source = Again.from_state(
            {"path": os.path.abspath(path), "digests": told["digests"]}
        ).load()
    return sample(
        source,
        record["n"] if n is None else n,
        seed=task["seed"],
        start=task["start"],
        **task["request"],
        accept=task["accept"],
        redraws=record["redraws"],
        **task["look"],
        bands=task["bands"],
        telescopes=[Telescope.from_state(state) for state in task["telescopes"]],
        formats=None if kinds == ["pack"] else kinds,
        pack=kinds == ["pack"],
        cube=task["cube"],
        compress=task["compress"],
        out=folder,
        **how,
    )


def unfinished() -> Path:
    """The newest folder here whose set is not complete.

    Raises
    ------
    OutputError
        If there is none.
    """
    for path in sorted(Path().glob(f"*/{RECORD}"), key=lambda p: p.stat().st_mtime, reverse=True):
        record = read_record(path.parent)
        if record is not None and not record["finished"]:
            return path.parent
    raise OutputError("--resume: no set here is incomplete, name the folder by --out.")


#: What is told of a complete set, in its record too.
TOLD = (
    "count", "undetected", "redrawn", "draws", "left_out", "left_out_samples", "conditions",
    "picture",
)  # fmt: skip
#: Picture of some galaxies of a set.
OVERVIEW = "overview.png"


def _make(
    folder: Folder,
    devices: Sequence[str],
    batch: int,
    progress: Callable[[int], None] | None,
    say: Callable[[str], None] | None,
) -> tuple[int, Engine]:
    """Make what is missing of a part; gives how many galaxies that were."""
    layout, places = folder.layout, folder.places
    rows = folder.rows()
    try:
        sinks = layout.sinks(folder.path, folder.count)
        missing: Sequence[int] = places
        if folder.before is not None:
            missing = folder.missing(rows, sinks)
            if say is not None:
                say(_found(folder, len(places), len(missing)))
        advance = progress or (lambda count: None)
        advance(len(places) - len(missing))
        wanted = picture.shown(picture.overview(layout, folder.count))
        engine = Engine(layout, sinks, rows, places.start, batch, wanted)
        if len(devices) > 1 and len(missing) > 1:
            make_on(devices, folder, rows, missing, batch, advance)
        else:
            make(engine, missing, advance)
    finally:
        rows.close()
    return len(missing), engine


def _found(folder: Folder, count: int, missing: int) -> str:
    if not missing:
        return f"all {count:,} galaxies are in {folder.path} and whole"
    there = count - missing
    return f"{there:,} of {count:,} galaxies are in {folder.path} and whole: going on"


def _files(layout: Layout, index: int) -> tuple[str, ...]:
    """Names of a galaxy's files."""
    if layout.task.pack:
        return ()
    found = []
    for view in layout.views:
        first = layout.name(index, view)
        found.append(first)
        stem = first.partition(".")[0]
        found += [f"{stem}.{kind}" for kind in layout.task.kinds[1:]]
    return tuple(found)
