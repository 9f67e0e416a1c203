"""A generated galaxy as profiles of GalSim, one per band."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import galsim
import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.galsim.brightness import PerBand, factors
from galgen.galsim.catalogue import GeneratedCatalog
from galgen.galsim.profile import interpolated, sampled, tapered, without_sky
from galgen.models.requests import Where

#: Catalogues that galaxies of a model share, so that its pictures are drawn by chunks.
_SHARED: OrderedDict[tuple[Any, ...], GeneratedCatalog] = OrderedDict()
_MOST_SHARED = 4


class GeneratedGalaxy(Mapping[str, Any]):
    r"""A generated galaxy for GalSim: a mapping of band names to profiles.

    ``galaxy["r"]``, or ``galaxy.band("r")``, is a `galsim.GSObject` to be sheared, convolved and
    drawn with ``drawImage`` in its default method.

    **Pixels.** A model with a PSF layer gives pictures :math:`x_p` that become images as
    :math:`\sum_p x_p\, k(r - p)`, with a kernel k that is the PSF integrated over a pixel
    (`galgen.io.psf`). So :math:`x_p` are weights in front of the telescope *and* of the pixel:
    interpolated they are the galaxy itself, and drawing, which convolves with the pixel of the new
    image, adds a pixel once. Of a model without such a layer the values hold PSF and pixel. With
    ``psf="keep"`` the pixel is taken out (`galsim.Deconvolve` of `galsim.Pixel`), as it is in a
    band for which the layer has no PSF, so that drawing at the model's own pixel scale gives the
    picture again, and at another one what that pixel sees. With ``psf="deconvolve"`` PSF and pixel
    are taken out at once. The interpolant and the deconvolutions are 1 at the frequency 0, so that
    all of these keep the flux.

    Parameters
    ----------
    model
        A loaded model, what `galgen.checkpoint.load` takes, or a `GeneratedCatalog`.
    index
        Number of the sample: the galaxy is that of ``model.sample``, bit for bit, as `picture` has
        it.
    seed
        Of the samples; by default 0, or that of the catalogue.
    label, where, no_condition, truncation
        As in `galgen.checkpoint.TrainedModel.sample`.
    flux, magnitude
        How bright it is: a number, of a model of one band; by name of one band, and the
        others keep their colours; or by name of all of them. By default as the model makes it.
    zero_point
        AB magnitude of one unit of flux in the images that are drawn; by default the model's own.
    options
        ``psf``, ``own_psf``, ``noise``, ``sky``, ``taper``, ``pixel_scale`` and ``pad_factor`` as
        in `GeneratedCatalog`; not with a catalogue, which has its own.

    Attributes
    ----------
    picture
        Flux (bands, side, side), float32, as galgen draws it.
    image
        The same, float64, without sky, tapered and scaled: what the profiles are made of.
    fluxes
        Sum of each band's image, by name.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it, or what it should be scaled to is not known.
    """

    def __init__(
        self,
        model: TrainedModel | GeneratedCatalog | str | Path | None,
        index: int,
        seed: int | None = None,
        *,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool | None = None,
        truncation: float | None = None,
        flux: PerBand | None = None,
        magnitude: PerBand | None = None,
        zero_point: PerBand | None = None,
        **options: Any,
    ) -> None:
        catalogue = model if isinstance(model, GeneratedCatalog) else _shared(model, options)
        if isinstance(model, GeneratedCatalog) and options:
            raise ConfigError(
                f"{', '.join(options)}: say this of the catalogue, not of one of its galaxies."
            )
        self.index = index
        self.seed: int = catalogue.asked["seed"] if seed is None else seed
        self.spec: ImageSpec = catalogue.spec
        self.pixel_scale = catalogue.pixel_scale
        self.psf = catalogue.psf
        self.picture: NDArray[np.float32] = catalogue.picture(
            index, seed=seed, label=label, where=where, no_condition=no_condition,
            truncation=truncation,
        )  # fmt: skip
        image = self.picture.astype(np.float64)
        if catalogue.sky == "border":
            image = without_sky(image)
        image = tapered(image, catalogue.taper)
        name = f"galaxy {index} of seed {self.seed}"
        scale = factors(self.spec, image.sum(axis=(1, 2)), flux, magnitude, zero_point, name)
        self.image: NDArray[np.float64] = image * scale[:, None, None]
        self._kernels, self._sharp = catalogue.kernels, catalogue.sharp
        self._pad_factor = catalogue.pad_factor

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return self.spec.bands

    @property
    def fluxes(self) -> dict[str, float]:
        """Flux by band."""
        sums = self.image.sum(axis=(1, 2))
        return dict(zip(self.bands, sums.tolist(), strict=True))

    def band(self, name: str | None = None, gsparams: galsim.GSParams | None = None) -> Any:
        """The profile in a band, a `galsim.GSObject`.

        Parameters
        ----------
        name
            Of the band; may be left out where there is only one.
        gsparams
            GalSim's settings of accuracy.

        Raises
        ------
        ConfigError
            If there is no such band, or no light in it.
        """
        row = find_band(self.spec, name)
        total = self.image[row].sum()
        if total <= 0:
            raise ConfigError(
                f"galaxy {self.index} of seed {self.seed} has no light in {self.bands[row]} (its "
                f"pixels add up to {total:.3g}), so no profile: take another one."
            )
        behind: Any = None
        if self._kernels is not None:
            behind = sampled(self._kernels[row], self.pixel_scale)
        elif self.psf != "none" or self._sharp[row]:
            behind = galsim.Pixel(self.pixel_scale)
        return interpolated(self.image[row], self.pixel_scale, behind, gsparams, self._pad_factor)

    def __getitem__(self, name: str) -> Any:
        if name not in self.bands:
            raise KeyError(name)
        return self.band(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __repr__(self) -> str:
        return f"GeneratedGalaxy(index={self.index}, seed={self.seed}, bands={self.bands})"


def find_band(spec: ImageSpec, name: str | None) -> int:
    """Row of a band; None where there is only one.

    Raises
    ------
    ConfigError
        If there is no such band, or none was named of several.
    """
    if name is None and spec.n_bands == 1:
        return 0
    if name is None:
        raise ConfigError(f"band: say which, of {', '.join(spec.bands)}.")
    if name not in spec.bands:
        raise ConfigError(f"band {name}: this model has {', '.join(spec.bands)}.")
    return spec.bands.index(name)


def _shared(
    model: TrainedModel | str | Path | None, options: Mapping[str, Any]
) -> GeneratedCatalog:
    """A catalogue of the model, the same for the same options."""
    known = model if isinstance(model, TrainedModel) else None
    source = id(known) if known is not None else str(model)
    key = (source, *sorted((name, repr(value)) for name, value in options.items()))
    # The newest run may be another one by now, so its name alone is no key.
    if key not in _SHARED or model is None:
        _SHARED[key] = GeneratedCatalog(model, **options)
    _SHARED.move_to_end(key)
    while len(_SHARED) > _MOST_SHARED:
        _SHARED.popitem(last=False)
    return _SHARED[key]
