"""``galgen data``: packs, and a look at any set of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galgen_cli import options
from galgen_cli.console import LINE_SECONDS, Talk
from galgen_cli.options import Path

if TYPE_CHECKING:
    from galgen.config import RunConfig
    from galgen.data.pack.index import PackIndex
    from galgen.data.pack.looking import Look
    from galgen.data.pack.writing import Job

data = typer.Typer(
    name="data", help="Pack images, put parts together, look at sets and check them.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

#: Settings that decide pixels, galaxies and facts, and so are settled in a pack.
_SETTLED = ("size", "crop", "bands", "select", "count", "unit", "magzero", "pixscale", "psf_fwhm")
#: Those that are asked of a pack when it is used.
_LATER = ("labels", "merge", "condition", "group", "redshift")
#: Bad files that are shown, unless it is a check.
_SHOWN = 3
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
    with talk.errors():
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
        _show_plan(talk, job)
        if dry_run:
            talk.result({"galaxies": job.galaxies, "left": job.left, **_plan(job)})
            return
        with _progress(talk, "packing", job.galaxies, job.galaxies - job.left) as advance:
            index = write(job, workers, advance)
        _show_pack(talk, job, index)


@data.command()
def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the pack, or a new folder")],
    parts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PART]...", help="parts or packs that lie in other folders"),
    ] = None,
    workers: Workers = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Finish a pack that the jobs of an array wrote, or put several packs into one."""
    talk = Talk(as_json, debug)
    with talk.errors():
        given = _read(None, settings).data
        fraction = given.bad_fraction if "bad_fraction" in given.model_fields_set else None
        from galgen.data.pack import index as indices
        from galgen.data.pack.merging import finish, gather
        from galgen.data.pack.writing import prepare, run

        if parts and all(indices.is_pack(part) for part in parts):
            job = prepare(list(parts), out)
            with _progress(talk, "merging", job.galaxies, job.galaxies - job.left) as advance:
                index = run(job, workers, advance)
            assert index is not None
        else:
            if parts:
                gather(out, parts)
            index = indices.read(out) if indices.is_pack(out) else finish(out, fraction)
        _show_index(talk, out, index)


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
    debug: options.Debug = False,
) -> None:
    """Say what a folder, a pack or a built-in set holds, from its facts and a sample."""
    talk = Talk(as_json, debug)
    with talk.errors():
        run = _read(
            config, settings, data__source=source, data__size=size, data__crop=crop,
            data__bands=bands, data__select=select, data__labels=labels, seed=seed,
        )  # fmt: skip
        from galgen.data.pack.looking import look

        found = look(run.data.source, labels=run.data.labels, seed=run.seed, **_settled(run))
        _show_look(talk, found)
        talk.result(found.to_dict())


@data.command()
def check(
    source: Annotated[str, typer.Argument(metavar="DATA", help="pack, or folder of images")],
    size: options.Size = None,
    crop: options.Crop = None,
    bands: options.Bands = None,
    workers: Workers = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Read the whole of a pack or a folder; exit code 2 if anything is wrong with it."""
    talk = Talk(as_json, debug)
    with talk.errors():
        run = _read(
            config, settings, data__source=source, data__size=size, data__crop=crop,
            data__bands=bands,
        )  # fmt: skip
        from galgen.data.folder import BUILT_IN
        from galgen.data.pack.checking import prepare_check, run_check
        from galgen.errors import ConfigError, DataError

        if run.data.source in BUILT_IN:
            raise ConfigError(f"the set {source} has no files to check: give a pack or a folder.")
        what = prepare_check(run.data.source, **_settled(run))
        with _progress(talk, "checking", what.galaxies) as advance:
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
        files = "" if what.index is None else f" in {len(what.index.shards)} shards"
        talk.say(f"{source} is good: {what.galaxies:,} galaxies{files}")


def _read(config: Path | None, settings: list[str] | None, **given: Any) -> RunConfig:
    from galgen.config import RunConfig

    return RunConfig.build(*options.layers(config, settings, **given))


def _settled(run: RunConfig) -> dict[str, Any]:
    """What is settled in a pack, None for what was left open."""
    return {name: getattr(run.data, name) for name in _SETTLED}


def _part(text: str) -> tuple[int, int]:
    from galgen.errors import ConfigError

    i, slash, n = text.partition("/")
    if not (slash and i.strip().isdigit() and n.strip().isdigit()):
        raise ConfigError(f"--shard {text}: write i/n, for example 3/16 for the third of 16 jobs.")
    return int(i), int(n)


@contextmanager
def _progress(talk: Talk, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar with files/s and time left; without a terminal a line now and then."""
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f} files/s")

    console = talk.console
    begun = line = time.monotonic()
    first, count = done, done
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and talk.first),
    ) as bar:
        task = bar.add_task(what, total=total, completed=done)

        def advance(more: int) -> None:
            nonlocal line, count
            count += more
            bar.advance(task, more)
            now = time.monotonic()
            if not console.is_terminal and now - line >= LINE_SECONDS:
                line, speed = now, (count - first) / (now - begun)
                left = f", {(total - count) / speed:.0f} s left" if speed else ""
                talk.say(f"{what}: {count:,} of {total:,}, {speed:,.0f} files/s{left}")

        yield advance


