"""Tensors by name in one safetensors file, which holds numbers and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from galgen.io.atomic import replacing


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, half: bool) -> None:
    """Write a safetensors file, floats in float16 if `half`."""
    from safetensors.torch import save

    if half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    content = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    with replacing(path) as temporary:
        # Not save_file, which makes files that only their owner may read.
        temporary.write_bytes(content)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Inverse of `write_tensors`, floats in float32.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(str(error)) from None
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
