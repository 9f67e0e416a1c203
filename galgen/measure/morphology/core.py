"""Morphology of the central galaxy of every image, all images at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.morphology import shape, smoothing
from galgen.measure.morphology.asymmetry import (
    aperture,
    asymmetry,
    centre_of_asymmetry,
)
from galgen.measure.morphology.growth import growth, petrosian, radius_of
from galgen.measure.morphology.sky import SkyBox, sky_box
from galgen.measure.morphology.sources import Sources, find_sources, part_at

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
#: Apertures in Petrosian radii (Conselice 2003; Lotz et al. 2004): of C, A and S; the hole of S and
#: its smoothing; the smoothing of the map of Gini; where the sky begins.
_EXTENT, _DRIFT, _SMOOTHING, _MAP_SMOOTHING, _SKY = 1.5, 0.25, 0.25, 0.2, 2.0
#: Pixels off their neighbours by so many standard deviations of these are no light.
_OUTLIER = 10.0
_SMALL = 1e-12
_CLIPS = 3
_CHUNK = 32


def measure_morphology(flux: Tensor, spec: ImageSpec) -> dict[str, Tensor]:
    n = len(flux)
    parts = [_chunk(flux[i : i + _CHUNK], spec) for i in range(0, n, _CHUNK)]
    if not parts:
        empty = {name: flux.new_zeros(0) for name in (*QUANTITIES, *_MORE)}
        return {**empty, "measured": torch.zeros(0, dtype=torch.bool, device=flux.device)}
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


_MORE = ("r_petro_ellip", "x", "y")


def _chunk(flux: Tensor, spec: ImageSpec) -> dict[str, Tensor]:
    sources = find_sources(flux, spec)
    rows = sources.detected.nonzero()[:, 0]
    values: dict[str, Tensor] = {}
    measured = torch.zeros_like(sources.detected)
    if len(rows):
        values, good = _measure(sources[rows])
        measured[rows] = good
    out = {}
    for name in (*QUANTITIES, *_MORE):
        column = sources.light.new_full((len(flux),), float("nan"))
        if len(rows):
            value = torch.where(good, values[name], float("nan"))
            column = column.index_put((rows,), value)
        out[name] = column
    return {**out, "measured": measured}


def _measure(sources: Sources) -> tuple[dict[str, Tensor], Tensor]:
    """Quantities (N,) of detected sources, and whether they mean anything."""
    counts = ~(sources.other | _outliers(sources.light))
    segment = sources.segment & counts
    # Everything below knows no units: a scale near one keeps float32 away from its ends.
    scale = torch.where(segment, sources.light.detach(), 0.0).flatten(1).amax(1).clamp_min(1e-30)
    image = torch.where(counts, sources.light / scale[:, None, None], 0.0)
    own = torch.where(segment, image, 0.0)
    good = own.sum((1, 2)) > 0

    sky_pixels = counts & ~sources.segment
    sky = sky_box(image, ~(sources.segment | sources.other))
    valid = counts.to(image)
    with torch.no_grad():
        first = shape.centroid(own)
        inside = _inside(first, image)
        first = torch.where((good & inside)[:, None], first, _middle(image))
        radius, reached = petrosian(growth(image, valid, first))
        brightest = _position(own.flatten(1).argmax(1), image)
        centre = centre_of_asymmetry(
            image, counts, first, brightest, _EXTENT * radius, _DRIFT * radius
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
    outer = (_EXTENT * r_petro)
    r20, r80 = (radius_of(curve, outer, f) for f in (0.2, 0.8))
    with torch.no_grad():
        light_map, mapped = _gini_map(
            image, first, r_petro_ellip.clamp_max(float(max(image.shape))), elongation, orientation
        )
        r_max = _outermost(image, counts, sky_pixels, centre, r_petro_ellip)
        good &= mapped
    x, y = shape.axes(image)
    pixels, x, y = shape.listed(
        light_map, image, x.expand_as(image), y[:, None].expand_as(image)
    )
    gini = shape.gini(pixels, light_map.sum((1, 2)))
    m20, sensible = shape.m20(pixels, x, y)
    good &= sensible & (curve.at(outer).detach() > 0)
    values = {
        "gini": gini,
        "m20": m20,
        "concentration": 5 * torch.log10(r80.clamp_min(1e-3) / r20.clamp_min(1e-3)),
        "asymmetry": asymmetry(image, counts, centre, _EXTENT * radius, sky.asymmetry(image)),
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


def _outliers(light: Tensor) -> Tensor:
    """Pixels that differ from their eight neighbours by 10 of these' standard deviations.

    As Lotz et al. 2004 have it. In differences from the pixel, which cancel no digits:
    mean^2 > 100 (mean of squares - mean^2).
    """
    with torch.no_grad():
        x = light.detach()
        padded = F.pad(x[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        height, width = x.shape[1:]
        total, square = torch.zeros_like(x), torch.zeros_like(x)
        for i in range(3):
            for j in range(3):
                if (i, j) != (1, 1):
                    d = padded[:, i : i + height, j : j + width] - x
                    total += d
                    square.addcmul_(d, d)
        mean = total / 8
        return (1 + _OUTLIER**2) * mean * mean > _OUTLIER**2 * square / 8


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


def _gini_map(
    image: Tensor, centre: Tensor, radius: Tensor, elongation: Tensor, angle: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels of the smoothed image that are brighter than it is at the Petrosian ellipse."""
    smooth = smoothing.gaussian(image, _MAP_SMOOTHING * radius)
    distance = shape.elliptical(image, centre, elongation, angle)
    wider, narrower = radius + 0.5, (radius - 0.5).clamp_min(0)
    ring = _within(distance, wider) - _within(distance, narrower)
    # Over the whole ring, also what of it lies outside the image.
    area = torch.pi / elongation * (wider**2 - narrower**2)
    edge = (smooth * ring).sum((1, 2)) / area
    above = smooth >= edge[:, None, None]
    part, _ = part_at(above, smooth.flatten(1).argmax(1))
    pixels = part.sum((1, 2))
    return part, (pixels > 1) & (pixels < part[0].numel())


