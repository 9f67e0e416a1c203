"""Where generated galaxies for GalSim come from: a model, a seed and what is asked for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel, load, resolve
from galgen.errors import ConfigError
from galgen.galsim.profile import PAD_FACTOR
from galgen.generated.again import Again
from galgen.io.psf import read_psf
from galgen.models.rendering import CHUNK
from galgen.models.requests import Where
from galgen.models.sampling import ends_in_psf
from galgen.specialists import attach

#: Of the pictures that a catalogue keeps, in bytes; those of 64 px in 3 bands are 49 kB each.
KEPT = 128 * 2**20
PSFS = ("none", "keep", "deconvolve")
SKIES = ("border", "keep")
#: Which galaxies; can be said for each of them.
ASKED = ("seed", "label", "where", "no_condition", "truncation")


class GeneratedCatalog:
    """An endless catalogue of generated galaxies, each decided by the seed and its number.

    A network draws galaxies by chunks of 32, and those that were not asked for yet are kept:
    drawing one after the other costs no more than drawing them at once.

    Parameters
    ----------
    model
        A loaded model, or what `galgen.checkpoint.load` takes.
    seed, label, where, no_condition, truncation
        Which galaxies, as in `galgen.checkpoint.TrainedModel.sample`, where a `GeneratedGalaxy`
        does not say it itself.
    psf
        ``none``: galaxies as they are above the telescope, of a model with a PSF layer. ``keep``:
        seen through the PSF of the training data. ``deconvolve``: that PSF is taken out by
        division in Fourier space, so they must be convolved with a wider one before they are drawn.
    own_psf
        The PSF to take out, as `galgen.io.psf.read_psf` understands it; by default the one of
        the model's facts.
    noise
        Keep the noise that the model adds behind the telescope, where it has some of its own.
    sky
        ``border``: take off the level of each band's border, an eighth of the side wide, as
        `galgen.galsim.profile.sky_level` has it; ``keep``: leave it.
    taper
        Pixels at the edges over which a picture falls to 0; by default a sixteenth of its side.
    pixel_scale
        Arcsec per pixel, of a model that does not know it.
    pad_factor
        How much wider than a picture its Fourier transform is made; less is faster, more is more
        exact.
    nobjects
        How many galaxies there are; None for no end.

    Raises
    ------
    CheckpointError
        If there is no such model.
    ConfigError
        If its galaxies cannot be had that way.
    """

    def __init__(
        self,
        model: TrainedModel | str | Path | None = None,
        *,
        seed: int = 0,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool = False,
        truncation: float = 1.0,
        psf: str = "none",
        own_psf: str | float | None = None,
        noise: bool = False,
        sky: str = "border",
        taper: int | None = None,
        pixel_scale: float | None = None,
        pad_factor: float = PAD_FACTOR,
        nobjects: int | None = None,
    ) -> None:
        self.asked: dict[str, Any] = {
            "seed": seed, "label": label, "where": where, "no_condition": no_condition,
            "truncation": truncation,
        }  # fmt: skip
        self._model: TrainedModel | None
        self._model = model if isinstance(model, TrainedModel) else _named(model)
        # Now, before anybody writes to its file; one that never had a file stays in this process.
        self._again = self._model.again() if self._model.path.exists() else None
        self._chunks: OrderedDict[tuple[Any, ...], NDArray[np.float32]] = OrderedDict()
        network = self.model.module.average.network
        self.psf, self.sky = _one_of("psf", psf, PSFS), _one_of("sky", sky, SKIES)
        layered = ends_in_psf(network)
        if psf == "none" and not layered:
            raise ConfigError(
                "psf=none: this model was trained without a PSF layer, so its galaxies carry the "
                "data's own PSF: psf=keep gives them with it, psf=deconvolve takes out the one "
                "that own_psf says."
            )
        if psf == "deconvolve" and layered:
            raise ConfigError(
                "psf=deconvolve: this model has a PSF layer, psf=none leaves it out by itself."
            )
        if own_psf is not None and psf != "deconvolve":
            raise ConfigError(f"own_psf={own_psf}: only psf=deconvolve takes a PSF out.")
        self.spec = _with_scale(self.model.spec, pixel_scale)
        self.kernels: NDArray[np.float64] | None = None
        if psf == "deconvolve":
            own = read_psf("auto" if own_psf is None else own_psf, self.spec, "own_psf")
            self.kernels = None if own is None else own.kernels
        #: Bands in which the layer does nothing, so that its pictures have the pixel in them.
        self.sharp = _sharp(network, self.spec.n_bands)
        grain = getattr(getattr(network, "end", None), "grain", None)
        self._look: dict[str, Any] = {
            "psf": "none" if psf == "none" else None,
            "noise": noise or grain is None,
        }
        side = self.spec.size
        self.taper = side // 16 if taper is None else taper
        if not 0 <= self.taper <= side // 2:
            raise ConfigError(f"taper={taper}: give 0 to {side // 2} pixels.")
        if nobjects is not None and nobjects < 1:
            raise ConfigError(f"nobjects={nobjects}: give a number above 0, or none for no end.")
        self.nobjects = nobjects
        if not 1 <= pad_factor <= 64:
            raise ConfigError(f"pad_factor={pad_factor:g}: give a number from 1 to 64.")
        self.pad_factor = pad_factor

    @property
    def model(self) -> TrainedModel:
        """The model, loaded once in a process."""
        if self._model is None:
            assert self._again is not None
            self._model = _reloaded(self._again)
        return self._model

    @property
    def pixel_scale(self) -> float:
        """Arcsec per pixel."""
        assert self.spec.pixel_scale is not None
        return self.spec.pixel_scale

    def picture(self, index: int, **asked: Any) -> NDArray[np.float32]:
        """Flux (bands, side, side) of a galaxy as galgen draws it, in the model's unit.

        Parameters
        ----------
        index
            Number of the sample, from 0.
        asked
            What is not as the catalogue has it, of `ASKED`; None for what the catalogue has.

        Raises
        ------
        ConfigError
            If there is no such galaxy, or the model cannot be asked for it.
        """
        end = "" if self.nobjects is None else f" and below {self.nobjects}"
        if index < 0 or (self.nobjects is not None and index >= self.nobjects):
            raise ConfigError(f"index={index}: samples have numbers from 0{end}.")
        chosen = self.asked | {name: value for name, value in asked.items() if value is not None}
        where = chosen["where"]
        if isinstance(where, Mapping):
            where = tuple(sorted((k, np.ravel(v).tolist()) for k, v in where.items()))
        key = (*(repr(chosen[name]) for name in ASKED if name != "where"), repr(where))
        chunk = (*key, index // CHUNK)
        if chunk not in self._chunks:
            self._chunks[chunk] = self._drawn(index // CHUNK, chosen)
            size = self._chunks[chunk].nbytes
            while len(self._chunks) > 1 and len(self._chunks) * size > KEPT:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk)
        return self._chunks[chunk][index % CHUNK]

    def _drawn(self, number: int, chosen: Mapping[str, Any]) -> NDArray[np.float32]:
        """All galaxies (32, bands, side, side) of a chunk."""
        rows = range(number * CHUNK, (number + 1) * CHUNK)
        found = self.model.sample_chunks(rows, **chosen, **self._look)
        return np.concatenate([flux.numpy() for _, flux in found])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the model and the pictures, which another process makes itself."""
        again = self._again or self.model.again()
        return self.__dict__ | {"_chunks": OrderedDict(), "_model": None, "_again": again}


