"""A batch in parts is the batch, and running out of memory only makes the parts smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from contract import fit
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.models.card import card_of
from galgen.models.registry import find
from galgen.nn.layers import NoiseInjection
from galgen.training.memory import out_of_memory

SMALL = {"latent": 4, "width": 4, "max_width": 4}
RECIPE = {"loss": "logistic", "r1": 0.5, "r2": 0.5, "penalty_every": 2, "ada": True}


def trained(
    monkeypatch: pytest.MonkeyPatch,
    micro: int | None = None,
    name: str = "stylegan2",
    watch: Callable[[Any], None] = lambda model: None,
    **recipe: Any,
) -> Any:
    """Four batches of 16 by plain descent, without layer noise, which is drawn by part."""
    monkeypatch.setattr(NoiseInjection, "forward", lambda self, x, noise=None: x)
    torch.manual_seed(0)
    options = SMALL
    if name == "dcgan":
        options = {"latent": 4, "widths": [4] * 3, "critic_widths": [4] * 3, "norm": "batch"}
    model = find(name).load()(16, 3, grain=False, recipe={**RECIPE, **recipe}, **options)
    networks = (model.generator, model.critic)
    model.configure_optimizers = lambda: [
        torch.optim.SGD(n.parameters(), lr=0.01) for n in networks
    ]
    model.ada.p = torch.tensor(0.5)
    model.micro = micro
    watch(model)
    fit(model, CutoutDataModule("sersic", size=16, batch=16, count=32, epoch_images=640), 4)
    return model


def short_of_memory(most: int, error: BaseException, said: list[str]) -> Callable[[Any], None]:
    """A critic that cannot take more than so many images."""

    def watch(model: Any) -> None:
        judge = model.critic.judge

        def limited(images: Tensor, condition: Tensor | None = None) -> Any:
            if len(images) > most:
                raise error
            return judge(images, condition)

        model.critic.judge = limited
        model.say = said.append

    return watch


def assert_equal(a: Any, b: Any) -> None:
    for part in ("generator", "critic"):
        other = getattr(b, part).state_dict()
        for key, value in getattr(a, part).state_dict().items():
            assert torch.allclose(value, other[key], rtol=1e-5, atol=1e-6), key
    assert a.ada.state()["sums"].tolist() == b.ada.state()["sums"].tolist()
    means, others = a.means.take(), b.means.take()
    assert means.keys() == others.keys()
    for name, value in means.items():
        assert others[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("micro", [8, 5, 1])
def test_parts_give_the_step_of_the_whole(monkeypatch: pytest.MonkeyPatch, micro: int) -> None:
    recipe = {"mixing": 0.9, "path_length": 0.5, "critic_steps": 1}
    whole, parts = (trained(monkeypatch, m, **recipe) for m in (None, micro))
    assert parts.micro == micro
    assert card_of(parts)["micro"] == [micro]
    assert whole.path_mean.item() == pytest.approx(parts.path_mean.item(), rel=1e-5)
    assert_equal(whole, parts)


def test_label_noise_is_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"loss": "bce", "label_noise": 0.4}
    assert_equal(*(trained(monkeypatch, micro, **recipe) for micro in (None, 8)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_parts_and_the_batch_stays(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    said: list[str] = []
    whole = trained(monkeypatch)
    tight = trained(monkeypatch, watch=short_of_memory(20, error, said))
    assert tight.micro == 8
    assert len(said) == 1
    assert "16 images at a time: 8 from here on" in said[0]
    assert_equal(whole, tight)
    assert tight.clock.images == 64


def test_parts_keep_the_groups_that_the_critic_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    assert trained(monkeypatch, watch=short_of_memory(12, error, [])).micro == 4
    with pytest.raises(ConfigError, match="4 images at a time, which cannot be fewer"):
        trained(monkeypatch, watch=short_of_memory(3, error, []))


def test_batch_norm_cannot_be_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    batch_norm = {"name": "dcgan", "loss": "bce", "r1": 0, "r2": 0, "ada": False}
    tight = short_of_memory(8, torch.OutOfMemoryError("CUDA out of memory"), [])
    with pytest.raises(ConfigError, match="batch norm needs all images of a batch at once"):
        trained(monkeypatch, watch=tight, **batch_norm)
    with pytest.raises(ConfigError, match=r"train\.micro_batch and batch norm do not"):
        trained(monkeypatch, 8, **batch_norm)
    assert trained(monkeypatch, 16, **batch_norm).clock.images == 64


def test_other_errors_stay_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="shapes cannot"):
        trained(monkeypatch, watch=short_of_memory(8, RuntimeError("shapes cannot"), []))


def test_the_loss_of_a_bad_step_is_counted_and_the_step_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def watch(model: Any) -> None:
        judge = model.critic.judge
        start = {k: v.clone() for k, v in model.state_dict().items()}

        def wild(images: Tensor, condition: Tensor | None = None) -> Any:
            found = judge(images, condition)
            if model.clock.images == 32:
                return found._replace(scores=found.scores * torch.nan)
            if model.clock.images == 16:
                model.start = start
            return found

        model.critic.judge = wild

    model = trained(monkeypatch, watch=watch, ada=False)
    assert model.bad_steps.item() == 1
    assert model.means.take()["nonfinite_critic"] == 0.25
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert any(not torch.equal(v, model.start[k]) for k, v in model.state_dict().items())
