"""Devices and precision: chosen where they are free, refused where they are not there."""

from __future__ import annotations

import pytest
import torch

from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.training.machine import choose, find_accelerator


def test_what_is_stated_is_taken() -> None:
    settings = {"train.accelerator": "cpu", "train.devices": 2, "train.precision": "bf16"}
    machine = choose(RunConfig.build(settings))
    assert (machine.accelerator, machine.devices, machine.precision) == ("cpu", 2, "bf16")
    assert "2 x the CPU" in str(machine)
    assert "bfloat16" in str(machine)


def test_auto_finds_something_that_is_there() -> None:
    machine = choose(RunConfig.build())
    assert machine.accelerator == find_accelerator()
    assert machine.devices >= 1
    assert machine.precision in ("32", "bf16")


def test_a_machine_without_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"train.accelerator cuda is not there.*cpu"):
        choose(RunConfig.build({"train.accelerator": "cuda"}))


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="--devices 2: this machine has 1"):
        choose(RunConfig.build({"train.accelerator": "cuda", "train.devices": 2}))
    with pytest.raises(ConfigError, match="--devices 0"):
        choose(RunConfig.build({"train.accelerator": "cpu", "train.devices": 0}))
