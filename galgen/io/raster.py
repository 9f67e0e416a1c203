"""JPG, PNG and TIFF pictures: display images, 0..255 whatever their bit depth."""

from __future__ import annotations

import warnings
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError, OutputError
from galgen.io.cutout import Cutout, centre_crop, one_line

#: Pictures that declare more pixels are refused from their header, before any memory is used.
MAX_PIXELS = 100_000_000
_FORMATS = ("JPEG", "PNG", "TIFF")
_WRITTEN = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG"}
_GREY, _COLOUR = ("I",), ("R", "G", "B")


def read_raster(path: str | Path, crop: int | None = None) -> Cutout:
    """Read a picture of one or three channels.

    Palettes become colours, an alpha channel is dropped, EXIF (also its rotation) is ignored.
    16-bit values are divided by 257, so that white is 255 in either depth.

    Parameters
    ----------
    path
        JPG, PNG or TIFF; the content decides, not the ending.
    crop
        Side in pixels of a square to cut from the centre.

    Returns
    -------
    Cutout
        (1 or 3, H, W) float32 in 0..255, bands ``("I",)`` or ``("R", "G", "B")``.

    Raises
    ------
    DataError
        If the file is missing, cut short, no picture, larger than `MAX_PIXELS`, smaller than
        `crop`, or of a kind that is not read (floating-point TIFF, interlaced 16-bit PNG).
    """
    array = _decode(Path(path))
    native = (array.shape[0], array.shape[1])
    channels = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    if crop is not None:
        channels = centre_crop(channels, crop, path)
    pixels = np.array(channels, dtype=np.float32, order="C")
    if array.dtype == np.uint16:
        pixels /= 257.0
    return Cutout(
        pixels=pixels,
        bands=_GREY if len(pixels) == 1 else _COLOUR,
        unit="display",
        zero_points=(None,) * len(pixels),
        display=True,
        native=native,
    )


def _decode(path: Path) -> NDArray[Any]:
    from PIL import Image, UnidentifiedImageError

    from galgen.io.png16 import decode_png16, is_png16

    try:
        with open(path, "rb") as file:
            head = file.read(33)
        if is_png16(head):
            _refuse_giant(int.from_bytes(head[16:20]), int.from_bytes(head[20:24]), path)
            return decode_png16(path.read_bytes(), path)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            deep = _deep_tiff(path)
            if deep is not None:
                return deep
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                _refuse_giant(*image.size, path)
                if image.mode not in ("L", "RGB"):
                    grey = image.mode in ("1", "LA", "La")
                    return np.asarray(image.convert("L" if grey else "RGB"))
                return np.asarray(image)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"{path} declares more than {MAX_PIXELS:,} pixels and is not opened: "
            "cut the galaxies out of it first."
        ) from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is no JPG, PNG or TIFF picture, whatever its name says.") from None
    except DataError:
        raise
    # Damage shows as any exception at all in the decoders of Pillow and tifffile.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a picture ({one_line(error)}).") from error


def _refuse_giant(width: int, height: int, path: Path) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} declares {width:,} x {height:,} pixels and is not opened: "
            "cut the galaxies out of it first."
        )


def _deep_tiff(path: Path) -> NDArray[Any] | None:
    """Array of a 16-bit TIFF, which Pillow cannot read in colour; None for an 8-bit one."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            assert isinstance(page, tifffile.TiffPage)
            _refuse_giant(page.imagewidth, page.imagelength, path)
            if page.dtype == np.uint8 or page.bitspersample < 8:
                return None
            if page.dtype != np.uint16:
                raise DataError(
                    f"{path} is a TIFF of type {page.dtype}: save it with 8 or 16 bits, "
                    "or as FITS to keep the flux."
                )
            array = page.asarray()
            if array.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
                array = np.moveaxis(array, 0, -1)
    except (tifffile.TiffFileError, ImportError, IndexError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a TIFF ({error}).") from error
    if array.ndim == 2:
        return array
    return array[..., 0] if array.shape[-1] < 3 else array[..., :3]


def resize(pixels: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resample a square picture (C, S, S) to (C, size, size).

    Downwards each output pixel is the average of the input over the area that it covers, cut
    pixels by their share. Every input pixel counts equally, so the mean of the picture (its
    flux, up to the display stretch) stays exactly, and there is no ringing around cores as
    Lanczos gives. Upwards it is bilinear.
    """
    side = pixels.shape[-1]
    if pixels.shape[-2] != side:
        raise ValueError(f"expected a square picture, got {pixels.shape}")
    if side == size:
        return pixels
    weights = _area_weights(side, size) if size < side else _linear_weights(side, size)
    return np.ascontiguousarray(weights @ pixels @ weights.T, dtype=np.float32)


@lru_cache(maxsize=32)
def _area_weights(side: int, size: int) -> NDArray[np.float32]:
    edges = np.arange(size + 1) * (side / size)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)[None]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (overlap * (size / side)).astype(np.float32)


@lru_cache(maxsize=32)
def _linear_weights(side: int, size: int) -> NDArray[np.float32]:
    centre = np.clip((np.arange(size) + 0.5) * (side / size) - 0.5, 0, side - 1)
    return np.clip(1 - np.abs(centre[:, None] - np.arange(side)[None]), 0, 1).astype(np.float32)


def write_raster(path: str | Path, pixels: NDArray[np.floating[Any]], quality: int = 95) -> None:
    """Write a picture of one or three channels as 8-bit PNG or JPG, by the file's ending.

    Parameters
    ----------
    path
        Ends on ``.png``, ``.jpg`` or ``.jpeg``. Written under a temporary name and renamed.
    pixels, quality
        As `encode_raster`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from galgen.io.atomic import replacing

    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in _WRITTEN:
        raise OutputError(f"{path} does not end on .png or .jpg, so its format is not known.")
    with replacing(path) as temporary:
        temporary.write_bytes(encode_raster(pixels, kind, quality))


def encode_raster(pixels: NDArray[np.floating[Any]], kind: str, quality: int = 95) -> bytes:
    """A picture of one or three channels as the content of an 8-bit file.

    Parameters
    ----------
    pixels
        (1 or 3, H, W) in 0..255; clipped to that range and rounded.
    kind
        ``png``, ``jpg`` or ``jpeg``.
    quality
        Of a JPG, 1 to 95.
    """
    from PIL import Image

    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ValueError(f"expected (1 or 3, H, W), got {pixels.shape}")
    eight = np.rint(np.clip(np.nan_to_num(pixels), 0, 255)).astype(np.uint8)
    image = Image.fromarray(eight[0] if len(eight) == 1 else np.moveaxis(eight, 0, -1))
    form = _WRITTEN[kind]
    options: dict[str, Any] = {"quality": quality, "subsampling": 0} if form == "JPEG" else {}
    content = BytesIO()
    image.save(content, format=form, **options)
    return content.getvalue()
