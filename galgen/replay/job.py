"""The verb ``replay``: files against their own headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.errors import ConfigError, DataError
from galgen.io.atomic import replacing
from galgen.io.galaxyfile import GalaxyWriter
from galgen.replay.comparing import LIBRARIES, Replayed, compare, fits_sums, machine
from galgen.replay.drawing import Listed, Scene, draw, scene_of, view_of
from galgen.replay.finding import Finder, Found, refuse
from galgen.replay.reading import Foreign, Written, read, refuse_namesakes, spread
from galgen.sampling.opening import open_folder
from galgen.sampling.views import View
from galgen.training.machine import find_accelerator


def replay(
    paths: str | Path | Iterable[str | Path],
    checkpoint: str | Path | None = None,
    *,
    psf: str | None = None,
    write: str | Path | None = None,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Replayed]:
    """Draw the galaxies of FITS files anew from their own headers, and compare.

    Parameters
    ----------
    paths
        Files that galgen wrote, and folders of them.
    checkpoint
        File, run or exported folder that drew them; None to look for the one whose SHA-256 is in
        their headers, among the checkpoints under ``./runs``, exported folders here and
        the model that galgen ships.
    psf
        FITS file with the PSF that they were seen through, where it lies neither beside them nor
        here.
    write
        Folder to write the galaxies to as they are drawn now.
    device
        ``cpu``, ``cuda`` or ``mps``; None for the kind that the header says, if it is here.
    progress
        Called with the number of files of each piece of work.
    say
        Called with a sentence on what is passed over in a folder: FITS files of other things.

    Returns
    -------
    list of Replayed
        One for each file, in the order of their names where a folder was given.

    Raises
    ------
    DataError
        If a file is none that galgen wrote of a galaxy, or its PSF is not there.
    CheckpointError
        If the checkpoint is not found, or another one was given.
    OutputError
        If `write` holds files already, or cannot be written.
    """
    places = spread([paths] if isinstance(paths, str | Path) else paths)
    files, unread = _read(places, say)
    finder, found = Finder(checkpoint), {}
    listed: Listed = {}
    scenes: dict[tuple[str, Scene], list[int]] = {}
    for number, file in enumerate(files):
        digest = str(file.fact("checkpoint"))
        found[digest] = finder.find(file)
        on = device or _device(file)
        scene = scene_of(file, found[digest].model, on, psf, listed)
        scenes.setdefault((digest, scene), []).append(number)
    folder = None
    if write is not None:
        refuse_namesakes(file.path for file in files)
        folder = open_folder(write)
    results = {one.path: one for one in unread}
    for (digest, scene), numbers in scenes.items():
        members = [files[number] for number in numbers]
        for done in _scene(found[digest], checkpoint, scene, members, folder):
            results |= {one.path: one for one in done}
            if progress is not None:
                progress(len(done))
    return [results[path] for path in places if path in results]


def _read(
    places: Mapping[Path, bool], say: Callable[[str], None] | None
) -> tuple[list[Written], list[Replayed]]:
    """Files that can be drawn anew, and those of folders that cannot even be read."""
    files, unread = [], []
    for path, named in places.items():
        try:
            files.append(read(path))
        except Foreign as error:
            if named:
                raise
            if say is not None:
                say(f"passed over: {error}")
        except DataError as error:
            if named:
                raise
            unread.append(Replayed(path, "damaged", str(error).removeprefix(f"{path} ")))
    if not files and not unread:
        raise DataError("there is no galaxy of galgen's among these files.")
    return files, unread


def _device(file: Written) -> str:
    """To draw a file on: the kind that it was drawn on, if there is one."""
    kind = str(file.provenance.get("device", "")).partition(":")[0]
    try:
        return find_accelerator(kind) if kind else find_accelerator()
    except ConfigError:
        return find_accelerator()


def _scene(
    found: Found,
    given: str | Path | None,
    scene: Scene,
    files: list[Written],
    folder: Path | None,
) -> Iterable[list[Replayed]]:
    """Results of the files of one scene."""
    model, here = found.model, machine(scene.device)
    try:
        view = view_of(scene, model)
        _check_psf(view, files)
        for places, flux in draw(scene, model, view, files):
            pairs = list(zip([files[place] for place in places], flux.numpy(), strict=True))
            if not found.proven and not any(fits_sums(*pair) for pair in pairs):
                raise refuse(given, pairs[0][0])
            results = [compare(file, galaxy, here, model.path) for file, galaxy in pairs]
            if folder is not None:
                results = [
                    replace(one, written=_write(folder, file, galaxy, view, here))
                    for one, (file, galaxy) in zip(results, pairs, strict=True)
                ]
            yield results
    except (ConfigError, ValueError, RuntimeError) as error:
        if not found.proven:
            raise refuse(given, files[0]) from None
        if not isinstance(error, ConfigError):
            raise
        raise DataError(f"{files[0].path} cannot be drawn again: {error}") from error


def _check_psf(view: View, files: list[Written]) -> None:
    """Refuse another PSF than the one that files were seen through."""
    now = view.cards.get("psf_hash")
    for file in files:
        then = file.provenance.get("psf_hash")
        if then is not None and now is not None and then != now:
            raise DataError(
                f"{file.path} was seen through another PSF than that of "
                f"{file.provenance.get('psf')}, whose hash is not the PSFHASH of its header: name "
                "the right file by --psf."
            )


def _write(
    folder: Path,
    file: Written,
    galaxy: NDArray[np.float32],
    view: View,
    here: Mapping[str, str],
) -> Path:
    """The file as it is drawn now."""
    facts: dict[str, Any] = {**file.provenance, "stretch": view.stretch.state()}
    facts |= {key: now for key, now in here.items() if key not in LIBRARIES or key in facts}
    compress = None if file.losses is None else "rice"
    writer = GalaxyWriter(view.spec, {}, cube=file.cube, compress=compress)
    path = folder / file.path.name
    with replacing(path) as temporary:
        temporary.write_bytes(writer.encode(galaxy, facts).data)
    return path
