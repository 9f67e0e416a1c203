"""A network of the user's own as a feature extractor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.errors import DataError
from galgen.measure.composite import composite_planes, display_stretch
from galgen.stretch import Stretch

#: Images in the network at a time.
_CHUNK = 128


class ModuleFeatures:
    """Any network or function from colour composites to vectors.

    It is given (N, 3, S, S), float32 from 0 to 1 under one fixed stretch, on the device where
    it has its parameters, and gives (N, F). A module is in evaluation mode and without gradients
    meanwhile, and in the modes that it had before afterwards.

    Parameters
    ----------
    module
        An `nn.Module`, or a function.
    name
        For results: ``frechet_NAME``.
    spec
        Size and bands of the images.
    stretch
        Of the composite; display pictures need none. `fit` takes it from the real set.
    size
        Side S that the network wants; by default the images' own. Resized bilinearly with
        antialiasing.

    Raises
    ------
    DataError
        If what comes out is not (N, F) or not finite.

    Examples
    --------
    >>> import torch
    >>> from galgen.bands import ImageSpec
    >>> spec = ImageSpec(16, ("R", "G", "B"), display=True)
    >>> colours = ModuleFeatures(lambda x: x.mean((2, 3)), "colours", spec)
    >>> colours(torch.full((2, 3, 16, 16), 255.0)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        module: nn.Module | Callable[[Tensor], Tensor],
        name: str,
        spec: ImageSpec,
        *,
        stretch: Stretch | None = None,
        size: int | None = None,
    ) -> None:
        if stretch is None and not spec.display:
            raise ValueError("images in flux need a stretch: ModuleFeatures.fit takes one")
        self.name = name
        self.spec = spec
        self.stretch = stretch
        self.size = size or spec.size
        self._module = module
        # Two, so that a vector of the batch's length shows.
        self.n_features = self._features(torch.zeros(2, 3, self.size, self.size)).shape[1]

    @classmethod
    def fit(
        cls,
        module: nn.Module | Callable[[Tensor], Tensor],
        name: str,
        real: Tensor,
        spec: ImageSpec,
        size: int | None = None,
    ) -> ModuleFeatures:
        """Take the composite's stretch from the real set, (N, C, H, W) in flux."""
        stretch = None if spec.display else display_stretch(real, spec)
        return cls(module, name, spec, stretch=stretch, size=size)

    def __call__(self, flux: Tensor) -> Tensor:
        """Features (N, F), float32, on the device of `flux`."""
        if flux.ndim != 4 or flux.shape[1] != self.spec.n_bands:
            raise ValueError(f"expected (N, {self.spec.n_bands}, H, W), got {tuple(flux.shape)}")
        parts = [self._features(self._pictures(part)) for part in flux.split(_CHUNK)]
        found = torch.cat(parts).to(flux.device)
        if found.shape[1] != self.n_features:
            raise DataError(
                f"the network {self.name} gives {found.shape[1]} features here and "
                f"{self.n_features} elsewhere: their number must be the same for every image."
            )
        return found

    def _pictures(self, flux: Tensor) -> Tensor:
        planes = composite_planes(flux, self.spec, self.stretch)
        if planes.shape[-2:] == (self.size, self.size):
            return planes.contiguous()
        resized = F.interpolate(
            planes, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
        )
        return resized.clamp(0, 1)

    @torch.no_grad()
    def _features(self, pictures: Tensor) -> Tensor:
        pictures = pictures.to(_place(self._module))
        with evaluating(self._module):
            try:
                found = self._module(pictures)
            except Exception as error:
                first = (str(error).splitlines() or [type(error).__name__])[0]
                raise DataError(
                    f"the network {self.name} fails on composites of the shape "
                    f"{tuple(pictures.shape)} ({first}): it must take any number of them."
                ) from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(pictures):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise DataError(
                f"the network {self.name} must give (images, features), but "
                f"{len(pictures)} images gave {shape}."
            )
        found = found.float()
        if not bool(torch.isfinite(found).all()):
            raise DataError(
                f"the network {self.name} gives features that are not finite: check its weights "
                "and the range of images that it expects, which are from 0 to 1."
            )
        return found


@contextmanager
def evaluating(module: object) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back into its own afterwards."""
    if not isinstance(module, nn.Module):
        yield
        return
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    # Exported and frozen networks have one mode only, and say so.
    with suppress(NotImplementedError, AttributeError):
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _place(module: object) -> torch.device:
    if isinstance(module, nn.Module):
        for tensor in chain(module.parameters(), module.buffers()):
            return tensor.device
    return torch.device("cpu")
