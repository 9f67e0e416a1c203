"""Generators of galaxy images: train, fine-tune, sample and evaluate.

The four verbs are functions in modules of the same name: ``from galgen.train import train``.
The names below are loaded when first used, so that ``import galgen`` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galgen.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    GalgenError,
    OutputError,
    UserError,
)

if TYPE_CHECKING:
    from galgen.bands import ImageSpec as ImageSpec
    from galgen.checkpoint import load as load
    from galgen.data.module import CutoutDataModule as CutoutDataModule
    from galgen.data.sets import open_set as open_set
    from galgen.generated import GeneratedDataset as GeneratedDataset
    from galgen.generated import GeneratedStream as GeneratedStream
    from galgen.generated import RealDataset as RealDataset
    from galgen.generated import mixed as mixed
    from galgen.models.dcgan import DCGAN as DCGAN
    from galgen.models.dcgan import CourseDCGAN as CourseDCGAN
    from galgen.models.progan import ProGAN as ProGAN
    from galgen.models.r3gan import R3GAN as R3GAN
    from galgen.models.radiogan import RadioGAN as RadioGAN
    from galgen.models.stylegan import StyleGAN as StyleGAN
    from galgen.models.stylegan2 import StyleGAN2 as StyleGAN2
    from galgen.stretch import Stretch as Stretch

__version__ = "0.1.0"

_LAZY = {
    "DCGAN": "galgen.models.dcgan",
    "CourseDCGAN": "galgen.models.dcgan",
    "ProGAN": "galgen.models.progan",
    "R3GAN": "galgen.models.r3gan",
    "RadioGAN": "galgen.models.radiogan",
    "StyleGAN": "galgen.models.stylegan",
    "StyleGAN2": "galgen.models.stylegan2",
    "CutoutDataModule": "galgen.data.module",
    "GeneratedDataset": "galgen.generated",
    "GeneratedStream": "galgen.generated",
    "ImageSpec": "galgen.bands",
    "RealDataset": "galgen.generated",
    "Stretch": "galgen.stretch",
    "load": "galgen.checkpoint",
    "mixed": "galgen.generated",
    "open_set": "galgen.data.sets",
}

__all__ = [
    "DCGAN",
    "R3GAN",
    "CheckpointError",
    "ConfigError",
    "CourseDCGAN",
    "CutoutDataModule",
    "DataError",
    "GalgenError",
    "GeneratedDataset",
    "GeneratedStream",
    "ImageSpec",
    "OutputError",
    "ProGAN",
    "RadioGAN",
    "RealDataset",
    "Stretch",
    "StyleGAN",
    "StyleGAN2",
    "UserError",
    "__version__",
    "load",
    "mixed",
    "open_set",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'galgen' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