def _named(source: str | Path | None) -> TrainedModel:
    """The model of that name, loaded once in a process as long as its file stays the same."""
    path = resolve(source)
    whole = source is None or not Path(source).is_file()
    return _loaded(os.path.abspath(path), whole, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _loaded(path: str, whole: bool, stamp: int) -> TrainedModel:
    """A model of a file or exported folder, with the snapshots of its classes if `whole`."""
    model = load(path)
    return attach(model) if whole and not model.specialists else model


@lru_cache(maxsize=4)
def _reloaded(again: Again) -> TrainedModel:
    """The model of another process."""
    return again.load()


def _sharp(network: nn.Module, bands: int) -> tuple[bool, ...]:
    kernels = getattr(getattr(getattr(network, "end", None), "psf", None), "kernels", None)
    if kernels is None:
        return (False,) * bands
    return tuple((kernels.amax(dim=(1, 2)) > 0.999).tolist())


def _one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise ConfigError(f"{name}={given}: choose of {', '.join(known)}.")
    return given


def _with_scale(spec: ImageSpec, pixel_scale: float | None) -> ImageSpec:
    """The facts with a pixel scale."""
    if spec.pixel_scale is None and pixel_scale is None:
        raise ConfigError(
            "this model does not know how large its pixels are, and GalSim needs it: give "
            "pixel_scale, in arcsec."
        )
    if pixel_scale is None or pixel_scale == spec.pixel_scale:
        return spec
    if spec.pixel_scale is not None:
        raise ConfigError(
            f"pixel_scale={pixel_scale:g}: the pixels of this model are {spec.pixel_scale:g} "
            "arcsec, leave it out; GalSim's dilate makes galaxies larger."
        )
    return spec.replace(pixel_scale=pixel_scale)
