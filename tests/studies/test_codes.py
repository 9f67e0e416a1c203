"""Which code follows which property: the numbers by hand, and the study of a small model."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError
from galgen.nn.scoring import Judgement
from galgen.studies import codes as study
from tiny import OPTIONS, run


def test_what_a_code_explains() -> None:
    random = np.random.default_rng(0)
    code = random.normal(size=2000)
    assert study.explained(code, -np.exp(3 * code)) == pytest.approx(1)
    assert study.explained(code, random.normal(size=2000)) < 0.01
    half = study.explained(code, code + random.normal(size=2000))
    assert 0.4 < half < 0.55


def test_what_a_category_explains() -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(3, size=3000).astype(float)
    assert study.explained_by_category(kinds, random.normal(size=3000)) < 0.01
    apart = kinds * 10 + random.normal(size=3000)
    # Between three thirds of the ranks lies all of their variance but a ninth.
    assert study.explained_by_category(kinds, apart) == pytest.approx(8 / 9, abs=0.01)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    options = {**OPTIONS, "codes": 2, "categories": 3}
    outcome = run(tmp_path_factory.mktemp("runs"), model__options=options)
    return checkpoint.load(outcome.run)


def test_the_study_of_a_model(
    coded: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def measured(flux: Tensor, spec: Any, names: tuple[str, ...]) -> np.ndarray:
        # The second property is the first code itself, the third the category; one is not found.
        z = coded.module.renderer(study.SEED).latents(range(len(flux)))
        asked["names"] = names
        values = np.random.default_rng(1).normal(size=(len(flux), len(names)))
        values[:, 1] = z[:, 0]
        values[:, 2] = study.category(z, study.sort_options(coded.module.options)[1])
        values[5] = np.nan
        return values

    def stretched(flux: Tensor, spec: Any) -> np.ndarray:
        z = coded.module.renderer(study.SEED).latents(range(len(flux)))
        return np.column_stack([np.random.default_rng(2).normal(size=len(flux)), z[:, 1]])

    monkeypatch.setattr(study, "measure_numbers", measured)
    monkeypatch.setattr(study, "stretch", stretched)
    found = study.codes(coded, 120, tmp_path / "codes")
    assert asked["names"] == ("mag_r", "g-r", "r_half", "ellipticity")
    assert found.measured == 119
    one, two, kinds = found.codes
    assert [c.name for c in found.codes] == ["code1", "code2", "category"]
    assert one.follows["g-r"] == pytest.approx(1)
    assert two.follows["e2"] == pytest.approx(1)
    assert max(v for name, v in two.follows.items() if name != "e2") < 0.15
    assert kinds.follows["r_half"] == pytest.approx(1, abs=0.01)
    # A single shuffle would be anywhere between 0 and 0.05.
    for code in (one, two):
        assert list(code.chance.values()) == pytest.approx([1 / 118] * 6, abs=0.008)
    assert list(kinds.chance.values()) == pytest.approx([2 / 118] * 6, abs=0.012)
    assert all(0 <= c.found <= 1 for c in found.codes)
    assert set(one.follows) == {*asked["names"], "e1", "e2"}
    text = found.markdown.read_text()
    assert text.count("\n") == 6
    assert "| code1 |" in text
    assert json.loads(found.json.read_text())["measured"] == 119
    picture = Image.open(found.picture)
    assert picture.width > picture.height > 0


def test_the_critic_reads_its_own_codes(coded: TrainedModel) -> None:
    settings = study.sort_options(coded.module.options)[1]
    z = coded.module.renderer(1).latents(range(64))
    guess = coded.module.critic.guess
    right = torch.zeros(64, 5)
    right[:, :2] = z[:, :2]
    right[range(64), 2 + study.category(z, settings)] = 1
    guess.forward = lambda features: right[: len(features)]
    flux = torch.zeros(64, *coded.spec.shape)
    found = study._found(coded, settings, flux, z, None)
    assert found == pytest.approx({"code1": 1, "code2": 1, "category": 1})


def test_images_go_to_where_the_critic_is(coded: TrainedModel) -> None:
    critic = copy.deepcopy(coded.module.critic).to("meta")
    read = torch.randn(64, 5)
    seen: list[str] = []

    def judge(x: Tensor, rows: Tensor) -> Judgement:
        seen.extend([x.device.type, rows.device.type])
        return Judgement(x, read)

    critic.judge = judge
    module = copy.copy(coded.module)
    module._modules = {**module._modules, "critic": critic}
    settings = study.sort_options(module.options)[1]
    z = torch.randn(64, 8)
    model = replace(coded, module=module)
    found = study._found(model, settings, torch.zeros(64, *coded.spec.shape), z, torch.zeros(64, 2))
    assert seen == ["meta", "meta"]
    assert found.keys() == {"code1", "code2", "category"}


def test_the_model_moves_to_the_accelerator(
    coded: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(model: TrainedModel, device: str) -> None:
        raise RuntimeError(f"moved to {device}")

    monkeypatch.setattr(study, "find_accelerator", lambda: "an accelerator")
    monkeypatch.setattr(TrainedModel, "to", moved)
    with pytest.raises(RuntimeError, match="moved to an accelerator"):
        study.codes(coded, 24, tmp_path)


def test_bad_input(coded: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="at least 20"):
        study.codes(coded, 19, tmp_path)
    plain = run(tmp_path / "runs")
    assert study.main([str(plain.run), "--out", str(tmp_path / "c")]) == 2
    assert "has no codes: train one with --set model.options.codes=3" in capsys.readouterr().err
