"""What training steps take, kept in the user's cache folder: one small file per kind of run.

A kind of run is a machine, a model and a shape. Its file's name is a hash of all that the times
follow from, which also stands in it. A file that is damaged or cannot be written costs the time of
measuring again and no more.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from galgen import __version__
from galgen.data import measured
from galgen.errors import OutputError
from galgen.io.atomic import replacing
from galgen.training.machine import Machine

#: What of a recipe the time of a step depends on; of weights and probabilities, whether they are 0.
_RECIPE = ("loss", "penalty_every", "critic_steps", "path_every", "ada")
_ON = ("r1", "r2", "gp", "drift", "mixing", "path_length")


@dataclass(frozen=True)
class Timings:
    """Of one kind of run.

    Attributes
    ----------
    seconds
        Of a step, by form: ``32``, ``bf16``, ``32 compiled``, ``bf16 compiled``.
    compiling
        Seconds that compiling took, by form.
    wrong
        Why a compiled form is not to be used, by form.
    when
        Date of the last measurement.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    compiling: Mapping[str, float] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    when: str = ""


def folder() -> Path | None:
    """``$XDG_CACHE_HOME/galgen/speed``, by default below ``~/.cache``; None without a home."""
    neighbour = measured.cache_folder()
    return None if neighbour is None else neighbour.parent / "speed"


def kind_of(model: Any, batch: int, micro: int | None, machine: Machine) -> dict[str, Any]:
    """All that the time of a step follows from, of JSON types.

    Parameters
    ----------
    model
        An `galgen.models.base.AdversarialModule`.
    batch
        Images of one replica.
    micro
        As ``train.micro_batch``.
    """
    recipe = model.recipe.model_dump(mode="json")
    return {
        "device": _device(machine),
        "threads": machine.threads or torch.get_num_threads(),
        "replicas": machine.devices,
        "torch": str(torch.__version__),
        "galgen": __version__,
        "model": model.name,
        "options": {name: repr(value) for name, value in sorted(model.options.items())},
        "recipe": {n: recipe[n] for n in _RECIPE} | {n: bool(recipe[n]) for n in _ON},
        "frozen": sorted(layer.name for layer in model.frozen),
        "shape": [batch, model.spec.n_bands, model.spec.size, model.spec.size],
        "micro_batch": micro,
        "condition": model.conditions.width,
    }


def _device(machine: Machine) -> str:
    if machine.accelerator == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), name)
    return f"{machine.accelerator} {name} {torch.backends.cpu.get_cpu_capability()}"


def recall(kind: Mapping[str, Any]) -> Timings:
    """What is known of a kind of run; nothing where no file is, or none that makes sense."""
    path = _path(kind)
    with suppress(OSError, ValueError, TypeError, AttributeError):
        content = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
        known = Timings(**content["timings"]) if content.get("kind") == kind else Timings()
        for times in (known.seconds, known.compiling):
            if not all(math.isfinite(v) and v > 0 for v in times.values()):
                return Timings()
        return known if all(isinstance(w, str) for w in known.wrong.values()) else Timings()
    return Timings()


def remember(kind: Mapping[str, Any], timings: Timings) -> bool:
    """Keep what was measured; False where that cannot be written."""
    path = _path(kind)
    if path is None:
        return False
    text = json.dumps({"kind": kind, "timings": asdict(timings)}, indent=1)
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return True
    return False


def _path(kind: Mapping[str, Any]) -> Path | None:
    base = folder()
    text = json.dumps(kind, sort_keys=True)
    name = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return None if base is None else base / f"{name}.json"
