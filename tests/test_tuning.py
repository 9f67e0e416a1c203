"""Precision and compiling: measured once, kept, overruled, and never part of the training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from cases import CASES
from galgen.config import RunConfig
from galgen.data import measured
from galgen.errors import ConfigError
from galgen.fitting import quiet_lightning
from galgen.training import compiling, timings, tuning
from galgen.training.machine import Machine
from galgen.training.stopwatch import Form, Stopwatch, furthest
from galgen.training.tuning import Choice, agreed, tune
from tiny import run

MACHINE = Machine("cpu", 1, "32", threads=1)
LONG = 10_000_000


class Scripted:
    """A stopwatch that reads from a table of seconds a step, and counts its cycles."""

    table: ClassVar[dict[str, float]] = {}
    off = 0.0
    cycles: ClassVar[list[str]] = []

    def __init__(self, *given: Any) -> None:
        self.steps = 4

    def probe(self, form: Form) -> float:
        Scripted.cycles.append(f"probe {form}")
        return Scripted.table[str(form)]

    def cycle(self, form: Form) -> float:
        Scripted.cycles.append(str(form))
        return Scripted.table[str(form)]

    def gradients(self, form: Form) -> dict[str, torch.Tensor]:
        Scripted.cycles.append(f"gradients {form}")
        if form.compiled and Scripted.off == -1:
            raise RuntimeError("it cannot compile the backward pass\n\nmuch more")
        if form.compiled and Scripted.off == float("inf"):
            raise ConfigError("torch's compiler cannot: use --compile off.")
        return {"1 weight": torch.ones(3) * (1 + Scripted.off * form.compiled)}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for what is kept, on hardware that is made for bfloat16 and has a compiler."""
    monkeypatch.setattr(measured, "cache_folder", lambda: tmp_path / "cache" / "measured")
    monkeypatch.setattr(tuning, "Stopwatch", Scripted)
    monkeypatch.setattr(tuning, "fast_bf16", lambda accelerator: True)
    for module in (tuning, compiling):
        monkeypatch.setattr(module, "lacks", lambda accelerator: None)
    monkeypatch.setenv(tuning.SWITCH, "on")
    monkeypatch.delenv(tuning.CHOSEN, raising=False)
    Scripted.table = {"32": 0.2, "bf16": 0.1, "bf16 compiled": 0.08, "32 compiled": 0.1}
    Scripted.off, Scripted.cycles = 0.0, []
    return tmp_path / "cache" / "speed"


def model(pair: str = "dcgan", **recipe: Any) -> Any:
    torch.manual_seed(0)
    return next(case for case in CASES if case.pair == pair).build(16, recipe=recipe)


def chosen(images: int = LONG, **changes: Any) -> Choice:
    """What is chosen for a tiny pair and settings of ``train``."""
    settings = {f"train.{name}": value for name, value in changes.items()}
    config = RunConfig.build({"train.images": images, "train.batch": 8, **settings})
    return tune(config, model(), MACHINE)


# -- what is chosen ------------------------------------------------------------------------


def test_the_faster_precision_is_chosen_and_said(cache: Path) -> None:
    choice = chosen(compile="off")
    assert (choice.precision, choice.compile) == ("bf16", "off")
    assert choice.reasons[0].startswith("precision bf16: 2 times as fast as float32 here")
    assert str(cache) in choice.reasons[0]
    Scripted.table["bf16"] = 0.3
    choice = chosen(compile="off", batch=16)
    assert choice.precision == "32"
    assert "1.5 times as fast as bfloat16" in choice.reasons[0]


def test_compiling_is_chosen_where_it_saves_more_than_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert chosen().compile == "on"
    kept = next(iter(timings.folder().glob("*.json")))  # type: ignore[union-attr]
    content = json.loads(kept.read_text())
    content["timings"]["compiling"]["bf16 compiled"] = 100.0
    kept.write_text(json.dumps(content))
    # 0.02 s saved in each step of 8 images: 100 s after 40,000 images.
    assert chosen(41_000).compile == "on"
    short = chosen(39_000)
    assert short.compile == "off"
    assert "does not save the 100 s" in short.reasons[1]


def test_what_is_slower_compiled_is_not() -> None:
    Scripted.table["bf16 compiled"] = 0.099
    choice = chosen()
    assert choice.compile == "off"
    assert "compile off: 1 times as fast compiled" in choice.reasons[1]


