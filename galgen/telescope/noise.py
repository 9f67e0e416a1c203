r"""Noise of a detector: Gaussian of one width, or photons of galaxy and sky plus reading out.

================================  =========================================================
``sigma=0.02``                    Gaussian, in the file's unit of flux per pixel
``sky=0.1,gain=4``                Poisson of :math:`(f + sky)\,gain` electrons, less the sky
``sky=0.1,gain=4,read=5``         and Gaussian read noise of 5 electrons
``sky=0.1/0.2/0.4,gain=4``        a number a band, in band order
================================  =========================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galgen.errors import ConfigError
from galgen.io.cards import fits_text
from galgen.randomness import key

_FORMS = "write sigma=0.02, or sky=0.1,gain=4 and read=5 with it if you like, a band as 0.1/0.2/0.3"
#: Electrons in a pixel that Poisson numbers can be drawn for.
_MOST = 1e18


@dataclass(frozen=True)
class Noise:
    """What a detector adds.

    Attributes
    ----------
    sigma
        Per band, in flux per pixel; empty where the others say it.
    sky
        Light of the sky per band, in flux per pixel; it is taken off again.
    gain
        Electrons per unit of flux, per band.
    read
        Standard deviation of the read noise in electrons, per band.
    """

    sigma: tuple[float, ...] = ()
    sky: tuple[float, ...] = ()
    gain: tuple[float, ...] = ()
    read: tuple[float, ...] = ()

    @classmethod
    def read_text(cls, text: str, bands: Sequence[str] | None = None) -> Noise:
        """The noise that a text means, for bands or, with None, as it was written.

        Raises
        ------
        ConfigError
            If the text is not understood.
        """
        found: dict[str, tuple[float, ...]] = {}
        for part in text.split(","):
            name, equals, values = (piece.strip() for piece in part.partition("="))
            if not equals or name not in ("sigma", "sky", "gain", "read") or name in found:
                raise ConfigError(f"--noise {text}: {part.strip() or 'nothing'} is none, {_FORMS}.")
            found[name] = tuple(_number(value, text) for value in values.split("/"))
        if set(found) != {"sigma"} and set(found) not in ({"sky", "gain"}, {"sky", "gain", "read"}):
            raise ConfigError(f"--noise {text}: {_FORMS}.")
        if any(value < 0 for values in found.values() for value in values):
            raise ConfigError(f"--noise {text}: these numbers must be 0 or more.")
        if any(value == 0 for value in found.get("gain", ())):
            raise ConfigError(f"--noise {text}: gain is electrons per unit of flux, above 0.")
        if bands is not None:
            if "gain" in found:
                found.setdefault("read", (0.0,))
            for name, numbers in found.items():
                if len(numbers) not in (1, len(bands)):
                    raise ConfigError(
                        f"--noise {text}: give one number for {name}, or one for each of "
                        f"{', '.join(bands)}, as {name}=1/2."
                    )
                found[name] = numbers * (len(bands) if len(numbers) == 1 else 1)
        return cls(**found)

    def text(self) -> str:
        """As `read_text` takes it, with all digits."""
        parts = (("sigma", self.sigma), ("sky", self.sky), ("gain", self.gain), ("read", self.read))
        return ",".join(
            f"{name}={'/'.join(repr(float(v)) for v in values)}"
            for name, values in parts
            if values and not (name == "read" and not any(values))
        )

    def add(
        self, flux: NDArray[np.float64], seed: int, index: int, name: str = "", attempt: int = 0
    ) -> NDArray[np.float64]:
        r"""One galaxy (C, H, W) as the detector gives it, with the sky taken off.

        .. math:: f' = N / g - s + r n / g,\quad N \sim \mathrm{Poisson}(\max(0, (f + s) g)),

        with sky s, gain g, read noise r and a standard normal n: the mean is f and the variance
        :math:`(f + s)/g + (r/g)^2`. Where flux and sky together are below 0 no light falls.

        Parameters
        ----------
        flux
            Float64.
        seed, index
            Of the noise, and which sample it is: the same noise whatever else is drawn.
        name
            Of the telescope: several that see one galaxy have each its own noise.
        attempt
            How often the sample was drawn before.
        """
        # As a header has the name.
        name = fits_text(name).strip()
        stream = f"telescope {name!r}" if name else "telescope"
        counters = (index, attempt) if attempt else (index,)
        random = np.random.Generator(np.random.Philox(key=key(seed, stream, *counters)))
        if self.sigma:
            return flux + _column(self.sigma) * random.standard_normal(flux.shape)
        sky, gain, read = _column(self.sky), _column(self.gain), _column(self.read)
        electrons = np.maximum((flux + sky) * gain, 0.0)
        if not electrons.max() < _MOST:
            raise ConfigError(
                f"--noise: {electrons.max():.3g} electrons in a pixel are more than can be drawn, "
                "give a smaller gain (electrons per unit of flux) or sky."
            )
        seen = random.poisson(electrons) / gain - sky
        if any(self.read):
            seen += read / gain * random.standard_normal(flux.shape)
        return seen


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"--noise {whole}: {text.strip() or 'nothing'} is no number, {_FORMS}.")
    return value


def _column(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=float)[:, None, None]
