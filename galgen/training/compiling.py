"""The main passes of generator and critic, compiled where that was asked for.

A compiled function can be differentiated once (pytorch #91469). So what differentiates a gradient,
R1, R2, WGAN-GP and the length of paths, calls the networks themselves; the weights are the same.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.scoring import Judgement

#: What torch compiles by.
BACKEND = "inductor"
#: What `Passes.judge` returns, as a compiled function gives it.
_Judged = tuple[Tensor, Tensor | None]


def _generate(network: nn.Module, z: Tensor, condition: Tensor | None) -> Tensor:
    return cast(Tensor, network(z, condition))


def _synthesise(network: nn.Module, styles: Tensor) -> Tensor:
    return cast(Tensor, network.synthesise(styles))  # type: ignore[operator]


def _judge(network: nn.Module, images: Tensor, condition: Tensor | None) -> _Judged:
    return tuple(network.judge(images, condition))  # type: ignore[operator]


class Passes:
    """Generator and critic as a training step calls them, where each gradient is taken once.

    Networks that grow are compiled when they have grown: below, each step of a fading would be
    another function.

    Parameters
    ----------
    generator, critic
        The networks. Their names, weights and state stay as they are.

    Attributes
    ----------
    on
        Whether the passes are compiled.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module) -> None:
        self._generator, self._critic = generator, critic
        self.on = False
        self._functions: dict[Hashable, Callable[..., Any]] = {}

    def compile(self, on: bool = True) -> None:
        """Compile from now on, at the first call with each shape; or no longer."""
        self.on = on
        self._functions = {}

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents (N, latent) and conditions (N, width) to images (N, C, side, side)."""
        return cast(Tensor, self._call(_generate, self._generator, z, condition))

    def synthesise(self, styles: Tensor) -> Tensor:
        """Styles (N, L, W) of a `galgen.nn.style.StyleGenerator` to images."""
        return cast(Tensor, self._call(_synthesise, self._generator, styles))

    def judge(self, images: Tensor, condition: Tensor | None = None) -> Judgement:
        """Images and conditions to scores and guesses."""
        return Judgement(*self._call(_judge, self._critic, images, condition))

    def _call(self, function: Callable[..., Any], network: nn.Module, *given: Any) -> Any:
        if not self.on or not _grown(network):
            return function(network, *given)
        # One for each way in which it is called: of one function torch keeps few versions, and
        # then goes on without compiling.
        tensors = [None if t is None else (t.shape, t.dtype, t.requires_grad) for t in given]
        trained = any(p.requires_grad for p in network.parameters())
        way = (function, torch.is_grad_enabled(), trained, *tensors)
        compiled = self._functions.get(way)
        if compiled is None:
            compiled = self._functions[way] = _compiled(function)
        try:
            return compiled(network, *given)
        except RuntimeError as error:
            if not _of_compiler(error):
                raise
            raise ConfigError(
                "torch's compiler cannot make anything of this model "
                f"({_first_line(error)}): use --compile off."
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Passes:
        """Passes of the copied networks, which are compiled anew."""
        from copy import deepcopy

        copied = Passes(deepcopy(self._generator, memo), deepcopy(self._critic, memo))
        memo[id(self)] = copied
        copied.on = self.on
        return copied


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled, by itself: torch counts versions by code, and there are few."""
    assert isinstance(function, FunctionType)
    # Of the kernels of resampling, which the compiler may as well make anew.
    warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
    alone = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    if BACKEND != "inductor":
        return torch.compile(alone, dynamic=False, backend=BACKEND)
    # Random numbers as without compiling, and no choice of kernels by a stopwatch, since a resumed
    # run has to come to the same bits.
    options: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
    from torch._inductor import config

    if hasattr(config, "deterministic"):
        options["deterministic"] = True
    return torch.compile(alone, dynamic=False, options=options)


def _grown(network: nn.Module) -> bool:
    """False for a network that stands below its last resolution, or is fading into it."""
    sides = getattr(network, "sides", None)
    level = getattr(network, "level", None)
    return level is None or (level == len(sides) - 1 and network.alpha >= 1)  # type: ignore


def _of_compiler(error: RuntimeError) -> bool:
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def lacks(accelerator: str) -> str | None:
    """What this machine lacks for compiling, None for nothing."""
    if sys.platform == "win32":
        return "torch compiles on Linux and macOS"
    if accelerator == "mps":
        return "torch does not compile training for Apple's GPU"
    if accelerator == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed"
        if torch.cuda.get_device_capability() < (7, 0):
            return "the GPU is older than what triton compiles for"
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(wanted) is None:
        return f"there is no C++ compiler ({wanted})"
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        return "Python's headers are not installed (Python.h)"
    return None


def require(accelerator: str) -> None:
    """Refuse to compile where that does not work.

    Raises
    ------
    ConfigError
        If the machine lacks something.
    """
    lack = lacks(accelerator)
    if lack is not None:
        raise ConfigError(
            f"--compile on does not work here, since {lack}: leave it out, or take off."
        )
