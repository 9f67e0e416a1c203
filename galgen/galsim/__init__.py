"""Generated galaxies for GalSim, in Python and in its configuration files.

`GeneratedGalaxy` gives a profile per band, which is sheared, convolved and drawn like any other of
GalSim's. With ``modules: [galgen.galsim]`` a configuration file knows the input type
``generated_catalog`` and the object type ``GeneratedGalaxy``, see `galgen.galsim.registered`.

GalSim is an extra: ``pip install galgen[galsim]``. Inside this package ``import galsim`` is GalSim
itself.

Raises
------
ConfigError
    On import, if GalSim is not installed.
"""

from __future__ import annotations

from galgen.errors import ConfigError

try:
    import galsim as _galsim  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "galsim":
        raise
    raise ConfigError(
        "galgen.galsim needs a package, GalSim: pip install galgen[galsim]."
    ) from None

from galgen.galsim.catalogue import GeneratedCatalog
from galgen.galsim.galaxy import GeneratedGalaxy
from galgen.galsim.registered import register

__all__ = ["GeneratedCatalog", "GeneratedGalaxy"]

register()
