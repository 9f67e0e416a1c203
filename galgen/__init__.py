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
    from galgen.models.dcgan import DCGAN as DCGAN
    from galgen.stretch import Stretch as Stretch

__version__ = "0.1.0"

_LAZY = {
    "DCGAN": "galgen.models.dcgan",
    "CutoutDataModule": "galgen.data.module",
    "ImageSpec": "galgen.bands",
    "Stretch": "galgen.stretch",
    "load": "galgen.checkpoint",
    "open_set": "galgen.data.sets",
}

__all__ = [
    "DCGAN",
    "CheckpointError",
    "ConfigError",
    "CutoutDataModule",
    "DataError",
    "GalgenError",
    "ImageSpec",
    "OutputError",
    "Stretch",
    "UserError",
    "__version__",
    "load",
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
