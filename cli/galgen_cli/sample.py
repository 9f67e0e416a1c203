"""``galgen sample``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galgen_cli import options
from galgen_cli.console import Talk

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.config import RunConfig

ASKED, LOOK, STYLES = "What they are", "How they look", "New galaxies from old"


def sample(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CKPT]",
            help="checkpoint, run or exported folder [newest run, else the model galgen ships]",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="how many galaxies [16]", show_default=False)
    ] = None,
    fits: Annotated[bool, typer.Option("--fits", help="write FITS, fluxes as they are")] = False,
    png: Annotated[bool, typer.Option("--png", help="write PNG pictures")] = False,
    jpg: Annotated[bool, typer.Option("--jpg", help="write JPG pictures")] = False,
    cube: Annotated[
        bool, typer.Option("--cube", help="FITS with one (band, y, x) image, not one per band")
    ] = False,
    start: Annotated[
        int | None,
        typer.Option("--start", help="number of the first galaxy [0]", show_default=False),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="galaxies in memory at a time [64]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [./samples-00001, counted up]", show_default=False),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="class to draw [the training set's mix]", rich_help_panel=ASKED
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help="numbers and ranges, mag_r=18..20,g-r=0.6", rich_help_panel=ASKED
        ),
    ] = None,
    no_condition: Annotated[
        bool,
        typer.Option(
            "--no-condition",
            help="ask for nothing, of a model trained with dropped labels",
            rich_help_panel=ASKED,
        ),
    ] = False,
    truncation: Annotated[
        float | None,
        typer.Option(
            "--truncation",
            help="1 for none, 0 for the mean galaxy [1]",
            rich_help_panel=LOOK,
            show_default=False,
        ),
    ] = None,
    psf: Annotated[
        str | None,
        typer.Option(
            "--psf",
            help="another PSF than the model's: arcsec, moffat:0.7, a FITS file, none",
            rich_help_panel=LOOK,
        ),
    ] = None,
    no_noise: Annotated[
        bool,
        typer.Option(
            "--no-noise", help="without the noise of sky and photons", rich_help_panel=LOOK
        ),
    ] = False,
    mix: Annotated[
        str | None,
        typer.Option(
            "--mix",
            help="table of mixed styles: samples 12,77 or rows and columns 12,77:3,4,5",
            rich_help_panel=STYLES,
        ),
    ] = None,
    mix_layer: Annotated[
        int | None,
        typer.Option(
            "--mix-layer",
            help="style layers from the row [half]",
            rich_help_panel=STYLES,
            show_default=False,
        ),
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(
            "--interpolate",
            help="film from sample to sample, 12,77,5, as strip and GIF",
            rich_help_panel=STYLES,
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            help="one thing varied, the rest held: mag_r=18..20, mag_r, label, code1, category",
            rich_help_panel=STYLES,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            help="pictures from one of them to the next [16], columns of a sweep [8]",
            rich_help_panel=STYLES,
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Draw galaxies to FITS, PNG or JPG, with a catalogue. Galaxy i of a seed never changes."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import checkpoint
        from galgen.config import RunConfig
        from galgen.models.requests import Request
        from galgen.specialists import told

        formats = [name for name, on in (("fits", fits or cube), ("png", png), ("jpg", jpg)) if on]
        run = RunConfig.build(
            *options.layers(
                config,
                settings,
                sample__n=n,
                sample__start=start,
                sample__label=label,
                sample__where=where,
                sample__no_condition=no_condition or None,
                sample__truncation=truncation,
                sample__psf=psf,
                sample__noise=False if no_noise else None,
                sample__mix=mix,
                sample__mix_layer=mix_layer,
                sample__interpolate=interpolate,
                sample__sweep=sweep,
                sample__frames=frames,
                sample__formats=formats or None,
                sample__cube=cube or None,
                sample__batch=batch,
                seed=seed,
            )
        )
        run = _agree(run, {"-n": n, "--start": start, "--frames": frames})
        model = checkpoint.load(source)
        spec = model.spec
        talk.say(
            f"model: {model.path} ({model.name}, {spec.size} px, {', '.join(spec.bands)}, "
            f"{model.images:,} images)"
        )
        # Refused now, before anything is told of it.
        asked = (run.sample.label, run.sample.where, run.sample.no_condition)
        Request.of(model.module.conditions, *asked)
        one = any((run.sample.mix, run.sample.interpolate, run.sample.sweep))
        if not run.sample.no_condition:
            for line in told(model, run.sample.label, together=one):
                talk.say(line)
        if model.side < spec.size:
            talk.say(
                f"it has grown to {model.side} px so far: pictures are enlarged to {spec.size} px"
            )
        if run.sample.mix is not None:
            _mix(talk, model, run, out, dry_run)
        elif run.sample.interpolate is not None:
            _interpolate(talk, model, run, out, dry_run)
        elif run.sample.sweep is not None:
            _sweep(talk, model, run, out, dry_run)
        else:
            _galaxies(talk, model, run, out, dry_run)


def _agree(run: RunConfig, typed: dict[str, int | None]) -> RunConfig:
    """Refuse options that have nothing to say beside the others; fill in what follows from them."""
    from galgen.errors import ConfigError

    wanted = run.sample
    named = {
        "--mix": wanted.mix, "--interpolate": wanted.interpolate, "--sweep": wanted.sweep,
    }  # fmt: skip
    special = [option for option, text in named.items() if text is not None]
    if len(special) > 1:
        raise ConfigError(
            f"{' and '.join(special)} are {'two' if len(special) == 2 else 'three'} things: ask "
            "for one of them at a time."
        )
    sweeps = special == ["--sweep"]
    for option in ("-n", "--start"):
        if special and not sweeps and typed[option] is not None:
            raise ConfigError(f"{special[0]} names its galaxies: leave {option} out.")
    if wanted.mix_layer is not None and special != ["--mix"]:
        raise ConfigError("--mix-layer belongs to --mix: name samples, for example --mix 12,77.")
    if typed["--frames"] is not None and special not in (["--interpolate"], ["--sweep"]):
        raise ConfigError(
            "--frames belongs to --interpolate and --sweep: name samples, for example "
            "--interpolate 12,77, or what varies, for example --sweep label."
        )
    whole = (wanted.sweep or "").partition("=")[0].strip()
    if typed["--frames"] is not None and sweeps and whole in ("label", "category"):
        raise ConfigError(
            f"--frames {typed['--frames']}: a sweep over {whole} shows all of them, leave it out."
        )
    usual = {"sample.n": 4 if sweeps else 16, "sample.frames": 8 if sweeps else 16}
    return run.replace(
        {key: value for key, value in usual.items() if getattr(wanted, key[7:]) is None}
    )


def _galaxies(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    from galgen.sample import enough_galaxies
    from galgen.sample import sample as draw

    wanted = run.sample
    n = enough_galaxies(wanted.n or 0)
    if dry_run:
        _plan(talk, model, run, out, f"draw {n:,} galaxies of seed {run.seed}")
        return
    with talk.progress("sampling", n) as advance:
        drawn = draw(
            model,
            n,
            start=wanted.start,
            out=out,
            batch=wanted.batch,
            progress=advance,
            **(_common(run) | {"formats": wanted.formats or None}),
        )
    talk.say(f"wrote {drawn.count:,} galaxies to {drawn.folder} ({drawn.files[0]}, ...)")
    talk.say(f"catalogue: {drawn.catalogue}")
    talk.say(f"picture: {drawn.picture}")
    talk.result(
        {
            "folder": drawn.folder,
            "count": drawn.count,
            "model": model.path,
            "catalogue": drawn.catalogue,
            "picture": drawn.picture,
        }
    )


def _mix(talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool) -> None:
    from galgen.styles import mix, mix_layer, parse_mix

    rows, columns = parse_mix(run.sample.mix or "")
    layer = mix_layer(model, run.sample.mix_layer)
    if dry_run:
        what = f"mix {len(rows)} x {len(columns)} galaxies of seed {run.seed} at layer {layer}"
        _plan(talk, model, run, out, what)
        return
    mixed = mix(model, rows, columns, layer=layer, out=out, **_common(run))
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


def _interpolate(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    from galgen.film import enough_frames, interpolate, parse_way

    numbers = parse_way(run.sample.interpolate or "")
    frames = enough_frames(run.sample.frames or 0)
    if dry_run:
        what = f"go through {len(numbers)} galaxies of seed {run.seed} in {frames} frames each"
        _plan(talk, model, run, out, what)
        return
    film = interpolate(model, numbers, frames, out=out, **_common(run))
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


def _sweep(
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, dry_run: bool
) -> None:
    from galgen.models.requests import Request
    from galgen.models.sweeping import base, parse_axis
    from galgen.sample import enough_galaxies
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
    swept = sweep(model, what, n, steps, start=wanted.start, out=out, **_common(run))
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


def _common(run: RunConfig) -> dict[str, Any]:
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
        "noise": wanted.noise,
    }


def _wrote(talk: Talk, count: int, folder: Path, files: tuple[str, ...]) -> None:
    if files:
        talk.say(f"wrote {count:,} galaxies to {folder} ({files[0]}, ...)")


def _plan(talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, what: str) -> None:
    from galgen.models.requests import Request
    from galgen.models.sampling import Look
    from galgen.sample import refuse_full

    if out is not None:
        refuse_full(out)
    wanted = run.sample
    asked = (wanted.label, wanted.where, wanted.no_condition)
    request = Request.of(model.module.conditions, *asked)
    model.module.sample_conditions([0], run.seed, request)
    model.module.renderer(run.seed, Look(wanted.truncation, wanted.psf, wanted.noise))
    talk.say(f"would {what} to {out or './samples-00001, counted up'}")
    talk.result({"model": model.path, "seed": run.seed, **run.sample.model_dump(mode="json")})
