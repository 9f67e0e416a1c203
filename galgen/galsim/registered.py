"""What GalSim's configuration files know after ``modules: [galgen.galsim]``.

=========================  ==========================================================
``generated_catalog``      an input: ``file_name``, and the options of `GeneratedCatalog`
``GeneratedGalaxy``        an object: a band of a galaxy, with all that any object has
=========================  ==========================================================

The object takes ``index`` (by default one after the other), ``band``, ``seed``, ``label``,
``where``, ``truncation``, one of ``flux``, ``flux_rescale`` and ``mag``, ``mag_band`` (the band of
this magnitude, by default the one that is drawn), ``zero_point`` and, with several inputs, ``num``.
Each may be anything that GalSim generates values with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import galsim
import torch
from galsim.config import (
    GetAllParams,
    GetInputObj,
    InputLoader,
    RegisterInputType,
    RegisterObjectType,
    SetDefaultIndex,
)

from galgen.errors import ConfigError, UserError
from galgen.galsim.catalogue import GeneratedCatalog
from galgen.galsim.galaxy import GeneratedGalaxy, find_band

INPUT, OBJECT = "generated_catalog", "GeneratedGalaxy"

_CATALOGUE = {
    "file_name": str, "seed": int, "label": str, "where": str, "no_condition": bool,
    "truncation": float, "psf": str, "own_psf": str, "noise": bool, "sky": str, "taper": int,
    "pixel_scale": float, "pad_factor": float, "nobjects": int,
}  # fmt: skip
_GALAXY = {
    "index": int, "band": str, "seed": int, "label": str, "where": str, "truncation": float,
    "flux": float, "flux_rescale": float, "mag": float, "mag_band": str, "zero_point": float,
}  # fmt: skip


def open_catalogue(file_name: str | None = None, **options: Any) -> GeneratedCatalog:
    """The input of a configuration file.

    Raises
    ------
    galsim.GalSimConfigValueError
        If there is no such model, or its galaxies cannot be had that way.
    """
    try:
        return GeneratedCatalog(file_name, **options)
    except UserError as error:
        given = {"file_name": file_name, **options}
        raise galsim.GalSimConfigValueError(f"{INPUT}: {error}", given) from None


class CatalogueLoader(InputLoader):
    """Reads a catalogue's fields; each process of GalSim's loads the model once, on one thread."""

    def __init__(self) -> None:
        super().__init__(
            open_catalogue, use_proxy=False, worker_init=one_thread, worker_initargs=tuple
        )

    def getKwargs(self, config: Any, base: Any, logger: Any) -> tuple[dict[str, Any], bool]:
        """Arguments of `open_catalogue`, and whether they are the same for every file."""
        return GetAllParams(config, base, opt=_CATALOGUE)


def one_thread() -> None:
    """Keep a worker off the threads of its parent, which a fork leaves behind."""
    torch.set_num_threads(1)


def build(
    config: dict[str, Any], base: dict[str, Any], ignore: list[str], gsparams: Any, logger: Any
) -> tuple[Any, bool]:
    """The profile of one band of a galaxy, and whether it is the same for every object.

    Raises
    ------
    galsim.GalSimConfigValueError
        If there is no such galaxy.
    """
    catalogue: GeneratedCatalog = GetInputObj(INPUT, config, base, OBJECT)
    if catalogue.nobjects is not None:
        SetDefaultIndex(config, catalogue.nobjects)
    elif "index" not in config:
        config["index"] = {"type": "Sequence"}
        if "index_key" in config:
            config["index"]["index_key"] = config["index_key"]
    given, safe = GetAllParams(config, base, opt=_GALAXY, ignore=[*ignore, "num"])
    try:
        profile = _profile(catalogue, given, galsim.GSParams(**gsparams) if gsparams else None)
    except UserError as error:
        raise galsim.GalSimConfigValueError(f"{OBJECT}: {error}", given) from None
    return profile, safe


def _profile(catalogue: GeneratedCatalog, given: Mapping[str, Any], gsparams: Any) -> Any:
    band = catalogue.spec.bands[find_band(catalogue.spec, given.get("band"))]
    bright = [name for name in ("flux", "flux_rescale", "mag") if name in given]
    if len(bright) > 1:
        raise ConfigError(f"give one of {' and '.join(bright)}.")
    if "mag_band" in given and "mag" not in given:
        raise ConfigError("mag_band is the band of mag, which is not given.")
    mag_band = given.get("mag_band", band)
    galaxy = GeneratedGalaxy(
        catalogue,
        given["index"],
        given.get("seed"),
        label=given.get("label"),
        where=given.get("where"),
        truncation=given.get("truncation"),
        flux={band: given["flux"]} if "flux" in given else None,
        magnitude={mag_band: given["mag"]} if "mag" in given else None,
        zero_point=given.get("zero_point"),
    )
    profile = galaxy.band(band, gsparams)
    return profile * given["flux_rescale"] if "flux_rescale" in given else profile


def register() -> None:
    """Tell GalSim of the input and the object."""
    RegisterInputType(INPUT, CatalogueLoader())
    RegisterObjectType(OBJECT, build, input_type=INPUT)
