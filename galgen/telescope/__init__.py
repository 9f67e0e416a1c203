"""The same galaxy under another telescope: its PSF, its pixels and its noise, with all its light.

Between flux and flux: knows neither networks nor files of galaxies.
"""

from galgen.telescope.instruments import instruments
from galgen.telescope.telescope import Telescope
from galgen.telescope.view import View, prepare

__all__ = ["Telescope", "View", "instruments", "prepare"]
