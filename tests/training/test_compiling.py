"""Compiled passes compute what plain ones do, and leave weights, states and penalties alone."""

from __future__ import annotations

import copy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cases import CASES
from contract import Case
from galgen.errors import ConfigError
from galgen.fitting import quiet_lightning
from galgen.models.registry import find
from galgen.nn.layers import _doubled, upsample
from galgen.nn.scoring import Judgement
from galgen.training import compiling
from galgen.training.compiling import Passes, lacks
from galgen.training.machine import Machine
from galgen.training.stopwatch import Form, Stopwatch, furthest
from tiny import assert_same_training, interrupt_at, last, logged, run

MACHINE = Machine("cpu", 1, "32")
compiler = pytest.mark.skipif(lacks("cpu") is not None, reason="torch cannot compile here")


class Toy(nn.Module):
    """A generator or critic of one layer that may grow."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 3)
        self.sides, self.level, self.alpha = [4, 8], 1, 1.0

    def forward(self, z: torch.Tensor, condition: Any = None) -> torch.Tensor:
        return torch.tanh(self.dense(z))

    def judge(self, images: torch.Tensor, condition: Any = None) -> Judgement:
        return Judgement(self(images).sum(dim=1), None)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for the compiler, but run by torch's own kernels, which takes no C++."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions that were compiled, each time one is."""
    found: list[str] = []

    def compiled(function: Any) -> Any:
        found.append(function.__name__)
        return function

    monkeypatch.setattr(compiling, "_compiled", compiled)
    return found


def watch(case: Case, **recipe: Any) -> Stopwatch:
    """Stopwatch of a tiny pair with the penalties of its own recipe."""
    own = dict(find(case.pair).preset.get("recipe", {}))
    torch.manual_seed(0)
    classes = ("a", "b") if case.pair == "radiogan" else ()
    model = case.build(min(case.sizes), classes=classes, recipe={**own, **case.recipe, **recipe})
    quiet_lightning()
    return Stopwatch(model, 8, None, MACHINE)


def case_of(pair: str) -> Case:
    return next(case for case in CASES if case.pair == pair)


# -- what is compiled ----------------------------------------------------------------------


def test_passes_are_plain_until_told(counted: list[str]) -> None:
    generator, critic = Toy(), Toy()
    passes, z = Passes(generator, critic), torch.randn(2, 3)
    assert torch.equal(passes.generate(z), generator(z))
    assert torch.equal(passes.judge(z).scores, critic.judge(z).scores)
    assert not counted
    passes.compile()
    for _ in range(2):
        assert isinstance(passes.judge(z), Judgement)
        passes.generate(z)
    assert counted == ["_judge", "_generate"]
    passes.compile(False)
    passes.generate(z)
    assert len(counted) == 2


def test_growing_networks_are_compiled_when_grown(counted: list[str]) -> None:
    toy, z = Toy(), torch.randn(2, 3)
    passes = Passes(toy, toy)
    passes.compile()
    for level, alpha in ((0, 1.0), (1, 0.0), (1, 0.9)):
        toy.level, toy.alpha = level, alpha
        passes.generate(z)
        assert not counted
    toy.alpha = 1.0
    passes.generate(z)
    assert counted == ["_generate"]


def test_names_of_weights_stay(traced: None) -> None:
    toys = nn.ModuleDict({"generator": Toy(), "critic": Toy()})
    names = list(toys.state_dict())
    passes = Passes(toys["generator"], toys["critic"])
    passes.compile()
    passes.judge(passes.generate(torch.randn(2, 3))).scores.sum().backward()
    assert list(toys.state_dict()) == names
    assert all(p.grad is not None for p in toys.parameters())


def test_a_copy_has_passes_of_its_own(traced: None) -> None:
    toys = nn.ModuleDict({"generator": Toy(), "critic": Toy()})
    toys.passes = Passes(toys["generator"], toys["critic"])
    toys.passes.compile()
    twin, z = copy.deepcopy(toys), torch.randn(2, 3)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not twin.passes.judge(z).scores.any()
    assert twin.passes.on
    assert toys.passes.judge(z).scores.any()


def test_a_failing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(compiling, "BACKEND", fails)
    passes = Passes(Toy(), Toy())
    passes.compile()
    with pytest.raises(ConfigError, match="--compile off"):
        passes.generate(torch.randn(2, 3))


