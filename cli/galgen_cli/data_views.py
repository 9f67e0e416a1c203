"""What ``galgen data`` shows: progress, plans, packs and sets."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen_cli.console import LINE_SECONDS, Talk

if TYPE_CHECKING:
    from galgen.data.pack.index import PackIndex
    from galgen.data.pack.looking import Look
    from galgen.data.pack.plan import Plan
    from galgen.data.pack.writing import Job

#: Bad files that are shown.
_SHOWN = 3


@contextmanager
def until_told() -> Iterator[None]:
    """SIGTERM, which a scheduler sends, ends the block as Ctrl-C does."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def progress(talk: Talk, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
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


def in_bytes(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plan_of(job: Job) -> dict[str, Any]:
    """What a command will do, in JSON types."""
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


def show_plan(talk: Talk, job: Job) -> None:
    """What a command will do."""
    plan = job.plan
    channels, height, width = plan.shape
    from galgen.data.pack.merging import shards
    from galgen.data.pack.npy import said

    which = "" if job.whole else f", of them {len(job.mine)} in this part"
    talk.say(
        f"{plan.entries:,} galaxies of {channels} x {height} x {width} ({said(plan.dtype)}), "
        f"{shards(plan.shards)}{which}; "
        f"{in_bytes(job.bytes)} to write to {job.folder}"
    )
    if job.index is None and len(job.todo) < len(job.mine):
        talk.say(f"going on: {len(job.mine) - len(job.todo)} of {shards(len(job.mine))} are there")


def show_pack(talk: Talk, job: Job, index: PackIndex | None) -> None:
    """What a command did."""
    from galgen.data.pack.merging import shards

    if index is None:
        talk.say(
            f"wrote {len(job.mine)} of {shards(job.plan.shards)}; after all jobs: "
            f"galgen data merge {job.folder}"
        )
        talk.result({"finished": False, **plan_of(job)})
        return
    if job.index is not None:
        talk.say("it was finished already")
    show_index(talk, job.folder, index)


def show_index(talk: Talk, folder: Path, index: PackIndex) -> None:
    """A finished pack."""
    from galgen.data.pack.merging import shards

    _show_bad(talk, index.bad)
    if index.bad and index.kind == "flux" and not {"size", "crop"} & set(index.options):
        talk.say(
            f"note: files are checked over all {index.shape[-1]} pixels: with a smaller --size "
            "more of them may be good."
        )
    size = sum(shard.bytes for shard in index.shards)
    many = shards(len(index.shards))
    talk.say(f"packed {index.count:,} galaxies into {folder} ({many}, {in_bytes(size)})")
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


def show_lacking(talk: Talk, out: Path, found: tuple[Plan, list[int]] | None) -> None:
    """What a merge would put together."""
    from galgen.data.pack.merging import shards

    if found is None:
        talk.say(f"{out} is finished already")
        talk.result({"pack": out, "finished": True})
        return
    plan, missing = found
    there = plan.shards - len(missing)
    talk.say(f"to merge into {out}: {there} of {shards(plan.shards)} are there")
    talk.result(
        {"pack": out, "finished": False, "shards": plan.shards, "missing": missing,
         "source": plan.source}
    )  # fmt: skip


def _show_bad(talk: Talk, bad: tuple[tuple[str, str], ...]) -> None:
    from galgen.data.source import left_out

    for sentence in left_out(bad, _SHOWN):
        talk.say(sentence)


def show_look(talk: Talk, found: Look) -> None:
    """What a set holds, as two tables."""
    from rich.table import Table

    from galgen.data.pack.merging import shards
    from galgen.data.pack.npy import said

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
        kept = f" in {shards(found.shards)} of {said(found.dtype or '')}" if found.shards else ""
        rows.append(("on the disk", in_bytes(found.bytes) + kept))
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
