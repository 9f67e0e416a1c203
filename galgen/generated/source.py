"""What a loaded model gives: galaxies as tensors, as a stream, as astropy's images, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from astropy.table import QTable

    from galgen.checkpoint import TrainedModel
    from galgen.generated.drawing import Drawing, Galaxies


class Source:
    """The methods of `galgen.checkpoint.TrainedModel` that draw."""

    def _drawing(self, seed: int, asked: dict[str, Any]) -> Drawing:
        from galgen.generated.drawing import Drawing

        return Drawing(cast("TrainedModel", self), seed, **asked)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        progress: Callable[[int], None] | None = None,
        **asked: Any,
    ) -> Tensor:
        """Flux (n, bands, size, size), float32 on the CPU, in the unit of `spec`.

        Galaxy *i* of a seed is the same whatever `n` and `start`.

        Parameters
        ----------
        n, seed, start
            Which galaxies.
        progress
            Called with the number of galaxies of each piece of work.
        asked
            ``label``, ``where``, ``no_condition``, ``truncation``, ``psf`` and ``noise``, as in
            `galgen.models.sampling.SamplingModule.sample`; ``telescope``, a
            `galgen.telescope.Telescope` or the name of an instrument, which may change the size.

        Raises
        ------
        ConfigError
            If the model cannot be asked for it.
        """
        from galgen.generated.drawing import check_window

        check_window(n, start)
        drawing = self._drawing(seed, asked)
        return torch.cat([drawn.flux for drawn in drawing.windows(n, start, progress)])

    def stream(
        self, *, seed: int = 0, start: int = 0, batch: int = 32, **asked: Any
    ) -> Iterator[Galaxies]:
        """Galaxies from number `start` on without an end, `batch` at a time.

        Parameters
        ----------
        seed, start, batch
            Which galaxies, and how many together. `start` alone decides where the stream goes on.
        asked
            As `sample`.

        Returns
        -------
        iterator of Galaxies
            With ``indices``, ``flux``, ``labels`` and ``numbers``; memory stays flat.

        Raises
        ------
        ConfigError
            As `sample`, before the first galaxy is drawn.
        """
        from galgen.generated.drawing import check_window

        check_window(None, start, batch)
        return self._drawing(seed, asked).stream(start, batch)

    def sample_ccd(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        progress: Callable[[int], None] | None = None,
        **asked: Any,
    ) -> list[dict[str, CCDData]]:
        """Galaxies as astropy's images by band.

        Each has the cards that its FITS file would have in ``meta``, their coordinates in ``wcs``
        where the pixel scale is known, and the unit that astropy knows; where it knows none, as of
        pictures, it is dimensionless and the comment of BUNIT says so.

        Parameters
        ----------
        n, seed, start, progress, asked
            As `sample`.

        Raises
        ------
        ConfigError
            As `sample`.
        """
        from galgen.generated.ccd import Imager
        from galgen.generated.drawing import check_window

        check_window(n, start)
        drawing = self._drawing(seed, asked)
        imager = Imager(drawing)
        drawn = drawing.windows(n, start, progress)
        return [image for galaxies in drawn for image in imager.images(galaxies)]

    def sample_table(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        images: bool = False,
        progress: Callable[[int], None] | None = None,
        **asked: Any,
    ) -> QTable:
        """Galaxies as a table with what was asked for and what is measured, a row each.

        Parameters
        ----------
        images
            Keep the flux too, in a column ``image`` of (bands, size, size).
        n, seed, start, progress, asked
            As `sample`.

        Returns
        -------
        QTable
            See `galgen.generated.table.table`.

        Raises
        ------
        ConfigError
            As `sample`.
        """
        from galgen.generated.drawing import check_window
        from galgen.generated.table import table

        check_window(n, start)
        return table(self._drawing(seed, asked), n, start, images, progress)