def test_short_runs_measure_nothing(cache: Path) -> None:
    choice = chosen(9_999)
    assert (choice.precision, choice.compile) == ("bf16", "off")
    assert all("too short" in reason for reason in choice.reasons)
    assert not Scripted.cycles
    # A run that two steps show to be short.
    chosen(12_000, minutes=1.0)
    assert Scripted.cycles == ["probe bf16"]
    assert not cache.exists()


def test_too_short_to_compile_for_a_try() -> None:
    choice = chosen(40_000)
    assert choice.precision == "bf16"
    assert "times as fast" in choice.reasons[0]
    assert "compile off: too short" in choice.reasons[1]
    assert "gradients bf16 compiled" not in Scripted.cycles


def test_what_is_stated_is_taken() -> None:
    assert chosen(precision="32", compile="off") == Choice("32", "off")
    assert not Scripted.cycles
    # Half of an answer leaves the other half to be measured.
    choice = chosen(precision="32")
    assert (choice.precision, choice.compile) == ("32", "on")
    assert "bf16" not in Scripted.cycles


def test_hardware_that_is_not_made_for_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "fast_bf16", lambda accelerator: False)
    choice = chosen(compile="off")
    assert choice.precision == "32"
    assert "not made for bfloat16" in choice.reasons[0]
    assert not Scripted.cycles


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tuning, compiling):
        monkeypatch.setattr(module, "lacks", lambda accelerator: "there is no C++ compiler (g++)")
    choice = chosen()
    assert choice.compile == "off"
    assert choice.reasons[1] == "compile off: there is no C++ compiler (g++)"
    with pytest.raises(ConfigError, match=r"--compile on .* no C\+\+ compiler"):
        chosen(compile="on")


@pytest.mark.parametrize("off", [1.0, float("nan"), float("inf"), -1.0])
def test_wrong_gradients_are_never_compiled(off: float) -> None:
    Scripted.off = off
    choice = chosen()
    assert choice.compile == "off"
    what = "cannot" if off in (float("inf"), -1.0) else "% off"
    assert what in choice.reasons[1]
    assert "more" not in choice.reasons[1]
    for _ in range(2):
        with pytest.raises(ConfigError, match="--compile on does not work here"):
            chosen(compile="on")
    assert Scripted.cycles.count("gradients bf16 compiled") == 1


def test_compiling_that_was_asked_for_is_checked_once() -> None:
    for _ in range(2):
        choice = chosen(96, compile="on", precision="32")
        assert choice == Choice("32", "on")
    assert Scripted.cycles == ["gradients 32", "gradients 32 compiled"]


# -- what is kept --------------------------------------------------------------------------


def test_one_measurement_is_kept(cache: Path) -> None:
    first = chosen()
    measured_cycles = len(Scripted.cycles)
    assert measured_cycles > 4
    assert chosen() == first
    assert len(Scripted.cycles) == measured_cycles
    # A run of another shape is another kind.
    chosen(batch=16)
    assert len(Scripted.cycles) > measured_cycles
    assert len(list(cache.glob("*.json"))) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": 1}', "\0" * 40, "bad seconds"])
def test_a_damaged_file_is_measured_again(cache: Path, content: str) -> None:
    first = chosen()
    (path,) = cache.glob("*.json")
    known = json.loads(path.read_text())
    if content == "bad seconds":
        known["timings"]["seconds"]["bf16"] = "fast"
        content = json.dumps(known)
    path.write_text(content)
    Scripted.cycles = []
    assert chosen().precision == first.precision
    assert Scripted.cycles
    assert json.loads(path.read_text())["timings"]["seconds"]["bf16"] == 0.1


