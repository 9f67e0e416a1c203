"""Telescopes as they are typed: one, or several with ``;`` between their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from galgen.errors import ConfigError
from galgen.telescope import Telescope
from galgen.telescope.telescope import NOISELESS

#: Option of a person's for each field.
_OPTIONS = {
    "instrument": "--instrument",
    "psf": "--psf",
    "pixel_scale": "--pixel-scale",
    "size": "--stamp",
    "noise": "--noise",
}


def typed(
    *,
    instrument: str | None = None,
    psf: str | None = None,
    pixel_scale: str | None = None,
    stamp: str | None = None,
    noise: str | None = None,
    own_psf: str | None = None,
    noise_seed: int | None = None,
    same_galaxy: bool = False,
) -> tuple[Telescope, ...]:
    """The telescopes that options mean; none where a model's own will do.

    Parameters
    ----------
    instrument
        Names of presets, with commas between.
    psf, pixel_scale, stamp, noise
        As in `galgen.telescope.Telescope`; with `same_galaxy` several, with ``;`` between, one for
        each telescope or one for all.
    own_psf, noise_seed
        Of all telescopes.
    same_galaxy
        Whether several are meant.

    Raises
    ------
    ConfigError
        If they make no sense together.

    Examples
    --------
    >>> [t.psf for t in typed(psf="0.7;1.4", same_galaxy=True)]
    ['0.7', '1.4']
    >>> typed(psf="0.7")
    ()
    """
    given: dict[str, list[Any]] = {
        "instrument": _several(instrument, ",", "--instrument"),
        "psf": _several(psf, ";", "--psf"),
        "pixel_scale": _several(pixel_scale, ";", "--pixel-scale", _positive),
        "size": _several(stamp, ";", "--stamp", _whole),
        "noise": _several(noise, ";", "--noise", _noise),
    }
    counts = {name: len(values) for name, values in given.items() if values}
    most = max(counts.values(), default=0)
    if most > 1 and not same_galaxy:
        name = max(counts, key=lambda name: counts[name])
        raise ConfigError(
            f"{_OPTIONS[name]} names {counts[name]} telescopes: add --same-galaxy to see each "
            "galaxy by all of them, or name one."
        )
    if same_galaxy and most < 2:
        raise ConfigError(
            "--same-galaxy: name the telescopes, as in --instrument sdss,hsc or "
            "--psf 0.7 --psf 1.4."
        )
    for name, count in counts.items():
        if count not in (1, most):
            raise ConfigError(
                f"{_OPTIONS[name]} is given for {count} telescopes and others for {most}: give it "
                "once for all, or for each."
            )
    nothing = all(text == NOISELESS for text in given["noise"])
    alone = set(counts) <= {"psf", "noise"} and nothing and not same_galaxy
    if alone:
        if noise_seed is not None:
            raise ConfigError("--noise-seed is that of --noise or of an --instrument: name one.")
        return ()
    found = []
    for k in range(max(1, most)):
        one = {name: values[k % len(values)] for name, values in given.items() if values}
        found.append(Telescope.of(own_psf=own_psf, noise_seed=noise_seed, **one))
    return _named(found, given["instrument"])


def _named(found: list[Telescope], instruments: list[Any]) -> tuple[Telescope, ...]:
    """Each with a name of its own, where there are several."""
    if len(found) == 1:
        return tuple(found)
    own = [telescope.name for telescope in found]
    if all(own) and len(set(own)) == len(own):
        return tuple(found)
    if len(set(instruments)) < len(instruments):
        twice = next(name for name in instruments if instruments.count(name) > 1)
        raise ConfigError(f"--instrument names {twice} twice: name each once.")
    from dataclasses import replace

    return tuple(
        replace(telescope, name=f"{telescope.name or 'view'}{k}")
        for k, telescope in enumerate(found, start=1)
    )


def _several(
    text: str | None, between: str, option: str, read: Callable[[str, str], Any] | None = None
) -> list[Any]:
    if text is None:
        return []
    parts = [part.strip() for part in str(text).split(between)]
    if not all(parts):
        raise ConfigError(f"{option} {text}: a value is empty, give one for each telescope.")
    return [part if read is None else read(part, option) for part in parts]


def _positive(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{option} {text}: give arcsec per pixel, a number above 0.")
    return value


def _noise(text: str, option: str) -> str:
    return NOISELESS if text.lower() == NOISELESS else text


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ConfigError(f"{option} {text}: give a number of pixels.")
    return int(text)


def of_config(sample: Mapping[str, Any]) -> dict[str, Any]:
    """How galaxies are seen, for `galgen.sample.sample`, from the section ``sample``.

    Raises
    ------
    ConfigError
        As `typed`.
    """
    noise = sample["noise"]
    other = noise if isinstance(noise, str) else None if noise else NOISELESS
    quiet = other is not None and other.strip().lower() == NOISELESS
    telescopes = typed(
        noise=other,
        **{
            name: sample[name]
            for name in (
                "instrument", "psf", "pixel_scale", "stamp", "own_psf", "noise_seed", "same_galaxy"
            )
        },
    )  # fmt: skip
    return {
        "psf": None if telescopes else sample["psf"],
        "own_psf": None if telescopes else sample["own_psf"],
        "noise": not quiet,
        "telescopes": telescopes,
    }
