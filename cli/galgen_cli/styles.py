"""What ``galgen sample`` does with a few galaxies: mixed styles, films, sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen_cli.console import Talk

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.config import RunConfig

#: Where galaxies go that nobody named a folder for.
FOLDER = "./samples-00001, counted up"


def show_mix(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    """A table of mixed styles."""
    from galgen.styles import mix, mix_layer, parse_mix

    rows, columns = parse_mix(run.sample.mix or "")
    layer = mix_layer(model, run.sample.mix_layer)
    if dry_run:
        what = f"mix {len(rows)} x {len(columns)} galaxies of seed {run.seed} at layer {layer}"
        _plan(talk, model, run, out, what)
        return
    mixed = mix(model, rows, columns, layer=layer, out=out, **common(run))
    _wrote(talk, len(mixed.files), mixed.folder, mixed.files)
    talk.say(f"picture: {mixed.picture} (styles 1 to {layer} from the rows)")
    talk.result(
        {
            "folder": mixed.folder,
            "count": len(mixed.rows) * len(mixed.columns),
            "model": model.path,
            "picture": mixed.picture,
            "rows": rows,
            "columns": columns,
            "layer": layer,
            "files": mixed.files,
        }
    )


def show_interpolate(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    """The way from sample to sample."""
    from galgen.film import enough_frames, interpolate, parse_way

    numbers = parse_way(run.sample.interpolate or "")
    frames = enough_frames(run.sample.frames or 0)
    if dry_run:
        what = f"go through {len(numbers)} galaxies of seed {run.seed} in {frames} frames each"
        _plan(talk, model, run, out, what)
        return
    film = interpolate(model, numbers, frames, out=out, **common(run))
    _wrote(talk, len(film.files), film.folder, film.files)
    talk.say(f"picture: {film.picture}")
    talk.say(f"animation: {film.animation}")
    talk.result(
        {
            "folder": film.folder,
            "count": len(numbers) * frames,
            "model": model.path,
            "picture": film.picture,
            "animation": film.animation,
            "numbers": numbers,
            "frames": frames,
            "files": film.files,
        }
    )


def show_sweep(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    """One thing varied."""
    from galgen.models.requests import Request
    from galgen.models.sweeping import base, parse_axis
    from galgen.sampling.asking import enough_galaxies
    from galgen.sweep import enough_steps, sweep

    wanted = run.sample
    n, what = enough_galaxies(wanted.n or 0), wanted.sweep or ""
    steps = enough_steps(wanted.frames or 0)
    axis = parse_axis(what, model.module, steps)
    if dry_run:
        asked = (wanted.label, wanted.where, wanted.no_condition)
        request = Request.of(model.module.conditions, *asked)
        base(model.module, axis, request, run.seed, [wanted.start])
        told = f"vary {axis.name} of {n} galaxies of seed {run.seed} in {len(axis.values)} steps"
        _plan(talk, model, run, out, told)
        return
    swept = sweep(model, what, n, steps, start=wanted.start, out=out, **common(run))
    _wrote(talk, n * len(swept.values), swept.folder, swept.files)
    talk.say(f"picture: {swept.picture} ({swept.name}: {', '.join(axis.texts)})")
    talk.result(
        {
            "folder": swept.folder,
            "count": n * len(swept.values),
            "model": model.path,
            "picture": swept.picture,
            "sweep": swept.name,
            "values": swept.values,
            "numbers": swept.numbers,
            "files": swept.files,
        }
    )


def common(run: RunConfig) -> dict[str, Any]:
    """What all of these are asked alike."""
    wanted = run.sample
    return {
        "seed": run.seed,
        "label": wanted.label,
        "where": wanted.where,
        "no_condition": wanted.no_condition,
        "formats": wanted.formats,
        "cube": wanted.cube,
        "truncation": wanted.truncation,
        "psf": wanted.psf,
        "noise": wanted.noise is True,
    }


def _wrote(talk: Talk, count: int, folder: Path, files: tuple[str, ...]) -> None:
    if files:
        talk.say(f"wrote {count:,} galaxies to {folder} ({files[0]}, ...)")


def _plan(talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, what: str) -> None:
    from galgen.models.requests import Request
    from galgen.models.sampling import Look
    from galgen.sampling.opening import refuse_full

    if out is not None:
        refuse_full(out)
    wanted = run.sample
    asked = (wanted.label, wanted.where, wanted.no_condition)
    request = Request.of(model.module.conditions, *asked)
    model.module.sample_conditions([0], run.seed, request)
    model.module.renderer(run.seed, Look(wanted.truncation, wanted.psf, wanted.noise is True))
    talk.say(f"would {what} to {out or FOLDER}")
    talk.result({"model": model.path, "seed": run.seed, **run.sample.model_dump(mode="json")})
