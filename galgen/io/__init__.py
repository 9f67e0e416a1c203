"""One cutout, one file: FITS and ``.npy`` in flux, JPG, PNG and TIFF as display images."""

from galgen.io.cutout import (
    IMAGE_SUFFIXES,
    Cutout,
    centre_crop,
    file_kind,
    image_stem,
)
from galgen.io.read import read_cutout

__all__ = [
    "IMAGE_SUFFIXES",
    "Cutout",
    "centre_crop",
    "file_kind",
    "image_stem",
    "read_cutout",
]
