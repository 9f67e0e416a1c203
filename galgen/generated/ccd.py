"""Generated galaxies as astropy's images, with the cards that their files would have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.generated.drawing import Drawing, Galaxies
from galgen.generated.units import astropy_unit
from galgen.io.hdu import STRUCTURE
from galgen.io.header import galaxy_hdus, provenance_cards
from galgen.sampling.layout import provenance

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.nddata import CCDData

#: Cards of the axes, which a WCS holds; RADESYS is written by it too.
_AXES = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "RADES")
#: Cards that are true of a file alone.
OF_FILES = STRUCTURE | {"NEXTEND"}


class Imager:
    """Makes images of what a drawing draws.

    Parameters
    ----------
    drawing
        Says where its galaxies come from.
    """

    def __init__(self, drawing: Drawing) -> None:
        from astropy.wcs import WCS

        self.model, self.spec = drawing.model, drawing.spec
        about = provenance(self.model, drawing.task, drawing.view)
        primary, *images = (
            hdu.header for hdu in galaxy_hdus(self.spec.shape, self.spec, about, cube=False)
        )
        self.unit = astropy_unit(self.spec.unit)
        self.wcs = None if self.spec.pixel_scale is None else WCS(images[0])
        self.primary = _plain(primary)
        self.bands = [_plain(header) for header in images]
        if self.unit is None:
            for header in self.bands:
                header.comments["BUNIT"] = "no unit of astropy: dimensionless here"

    def images(self, galaxies: Galaxies) -> Iterator[dict[str, CCDData]]:
        """Yield the images of each galaxy by band, in memory of their own."""
        from astropy.nddata import CCDData
        from astropy.units import dimensionless_unscaled

        unit = dimensionless_unscaled if self.unit is None else self.unit
        for place, index in enumerate(galaxies.indices):
            header = self.primary.copy()
            for keyword, value, comment in provenance_cards(self._facts(galaxies, place, index)):
                header[keyword] = (value, comment) if comment else value
            found = {}
            for k, band in enumerate(self.spec.bands):
                meta = header.copy()
                meta.extend(self.bands[k].cards)
                pixels = np.array(galaxies.flux[place, k].numpy())
                wcs = None if self.wcs is None else self.wcs.deepcopy()
                found[band] = CCDData(pixels, unit=unit, meta=meta, wcs=wcs)
            yield found

    def _facts(self, galaxies: Galaxies, place: int, index: int) -> dict[str, Any]:
        asked = galaxies.asked[place]
        facts = {"index": index, "label": asked.label, "conditions": asked.numbers or None}
        return {**facts, **self.model.made_by(asked.label)}


def _plain(header: Header) -> Header:
    """Without the cards that follow from the pixels and from the WCS, with digits as in a file."""
    found = type(header).fromstring(header.tostring())
    for keyword in list(found):
        if keyword in OF_FILES or keyword.startswith(_AXES):
            del found[keyword]
    return found
