"""``galgen train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from galgen_cli import options
from galgen_cli.chain import is_chain, train_chain
from galgen_cli.console import INTERRUPTED, Talk

if TYPE_CHECKING:
    from galgen.config import RunConfig
    from galgen.data.module import CutoutDataModule
    from galgen.train import Outcome


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            help="folder of images, pack, hubble (real) or sersic (simulated); with --resume a run",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    size: options.Size = None,
    crop: options.Crop = None,
    bands: options.Bands = None,
    labels: options.Labels = None,
    condition: options.Condition = None,
    images: options.Images = None,
    minutes: options.Minutes = None,
    batch: options.Batch = None,
    devices: options.Devices = None,
    nodes: options.Nodes = None,
    precision: options.Precision = None,
    compile_: options.Compile = None,
    logger: options.Logger = None,
    out: options.Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the newest run, or the RUN given as DATA")
    ] = False,
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Train a generator of galaxies; without arguments, on those of the Hubble deep field."""
    talk = Talk(as_json, debug)
    with talk.errors():
        layers = options.layers(
            config,
            settings,
            data__source=None if resume else data,
            data__size=size,
            data__crop=crop,
            data__bands=bands,
            data__labels=labels,
            data__condition=condition,
            model__name=model,
            train__images=images,
            train__minutes=minutes,
            train__batch=batch,
            train__devices=devices,
            train__nodes=nodes,
            train__precision=precision,
            train__compile=compile_,
            train__logger=logger,
            seed=seed,
        )
        if is_chain(layers, data if resume else None):
            train_chain(talk, layers, data, out, resume, dry_run)
            return
        if resume:
            from galgen.config import RunConfig
            from galgen.errors import ConfigError
            from galgen.train import plan_resume
            from galgen.train import resume as go_on

            if out is not None:
                raise ConfigError("--out: a resumed run stays in its own folder, leave it out.")
            RunConfig.build(*layers)
            merged = {k: v for layer in layers for k, v in layer.items()}
            if dry_run:
                folder, planned, card = plan_resume(data, merged)
                talk.say(f"would go on with {folder} at {card['clock']['images']:,} images")
                talk.say(planned.to_yaml())
                talk.result(planned.to_dict())
                return
            outcome = go_on(data, changes=merged, say=talk.say, console=talk.console)
        else:
            from galgen.runs import RUNS
            from galgen.train import make_data, make_model, prepare
            from galgen.train import train as start

            run = prepare(*layers)
            if dry_run:
                cutouts = make_data(run)
                # What the networks cannot do is refused here too.
                make_model(run, cutouts)
                show_plan(talk, run, cutouts)
                return
            outcome = start(run, out=out or RUNS, say=talk.say, console=talk.console)
        report(talk, outcome)


def show_plan(talk: Talk, config: RunConfig, data: CutoutDataModule) -> None:
    """What would be done: the resolved configuration."""
    from galgen.plan import describe, resolve
    from galgen.training.machine import choose

    machine = choose(config)
    resolved = resolve(config, data, machine)
    for line in describe(config, data, machine):
        talk.say(line)
    talk.say(resolved.to_yaml())
    talk.result(resolved.to_dict())


def report(talk: Talk, outcome: Outcome) -> None:
    """How a run ended, and how to go on."""
    if outcome.reason != "finished":
        why = "interrupted" if outcome.reason == "interrupted" else "stopped after --minutes"
        talk.say(
            f"{why} at {outcome.images:,} images; go on with: galgen train {outcome.run} --resume"
        )
    else:
        talk.say(f"trained on {outcome.images:,} images")
    if outcome.picture is not None:
        talk.say(f"picture: {outcome.picture}")
    talk.say(f"checkpoint: {outcome.checkpoint}")
    talk.result(
        {
            "run": outcome.run,
            "checkpoint": outcome.checkpoint,
            "images": outcome.images,
            "reason": outcome.reason,
            "picture": outcome.picture,
        }
    )
    if outcome.reason == "interrupted" and talk.first:
        # From the first alone: for torchrun and srun it is a failure, which ends the others.
        raise typer.Exit(INTERRUPTED)
