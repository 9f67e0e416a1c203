"""``galgen finetune``."""

from __future__ import annotations

from typing import Annotated

import typer

from galgen_cli import options
from galgen_cli.console import Talk
from galgen_cli.train import report, show_plan


def finetune(
    first: Annotated[
        str | None,
        typer.Argument(
            metavar="[CKPT]",
            help="checkpoint, run or exported folder [newest run, else the model galgen ships]",
            show_default=False,
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="galaxies [the checkpoint's own]", show_default=False
        ),
    ] = None,
    freeze: Annotated[
        int | None,
        typer.Option("--freeze", help="generator layers, from the latent [0]", show_default=False),
    ] = None,
    freeze_unit: Annotated[
        str | None,
        typer.Option("--freeze-unit", help="layer or block [layer]", show_default=False),
    ] = None,
    freeze_critic: Annotated[
        int | None,
        typer.Option(
            "--freeze-critic", help="critic layers, from the image [0]", show_default=False
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep", help="of clock,ema,optimizers; others start anew [none]", show_default=False
        ),
    ] = None,
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
    seed: options.Seed = None,
    config: options.Config = None,
    settings: options.Set = None,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Go on from a checkpoint on other galaxies, with the first layers frozen.

    A lone argument that is a checkpoint or a run is CKPT, else DATA.
    """
    talk = Talk(as_json, debug)
    with talk.errors():
        layers = options.layers(
            config,
            settings,
            data__size=size,
            data__crop=crop,
            data__bands=bands,
            data__labels=labels,
            data__condition=condition,
            finetune__freeze=freeze,
            finetune__freeze_unit=freeze_unit,
            finetune__freeze_critic=freeze_critic,
            finetune__keep=keep,
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
        from galgen import checkpoint
        from galgen.finetune import begin, prepare
        from galgen.finetune import finetune as start
        from galgen.runs import RUNS

        if first is not None and second is None and not checkpoint.looks_like_checkpoint(first):
            first, second = None, first
        model = checkpoint.load(first)
        run = prepare(model, second, *layers)
        if dry_run:
            run, cutouts, _, _ = begin(model, run, talk.say)
            show_plan(talk, run, cutouts)
            return
        outcome = start(
            model, second, config=run, out=out or RUNS, say=talk.say, console=talk.console
        )
        report(talk, outcome)
