"""A virtual environment for packages of other people, beside the interpreter that runs galgen.

It sees everything that the running interpreter sees, torch above all, and gets the packages
themselves without what they ask for: some want a torch of years ago. What they import and the
benchmark does not use is stood in for by `stand_ins`.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import subprocess
import sys
import sysconfig
import types
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Pinned, so that a later run compares with the same code.
PACKAGES = {
    "lucidrains stylegan2-pytorch": (
        "stylegan2-pytorch==1.9.0",
        "vector-quantize-pytorch==0.1.0",
        "einops==0.8.2",
        "kornia==0.9.0",
        "kornia-rs==0.2.0",
    ),
    "torch-mimicry": ("torch-mimicry==0.1.16",),
    "lightning-bolts": ("lightning-bolts==0.7.0",),
}
FAILED = "failed.json"


def default_folder() -> Path:
    """Where the environment is kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "galgen" / "peers"


def set_up(folder: Path) -> Path:
    """Make the environment if it is not there; gives its interpreter.

    What cannot be installed is written to `FAILED`, with the reason, and tried again next time.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"setting up {folder}", file=sys.stderr)
        venv.EnvBuilder(with_pip=True).create(folder)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(_output([str(python), "-c", ask]).strip())
    ours = sysconfig.get_path("purelib")
    # addsitedir, so that editable installs of the running interpreter are seen too.
    (packages / "running.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    failed = {}
    for name, pins in PACKAGES.items():
        stamp = folder / f"{name.split()[-1]}.txt"
        if stamp.exists() and stamp.read_text().split() == list(pins):
            continue
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *pins],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            failed[name] = (lines or ["pip failed"])[-1].removeprefix("ERROR: ")
        else:
            stamp.write_text("\n".join(pins))
    (folder / FAILED).write_text(json.dumps(failed))
    return python


def why_not(name: str) -> str | None:
    """Why a package is not in this environment; None if it is."""
    failed = json.loads((Path(sys.prefix) / FAILED).read_text())
    return failed.get(name)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class _StandIn(types.ModuleType):
    """A module with every name, none of which does anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Empty modules of these names, for imports inside the block; gone afterwards."""
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.split(".")[0] in names]:
            del sys.modules[name]


def hollow(*names: str) -> None:
    """Packages without their ``__init__``, so that one of their modules loads alone."""
    for name in names:
        spec = importlib.machinery.PathFinder.find_spec(name, _paths(name))
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"there is no package {name}")
        module = types.ModuleType(name)
        module.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = module


def _paths(name: str) -> list[str] | None:
    parent = name.rpartition(".")[0]
    return list(sys.modules[parent].__path__) if parent else None
