"""Networks of the user's own from files: TorchScript and torch.export, never a pickle.

Both kinds hold a program and run it, on the tensors that they are given. A pickle would run any
Python code as it is opened; galgen opens none. Still, load only files whose origin you know.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from galgen.errors import DataError

#: Endings of files that are taken for networks of the user's own.
SUFFIXES = (".pt", ".ts", ".pt2")
_WAY_OUT = (
    "save it with torch.export.save(torch.export.export(network, ...), 'FILE.pt2') or "
    "torch.jit.script(network).save('FILE.pt')"
)


def load_module(path: str | Path) -> nn.Module:
    """The network of a TorchScript or torch.export file, on the processor.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another kind, or holds a pickle.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"there is no network file {path}: check its name.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
            if "constants.pkl" in names:
                return _torchscript(path)
            if "archive_format" in names or "serialized_exported_program.json" in names:
                _refuse_pickles(path, archive)
                return _exported(path)
    except zipfile.BadZipFile:
        pass
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    raise DataError(
        f"{path} is neither a TorchScript nor a torch.export file, and galgen opens no pickles: "
        f"{_WAY_OUT}."
    )


def _torchscript(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        # torch would have new files exported; old ones are still about.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module: nn.Module = torch.jit.load(path, map_location="cpu")
        except RuntimeError as error:
            raise _damaged(path) from error
    return module


def _exported(path: Path) -> nn.Module:
    try:
        # As a stream, since torch warns of other endings than .pt2.
        with path.open("rb") as file:
            module: nn.Module = torch.export.load(file).module()
    except Exception as error:
        raise _damaged(path) from error
    return module


def _refuse_pickles(path: Path, archive: zipfile.ZipFile) -> None:
    """torch.export falls back on unpickling where a part is not a plain file of tensors."""
    for name in archive.namelist():
        try:
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(name)).get("config", {})
                safe = not any(entry.get("use_pickle") for entry in entries.values())
            elif name.endswith(".pt"):
                content = archive.read(name)
                if content:
                    torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                safe = True
            else:
                safe = "custom_obj" not in name
        except (pickle.UnpicklingError, RuntimeError, ValueError, AttributeError, EOFError):
            safe = False
        if not safe:
            raise DataError(
                f"{path} holds a pickle or objects of its own ({name}), which galgen does not "
                "open: export the network with plain tensors as weights and constants."
            )


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is damaged or made by a newer torch: {_WAY_OUT}.")
