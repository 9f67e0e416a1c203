"""Morphology of the central galaxy of every image, all images at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.morphology import masks, shape, smoothing
from galgen.measure.morphology.asymmetry import (
    aperture,
    asymmetry,
    centre_of_asymmetry,
)
from galgen.measure.morphology.growth import growth, petrosian, radius_of
from galgen.measure.morphology.sky import SkyBox, sky_box
from galgen.measure.morphology.sources import Sources, banded, find_sources

#: What is measured, in the order of SCIENCE and the papers.
QUANTITIES = (
    "gini",
    "m20",
    "concentration",
    "asymmetry",
    "smoothness",
    "r_petro",
    "r_half",
    "ellipticity",
    "orientation",
    "bulge",
)
_MORE = ("r_petro_ellip", "x", "y")
#: Apertures in Petrosian radii (Conselice 2003; Lotz et al. 2004): of C, A and S; how far
#: the centre may drift; the hole of S and its smoothing.
_EXTENT, _DRIFT, _SMOOTHING = 1.5, 0.25, 0.25
_SMALL = 1e-12
_TINY = 1e-30
#: Pixels of a band at a time: as many as a CPU has cache for, and as a GPU is kept busy by; and
#: the fewest images.
_CHUNK, _LARGE_CHUNK, _FEWEST = 2**18, 2**21, 8


def measure_morphology(flux: Tensor, spec: ImageSpec) -> dict[str, Tensor]:
    r"""Measure the central galaxy of every image, on the device of `flux`.

    Parameters
    ----------
    flux
        (N, C, H, W) in the unit of `spec`, or reference images (N, H, W). NaN is no data.
    spec
        Facts about the images.

    Returns
    -------
    dict of tensors (N,)
        The `QUANTITIES`, NaN where ``measured`` is False:

        ``gini``, ``m20``
            of the pixels brighter than the smoothed image is at the Petrosian ellipse (Lotz et al.
            2004, section 2.3 and 2.4).
        ``concentration``
            :math:`5 \log_{10}(r_{80} / r_{20})` of the light within 1.5 Petrosian radii.
        ``asymmetry``
            about the centre that makes it smallest, the sky's taken off (Conselice 2003).
        ``smoothness``
            light in small structures, the sky's taken off (Lotz et al. 2004, eq. 11).
        ``r_petro``
            Petrosian radius in pixels of circles about that centre, where a ring is 0.2 times as
            bright as the mean within.
        ``r_half``
            radius in pixels of the circle about that centre that holds half the light of the circle
            that holds the galaxy down to one sigma of the sky (Pawlik et al. 2016).
        ``ellipticity``, ``orientation``
            1 - b/a, and the long axis' angle in radians from +x towards +y, within pi/2 of it, of
            the second moments about that centre.
        ``bulge``
            -0.693 M20 + 4.95 Gini - 3.96 (Rodriguez-Gomez et al. 2019).

        Also ``r_petro_ellip`` (half-axis of the Petrosian ellipse), ``x`` and ``y`` (the centre),
        in pixels, and ``measured``: False where there is no source in the middle, its light is not
        positive, or its Petrosian radius does not lie within the image.

    Notes
    -----
    Definitions are those of statmorph 0.7 (Rodriguez-Gomez et al. 2019, MNRAS 483, 4140) with the
    whole image as its stamp, apart from these:

    - The centre is sought within a quarter of the Petrosian radius, in fixed patterns and not by a
      simplex, see `galgen.measure.morphology.asymmetry`.
    - Pixels on the rim of an aperture count to first order, and near the centre by sub-pixels; not
      by the exact area.
    - Where the smoothing square of S has an even side, the mean of its four positions is taken.
    - A square of sky is sought as statmorph does; without one, nothing is taken off A and S.
    - The one-sigma level of `r_half` is of all sky outside two Petrosian radii.

    Gradients are those of the values at fixed masks, centre and apertures' ellipse: every quantity
    has a finite one with respect to the flux. Images without noise should be given a PSF and noise
    first, equally for all sets that are compared: their edges are otherwise a thousandth of the
    brightest pixel.
    """
    banded(flux, spec)  # refuses what does not fit
    parts = _each(lambda chunk: _columns(find_sources(chunk, spec)), _chunks(flux))
    if not parts:
        none = torch.zeros(0, device=flux.device)
        return {**dict.fromkeys((*QUANTITIES, *_MORE), none), "measured": none.bool()}
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _chunks(flux: Tensor) -> list[Tensor]:
    if not len(flux):
        return []
    cpu = flux.device.type == "cpu"
    size = max(_FEWEST, (_CHUNK if cpu else _LARGE_CHUNK) // flux.shape[-2:].numel())
    if cpu:
        size = min(size, max(_FEWEST, -(-len(flux) // torch.get_num_threads())))
    return list(flux.split(size))


def _each(work: Callable[[Tensor], dict[str, Tensor]], chunks: list[Tensor]) -> list[Any]:
    """Results of all chunks, on the CPU of as many at a time as torch has threads.

    Threads that share the work on one small tensor wait for each other most of the time.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not chunks or chunks[0].device.type != "cpu":
        return [work(chunk) for chunk in chunks]
    gradients = torch.is_grad_enabled()

    def alone(chunk: Tensor) -> dict[str, Tensor]:
        torch.set_num_threads(1)
        with torch.set_grad_enabled(gradients):
            return work(chunk)

    try:
        with ThreadPoolExecutor(min(threads, len(chunks))) as pool:
            return list(pool.map(alone, chunks))
    finally:
        # Threads to come take over what the last one set.
        torch.set_num_threads(threads)