def _size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _plan(job: Job) -> dict[str, Any]:
    plan = job.plan
    return {
        "pack": job.folder,
        "source": plan.source,
        "shape": list(plan.shape),
        "dtype": plan.dtype,
        "shards": plan.shards,
        "mine": list(job.mine),
        "todo": list(job.todo),
        "bytes": job.bytes,
    }


def _show_plan(talk: Talk, job: Job) -> None:
    plan = job.plan
    channels, height, width = plan.shape
    kept = "float32" if plan.dtype == "<f4" else "8 bits"
    which = "" if job.whole else f", of them {len(job.mine)} in this part"
    talk.say(
        f"{plan.entries:,} galaxies of {channels} x {height} x {width} ({kept}), "
        f"{plan.shards} shard{'s' if plan.shards > 1 else ''}{which}; "
        f"{_size(job.bytes)} to write to {job.folder}"
    )
    if job.index is None and len(job.todo) < len(job.mine):
        talk.say(f"going on: {len(job.mine) - len(job.todo)} of {len(job.mine)} shards are there")


def _show_pack(talk: Talk, job: Job, index: PackIndex | None) -> None:
    if index is None:
        talk.say(
            f"wrote {len(job.mine)} of {job.plan.shards} shards; after all jobs: "
            f"galgen data merge {job.folder}"
        )
        talk.result({"finished": False, **_plan(job)})
        return
    if job.index is not None:
        talk.say("it was finished already")
    _show_index(talk, job.folder, index)


def _show_index(talk: Talk, folder: Path, index: PackIndex) -> None:
    _show_bad(talk, index.bad)
    if index.bad and index.kind == "flux" and not {"size", "crop"} & set(index.options):
        talk.say(
            f"note: files are checked over all {index.shape[-1]} pixels: with a smaller --size "
            "more of them may be good."
        )
    size = sum(shard.bytes for shard in index.shards)
    shards = f"{len(index.shards)} shard{'s' if len(index.shards) > 1 else ''}"
    talk.say(f"packed {index.count:,} galaxies into {folder} ({shards}, {_size(size)})")
    talk.result(
        {
            "finished": True,
            "pack": folder,
            "source": index.source,
            "count": index.count,
            "shape": list(index.shape),
            "dtype": index.dtype,
            "shards": len(index.shards),
            "bytes": size,
            "bad": [list(each) for each in index.bad],
        }
    )


def _show_bad(talk: Talk, bad: tuple[tuple[str, str], ...]) -> None:
    from galgen.data.source import left_out

    for sentence in left_out(bad, _SHOWN):
        talk.say(sentence)


def _show_look(talk: Talk, found: Look) -> None:
    from rich.table import Table

    spec = found.spec
    facts = Table(show_header=False, box=None, pad_edge=False)
    rows: list[tuple[str, str]] = [
        (found.kind, found.source),
        ("galaxies", f"{found.count:,}"),
        ("image", f"{spec.n_bands} x {spec.size} x {spec.size}, {', '.join(spec.bands)}"),
        ("unit", spec.unit),
        ("zero points", _numbers(spec.zero_points)),
        ("pixel", "unknown" if spec.pixel_scale is None else f"{spec.pixel_scale:g} arcsec"),
        ("PSF width", _numbers(spec.psf_fwhm or (None,)) + (" arcsec" if spec.psf_fwhm else "")),
    ]
    if found.classes:
        each = ", ".join(f"{name} {count:,}" for name, count in found.classes.items())
        rows.append(("classes", each))
    if found.columns:
        rows.append(("catalogue", ", ".join(found.columns)))
    if found.bytes:
        shards = f" in {found.shards} shards of {found.dtype}" if found.shards else ""
        rows.append(("on the disk", _size(found.bytes) + shards))
    where = f" of {found.sample:,} looked at" if found.kind == "folder" else ""
    rows.append(("bad files", f"{len(found.bad):,}{where}"))
    for row in rows:
        facts.add_row(*row)
    talk.show(facts)
    numbers = Table(title=f"pixels of {found.sample:,} galaxies", title_justify="left")
    numbers.add_column("band")
    for name in next(iter(found.values.values())):
        head = {"p0": "least", "p50": "median", "p100": "most", "sky_noise": "sky noise"}
        text = head.get(name, f"{name.removeprefix('p')} %")
        numbers.add_column(text, justify="right")
    for band, values in found.values.items():
        numbers.add_row(band, *(f"{value:.4g}" for value in values.values()))
    talk.show(numbers)
    _show_bad(talk, found.bad)
    for note in found.notes:
        talk.say(f"note: {note}")


def _numbers(values: tuple[float | None, ...]) -> str:
    """Numbers, once where all are the same."""
    if set(values) == {None}:
        return "unknown"
    texts = ["unknown" if value is None else f"{value:.5g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)
