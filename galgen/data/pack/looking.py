"""What a set of cutouts is, from its facts and a sample of its galaxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.data.facts import spec_of
from galgen.data.folder import BUILT_IN
from galgen.data.loading import stop_if_bad
from galgen.data.pack import index as indices
from galgen.data.pack.merging import refuse_unfinished
from galgen.data.pack.plan import stated
from galgen.data.pack.planning import make_plan
from galgen.data.pack.sources import FileSource
from galgen.data.sets import CutoutSet, open_set
from galgen.measure.sky import estimate_sky

#: Galaxies that are read for the range of values.
SAMPLE = 256
_PERCENTILES = (0.0, 1.0, 50.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True)
class Look:
    """What a set is.

    Attributes
    ----------
    source, kind
        What was looked at, and ``folder``, ``pack`` or ``built-in``.
    count
        Galaxies.
    spec
        Facts about the images.
    classes
        Galaxies of each class, empty without classes.
    values
        Percentiles 0, 1, 50, 99, 99.9 and 100 of the pixels of each band, and the noise of its
        sky, as the median over galaxies: band -> numbers by name.
    sample
        How many galaxies `values` come from.
    bytes
        On the disk; 0 for a built-in set.
    bad
        (file, reason): of a pack those that it left out, of a folder those of the sample.
    columns
        Names of the columns of the set's own table.
    shards, dtype
        Of a pack, else 0 and None.
    notes
        Sentences on what was chosen.
    """

    source: str
    kind: str
    count: int
    spec: ImageSpec
    classes: dict[str, int]
    values: dict[str, dict[str, float]]
    sample: int
    bytes: int
    bad: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    shards: int = 0
    dtype: str | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**vars(self), "spec": self.spec.to_dict(), "bad": [list(b) for b in self.bad]}


def look(source: str | Path, *, labels: str | None = None, **options: Any) -> Look:
    """Look at a folder, a pack or a built-in set.

    Parameters
    ----------
    source, labels
        As `galgen.data.sets.open_set`; labels of a folder are those of its sub-folders unless
        given, and then every file is read.
    options
        As `galgen.data.pack.writing.prepare`: by default whole frames are looked at.

    Raises
    ------
    DataError, ConfigError
        As `open_set`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if str(source) not in BUILT_IN:
        refuse_unfinished(Path(source))
    if str(source) in BUILT_IN or indices.is_pack(source):
        return _of_set(str(source), given, labels)
    found = _of_folder(Path(source), given)
    if labels is not None:
        opened = open_set(source, labels=labels, **given)
        found = replace(found, classes=_classes(opened))
    return found


def _of_set(source: str, given: dict[str, Any], labels: str | None) -> Look:
    built_in = source in BUILT_IN
    index = None if built_in else indices.read(source)
    asked = dict(given)
    if index is not None and "size" not in asked:
        asked["size"] = asked.get("crop", index.checked)
    cutouts = open_set(source, labels=labels, **asked)
    step = -(-len(cutouts) // SAMPLE)
    rows = range(0, len(cutouts), step)
    files = [] if index is None else [indices.INDEX, str(index.catalogue["file"])]
    sizes = [shard.bytes for shard in index.shards] if index is not None else []
    return Look(
        source=source,
        kind="built-in" if built_in else "pack",
        count=len(cutouts),
        spec=cutouts.spec,
        classes=_classes(cutouts),
        values=_values(cutouts.read(list(rows)), cutouts.spec),
        sample=len(rows),
        bytes=sum(sizes) + sum((Path(source) / file).stat().st_size for file in files),
        bad=tuple((str(file), reason) for file, reason in cutouts.bad),
        columns=tuple(cutouts.catalogue),
        shards=0 if index is None else len(index.shards),
        dtype=None if index is None else index.dtype,
        notes=tuple(cutouts.notes),
    )


def _of_folder(root: Path, given: dict[str, Any]) -> Look:
    plan, files = make_plan(root, given, indices.SHARD_BYTES, 1.0)
    assert isinstance(files, FileSource)
    step = -(-len(files) // SAMPLE)
    part = files.part(slice(0, None, step))
    outcomes = list(part.read(4))
    bad = [(part.named(row), each) for row, each in enumerate(outcomes) if isinstance(each, str)]
    good = [each for each in outcomes if not isinstance(each, str)]
    notes = [*plan.notes, *plan.sizes]
    classes: Counter[str] = Counter()
    if plan.classes:
        classes.update(str(entry.folder) for entry in files.entries)
    stop_if_bad(plan.full(bad), len(good), 1.0, str(root))
    spec = spec_of(good, plan.shape[-1], stated(given), str(root), notes)
    return Look(
        source=str(root),
        kind="folder",
        count=len(files),
        spec=spec,
        classes=dict(sorted(classes.items())),
        values=_values(np.stack([each.pixels for each in good]), spec),
        sample=len(outcomes),
        bytes=sum(file.stat().st_size for entry in files.entries for file in entry.files),
        bad=tuple(sorted([*plan.bad, *bad])),
        columns=tuple(files.columns),
        notes=tuple(notes),
    )


def _classes(cutouts: CutoutSet) -> dict[str, int]:
    if cutouts.labels is None:
        return {}
    counts = np.bincount(cutouts.labels, minlength=len(cutouts.classes)).tolist()
    return dict(zip(cutouts.classes, counts, strict=True))


def _values(pixels: NDArray[np.float32], spec: ImageSpec) -> dict[str, dict[str, float]]:
    """Percentiles and sky noise of each band."""
    noise = np.median(estimate_sky(pixels, spec.display).noise, axis=0)
    found = {}
    for k, band in enumerate(spec.bands):
        numbers: Sequence[float] = np.percentile(pixels[:, k], _PERCENTILES).tolist()
        found[band] = {f"p{p:g}": each for p, each in zip(_PERCENTILES, numbers, strict=True)}
        found[band]["sky_noise"] = float(noise[k])
    return found
