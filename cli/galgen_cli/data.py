"""``galgen data``: packs, and a look at any set of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from galgen_cli import options
from galgen_cli.console import Talk
from galgen_cli.data_views import (
    plan_of,
    progress,
    show_index,
    show_lacking,
    show_look,
    show_pack,
    show_plan,
    until_told,
)
from galgen_cli.options import Path

if TYPE_CHECKING:
    from galgen.config import RunConfig

data = typer.Typer(
    name="data", help="Pack images, put parts together, look at sets and check them.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

#: Settings that decide pixels, galaxies and facts, and so are settled in a pack.
_SETTLED = ("size", "crop", "bands", "select", "count", "unit", "magzero", "pixscale", "psf_fwhm")
#: Those that are asked of a pack when it is used.
_LATER = ("labels", "merge", "condition", "group", "redshift")
#: Bad files that a check prints.
_LISTED = 20

Set_ = Annotated[
    str,
    typer.Argument(metavar="DATA", help="folder of images, pack, hubble or sersic"),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="processes [one a core]", min=1, show_default=False),
]
Select = Annotated[
    str | None,
    typer.Option("--select", help="galaxies by their table, i_peak_snr>10", show_default=False),
]


@data.command()
def pack(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="folder of images, pack, hubble or sersic")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder of the pack: a new one")],
    size: options.Size = None,
    crop: options.Crop = None,
    bands: options.Bands = None,
    select: Select = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="i/n: write the i-th of n parts, as a job of an array does"),
    ] = None,
    shard_size: Annotated[
        float, typer.Option("--shard-size", help="MB of pixels in a file", min=0.001)
    ] = 256,
    workers: Workers = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Write a folder of images as a pack: a few large files that open at once.

    The same command goes on with a pack that was interrupted.
    """
    talk = Talk(as_json, debug)
    with talk.errors(), until_told():
        run = _read(
            config, settings, data__source=source, data__size=size, data__crop=crop,
            data__bands=bands, data__select=select, seed=seed,
        )  # fmt: skip
        from galgen.data.pack.writing import prepare
        from galgen.data.pack.writing import run as write

        job = prepare(
            run.data.source,
            out,
            shard=None if shard is None else _part(shard),
            shard_bytes=int(shard_size * 1024**2),
            bad_fraction=run.data.bad_fraction,
            seed=run.seed,
            **_settled(run),
        )
        later = [f"data.{name}" for name in _LATER if name in run.data.model_fields_set]
        asked = [f"{', '.join(later)}: asked of the pack when it is used."] if later else []
        for note in (*asked, *job.plan.notes, *job.plan.sizes):
            talk.say(f"note: {note}")
        show_plan(talk, job)
        if dry_run:
            talk.result({"galaxies": job.galaxies, "left": job.left, **plan_of(job)})
            return
        with progress(talk, "packing", job.galaxies, job.galaxies - job.left) as advance:
            index = write(job, workers, advance)
        show_pack(talk, job, index)