def test_other_errors_stay_what_they_are(counted: list[str]) -> None:
    passes = Passes(Toy(), Toy())
    passes.compile()
    with pytest.raises(RuntimeError, match="shapes"):
        passes.generate(torch.randn(2, 5))


def test_what_a_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Apple" in str(lacks("mps"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        assert "C++ compiler" in str(lacks("cpu"))
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Linux" in str(lacks("cpu"))


# -- what comes out ------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3])
def test_doubling_is_an_operation_that_torch_understands(bands: int) -> None:
    x = torch.randn(2, bands, 4, 4, requires_grad=True)
    for like in (x, x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()):
        torch.library.opcheck(_doubled, (like,))
        assert torch.equal(_doubled(like), upsample(like))
        weight = torch.randn(2, bands, 8, 8)
        mine, theirs = (
            torch.autograd.grad((f(like) * weight).sum(), like)[0] for f in (_doubled, upsample)
        )
        assert torch.equal(mine, theirs)


def test_traced_gradients_are_the_plain_ones(traced: None) -> None:
    stopwatch = watch(case_of("dcgan"))
    plain, compiled = (stopwatch.gradients(Form("32", on)) for on in (False, True))
    assert furthest(plain, compiled) < 1e-5
    assert {name.split()[0] for name in plain} == {"1", "2"}


@pytest.mark.slow
@compiler
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pair)
def test_compiled_gradients_are_the_plain_ones(case: Case) -> None:
    # Both turns of the first step: losses, R1, R2 or WGAN-GP, path lengths, ADA, mixed styles.
    stopwatch = watch(case, critic_steps=1)
    plain, compiled = (stopwatch.gradients(Form("32", on)) for on in (False, True))
    assert furthest(plain, compiled) < 1e-3


@pytest.mark.slow
@compiler
def test_compiled_gradients_in_bfloat16_are_off_by_rounding() -> None:
    stopwatch = watch(case_of("dcgan"))
    plain, compiled = (stopwatch.gradients(Form("bf16", on)) for on in (False, True))
    assert 0 < furthest(plain, compiled) < 0.3


@pytest.mark.slow
@compiler
@pytest.mark.parametrize("pair", ["dcgan", "progan"])
def test_resumed_equals_uninterrupted(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import galgen.train

    # A growing pair is grown, and compiled, before it is interrupted.
    case = case_of(pair)
    grown = {"recipe__lr": 1e-3, **({"recipe__grow_images": 24} if pair == "progan" else {})}
    plainly = case.changes(**{**grown, "train__images": 64})
    changes = {**plainly, "train__compile": "on"}
    whole = run(tmp_path / "whole", **changes)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 40)
        half = run(tmp_path / "half", **changes)
        assert half.reason == "interrupted"
    resumed = galgen.train.resume(half.run)
    assert resumed.reason == "finished"
    assert_same_training(last(whole), last(resumed))
    assert logged(whole.run) == logged(resumed.run)
    # Random numbers are those of a plain run, so that only rounding differs.
    plain = last(run(tmp_path / "plain", **plainly))
    compiled = last(whole)
    assert plain["state_dict"].keys() == compiled["state_dict"].keys()
    same = [torch.equal(value, compiled["ema"][name]) for name, value in plain["ema"].items()]
    assert not all(same)
    for name, value in plain["ema"].items():
        assert torch.allclose(value, compiled["ema"][name], atol=1e-2), name


@pytest.mark.slow
@compiler
def test_a_run_goes_on_with_or_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import galgen.train

    with monkeypatch.context() as patch:
        interrupt_at(patch, 40)
        half = run(tmp_path, train__compile="on", train__images=64)
    plain = galgen.train.resume(half.run, changes={"train.compile": "off"})
    assert plain.images == 64
    back = galgen.train.resume(half.run, changes={"train.compile": "on", "train.images": 96})
    assert back.images == 96


@pytest.mark.slow
@compiler
def test_frozen_layers_stay_in_compiled_fine_tuning(tmp_path: Path) -> None:
    from galgen.finetune import finetune

    source = run(tmp_path)
    before = last(source)["ema"]
    settings = {"train.images": 64, "train.batch": 8, "train.precision": "32"}
    tuned = finetune(
        source.run, config={**settings, "train.compile": "on"}, freeze=2, out=tmp_path / "tuned"
    )
    after = last(tuned)["ema"]
    still = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert {name for name in before if name.startswith(("mapping", "constant"))} <= still
    assert len(still) < len(before) / 2
