"""``galgen sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galgen_cli import options, sampling
from galgen_cli.console import Talk

ASKED, LOOK, STYLES = "What they are", "How they look", "New galaxies from old"
TELESCOPE, FILES = "Telescope", "Files"


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
    start: Annotated[
        int | None,
        typer.Option("--start", help="number of the first galaxy [0]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder [./samples-00001, counted up]", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with --out, or the newest that is not complete")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="i/n: the i-th of n parts, from 0, for array jobs"),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option("--devices", help="how many, or auto [all of CUDA]", show_default=False),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="galaxies in memory at a time [64]", show_default=False),
    ] = None,
    fits: Annotated[
        bool,
        typer.Option("--fits", help="write FITS, fluxes as they are", rich_help_panel=FILES),
    ] = False,
    png: Annotated[
        bool, typer.Option("--png", help="write PNG pictures", rich_help_panel=FILES)
    ] = False,
    jpg: Annotated[
        bool, typer.Option("--jpg", help="write JPG pictures", rich_help_panel=FILES)
    ] = False,
    cube: Annotated[
        bool,
        typer.Option(
            "--cube",
            help="FITS with one (band, y, x) image, not one per band",
            rich_help_panel=FILES,
        ),
    ] = False,
    compress: Annotated[
        str | None,
        typer.Option(
            "--compress", help="rice: smaller FITS, the error stated", rich_help_panel=FILES
        ),
    ] = None,
    pack: Annotated[
        bool,
        typer.Option("--pack", help="one pack, not a file a galaxy", rich_help_panel=FILES),
    ] = False,
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
    bands: Annotated[
        str | None,
        typer.Option(
            "--bands",
            help="some of the model's, in order [all]",
            rich_help_panel=LOOK,
            show_default=False,
        ),
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            help="draw anew what is measured farther off than 0.1, or mag_r=0.1,r_half=0.2",
            rich_help_panel=ASKED,
        ),
    ] = None,
    redraws: Annotated[
        int | None,
        typer.Option(
            "--redraws",
            help="how often, before a galaxy is left out [50]",
            rich_help_panel=ASKED,
            show_default=False,
        ),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            "--truncation",
            help="1 for none, 0 for the mean galaxy [1]",
            rich_help_panel=LOOK,
            show_default=False,
        ),
    ] = None,
    no_noise: Annotated[
        bool,
        typer.Option(
            "--no-noise", help="without the noise of sky and photons", rich_help_panel=LOOK
        ),
    ] = False,
    psf: Annotated[
        list[str] | None,
        typer.Option(
            "--psf",
            help="another PSF: arcsec, moffat:0.7, a FITS file, none",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    pixel_scale: Annotated[
        list[str] | None,
        typer.Option(
            "--pixel-scale",
            help="arcsec per pixel [the model's]",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    stamp: Annotated[
        list[str] | None,
        typer.Option(
            "--stamp",
            help="pixels of a side [the same field of view]",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            "--noise",
            help="sigma=0.02, or sky=0.1,gain=4 of Poisson's",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    noise_seed: Annotated[
        int | None,
        typer.Option(
            "--noise-seed",
            help="of that noise [--seed]",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    instrument: Annotated[
        list[str] | None,
        typer.Option(
            "--instrument",
            help="PSF, pixels and noise of sdss, hsc, des, lsst, euclid-vis, hst-acs, jwst-nircam",
            rich_help_panel=TELESCOPE,
            show_default=False,
        ),
    ] = None,
    same_galaxy: Annotated[
        bool,
        typer.Option(
            "--same-galaxy",
            help="each galaxy under several telescopes, of options given more than once",
            rich_help_panel=TELESCOPE,
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
        formats = [name for name, on in (("fits", fits or cube), ("png", png), ("jpg", jpg)) if on]
        if fits and pack:
            formats = ["fits"]
        given = {
            "n": n,
            "start": start,
            "label": label,
            "where": where,
            "no_condition": no_condition or None,
            "bands": bands,
            "accept": accept,
            "redraws": redraws,
            "truncation": truncation,
            "psf": _joined(psf),
            "pixel_scale": _joined(pixel_scale),
            "stamp": _joined(stamp),
            "noise": sampling.noise_of(no_noise, _joined(noise)),
            "noise_seed": noise_seed,
            "instrument": None if instrument is None else ",".join(instrument),
            "same_galaxy": same_galaxy or None,
            "mix": mix,
            "mix_layer": mix_layer,
            "interpolate": interpolate,
            "sweep": sweep,
            "frames": frames,
            "formats": formats or None,
            "cube": cube or None,
            "compress": compress,
            "pack": pack or None,
            "batch": batch,
            "devices": sampling.count_of(devices),
        }
        layers = options.layers(
            config, settings, seed=seed, **{f"sample__{name}": v for name, v in given.items()}
        )
        part = sampling.part(shard, out)
        if resume:
            typed = [
                *(k for k, v in given.items() if v is not None and k not in ("batch", "devices"))
            ]
            sampling.resume(talk, source, typed, layers, out, part, dry_run)
        else:
            sampling.begin(
                talk, source, layers, {"-n": n, "--start": start, "--frames": frames}, out, part,
                dry_run,
            )  # fmt: skip


def _joined(values: list[str] | None) -> str | None:
    return None if values is None else ";".join(values)
