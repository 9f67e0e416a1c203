"""The plan for a pack of a set that is open: a built-in one, a pack, or several packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import galgen
from galgen.data.facts import UNKNOWN_UNIT
from galgen.data.folder import BUILT_IN
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.plan import Plan, galaxies_a_shard, hashed, tables_in, tried
from galgen.data.pack.sources import SetSource, Source, opened, taken
from galgen.data.sets import CutoutSet
from galgen.data.source import canonical
from galgen.errors import ConfigError
from galgen.io import Cutout


def of_sets(
    sources: Sequence[str], given: dict[str, Any], shard_bytes: int, bad_fraction: float
) -> tuple[Plan, Source]:
    """The plan for a built-in set, or for one pack of several; as
    `galgen.data.pack.planning.make_plan`.
    """
    asked, whole = dict(given), None
    if sources[0] not in BUILT_IN:
        whole = indices.read(sources[0])
        if "size" not in asked:
            asked["size"] = asked.get("crop", whole.checked)
    options = tuple(sorted(asked.items()))
    cutouts: list[CutoutSet] = []
    for source in sources:
        same = whole is None or indices.read(source).checked == whole.checked or "size" in given
        cutouts += [opened(source, options)] if same else []
        if not same or cutouts[-1].spec != cutouts[0].spec:
            raise ConfigError(
                f"{source} and {sources[0]} differ in size, bands, unit or scale: "
                "only packs of one kind can become one."
            )
    spec = cutouts[0].spec
    about = [_about(source, each) for source, each in zip(sources, cutouts, strict=True)]
    every = catalogues.joined(about)
    catalogues.refuse_columns(every.columns, " and ".join(sources))
    places = [(k, row) for k, each in enumerate(cutouts) for row in range(len(each))]
    order = list(range(len(places)))
    if len(sources) > 1:
        order.sort(key=lambda row: every.names[row])
        every = taken(every, order)
    for name, following in pairwise(every.names):
        if name == following:
            raise ConfigError(
                f"{' and '.join(sources)} both have a galaxy called {name}: rename it in one."
            )
    unnamed = whole is not None and whole.bands is None and "bands" not in asked
    facts = Cutout(
        np.empty((0, 0, 0), np.float32),
        bands=None if unnamed else spec.bands,
        unit=None if spec.unit == UNKNOWN_UNIT else spec.unit,
        zero_points=spec.zero_points,
        pixel_scale=spec.pixel_scale,
        psf_fwhm=spec.psf_fwhm,
        display=spec.display,
    )
    zeros = None if whole is None else True
    files = SetSource(
        tuple((source, options) for source in sources),
        tuple(places[row] for row in order),
        facts,
        every,
        zeros,
    )
    notes = [note for each in cutouts for note in each.notes if not note.startswith("size ")]
    if "group" in every.columns and whole is None:
        notes.append(
            "neighbours overlap: they are held out together by --set data.group=catalogue:group."
        )
    blank, small = tried(files, spec.display, notes)
    zeros = None if zeros is None else blank
    dtype = "|u1" if small else "<f4"
    root = Path(sources[0]) if whole is not None and len(sources) == 1 else None
    if len(sources) > 1 and any(_extra(source) for source in sources):
        notes.append("tables beside the packs stay with them: name one by its path, FILE:COLUMN.")
    own = None if whole is None else whole.catalogue.get("own")
    plan = Plan(
        galgen=galgen.__version__,
        source=", ".join(map(canonical, sources)),
        options=given,
        kind=indices.FLUX if whole is None else whole.kind,
        shape=spec.shape,
        dtype=dtype,
        entries=len(places),
        names=hashed([*every.names, *(repr(_hashes(source)) for source in sources)]),
        shard_bytes=shard_bytes,
        per_shard=galaxies_a_shard(spec.shape, dtype, shard_bytes),
        classes=tuple(sorted({folder for folder in every.folders if folder})),
        zeros=zeros,
        own=own,
        tables={} if root is None else tables_in(root),
        bad=tuple((str(file), reason) for each in cutouts for file, reason in each.bad),
        notes=tuple(dict.fromkeys(notes)),
        bad_fraction=bad_fraction,
    )
    return plan, replace(files, zeros=zeros)


def _hashes(source: str) -> list[str]:
    if source in BUILT_IN:
        return [source]
    index = indices.read(source)
    return [shard.sha256 for shard in index.shards] + [str(index.catalogue["sha256"])]


def _about(source: str, cutouts: CutoutSet) -> Catalogue:
    """What a set knows of its galaxies, as text."""
    if source not in BUILT_IN:
        every = catalogues.read(Path(source) / str(indices.read(source).catalogue["file"]))
        row = {name: k for k, name in enumerate(every.names)}
        return taken(every, [row[name] for name in cutouts.names])
    texts = {key: [str(each) for each in v.tolist()] for key, v in cutouts.catalogue.items()}
    if source == "sersic":
        from galgen.data.sersic import KINDS

        texts["kind"] = [KINDS[int(kind)] for kind in texts["kind"]]
    if list(cutouts.groups) != list(cutouts.names):
        texts["group"] = list(cutouts.groups)
    nothing = [""] * len(cutouts)
    return Catalogue(list(cutouts.names), nothing, nothing, texts)


def _extra(source: str) -> list[str]:
    return [name for name in tables_in(Path(source)) if name != indices.CATALOGUE]
