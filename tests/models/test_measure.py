"""What pairs cost: kinds of steps and their shares, saved activations, and no trace left."""

from __future__ import annotations

import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from galgen.errors import ConfigError
from galgen.models.base import AdversarialModule
from galgen.models.measure import kinds, measure
from galgen.models.registry import PAIRS, find
from galgen.sections import Recipe
from galgen.training.activations import SavedActivations

TINY = {"model.options": {"latent": 8, "widths": [8, 8, 8], "critic_widths": [8, 8, 8]}}
FEW = {"train.batch": 4, "train.precision": "32", "train.accelerator": "cpu"}


def test_activations_that_share_a_storage_count_once() -> None:
    x = torch.randn(100, 50, requires_grad=True)
    with SavedActivations([x]) as saved:
        # exp keeps its result, sin its argument: the same 5,000 numbers. cos keeps another 5,000.
        y = x.exp().sin().cos()
        assert (saved.now, saved.peak) == (40_000, 40_000)
        y.sum().backward()
        assert saved.now == 0
        x.exp().sum().backward()
        assert (saved.now, saved.peak) == (0, 40_000)


@pytest.mark.parametrize("psf", ["auto", "0.7", "psf.fits"])
def test_a_psf_needs_no_data(psf: str) -> None:
    options = {**TINY["model.options"], "psf": psf}
    found = measure("dcgan", FEW, {"model.options": options}, bands=2, size=16)
    assert found.training is not None
    assert found.training > 0


def test_parameters_are_no_activations() -> None:
    layer = torch.nn.Linear(50, 30)
    x = torch.randn(100, 50)
    with SavedActivations(list(layer.parameters())) as saved:
        layer(x).sum().backward()
    assert saved.peak == 20_000


def test_gradients_of_gradients_do_not_change_under_the_watch() -> None:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Tanh(), torch.nn.Flatten())
    x = torch.randn(3, 2, 6, 6, requires_grad=True)

    def penalty() -> list[torch.Tensor]:
        (slope,) = torch.autograd.grad(layers(x).sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), list(layers.parameters())[:1]))

    plain = penalty()
    with SavedActivations(list(layers.parameters())) as saved:
        watched = penalty()
    assert torch.equal(plain[0], watched[0])
    assert (saved.now, saved.peak > 0) == (0, True)


@pytest.mark.parametrize(
    ("recipe", "penalties", "shares"),
    [
        ({"penalty_every": 4}, True, {0: 1 / 4, 1: 3 / 4}),
        ({"penalty_every": 4}, False, {0: 1.0}),
        ({"penalty_every": 1, "critic_steps": 5}, True, {0: 4 / 5, 4: 1 / 5}),
        ({"penalty_every": 2, "critic_steps": 2}, True, {0: 1 / 2, 1: 1 / 2}),
        (
            {"penalty_every": 16, "path_length": 2.0, "path_every": 4},
            True,
            {0: 1 / 16, 1: 12 / 16, 4: 3 / 16},
        ),
    ],
)
def test_shares_of_the_kinds_of_steps(
    recipe: dict[str, Any], penalties: bool, shares: dict[int, float]
) -> None:
    assert kinds(Recipe(**recipe), penalties) == pytest.approx(shares)


def test_lazy_penalties_count_by_how_often_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: AdversarialModule, batch: dict[str, Any], index: int) -> None:
        n = len(batch["images"])
        time.sleep(0.2 if self.clock.images // n % 4 == 0 else 0.04)
        self.clock.advance(n)

    monkeypatch.setattr(AdversarialModule, "training_step", step)
    found = measure("dcgan", TINY, FEW, {"recipe.penalty_every": 4}, size=16)
    assert found.training == pytest.approx(4 / (0.2 / 4 + 0.04 * 3 / 4), rel=0.1)


@pytest.mark.parametrize("name", list(PAIRS))
def test_every_pair_is_measured(name: str) -> None:
    done: list[tuple[int, int]] = []
    found = measure(name, FEW, size=16, bands=2, progress=lambda *at: done.append(at))
    model = find(name).load()(16, 2, **dict(PAIRS[name].preset.get("model", {}).get("options", {})))
    weights = sum(p.numel() for p in model.parameters())
    assert found.generator is not None
    assert found.critic is not None
    assert (found.name, found.generator + found.critic, found.refused) == (name, weights, None)
    assert found.training is not None
    assert found.sampling is not None
    assert found.memory is not None
    assert min(found.training, found.sampling) > 0
    # Weights, gradients and two moments of both, the average of the one, and some activations.
    assert found.memory > 4 * (4 * weights + found.generator)
    counts = [count for count, _ in done]
    assert counts == list(range(1, len(counts) + 1))
    assert all(count <= total for count, total in done)


def test_activations_grow_with_the_batch_and_weights_do_not() -> None:
    def memory(batch: int) -> int:
        found = measure("dcgan", TINY, FEW, {"train.batch": batch}, size=16).memory
        assert found is not None
        return found

    small, middle, large = memory(8), memory(16), memory(32)
    assert middle - small == pytest.approx((large - middle) / 2, rel=0.02)
    assert middle - small > 0


def test_a_quick_look_counts_parameters_alone() -> None:
    found = measure("dcgan", size=32, timed=False)
    assert found.generator is not None
    assert (found.training, found.sampling, found.memory) == (None, None, None)


def test_what_a_pair_cannot_do_stands_in_its_row() -> None:
    wide = measure("dcgan", {"model.options": {"widths": [4]}}, size=16)
    assert wide.refused is not None
    assert "needs 3 positive numbers" in wide.refused
    assert wide.generator is None
    other = measure("dcgan", {"model.options": {"wings": 2}})
    assert other.refused is not None
    assert "model.options.wings" in other.refused
    with pytest.raises(ConfigError, match="dcgam"):
        measure("dcgam")
    with pytest.raises(ConfigError, match="batchh"):
        measure("dcgan", {"train.batchh": 3})


def test_measuring_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    state, filters = torch.get_rng_state(), list(warnings.filters)
    measure("dcgan", TINY, FEW, size=16)
    assert torch.equal(torch.get_rng_state(), state)
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_stops_after_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def step(self: AdversarialModule, batch: dict[str, Any], index: int) -> None:
        steps.append(index)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(AdversarialModule, "training_step", step)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        measure("dcgan", TINY, FEW, size=16)
    assert (steps, signal.getsignal(signal.SIGINT)) == ([0], handler)


def test_measuring_in_another_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(measure, "dcgan", TINY, FEW, size=16).result()
    assert found.training is not None