def test_a_cache_that_cannot_be_written_costs_time_alone(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    choice = chosen()
    assert (choice.precision, choice.compile) == ("bf16", "on")
    assert "kept in" not in choice.reasons[0]


def test_the_kind_of_a_run_is_what_times_follow_from() -> None:
    kind = timings.kind_of(model(), 8, None, MACHINE)
    assert json.loads(json.dumps(kind)) == kind
    assert kind == timings.kind_of(model(lr=0.5), 8, None, MACHINE)
    others = [
        timings.kind_of(model(penalty_every=2), 8, None, MACHINE),
        timings.kind_of(model(r1=0.0), 8, None, MACHINE),
        timings.kind_of(model("r3gan"), 8, None, MACHINE),
        timings.kind_of(model(), 16, None, MACHINE),
        timings.kind_of(model(), 8, 4, MACHINE),
        timings.kind_of(model(), 8, None, Machine("cpu", 1, "32", threads=2)),
    ]
    assert all(other != kind for other in others)


def test_the_switch(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    chosen()
    Scripted.cycles = []
    monkeypatch.setenv(tuning.SWITCH, "off")
    choice = chosen()
    assert (choice.precision, choice.compile) == ("bf16", "off")
    assert not Scripted.cycles


def test_processes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a process that the first one starts, which inherits its environment.
    assert agreed(Choice("bf16", "on", ("why",))) == Choice("bf16", "on", ("why",))
    assert agreed(None) == Choice("bf16", "on")
    monkeypatch.delenv(tuning.CHOSEN)


# -- the stopwatch -------------------------------------------------------------------------


def test_measuring_changes_nothing() -> None:
    quiet_lightning()
    pair = model("stylegan2", ada=True)
    before = {name: value.clone() for name, value in pair.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    stopwatch = Stopwatch(pair, 8, None, MACHINE)
    assert stopwatch.steps == 4
    assert stopwatch.probe(Form("32")) > 0
    assert stopwatch.cycle(Form("32")) > 0
    assert furthest(stopwatch.gradients(Form("32")), {}) == float("inf")
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert pair.clock.images == 0
    assert all(torch.equal(value, before[name]) for name, value in pair.state_dict().items())
    assert all(p.grad is None for p in pair.parameters())


def test_slow_steps_make_short_cycles() -> None:
    quiet_lightning()
    seconds = iter(range(100))
    stopwatch = Stopwatch(model(), 8, None, MACHINE, lambda: float(next(seconds)))
    assert stopwatch.probe(Form("32")) == 1.0
    assert stopwatch.steps == 2
    assert stopwatch.cycle(Form("32")) == 1.0
    assert next(seconds) == 8


def test_gradients_that_differ_are_seen() -> None:
    a = {"1 bias": torch.tensor([1.0, 0.0]), "1 weight": torch.tensor([1e-6])}
    assert furthest(a, {k: v.clone() for k, v in a.items()}) == 0
    assert furthest(a, {**a, "1 bias": torch.tensor([0.0, 0.0])}) == pytest.approx(1)
    # One that is nothing beside the others may be all rounding.
    assert furthest(a, {**a, "1 weight": torch.tensor([-1e-6])}) < 0.01


def test_a_run_says_keeps_and_resumes_what_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import galgen.train
    from tiny import tiny

    monkeypatch.setenv(tuning.SWITCH, "off")
    said: list[str] = []
    settings = tiny(train__precision="auto", train__images=16)
    outcome = galgen.train.train(settings, out=tmp_path, say=said.append)
    config = RunConfig.build(_yaml(outcome.run / "config.yaml"))
    assert (config.train.precision, config.train.compile) == ("bf16", "off")
    assert any(line.startswith("precision bf16") for line in said)
    assert any(line.startswith("compile off") for line in said)
    monkeypatch.setattr(tuning, "tune", None)
    monkeypatch.setattr(compiling, "lacks", lambda accelerator: "there is no C++ compiler (g++)")
    with pytest.raises(ConfigError, match=r"--compile on .* no C\+\+ compiler"):
        galgen.train.resume(outcome.run, changes={"train.images": 32, "train.compile": "on"})
    resumed = galgen.train.resume(outcome.run, changes={"train.images": 32, "train.compile": "off"})
    assert resumed.images == 32
    config = RunConfig.build(_yaml(outcome.run / "config.yaml"))
    assert (config.train.precision, config.train.compile) == ("bf16", "off")
    # What else a run computes does not depend on who chose its precision.
    stated = run(tmp_path / "stated", train__precision="bf16", train__images=32)
    assert stated.images == 32
    assert os.environ[tuning.CHOSEN] == '["bf16", "off"]'
    monkeypatch.delenv(tuning.CHOSEN)


def _yaml(path: Path) -> Any:
    from galgen.config import load_yaml

    return load_yaml(path)
