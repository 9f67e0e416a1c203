"""The published weights of FID's Inception: where they are, and a check that they are those.

One file serves the whole field: the weights of the network's 2015 release in torch's format.
Two projects publish it under two names, byte for byte the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import torch
from torch import Tensor

from galgen.data import measured
from galgen.errors import DataError, OutputError
from galgen.io.atomic import replacing
from galgen.metrics.inception.network import InceptionNetwork

LOG = logging.getLogger("galgen.weights")
FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
#: Of the file as published, here and as torch-fidelity's weights-inception-2015-12-05-6726825d.pth.
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
BYTES = 95_628_359
_OPTION = "--set evaluate.inception=FILE"
_CHUNK = 1 << 20
#: Seconds without a byte.
_PATIENCE = 30.0


def weights_folder() -> Path | None:
    """``galgen/weights`` in the user's cache folder, None without a home."""
    folder = measured.cache_folder()
    return None if folder is None else folder.parent / "weights"


def find_weights(path: str | Path | None = None) -> Path:
    """The weight file: the one given, else the cache's, else downloaded into the cache.

    The network is used only here, and only where the file is in neither place.

    Raises
    ------
    DataError
        If the file given is missing, or one cannot be had: the message says which file to put
        where.
    """
    if path is not None:
        given = Path(path).expanduser()
        if not given.is_file():
            raise DataError(
                f"there is no file {given} ({_OPTION}): name {FILE}, which {URL} has, or leave "
                "the option out to have it downloaded."
            )
        return given
    folder = weights_folder()
    if folder is None:
        raise DataError(
            f"there is no home folder to keep Inception's weights in: get {FILE} from {URL} and "
            f"name it with {_OPTION}."
        )
    cached = folder / FILE
    if not cached.is_file():
        _download(cached)
    elif checksum(cached) != SHA256:
        raise DataError(f"{cached} is damaged (another checksum): delete it to have it anew.")
    return cached


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(path: Path) -> None:
    """Fetch the file to a temporary name and rename it once its checksum is right."""
    LOG.info("downloading %s (%.0f MB) to %s, once", FILE, BYTES / 1e6, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            found, size = hashlib.sha256(), 0
            with temporary.open("wb") as file:
                for chunk in _received(path):
                    file.write(chunk)
                    found.update(chunk)
                    size += len(chunk)
                    if size > BYTES:
                        break
            if found.hexdigest() != SHA256:
                raise DataError(
                    f"what {URL} gave is not the published file (another checksum, {size:,} of "
                    f"{BYTES:,} bytes): try again, or name the file with {_OPTION}."
                )
    except (OSError, OutputError) as error:
        raise DataError(
            f"Inception's weights cannot be kept at {path} ({error}): get {FILE} from {URL} and "
            f"name it with {_OPTION}."
        ) from error


def _received(path: Path) -> Iterator[bytes]:
    try:
        with urlopen(URL, timeout=_PATIENCE) as answer:
            while chunk := answer.read(_CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        raise DataError(
            f"the inception metrics need {FILE} and it cannot be downloaded "
            f"({getattr(error, 'reason', error)}): get it from {URL} on a machine with a network "
            f"and put it at {path}, or name it with {_OPTION}."
        ) from error


def load_network(path: str | Path) -> InceptionNetwork:
    """The network with the weights of a file, in evaluation mode and without gradients.

    The file is read as tensors only: one that would run code is refused.

    Raises
    ------
    DataError
        If the file does not hold exactly the published keys and shapes.
    """
    state = _state(Path(path))
    with torch.device("meta"):
        network = InceptionNetwork()
    wanted = network.state_dict()
    # Old batch norms had no counter and new ones do; it plays no part here.
    tensors = {k: v for k, v in state.items() if not k.endswith(".num_batches_tracked")}
    fault = _fault(tensors, wanted)
    if fault:
        raise _not_it(path, fault)
    network.load_state_dict({k: v.float().contiguous() for k, v in tensors.items()}, assign=True)
    return network.requires_grad_(False).eval()


def _state(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check {_OPTION}.") from error
    except Exception as error:
        # torch raises a dozen kinds for what is no file of tensors
        raise _not_it(path, "it is no file of tensors") from error
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise _not_it(path, "it holds no table of tensors")
    return dict(state)


def _fault(state: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> str | None:
    missing = [key for key in wanted if key not in state]
    if missing:
        return f"{missing[0]} is missing" + _others(missing)
    unknown = [key for key in state if key not in wanted]
    if unknown:
        return f"{unknown[0]} does not belong" + _others(unknown)
    for key, tensor in wanted.items():
        found = state[key]
        if not isinstance(found, Tensor) or not found.is_floating_point():
            return f"{key} is no tensor of numbers"
        if found.shape != tensor.shape:
            return f"{key} has the shape {tuple(found.shape)}, not {tuple(tensor.shape)}"
    return None


def _others(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _not_it(path: str | Path, fault: str) -> DataError:
    return DataError(
        f"{path} is not the weight file of FID's Inception ({fault}): get {FILE} from {URL}, or "
        f"leave {_OPTION} out."
    )