@data.command()
def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the pack, or a new folder")],
    parts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PART]...", help="parts or packs that lie in other folders"),
    ] = None,
    workers: Workers = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Finish a pack that the jobs of an array wrote, or put several packs into one."""
    talk = Talk(as_json, debug)
    with talk.errors(), until_told():
        _refuse_settled(settings)
        given = _read(config, settings, seed=seed).data
        fraction = given.bad_fraction if "bad_fraction" in given.model_fields_set else None
        from galgen.data.pack import index as indices
        from galgen.data.pack.merging import finish, gather, lacking
        from galgen.data.pack.writing import prepare, run

        if parts and all(indices.is_pack(part) for part in parts):
            job = prepare(parts, out, bad_fraction=given.bad_fraction)
            if dry_run:
                show_plan(talk, job)
                talk.result({"galaxies": job.galaxies, "left": job.left, **plan_of(job)})
                return
            with progress(talk, "merging", job.galaxies, job.galaxies - job.left) as advance:
                index = run(job, workers, advance)
            assert index is not None
        elif dry_run:
            show_lacking(talk, out, lacking(out, parts or []))
            return
        else:
            if parts:
                gather(out, parts)
            index = indices.read(out) if indices.is_pack(out) else finish(out, fraction)
        show_index(talk, out, index)


@data.command()
def info(
    source: Set_,
    size: options.Size = None,
    crop: options.Crop = None,
    bands: options.Bands = None,
    labels: options.Labels = None,
    select: Select = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Say what a folder, a pack or a built-in set holds, from its facts and a sample."""
    talk = Talk(as_json, debug)
    with talk.errors(), until_told():
        run = _read(
            config, settings, data__source=source, data__size=size, data__crop=crop,
            data__bands=bands, data__select=select, data__labels=labels, seed=seed,
        )  # fmt: skip
        from galgen.data.folder import BUILT_IN
        from galgen.data.pack.checking import prepare_check
        from galgen.data.pack.looking import SAMPLE, look

        if dry_run:
            count = sample = None
            if run.data.source not in BUILT_IN:
                count = prepare_check(run.data.source, seed=run.seed, **_settled(run)).galaxies
                sample = len(range(0, count, -(-count // SAMPLE)))
            many = "a sample" if count is None else f"{sample:,} of {count:,} galaxies"
            talk.say(f"to look at: {many} of {run.data.source}")
            talk.result({"source": run.data.source, "galaxies": count, "sample": sample})
            return
        found = look(run.data.source, labels=run.data.labels, seed=run.seed, **_settled(run))
        show_look(talk, found)
        talk.result(found.to_dict())


@data.command()
def check(
    source: Annotated[str, typer.Argument(metavar="DATA", help="pack, or folder of images")],
    size: options.Size = None,
    crop: options.Crop = None,
    bands: options.Bands = None,
    workers: Workers = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Read the whole of a pack or a folder; exit code 2 if anything is wrong with it."""
    talk = Talk(as_json, debug)
    with talk.errors(), until_told():
        run = _read(
            config, settings, data__source=source, data__size=size, data__crop=crop,
            data__bands=bands, seed=seed,
        )  # fmt: skip
        from galgen.data.folder import BUILT_IN
        from galgen.data.pack.checking import prepare_check, run_check
        from galgen.data.pack.merging import shards
        from galgen.errors import ConfigError, DataError

        if run.data.source in BUILT_IN:
            raise ConfigError(f"the set {source} has no files to check: give a pack or a folder.")
        what = prepare_check(run.data.source, seed=run.seed, **_settled(run))
        typed = [name for name, v in (("size", size), ("crop", crop), ("bands", bands)) if v]
        if typed and what.index is not None:
            raise ConfigError(f"--{typed[0]}: a pack is checked whole, leave it out.")
        if dry_run:
            talk.say(f"to check: {what.galaxies:,} galaxies of {source}")
            talk.result({"source": run.data.source, "galaxies": what.galaxies})
            return
        with progress(talk, "checking", what.galaxies) as advance:
            wrong = run_check(what, workers, advance)
        talk.result(
            {
                "source": run.data.source,
                "kind": "folder" if what.index is None else "pack",
                "galaxies": what.galaxies,
                "good": not wrong,
                "wrong": [list(each) for each in wrong],
            }
        )
        for file, reason in wrong[:_LISTED]:
            talk.say(f"{file}: {reason}")
        if len(wrong) > _LISTED:
            talk.say(f"... and {len(wrong) - _LISTED:,} more (--json lists all)")
        if wrong and what.index is not None:
            raise DataError(
                f"{source} is not as it was written, see {wrong[0][0]}: copy what is wrong again, "
                "or pack the set again."
            )
        if wrong:
            total = what.galaxies + len(what.plan.bad if what.plan else ())
            raise DataError(
                f"{source}: {len(wrong):,} of {total:,} galaxies cannot be used: mend or remove "
                "them, or leave them to be left out."
            )
        files = "" if what.index is None else f" in {shards(len(what.index.shards))}"
        talk.say(f"{source} is good: {what.galaxies:,} galaxies{files}")


def _read(config: Path | None, settings: list[str] | None, **given: Any) -> RunConfig:
    from galgen.config import RunConfig

    return RunConfig.build(*options.layers(config, settings, **given))


def _refuse_settled(settings: list[str] | None) -> None:
    """Refuse what `merge` has no use for: all was settled when the parts were packed."""
    from galgen.config import parse_settings
    from galgen.errors import ConfigError

    for name in parse_settings(settings or []):
        if name != "data.bad_fraction":
            raise ConfigError(
                f"--set {name}: galgen data merge takes data.bad_fraction alone, since the rest "
                "was settled when the parts were packed."
            )


def _settled(run: RunConfig) -> dict[str, Any]:
    """What is settled in a pack, None for what was left open."""
    return {name: getattr(run.data, name) for name in _SETTLED}


def _part(text: str) -> tuple[int, int]:
    from galgen.errors import ConfigError

    i, slash, n = text.partition("/")
    if not (slash and i.strip().isdigit() and n.strip().isdigit()):
        raise ConfigError(f"--shard {text}: write i/n, for example 3/16 for the third of 16 jobs.")
    return int(i), int(n)