def _columns(sources: Sources) -> dict[str, Tensor]:
    rows = sources.detected.nonzero()[:, 0]
    light = sources.light
    columns = {name: light.new_full((len(light),), torch.nan) for name in (*QUANTITIES, *_MORE)}
    measured = torch.zeros_like(sources.detected)
    if len(rows):
        values, good = _measure(sources[rows])
        measured[rows] = good
        kept = rows[good]
        columns = {name: c.index_put((kept,), values[name][good]) for name, c in columns.items()}
    return {**columns, "measured": measured}


def _measure(sources: Sources) -> tuple[dict[str, Tensor], Tensor]:
    """Quantities (N,) of detected sources, and whether they mean anything."""
    valid = (~(sources.other | masks.outliers(sources.light.detach()))).to(sources.light)
    # Everything below knows no units: a scale near one keeps float32 away from its ends.
    own = sources.segment * valid
    scale = (sources.light.detach() * own).flatten(1).amax(1)
    scale = torch.where(scale > _TINY, scale, 1.0)
    image = sources.light / scale[:, None, None] * valid
    own = own * image
    good = own.sum((1, 2)) > 0
    no_source = (~(sources.segment | sources.other)).to(image)
    sky = sky_box(image, no_source)
    with torch.no_grad():
        first = shape.centroid(own)
        inside = _inside(first, image)
        first = torch.where((good & inside)[:, None], first, _middle(image))
        radius, reached = petrosian(growth(image, valid, first))
        brightest = _position(own.flatten(1).argmax(1), image)
        centre = centre_of_asymmetry(
            image, valid, first, brightest, _EXTENT * radius, _DRIFT * radius
        )
        good &= reached & inside & _inside(centre, image)
        centre = torch.where(good[:, None], centre, _middle(image))

    ellipticity, orientation, sensible = shape.ellipse(own, centre)
    good &= sensible
    curve = growth(image, valid, centre)
    r_petro, reached = petrosian(curve)
    good &= reached
    elongation = (1 / (1 - ellipticity).clamp_min(0.05)).detach()
    along = growth(image, valid, centre, elongation, orientation.detach())
    r_petro_ellip, reached = petrosian(along, elongation)
    good &= reached
    outer = _EXTENT * r_petro
    r20, r80 = (radius_of(curve, outer, f) for f in (0.2, 0.8))
    # Beyond the image a radius means nothing, and would only cost time.
    within = r_petro_ellip.clamp_max(float(max(image.shape[1:])))
    light_map, mapped = masks.gini_map(image, first, within, elongation, orientation)
    r_max = masks.outermost(image, valid, no_source * valid, centre, within)
    good &= mapped
    x, y = shape.axes(image)
    pixels, x, y = shape.listed(light_map, image, x.expand_as(image), y[:, None].expand_as(image))
    gini = shape.gini(pixels, light_map.sum((1, 2)))
    m20, sensible = shape.m20(pixels, x, y)
    good &= sensible & (curve.at(outer).detach() > 0)
    values = {
        "gini": gini,
        "m20": m20,
        "concentration": 5 * torch.log10(r80.clamp_min(1e-3) / r20.clamp_min(1e-3)),
        "asymmetry": asymmetry(image, valid, centre, _EXTENT * radius, sky.asymmetry()),
        "smoothness": _smoothness(image, sky, centre, r_petro),
        "r_petro": r_petro,
        "r_half": radius_of(curve, r_max, 0.5),
        "ellipticity": ellipticity,
        "orientation": orientation,
        "bulge": shape.bulge(gini, m20),
        "r_petro_ellip": r_petro_ellip,
        "x": centre[:, 0],
        "y": centre[:, 1],
    }
    for value in values.values():
        good &= torch.isfinite(value.detach())
    return values, good


def _middle(image: Tensor) -> Tensor:
    height, width = image.shape[1:]
    return image.new_tensor([(width - 1) / 2, (height - 1) / 2]).expand(len(image), 2)


def _inside(point: Tensor, image: Tensor) -> Tensor:
    height, width = image.shape[1:]
    limit = point.new_tensor([width, height])
    return ((point >= 0) & (point < limit)).all(1)


def _position(flat: Tensor, image: Tensor) -> Tensor:
    width = image.shape[2]
    return torch.stack([flat % width, flat // width], 1).to(image)


def _smoothness(image: Tensor, sky: SkyBox, centre: Tensor, radius: Tensor) -> Tensor:
    """Light in structures smaller than a quarter of the Petrosian radius, over all light.

    Lotz et al. 2004, eq. 11, without the factor 10 of Conselice 2003. The middle is left out.
    """
    width = (_SMOOTHING * radius.detach()).floor().clamp_min(1)
    excess = smoothing.excess(image, width)
    outer, inner = _EXTENT * radius, _SMOOTHING * radius
    ring = aperture(image, centre, outer) - aperture(image, centre, inner)
    light = (ring * image).sum((1, 2))
    background = torch.pi * (outer**2 - inner**2) * sky.excess(width)
    light = torch.where(light.abs() < _SMALL, _SMALL, light)
    return ((ring * excess).sum((1, 2)) - background) / light
