"""Without GalSim there is a sentence; without asking for it, GalSim is not loaded."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from galgen.errors import ConfigError


def test_without_galsim_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "galsim", None)
    for name in [name for name in sys.modules if name.startswith("galgen.galsim")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"GalSim: pip install galgen\[galsim\]"):
        import_module("galgen.galsim")


def test_galgen_loads_no_galsim() -> None:
    code = "import sys, galgen; dir(galgen), galgen.ImageSpec; print('galsim' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
