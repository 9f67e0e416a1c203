"""The collapse alarm."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from rich.console import Console

from galgen.callbacks.collapse import CollapseAlarm
from galgen.config import RunConfig
from galgen.models.base import AdversarialModule

WELL = {
    "frechet": 10.0,
    "coverage": 0.6,
    "diversity": 0.9,
    "frechet_galaxy": 4.0,
    "coverage_galaxy": 0.8,
    "diversity_galaxy": 0.95,
}


class Logger:
    def __init__(self) -> None:
        self.values: list[float] = []

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.values.append(values["collapse"])


@pytest.fixture
def trainer() -> Any:
    module = create_autospec(AdversarialModule, instance=True)
    module.clock = SimpleNamespace(images=5000)
    return SimpleNamespace(lightning_module=module, loggers=[Logger()], is_global_zero=True)


def watch(trainer: Any, *rows: dict[str, float]) -> tuple[CollapseAlarm, str]:
    text = io.StringIO()
    alarm = CollapseAlarm(Console(file=text, width=500))
    for row in rows:
        alarm.offer(trainer, row)
    return alarm, text.getvalue()


def test_nothing_is_said_while_all_is_well(trainer: Any) -> None:
    rows = [{"frechet": 40.0 - k, "coverage": 0.1 + k / 50, "diversity": 0.5} for k in range(20)]
    alarm, text = watch(trainer, *rows)
    assert alarm.reasons == []
    assert text == ""
    assert trainer.loggers[0].values == [0.0] * 20


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"coverage": 0.2}, "coverage, .* fell from 0.60 to 0.20"),
        ({"diversity": 0.3}, "diversity, .* fell from 0.90 to 0.30"),
        ({"frechet": 25.0}, "Fréchet distance jumped from about 10 to 25 in physics features"),
        ({"coverage_galaxy": 0.2}, "fell from 0.80 to 0.20 in features of the galaxy network"),
        ({"frechet_galaxy": 9.0}, "jumped from about 4 to 9 in features of the galaxy network"),
    ],
)
def test_a_fall_or_a_jump_is_said_once(trainer: Any, bad: dict[str, float], says: str) -> None:
    alarm, text = watch(trainer, WELL, WELL, WELL, {**WELL, **bad}, {**WELL, **bad})
    assert len(alarm.reasons) == 1
    assert re.search(says, text)
    assert text.count("collapse alarm at 5,000 images") == 1
    # The settings that it advises exist.
    for name in re.findall(r"[a-z_]+\.[a-z0-9_]+", text.replace("best.ckpt", "")):
        section, option = name.split(".")
        assert option in RunConfig.model_fields[section].annotation.model_fields
    assert trainer.loggers[0].values == [0, 0, 0, 1, 1]


def test_it_goes_again_after_things_were_well(trainer: Any) -> None:
    bad = {**WELL, "coverage": 0.1}
    _, text = watch(trainer, WELL, bad, WELL, bad)
    assert text.count("collapse alarm") == 2


def test_noise_at_the_start_is_no_height_to_fall_from(trainer: Any) -> None:
    alarm, _ = watch(
        trainer,
        {"frechet": 500.0, "coverage": 0.0, "diversity": 4.0},
        {"frechet": 300.0, "coverage": 0.02, "diversity": 0.6},
        {"frechet": 200.0, "coverage": 0.01, "diversity": 0.55},
    )
    assert alarm.reasons == []


def test_a_resumed_alarm_remembers(trainer: Any) -> None:
    before, _ = watch(trainer, WELL, WELL, WELL)
    after = CollapseAlarm()
    after.load_state_dict(before.state_dict())
    after.offer(trainer, {**WELL, "coverage": 0.1})
    assert len(after.reasons) == 1


def test_values_of_other_metrics_are_left_alone(trainer: Any) -> None:
    alarm, _ = watch(trainer, {"rmae": 0.5})
    assert trainer.loggers[0].values == []
    assert alarm.history == {}
