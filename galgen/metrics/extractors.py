"""The feature extractors by name: the only list of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures


@dataclass(frozen=True)
class ExtractorOptions:
    """What an extractor may need beside the real set.

    Attributes
    ----------
    inception
        The published weight file of ``inception``; by default the cache's or the network's.
    size
        Side in pixels that a network of the user's own wants; by default the images'.
    """

    inception: Path | None = None
    size: int | None = None


def _physics(real: Tensor, spec: ImageSpec, options: ExtractorOptions) -> FeatureExtractor:
    return PhysicsFeatures.fit(real, spec)


def _galaxy(real: Tensor, spec: ImageSpec, options: ExtractorOptions) -> FeatureExtractor:
    from galgen.metrics.galaxy import GalaxyFeatures

    return GalaxyFeatures.fit(real, spec)


def _inception(real: Tensor, spec: ImageSpec, options: ExtractorOptions) -> FeatureExtractor:
    from galgen.metrics.inception import InceptionFeatures

    return InceptionFeatures.fit(real, spec, weights=options.inception)


#: Name to what makes it from the real set.
EXTRACTORS: dict[str, Callable[[Tensor, ImageSpec, ExtractorOptions], FeatureExtractor]] = {
    "physics": _physics,
    "galaxy": _galaxy,
    "inception": _inception,
}
_PICKLES = (".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".safetensors")


def make_extractor(
    name: str, real: Tensor, spec: ImageSpec, options: ExtractorOptions | None = None
) -> FeatureExtractor:
    """The extractor of a name, with its constants taken from the real set.

    Parameters
    ----------
    name
        ``physics`` (what an astronomer measures), ``galaxy`` (galgen's own network), ``inception``
        (FID proper), or a TorchScript or torch.export file of the user's own (``FILE.pt``,
        ``FILE.ts``, ``FILE.pt2``) that takes composites (N, 3, S, S) from 0 to 1 and gives (N, F).
        Such a file is a program, which runs: load only files whose origin you know.
    real
        A sample of the real set, (N, C, H, W) in flux.
    spec
        Its size and bands.
    options
        What some of them need.

    Raises
    ------
    ConfigError
        With the list and the nearest name, if there is none.
    DataError
        If a file cannot be used.
    """
    options = options or ExtractorOptions()
    if name in EXTRACTORS:
        return EXTRACTORS[name](real, spec, options)
    # Here, since reading files is for those who give one.
    from galgen.metrics.module_features import ModuleFeatures
    from galgen.metrics.module_file import SUFFIXES, load_module

    path = Path(name)
    if path.suffix.lower() in SUFFIXES + _PICKLES:
        label = re.sub(r"[^0-9a-z]+", "_", path.stem.lower()).strip("_") or "module"
        if label in EXTRACTORS:
            raise ConfigError(f"{name} would be confused with {label}: give the file another name.")
        return ModuleFeatures.fit(load_module(path), label, real, spec, options.size)
    near = difflib.get_close_matches(name.lower(), EXTRACTORS, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"choose one of {', '.join(EXTRACTORS)}, or a network file FILE.pt."
    )
    raise ConfigError(f"extractor {name!r} is not known: {hint}")
