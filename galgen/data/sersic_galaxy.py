"""The population of simulated galaxies: from random numbers to sums of Gaussians.

A galaxy is a set of three-dimensional Gaussians: a flattened bulge, a thick disk, a bar, arms
made of blobs along logarithmic spirals, and knots. Inclining it and projecting it on the sky
is exact. Lengths are in units of the galaxy's scale radius until `gaussians` sets them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galgen.data.sersic_profile import concentration_table, sersic_gaussians

Array = NDArray[np.float64]

KINDS = ("elliptical", "spiral", "irregular")
N_BULGE, N_DISK, N_ARM, N_KNOT = 12, 7, 36, 12
N_GAUSSIANS = N_BULGE + N_DISK + 1 + N_ARM + N_KNOT
#: Population (bulge, disk, arms, knots) of each Gaussian; the bar belongs to the bulge's stars.
POPULATION = np.repeat([0, 1, 0, 2, 3], [N_BULGE, N_DISK, 1, N_ARM, N_KNOT])
N_SCALARS = 34
#: Uniform random numbers that define one galaxy.
N_UNIFORM = N_SCALARS + 2 * N_ARM + 4 * N_KNOT
_KEPT_OUT = 1e-9


@dataclass
class Galaxies:
    """N galaxies as sums of K Gaussians each, in pixels, before any PSF.

    Attributes
    ----------
    x, y
        Centres relative to the middle of the frame, shape (N, K); x to the right, y upwards
        with the row number.
    cxx, cxy, cyy
        Covariances in square pixels, shape (N, K).
    weight
        Share of its population's flux, shape (N, K).
    share
        Flux shares at 620 nm of `POPULATION`, shape (N, 4).
    old_fraction, optical_depth
        Stars and dust of the populations, shape (N, 4); see `sersic_light.band_fluxes`.
    tilt, redshift, magnitude, r_half
        Per galaxy, shape (N,); the magnitude is the total at 620 nm, r_half in pixels.
    truth
        Columns of the catalogue that the light does not need, shape (N,) each.
    """

    x: Array
    y: Array
    cxx: Array
    cxy: Array
    cyy: Array
    weight: Array
    share: Array
    old_fraction: Array
    optical_depth: Array
    tilt: Array
    redshift: Array
    magnitude: Array
    r_half: Array
    truth: dict[str, NDArray[np.generic]]


def _between(u: Array, low: float | Array, high: float | Array) -> Array:
    return low + (high - low) * u


def _normal(u: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(u, _KEPT_OUT, 1 - _KEPT_OUT)))


def gaussians(uniform: Array, size: int, magnitude_shift: float) -> Galaxies:
    """Galaxies from uniform random numbers.

    Parameters
    ----------
    uniform
        Shape (N, `N_UNIFORM`). One row is one galaxy, whatever the others are.
    size
        Side of the frame in pixels. The scale radius is 3 / 32 of it on average.
    magnitude_shift
        Added to the magnitudes, which are 17.9 to 22.1 without it.

    Returns
    -------
    Galaxies
    """
    n = len(uniform)
    u = iter(uniform[:, :N_SCALARS].T)
    arm_u = uniform[:, N_SCALARS : N_SCALARS + 2 * N_ARM].reshape(n, 2, N_ARM)
    knot_u = uniform[:, N_SCALARS + 2 * N_ARM :].reshape(n, 4, N_KNOT)

    depth = next(u) ** 0.6
    magnitude = 17.9 + 4.2 * depth
    early = 0.38 - 0.2 * depth
    kind_u = next(u)
    kind = np.where(kind_u < early, 0, np.where(kind_u < 1.0 - 0.05 - 0.2 * depth, 1, 2))

    def by_kind(*values: Array | float) -> Array:
        return np.asarray(np.choose(kind, [np.broadcast_to(v, n) for v in values]))

    magnitude = magnitude + magnitude_shift
    redshift = 0.25 * 10 ** (0.12 * (magnitude - 20.5)) * np.exp(0.35 * _normal(next(u)))

    size_offset = 0.38 * _normal(next(u)) - 0.5 * (depth - 0.6)
    radius = size / 32 * np.clip(3.0 * np.exp(size_offset), 1.0, 8.0)
    v = next(u)
    bulge_fraction = by_kind(_between(v, 0.55, 1.0), 0.03 + 0.45 * v**2, 0.08 * v)
    v = next(u)
    index = np.round(
        by_kind(_between(v, 2.5, 5.0), _between(v, 1.5, 4.0), _between(v, 1.0, 2.0)), 1
    )
    v = next(u)
    bulge_radius = radius * by_kind(_between(v, 0.55, 0.95), _between(v, 0.15, 0.35), 0.4)
    disk_radius = radius * by_kind(1.0, 1.1, 1.0)
    cos_i = next(u)
    sin_i = np.sqrt(1.0 - cos_i**2)
    bulge_flat = by_kind(_between(next(u), 0.4, 1.0), 0.7, 0.6)
    disk_flat = by_kind(0.25, _between(next(u), 0.08, 0.2), _between(next(u), 0.2, 0.5))
    angle = np.pi * next(u)

    v = next(u)
    disk = 1.0 - bulge_fraction
    arms = disk * by_kind(0.0, _between(v, 0.2, 0.75), 0.25 * v)
    v = next(u)
    knots = disk * by_kind(0.0, 0.02 + 0.2 * v, _between(v, 0.25, 0.75))
    knots = np.minimum(knots, disk - arms)
    bar = np.where(next(u) < by_kind(0.0, 0.35, 0.25), next(u), 0.0) * 0.5 * bulge_fraction
    share = np.stack([bulge_fraction, disk - arms - knots, arms, knots], axis=1)

    metal = -0.06 * (magnitude - magnitude_shift - 20.0) + 0.12 * _normal(next(u))
    age = next(u)
    bulge_old = by_kind(1.0 - 0.06 * age**4, 1.0 - 0.35 * age, 0.4)
    disk_old = by_kind(0.95 - 0.15 * age, 0.55 - 0.45 * age, 0.35 - 0.35 * age)
    old_fraction = np.stack([bulge_old, disk_old, 0.4 * disk_old, 0.1 * disk_old], axis=1)
    dust = by_kind(0.05, 0.5 * next(u), 0.2) * (0.3 + sin_i**2)
    optical_depth = dust[:, None] * np.array([0.8, 1.0, 0.9, 0.7])

    # positions (px) and shapes in the plane of the galaxy, K Gaussians in the order of POPULATION
    px, py = np.zeros((2, n, N_GAUSSIANS))
    along, across, turn, vertical = np.zeros((4, n, N_GAUSSIANS))
    weight = np.zeros((n, N_GAUSSIANS))

    part = slice(0, N_BULGE)
    table = {k: sersic_gaussians(float(k), N_BULGE) for k in np.unique(index)}
    width = np.stack([table[k][0] for k in index]).reshape(n, N_BULGE)
    weight[:, part] = np.stack([table[k][1] for k in index]).reshape(n, N_BULGE)
    weight[:, part] *= (1.0 - bar / np.maximum(bulge_fraction, _KEPT_OUT))[:, None]
    along[:, part] = across[:, part] = width * bulge_radius[:, None]
    vertical[:, part] = along[:, part] * bulge_flat[:, None]

    part = slice(N_BULGE, N_BULGE + N_DISK)
    width, weight[:, part] = sersic_gaussians(1.0, N_DISK)
    along[:, part] = across[:, part] = width * disk_radius[:, None]
    vertical[:, part] = along[:, part] * disk_flat[:, None]

    k = N_BULGE + N_DISK
    weight[:, k] = bar / np.maximum(bulge_fraction, _KEPT_OUT)
    along[:, k] = 0.55 * disk_radius
    across[:, k] = 0.14 * disk_radius
    turn[:, k] = bar_turn = 2 * np.pi * next(u)
    vertical[:, k] = across[:, k]

    part = slice(N_BULGE + N_DISK + 1, N_GAUSSIANS - N_KNOT)
    n_arms = np.where(kind == 1, np.choose((next(u) * 5).astype(int), [2, 2, 2, 3, 4]), 1)
    pitch = np.radians(_between(next(u), 12.0, 32.0))
    handed = np.where(next(u) < 0.5, -1.0, 1.0)
    span = np.minimum(2.0, 1.5 * np.pi * np.tan(pitch))
    step = np.arange(N_ARM) // n_arms[:, None] / (N_ARM / n_arms[:, None])
    scale_length = disk_radius / 1.678
    first = np.log(3.6) - span
    log_r = first[:, None] + span[:, None] * (step + 0.6 * n_arms[:, None] / N_ARM * arm_u[:, 0])
    r = np.exp(log_r)
    theta = (
        bar_turn[:, None]
        + 2 * np.pi * (np.arange(N_ARM) % n_arms[:, None]) / n_arms[:, None]
        + handed[:, None] * (log_r - first[:, None]) / np.tan(pitch)[:, None]
    )
    light = r**2 * np.exp(-r) * np.exp(0.4 * _normal(arm_u[:, 1]))
    weight[:, part] = light / light.sum(1, keepdims=True)
    px[:, part], py[:, part] = scale_length[:, None] * r * np.stack([np.cos(theta), np.sin(theta)])
    spacing = r * (span * n_arms / N_ARM / np.sin(pitch))[:, None]
    across[:, part] = scale_length[:, None] * r * _between(next(u), 0.08, 0.16)[:, None]
    along[:, part] = np.maximum(0.75 * scale_length[:, None] * spacing, across[:, part])
    turn[:, part] = theta + handed[:, None] * (np.pi / 2 - pitch)[:, None]
    vertical[:, part] = (disk_flat * scale_length)[:, None] * 0.7

    part = slice(N_GAUSSIANS - N_KNOT, N_GAUSSIANS)
    chosen = (knot_u[:, 0] * N_ARM).astype(int) + N_GAUSSIANS - N_KNOT - N_ARM
    on_arm = (kind == 1)[:, None] & (knot_u[:, 1] < 0.75)
    free_r = 1.4 * disk_radius[:, None] * np.sqrt(knot_u[:, 0])
    free_theta = 2 * np.pi * knot_u[:, 1]
    px[:, part] = np.where(on_arm, np.take_along_axis(px, chosen, 1), free_r * np.cos(free_theta))
    py[:, part] = np.where(on_arm, np.take_along_axis(py, chosen, 1), free_r * np.sin(free_theta))
    light = (0.02 + knot_u[:, 2]) ** -0.8
    weight[:, part] = light / light.sum(1, keepdims=True)
    along[:, part] = across[:, part] = scale_length[:, None] * _between(knot_u[:, 3], 0.08, 0.3)
    vertical[:, part] = across[:, part]

    # the far side of an oblate body: project on the sky, then turn by the position angle
    c, s = np.cos(turn), np.sin(turn)
    a2, b2 = along**2, across**2
    cos_i, sin_i = cos_i[:, None], sin_i[:, None]
    sxx = a2 * c**2 + b2 * s**2
    sxy = (a2 - b2) * c * s * cos_i
    syy = (a2 * s**2 + b2 * c**2) * cos_i**2 + vertical**2 * sin_i**2
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    py = py * cos_i
    shift = 0.35 * np.stack([_normal(next(u)), _normal(next(u))])
    shift = np.clip(shift, -1.0, 1.0)[..., None]
    galaxies = Galaxies(
        x=c * px - s * py + shift[0],
        y=s * px + c * py + shift[1],
        cxx=c**2 * sxx - 2 * c * s * sxy + s**2 * syy,
        cxy=c * s * (sxx - syy) + (c**2 - s**2) * sxy,
        cyy=s**2 * sxx + 2 * c * s * sxy + c**2 * syy,
        weight=weight,
        share=share,
        old_fraction=old_fraction,
        optical_depth=optical_depth,
        tilt=metal,
        redshift=redshift,
        magnitude=magnitude,
        r_half=np.zeros(n),
        truth={},
    )
    flat = np.where(bulge_fraction > 0.5, bulge_flat, disk_flat)
    radii = radii_of_light(galaxies, shift[0], shift[1])
    galaxies.r_half = radii[:, 1]
    known, indices = concentration_table()
    galaxies.truth = {
        "kind": kind,
        "spiral": kind == 1,
        "n_arms": np.where(kind == 1, n_arms, 0),
        "pitch": np.where(kind == 1, np.degrees(pitch), np.nan),
        "barred": bar > 0,
        "bulge_fraction": bulge_fraction,
        "sersic_n": index,
        "sersic_n_effective": np.interp(radii[:, 2] / radii[:, 0], known, indices),
        "r_half_pixels": radii[:, 1],
        "inclination": np.degrees(np.arccos(cos_i[:, 0])),
        "ellipticity": 1.0 - np.sqrt(cos_i[:, 0] ** 2 + (flat * sin_i[:, 0]) ** 2),
        "position_angle": np.degrees(angle),
        "x": shift[0, :, 0],
        "y": shift[1, :, 0],
    }
    return galaxies


def radii_of_light(galaxies: Galaxies, x: Array, y: Array) -> Array:
    r"""Radii in pixels of circles about (x, y) that hold 20, 50 and 80 % of the flux at 620 nm.

    A Gaussian about the centre is integrated exactly over angle,
    :math:`1 - \langle e^{-R^2 g(\theta)/2} / g \rangle / (\sigma_a \sigma_b)` with
    :math:`g = u^T \Sigma^{-1} u`; one off it counts as a ring of its own width.

    Returns
    -------
    Array
        Shape (N, 3).
    """
    from scipy.special import ndtr

    flux = galaxies.weight * galaxies.share[:, POPULATION]
    distance = np.hypot(galaxies.x - x, galaxies.y - y)
    central = N_BULGE + N_DISK + 1
    spread = np.sqrt((galaxies.cxx + galaxies.cyy) / 2)
    scale = (flux * np.hypot(spread, distance)).sum(1) / flux.sum(1)
    grid = np.geomspace(0.03, 8.0, 28)
    radius = scale[:, None] * grid
    cxx, cxy, cyy = (getattr(galaxies, m)[:, :central] for m in ("cxx", "cxy", "cyy"))
    det = cxx * cyy - cxy**2
    growth = np.zeros_like(radius)
    angles = np.arange(6) * np.pi / 6
    for c, s in zip(np.cos(angles), np.sin(angles), strict=True):
        g = (cyy * c * c - 2 * cxy * c * s + cxx * s * s) / det
        inside = -np.expm1(-0.5 * radius[:, :, None] ** 2 * g[:, None]) / g[:, None]
        growth += np.einsum("nrk,nk->nr", inside, flux[:, :central] / np.sqrt(det)) / 6
    edge = (radius[:, :, None] - distance[:, None, central:]) / spread[:, None, central:]
    growth += np.einsum("nrk,nk->nr", ndtr(edge), flux[:, central:])
    rows = [np.interp([0.2, 0.5, 0.8], g, r) for g, r in zip(growth, radius, strict=True)]
    return np.array(rows).reshape(len(flux), 3)
