"""One galaxy as the bytes of a FITS file: headers once per kind of file, then only what varies.

astropy writes the headers of the first file. From then on the cards of facts, DATASUM and
CHECKSUM are put into them as astropy would, and the pixels behind them. Where a fact needs more
than its card (a long text), astropy writes that file's headers too. Sums carry no time, so
that a file follows from its content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.io.cards import LENGTH, format_card, padded, split_cards
from galgen.io.checksum import sums_of_floats
from galgen.io.header import galaxy_hdus, provenance_cards
from galgen.io.heads import Head, astropy_headers
from galgen.io.rice import BandError, dither_seed
from galgen.io.rice import compress as rice

_MOST_KINDS = 64


#: What ``--compress`` takes, and how the names of such files end.
ENDINGS: dict[str | None, str] = {None: ".fits", "rice": ".fits.fz"}


@dataclass(frozen=True)
class Encoded:
    """A file as bytes.

    Attributes
    ----------
    data
        The whole file.
    error
        What compression did to each band, None without it.
    pixels
        (bands, y, x) as a reader gets them, None where they are those that were given.
    """

    data: bytes
    error: tuple[BandError, ...] | None = None
    pixels: NDArray[np.float32] | None = None


class GalaxyWriter:
    """Galaxies of one kind as FITS files; may be used by several threads at once.

    Parameters
    ----------
    spec
        Gives BUNIT, FILTER, MAGZERO, PIXSCALE, PSFFWHM and the size of a dummy WCS, which is
        flagged by ``WCSDUMMY = T`` since the pointing is not real. Facts that are not known
        have no card.
    provenance
        What all galaxies share: see `galgen.io.header.write_galaxy`.
    cube
        One (band, y, x) image rather than an HDU per band.
    compress
        ``rice`` for tile compression: see `galgen.io.rice`. The primary HDU is empty then.

    Attributes
    ----------
    ending
        Of the files' names.

    Raises
    ------
    ConfigError
        If a compression of this name is not known.
    """

    def __init__(
        self,
        spec: ImageSpec,
        provenance: Mapping[str, Any],
        *,
        cube: bool = False,
        compress: str | None = None,
    ) -> None:
        self.spec, self.provenance, self.cube = spec, dict(provenance), cube
        if compress not in ENDINGS:
            raise ConfigError(f"--compress takes rice, not {compress}.")
        self.compress, self.ending = compress, ENDINGS[compress]
        self._kinds: dict[Any, list[Head] | None] = {}

    def encode(self, flux: NDArray[np.float32], facts: Mapping[str, Any]) -> Encoded:
        """The file of one galaxy.

        Parameters
        ----------
        flux
            (bands, y, x) in the unit of `spec`; written as float32, NaN and infinity too.
        facts
            What is true of this galaxy, beside or in place of the provenance.
        """
        pixels = np.ascontiguousarray(flux, dtype=np.float32)
        if pixels.ndim != 3 or len(pixels) != self.spec.n_bands:
            raise ValueError(f"flux of shape {pixels.shape} for {self.spec.n_bands} bands")
        heads, cards = self._heads(pixels.shape, facts)
        if self.compress is not None:
            index = facts.get("index", self.provenance.get("index"))
            seed = dither_seed(index if isinstance(index, int) else 0, len(pixels))
            headers = [head.blank for head in heads[1:]]
            images, error, back = rice(pixels, seed, self.cube, headers)
            return Encoded(b"".join([heads[0].fill(cards, 0), *images]), error, back)
        planes = pixels.reshape(1, -1) if self.cube else pixels.reshape(len(pixels), -1)
        sums = sums_of_floats(planes) if planes.size else [0] * len(planes)
        stored = planes.astype(">f4").view(np.uint8)
        size = stored.shape[1]
        filling = bytes(padded(size) - size)
        parts: list[Any] = []
        if not self.cube:
            parts.append(heads[0].fill(cards, 0))
            heads, cards = heads[1:], []
        for head, plane, total in zip(heads, stored, sums, strict=True):
            parts += (head.fill(cards, total), plane, filling)
        return Encoded(b"".join(parts))

    def _heads(
        self, shape: tuple[int, int, int], facts: Mapping[str, Any]
    ) -> tuple[list[Head], list[bytes]]:
        """Headers for a galaxy with these facts, and the cards that the first one lacks."""
        kind = (shape, *[_kind(key, value) for key, value in facts.items()])
        heads = self._kinds.get(kind)
        if heads is None and kind not in self._kinds:
            heads = self._learn(shape, facts)
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = heads
        if heads is not None:
            cards = [format_card(*card) for card in provenance_cards(facts)]
            known = [card for card in cards if card is not None]
            if len(known) == len(cards):
                return heads, known
        return [Head.of(header) for header in self._by_astropy(shape, facts)], []

    def _learn(self, shape: tuple[int, int, int], facts: Mapping[str, Any]) -> list[Head] | None:
        """Headers with room for these facts; None where a fact has no card of its own there."""
        # A text that has room on its card, whatever comes later.
        plain = {k: "x" if isinstance(value, str) else value for k, value in facts.items()}
        headers = self._by_astropy(shape, plain)
        cards = [format_card(*card) for card in provenance_cards(plain)]
        standing = split_cards(headers[0])
        others = {card[:8] for card in split_cards(self._by_astropy(shape, {}, bare=True)[0])}
        if any(c is None or standing.count(c) != 1 or c[:8] in others for c in cards):
            return None
        slots = tuple(standing.index(card) * LENGTH for card in cards if card is not None)
        return [Head.of(headers[0], slots), *map(Head.of, headers[1:])]

    def _by_astropy(
        self, shape: tuple[int, int, int], facts: Mapping[str, Any], bare: bool = False
    ) -> list[bytes]:
        """Headers of the file as astropy writes them, but for the time in the sums' comments."""
        provenance = {} if bare else {**self.provenance, **facts}
        apart = self.compress is not None
        return astropy_headers(galaxy_hdus(shape, self.spec, provenance, self.cube, apart))


def _kind(key: str, value: Any) -> Any:
    """What a header's layout depends on beside the names of the facts."""
    if value is None:
        return (key,)
    if key == "conditions":
        return key, len(value)
    return (key, json.dumps(value)) if key == "stretch" else key


@lru_cache(maxsize=16)
def _kept_writer(spec: ImageSpec, cube: bool) -> GalaxyWriter:
    return GalaxyWriter(spec, {}, cube=cube)


def writer_for(spec: ImageSpec, cube: bool) -> GalaxyWriter:
    """A writer without shared provenance, kept for the next galaxy of the kind."""
    try:
        return _kept_writer(spec, cube)
    except TypeError:
        # Bands as a list, say, have no hash.
        return GalaxyWriter(spec, {}, cube=cube)