def _within(distance: Tensor, radius: Tensor) -> Tensor:
    return (radius[:, None, None] + 0.5 - distance).clamp(0, 1)


def _outermost(
    image: Tensor, counts: Tensor, sky_pixels: Tensor, centre: Tensor, radius: Tensor
) -> Tensor:
    """Distance of the furthest pixel that is still brighter than the sky by one sigma."""
    distance = shape.distance(image, centre)
    sky = counts & (distance > _SKY * radius[:, None, None])
    enough = sky.sum((1, 2)) >= 64
    sky = torch.where(enough[:, None, None], sky, sky_pixels)
    level, sigma = _clipped(image, sky)
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")
    smooth = F.avg_pool2d(padded, 3, 1)[:, 0]
    above = smooth >= (level + sigma)[:, None, None]
    peak = smooth.flatten(1).argmax(1)
    above = above.flatten(1).scatter(1, peak[:, None], True).view(above.shape)
    part, _ = part_at(above, peak)
    return (distance * part).flatten(1).amax(1)


def _clipped(image: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N,) of some pixels within three sigma."""
    use = pixels = pixels.to(image)
    for _ in range(_CLIPS):
        n = use.sum((1, 2)).clamp_min(1)
        level = (image * use).sum((1, 2)) / n
        offset = image - level[:, None, None]
        sigma = ((offset * offset * use).sum((1, 2)) / n).sqrt()
        use = pixels * (offset.abs() <= 3 * sigma[:, None, None])
    return level, sigma


def _smoothness(image: Tensor, sky: SkyBox, centre: Tensor, radius: Tensor) -> Tensor:
    """Light in structures smaller than a quarter of the Petrosian radius, over all light.

    Lotz et al. 2004, eq. 11, without the factor 10 of Conselice 2003. The middle is left out.
    """
    width = (_SMOOTHING * radius.detach()).floor().clamp_min(1)
    excess = smoothing.excess(image, width)
    outer, inner = _EXTENT * radius, _SMOOTHING * radius
    ring = aperture(image, centre, outer) - aperture(image, centre, inner)
    light = (ring * image).sum((1, 2))
    background = torch.pi * (outer**2 - inner**2) * sky.excess(image, width)
    light = torch.where(light.abs() < _SMALL, _SMALL, light)
    return ((ring * excess).sum((1, 2)) - background) / light
