"""Morphology by statmorph: the reference that the quick version is held against.

statmorph (Rodriguez-Gomez et al. 2019, MNRAS 483, 4140) takes half a second a galaxy, so this is
for final reports. It sees the same reference image and the same sources as
`galgen.measure.morphology.measure_morphology`.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.bands import ImageSpec
from galgen.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Ours -> statmorph's.
NAMES = {
    "gini": "gini",
    "m20": "m20",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "r_petro": "rpetro_circ",
    "r_petro_ellip": "rpetro_ellip",
    "r_half": "rhalf_circ",
    "ellipticity": "ellipticity_asymmetry",
    "orientation": "orientation_asymmetry",
    "bulge": "gini_m20_bulge",
    "x": "xc_asymmetry",
    "y": "yc_asymmetry",
}
#: What statmorph gives for a number that it could not measure.
_INVALID = -99.0
#: statmorph's own word for a source of which nothing can be measured.
CATASTROPHE = 4
#: Galaxies that a process takes at a time, and images whose sources are sought at a time.
_BATCH, _CHUNK = 4, 256
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def statmorph_morphology(
    flux: Tensor,
    spec: ImageSpec,
    *,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure the central galaxy of every image with statmorph.

    Parameters
    ----------
    flux, spec
        As for `galgen.measure.morphology.measure_morphology`.
    processes
        By default one a core. With 1, everything happens in this process; with more, a script
        needs its ``if __name__ == "__main__"``, for the processes are started afresh.
    progress
        Called with the galaxies done and their total, from time to time.

    Returns
    -------
    dict of arrays (N,)
        The names of `measure_morphology`, NaN where statmorph has no number, and ``flag``:
        statmorph's verdict, 0 good, 1 suspect, 2 bad, 4 nothing measured or not detected.
        ``measured`` is True for flags 0 and 1.

    Raises
    ------
    ConfigError
        If statmorph is not installed.

    Notes
    -----
    The whole image is statmorph's stamp (``cutout_extent``), and the weight map is the unit noise
    of the reference image; everything else is statmorph's default.
    """
    if importlib.util.find_spec("statmorph") is None:
        raise ConfigError(
            "morphology by statmorph needs that package: pip install galgen[morphology]."
        )
    light, labels = _sources(flux, spec)
    names = (*NAMES, "flag")
    rows = np.full((len(light), len(names)), np.nan)
    rows[:, -1] = CATASTROPHE
    todo = np.nonzero((labels == 1).any(axis=(1, 2)))[0]
    total, done = len(light), len(light) - len(todo)
    if progress is not None:
        progress(done, total)
    parts = [todo[i : i + _BATCH] for i in range(0, len(todo), _BATCH)]
    for part, values in _work(parts, light, labels, processes or os.cpu_count() or 1):
        rows[part] = values
        done += len(part)
        if progress is not None:
            progress(done, total)
    columns: dict[str, NDArray[Any]] = {name: rows[:, k].copy() for k, name in enumerate(names)}
    columns["flag"] = columns["flag"].astype(np.int64)
    columns["measured"] = columns["flag"] < 2
    return columns


def _sources(flux: Tensor, spec: ImageSpec) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Reference images (N, H, W), and labels: 1 the central source, 2 what is not to be used."""
    from galgen.measure.morphology.sources import find_sources

    light = np.zeros((len(flux), *flux.shape[-2:]))
    labels = np.zeros(light.shape, dtype=np.int32)
    for first in range(0, len(flux), _CHUNK):
        found = find_sources(flux[first : first + _CHUNK].detach(), spec)
        part = slice(first, first + _CHUNK)
        light[part] = found.light.cpu().numpy()
        labels[part] = found.segment.cpu().numpy() + 2 * found.other.cpu().numpy().astype(np.int32)
    return light, labels


def _work(
    parts: list[NDArray[Any]], light: NDArray[Any], labels: NDArray[Any], processes: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if processes == 1 or len(parts) < 2:
        for part in parts:
            yield part, measure_some(light[part], labels[part])
        return
    workers = min(processes, len(parts))
    with (
        _one_thread(),
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        jobs = {pool.submit(measure_some, light[part], labels[part]): part for part in parts}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            # Who stops early, by Ctrl-C say, does not wait for the rest.
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start in here use one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def measure_some(light: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Rows (n, names and flag) of images (n, H, W) whose source is labelled 1, others above."""
    import statmorph

    rows = np.full((len(light), len(NAMES) + 1), np.nan)
    rows[:, -1] = CATASTROPHE
    for row, image, label in zip(rows, light, labels, strict=True):
        # Of pixels without data statmorph wants to hear by a mask, of other sources by a label.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                found = statmorph.SourceMorphology(
                    image,
                    label,
                    1,
                    weightmap=np.ones_like(image),
                    cutout_extent=2.0 * max(image.shape),
                )
            # It has assertions and root finders that give up on odd images: not measured.
            except Exception:
                continue
            values = [float(getattr(found, name)) for name in NAMES.values()]
            flag = int(found.flag)
        row[:-1] = np.where(np.isfinite(values) & (np.array(values) != _INVALID), values, np.nan)
        row[-1] = flag
    return rows
