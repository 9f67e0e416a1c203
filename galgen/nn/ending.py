"""What any generator ends in: telescope, noise of its own per band, and the range of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from galgen.nn.layers import clamp_inward
from galgen.nn.psf import Psf
from galgen.nn.smear import Smear
from galgen.nn.units import Layer
from galgen.stretch import Stretch


class EndSettings(BaseModel):
    """Options of every pair's generator.

    Attributes
    ----------
    grain
        End with `Grain`; pictures without pixel noise are better off without.
    clamp
        End at 0 and 1, the range of pictures under the linear stretch. For pictures whose sky
        was cut to exact zeros (Griese et al. 2023), which an open output never meets.
    smear
        Blur by `Smear` before that, so that light above the range is spread.
    psf
        Convolve by `Psf` with the point spread function that `galgen.io.psf.read_psf` makes of
        this text, width or widths; None or ``none`` for pictures that carry the data's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    grain: bool = True
    clamp: bool = False
    smear: bool = False
    psf: str | float | list[float] | None = None

    @property
    def has_psf(self) -> bool:
        """Whether there is a layer for a point spread function."""
        return self.psf is not None and str(self.psf).strip().lower() != "none"


class Grain(nn.Module):
    r"""White noise of each band by itself.

    Sky and photon noise are independent between bands, and feature maps that all bands share
    cannot make them so. The strength is a linear function of the features, pixel by pixel. It
    fades with the brightness x of the picture as :math:`1 / \cosh(k x)`, with a learned k per
    band: what noise of constant flux becomes under an asinh stretch.

    Parameters
    ----------
    features, bands
        Feature maps in, bands out.
    """

    #: Adam moves a parameter by its learning rate a step; k is of order 5.
    SCALE = 10.0
    #: Bounds the exponent for wild pictures early in training.
    BRIGHTEST = 4.0

    def __init__(self, features: int, bands: int) -> None:
        super().__init__()
        self.strength = nn.Conv2d(features, bands, 1)
        for parameter in self.strength.parameters():
            nn.init.zeros_(parameter)
        self.fading = nn.Parameter(torch.full((bands, 1, 1), 0.3))

    def forward(self, x: Tensor, picture: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, F, h, w) and picture (N, C, h, w) to the noise (N, C, h, w)."""
        if noise is None:
            noise = torch.randn_like(picture)
        brightness = picture.detach().float().clamp(-self.BRIGHTEST, self.BRIGHTEST)
        fade = torch.cosh(self.SCALE * self.fading * brightness).reciprocal()
        return self.strength(x) * (fade * noise).to(picture.dtype)


class End(nn.Module):
    """The last step of a generator, from its picture to the image.

    In this order: point spread function, grain, smearing, clamp.

    Parameters
    ----------
    features, bands
        Feature maps that the picture was made of, and its bands.
    settings
        What to end in.

    Attributes
    ----------
    quiet
        Leave the grain out, for images without noise.
    """

    def __init__(self, features: int, bands: int, settings: EndSettings) -> None:
        super().__init__()
        self.bands, self.settings = bands, settings
        self.psf = Psf(bands) if settings.has_psf else None
        self.grain = Grain(features, bands) if settings.grain else None
        self.smear = Smear() if settings.smear else None
        self.quiet = False
        self._stretch: Stretch | None = None

    @property
    def stretch(self) -> Stretch | None:
        """How pictures follow from flux, which the point spread function has to know."""
        return self._stretch

    @stretch.setter
    def stretch(self, stretch: Stretch | None) -> None:
        self._stretch = stretch
        if self.psf is not None:
            self.psf.set_stretch(stretch)

    def set_kernels(self, kernels: Tensor | None) -> None:
        """Set the point spread function, (bands, k, k) with k odd; None leaves it out.

        Raises
        ------
        ValueError
            If there is no layer for one, or the shape is wrong.
        """
        if self.psf is None:
            raise ValueError("this generator ends in no point spread function")
        self.psf.set_kernels(kernels)

    def add_psf(self, kernels: Tensor) -> None:
        """Put in a layer for a point spread function, where there was none, and set it."""
        if self.psf is None:
            self.psf = Psf(self.bands)
            self.psf.set_stretch(self._stretch)
        self.psf.set_kernels(kernels)

    def noise_shapes(self, side: int) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, for a picture of that side."""
        shapes = [(self.bands, side, side)] if self.grain is not None else []
        return shapes if self.smear is None else [*shapes, self.smear.noise_shape]

    def forward(
        self,
        x: Tensor,
        picture: Tensor,
        noise: Sequence[Tensor] | None = None,
        amount: float = 1.0,
    ) -> Tensor:
        """Picture (N, C, h, h) in network space, made of features (N, F, h, h), to the image.

        Parameters
        ----------
        noise
            One tensor per entry of `noise_shapes`; drawn freshly when None.
        amount
            Of all this, for a resolution that fades in.
        """
        if self.psf is not None:
            seen = self.psf(picture)
            picture = seen if amount == 1 else torch.lerp(picture.to(seen), seen, amount)
        if self.grain is not None and not self.quiet:
            grain = self.grain(x, picture, None if noise is None else noise[0])
            picture = picture + (grain if amount == 1 else amount * grain)
        if self.smear is not None:
            picture = self.smear(picture, None if noise is None else noise[-1], amount)
        if not self.settings.clamp:
            return picture
        clamped = clamp_inward(picture)
        return clamped if amount == 1 else torch.lerp(picture, clamped, amount)

    def layers(self, block: str) -> list[Layer]:
        """Units of freezing."""
        return [] if self.grain is None else [Layer(f"{block} grain", block, (self.grain,))]

    def band_parameters(self, prefix: str = "end.") -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        if self.grain is None:
            return []
        names = ("grain.strength.weight", "grain.strength.bias", "grain.fading")
        return [(prefix + name, 0) for name in names]
