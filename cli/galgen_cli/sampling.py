"""What ``galgen sample`` does: galaxies, mixed styles, films, sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen_cli.console import Talk
from galgen_cli.styles import FOLDER, common, show_interpolate, show_mix, show_sweep

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.config import RunConfig
    from galgen.sample import Samples

#: Parts of a set: which of how many, and the device of this process where somebody started several.
Part = tuple[tuple[int, int], str | None]


def part(shard: str | None, out: Path | None) -> Part:
    """The part of a set that this process makes, by ``--shard`` or as torchrun or srun started it.

    Raises
    ------
    ConfigError
        If the text has not that form.
    """
    from galgen.errors import ConfigError
    from galgen.training import launch

    if shard is not None:
        i, slash, n = shard.partition("/")
        if not (slash and i.strip().isdigit() and n.strip().isdigit()):
            raise ConfigError(f"--shard {shard}: give i/n, counted from 0, as in 0/8.")
        return (int(i), int(n)), None
    start = launch.find()
    if start.tasks == 1:
        return (0, 1), None
    if out is None:
        raise ConfigError(
            f"{start.by} started {start.tasks} processes: name the folder of all by --out."
        )
    from galgen.training.machine import find_accelerator

    kind = find_accelerator()
    return (start.rank, start.tasks), f"cuda:{start.local}" if kind == "cuda" else kind


def noise_of(without: bool, text: str | None) -> bool | str | None:
    """What ``--no-noise`` and ``--noise`` say together.

    Raises
    ------
    ConfigError
        If they contradict each other.
    """
    from galgen.errors import ConfigError

    if without and text is not None:
        raise ConfigError("--noise and --no-noise contradict each other: leave one out.")
    return False if without else text


def count_of(devices: str | None) -> int | str | None:
    """A number of devices, or auto.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    from galgen.errors import ConfigError

    if devices is None or devices == "auto":
        return devices
    if not devices.isdigit():
        raise ConfigError(f"--devices {devices}: give a number, or auto.")
    return int(devices)


def begin(
    talk: Talk,
    source: str | None,
    layers: Sequence[Mapping[str, Any]],
    typed: dict[str, int | None],
    out: Path | None,
    part: Part,
    dry_run: bool,
) -> None:
    """Do what the configuration asks for."""
    from galgen import checkpoint
    from galgen.config import RunConfig
    from galgen.models.requests import Request
    from galgen.specialists import told

    run = _agree(RunConfig.build(*layers), typed)
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
        talk.say(f"it has grown to {model.side} px so far: pictures are enlarged to {spec.size} px")
    if one:
        _alone(run, part)
    if run.sample.mix is not None:
        show_mix(talk, model, run, out, dry_run)
    elif run.sample.interpolate is not None:
        show_interpolate(talk, model, run, out, dry_run)
    elif run.sample.sweep is not None:
        show_sweep(talk, model, run, out, dry_run)
    else:
        _galaxies(talk, model, run, out, part, dry_run)


def resume(
    talk: Talk,
    source: str | None,
    typed: Sequence[str],
    layers: Sequence[Mapping[str, Any]],
    out: Path | None,
    part: Part,
    dry_run: bool,
) -> None:
    """Go on with a set that was interrupted, or make it longer."""
    from galgen.config import RunConfig
    from galgen.errors import ConfigError
    from galgen.sample import go_on, unfinished

    run = RunConfig.build(*layers)
    wanted = run.sample
    more = [name for name in typed if name != "n"] + ["seed"] * ("seed" in run.model_fields_set)
    more += sorted(wanted.model_fields_set - {"n", "batch", "devices", *more})
    if more:
        option = {"formats": "fits"}.get(more[0], more[0]).replace("_", "-")
        raise ConfigError(f"--resume takes everything from the folder: leave --{option} out.")
    folder = unfinished() if out is None else out
    shard, device = part
    if dry_run:
        talk.say(f"would go on with {folder}")
        talk.result({"folder": folder})
        return
    with talk.progress("sampling", wanted.n or total_of(folder, shard)) as advance:
        drawn = go_on(
            folder, source, wanted.n, shard=shard, device=device, devices=wanted.devices,
            batch=wanted.batch, progress=advance, say=talk.say,
        )  # fmt: skip
    _tell(talk, drawn)


def total_of(folder: Path, shard: tuple[int, int]) -> int:
    """Galaxies of a part of a set that was begun."""
    from galgen.sampling.folder import Share
    from galgen.sampling.record import read_record

    record = read_record(folder)
    return 1 if record is None else len(Share(*shard).places(record["n"]))


def _alone(run: RunConfig, part: Part) -> None:
    """Refuse what only galaxies one by one can have."""
    from galgen.errors import ConfigError

    wanted = run.sample
    for option, given in (
        ("--bands", wanted.bands),
        ("--pack", wanted.pack),
        ("--compress", wanted.compress),
        ("--accept", wanted.accept),
        ("--instrument", wanted.instrument),
        ("--pixel-scale", wanted.pixel_scale),
        ("--stamp", wanted.stamp),
        ("--noise", wanted.noise not in (True, False, "none")),
        ("--same-galaxy", wanted.same_galaxy),
        ("--shard", part[0][1] > 1),
    ):
        if given:
            raise ConfigError(
                f"{option} is for galaxies as they come, not for --mix, --interpolate and --sweep: "
                "leave it out."
            )


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
    talk: Talk, model: TrainedModel, run: RunConfig, out: Path | None, part: Part, dry_run: bool
) -> None:
    from galgen.sample import sample as draw
    from galgen.sampling.asking import check, checked_share, enough_galaxies, make_task
    from galgen.sampling.folder import Folder
    from galgen.sampling.telescopes import of_config
    from galgen.sampling.workers import devices_of

    wanted = run.sample
    n = enough_galaxies(wanted.n or 0, wanted.start)
    shard, device = part
    share = checked_share(shard, n, out)
    asked: dict[str, Any] = {
        **common(run),
        **of_config(wanted.model_dump()),
        "start": wanted.start,
        "formats": wanted.formats or None,
        "bands": wanted.bands,
        "accept": wanted.accept,
        "redraws": wanted.redraws,
        "compress": wanted.compress,
        "pack": wanted.pack,
    }
    task = make_task(model, **asked)
    layout = check(model, task, n)
    devices_of(wanted.devices, device)
    if dry_run:
        if out is not None:
            Folder(out, layout, n, share)
        talk.say(f"would draw {n:,} galaxies of seed {run.seed} to {out or FOLDER}")
        for view in layout.views:
            if view.name is not None:
                talk.say(f"as {view.name} sees them: {view.spec.size} px")
        talk.result({"model": model.path, "seed": run.seed, **wanted.model_dump(mode="json")})
        return
    if task.accept is not None and layout.width > 1:
        talk.say(f"--accept is held against what {layout.views[0].name} sees")
    where: Path | None = out
    try:
        if out is None:
            from galgen.sampling.opening import next_folder

            where = next_folder()
        with talk.progress("sampling", len(share.places(n))) as advance:
            drawn = draw(
                model, n, out=where, shard=shard, device=device, devices=wanted.devices,
                batch=wanted.batch, progress=advance, say=talk.say, **asked,
            )  # fmt: skip
    except KeyboardInterrupt:
        talk.say(f"interrupted; go on with: galgen sample --resume --out {where}")
        raise
    _tell(talk, drawn, model)


def _tell(talk: Talk, drawn: Samples, model: TrainedModel | None = None) -> None:
    """What came of a set; galaxies that are left out are an error."""
    from galgen.errors import ConfigError

    told = drawn.told
    first = f" ({drawn.files[0]}, ...)" if drawn.files else ""
    if not drawn.complete:
        talk.say(
            f"{drawn.count:,} galaxies of this part are in {drawn.folder}{first}; the part that is "
            "complete last writes the catalogue"
        )
    else:
        what = f"{drawn.count:,} {'galaxy' if drawn.count == 1 else 'galaxies'}"
        if drawn.made:
            talk.say(f"wrote {what} to {drawn.folder}{first if drawn.count else ''}")
        for name, found in told["conditions"].items():
            if found["scatter"] is not None:
                talk.say(
                    f"{name}: measured - requested {found['bias']:+.3g}, scatter "
                    f"{found['scatter']:.2g}"
                    + (f", {found['failures']:,} not measured" if found["failures"] else "")
                )
        if "redrawn" in told:
            talk.say(f"drawn anew: {told['redrawn']:,}, in {told['draws']:,} draws of all")
        talk.say(f"catalogue: {drawn.catalogue}")
        if drawn.picture is not None:
            talk.say(f"picture: {drawn.picture}")
    talk.result(
        {
            "folder": drawn.folder,
            "count": drawn.count,
            "made": drawn.made,
            "complete": drawn.complete,
            **({} if model is None else {"model": model.path}),
            "catalogue": drawn.catalogue,
            "picture": drawn.picture,
            **{name: value for name, value in told.items() if name not in ("count", "picture")},
        }
    )
    gone = told.get("left_out", 0)
    if gone:
        some = ", ".join(map(str, told["left_out_samples"][:5]))
        raise ConfigError(
            f"--accept: {gone:,} of {drawn.count + gone:,} galaxies never came so near to the "
            f"request and are left out (sample {some}{', ...' if gone > 5 else ''}): raise "
            "--redraws or the tolerance."
        )
