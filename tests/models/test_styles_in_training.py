"""Mixing and path length against plain forms, with generators small enough to write out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contract import fit
from galgen.data.module import CutoutDataModule
from galgen.models import step
from galgen.models.registry import find
from galgen.models.styles import mixed_styles, next_path_mean, path_penalty
from galgen.nn.condition import Given
from galgen.nn.style import Mapping, StyleGenerator
from galgen.randomness import StepStreams

N, LATENT, LAYERS, WIDTH, BANDS, SIDE = 3, 4, 5, 6, 2, 4


class Bent(StyleGenerator):
    """Images that are a bent function of the first `active` styles."""

    def __init__(self, active: int = LAYERS, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.style_layers, self.active = LATENT, LAYERS, active
        self.mapping = Mapping(LATENT, WIDTH, depth=1, given=Given(classes))
        self.weight = nn.Parameter(torch.randn(LAYERS * WIDTH, BANDS * SIDE**2) / 3)

    @property
    def active_styles(self) -> int:
        return self.active

    def synthesise(self, styles: Tensor, noise: Any = None) -> Tensor:
        return self.bend(styles, self.weight)

    def bend(self, styles: Tensor, weight: Tensor) -> Tensor:
        used = weight[: self.active * WIDTH]
        return (styles[:, : self.active].flatten(1) @ used).sin().unflatten(1, (BANDS, SIDE, SIDE))


class Draws:
    """Streams that keep what they gave."""

    def __init__(self, images: int) -> None:
        self.streams, self.given = StepStreams(5, images, N), []

    def normal(self, *stream: Any) -> Tensor:
        self.given.append(self.streams.normal(*stream))
        return self.given[-1]


def plain_lengths(generator: Bent, w: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """|J^T y| of each image, from the whole Jacobian J: the root of the mean over layers of the
    squared norm of each one's part; in float64.
    """
    lengths = []
    for style, direction in zip(w, y, strict=True):
        styles = style.detach().double().expand(1, LAYERS, -1)
        jacobian = torch.autograd.functional.jacobian(
            lambda s: generator.bend(s, weight)[0], styles, create_graph=True
        )
        part = torch.einsum("chw,chwlk->lk", direction.double(), jacobian[:, :, :, 0])
        lengths.append(part[: generator.active].square().sum(dim=1).mean().sqrt())
    return torch.stack(lengths)


@pytest.mark.parametrize("active", [LAYERS, 2], ids=["all layers", "growing"])
@pytest.mark.parametrize("classes", [0, 2])
def test_the_path_penalty_is_its_equation(active: int, classes: int) -> None:
    generator = Bent(active, classes)
    rows = torch.eye(2)[[0, 1, 1]] if classes else None
    weight = generator.weight.detach().double().requires_grad_(True)
    mean, want_mean = torch.tensor(0.7), 0.7
    for seed in range(3):
        draws: Any = Draws(seed)
        penalty, found = path_penalty(generator, rows, draws, mean)
        z, y = sorted(draws.given, key=Tensor.dim)
        lengths = plain_lengths(generator, generator.map(z, rows), y / SIDE, weight)
        assert torch.allclose(found.double(), lengths, rtol=1e-5)
        want = (lengths - want_mean).square().mean()
        # The running mean moves by a hundredth of the way, after the penalty around the old one.
        want_mean = 0.99 * want_mean + 0.01 * lengths.mean().item()
        mean = next_path_mean(mean, found.sum(), torch.tensor(float(len(found))))
        assert mean.item() == pytest.approx(want_mean, rel=1e-5)
        assert penalty.item() == pytest.approx(want.item(), rel=1e-5)
        # Its gradient takes the mean for a constant.
        (got,) = torch.autograd.grad(penalty, generator.weight)
        (slope,) = torch.autograd.grad(want, weight)
        assert (got - slope).abs().max() < 1e-5 * slope.abs().max()


def test_the_penalty_is_the_same_with_a_frozen_mapping_and_under_autocast() -> None:
    generator, given = Bent(), (None, StepStreams(0, 8, N), torch.tensor(0.1))
    want, _ = path_penalty(generator, *given)
    generator.mapping.requires_grad_(False)
    frozen, _ = path_penalty(generator, *given)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = path_penalty(generator, *given)
    assert [frozen.item(), low.item()] == [pytest.approx(want.item(), rel=1e-6)] * 2


MANY = 4000


class Plain(StyleGenerator):
    """Its styles are its latents, marked by their class."""

    latent, style_layers = LATENT, LAYERS

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z if labels is None else z + 100 * labels[:, None]


def mixed(probability: float, labels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """First latents, styles, and how many leading layers of each image have the first's style."""
    z = torch.randn(MANY, LATENT)
    styles = mixed_styles(Plain(), z, labels, probability, StepStreams(3, 64, MANY))
    assert styles.shape == (MANY, LAYERS, LATENT)
    mark = 0 if labels is None else 100 * labels[:, None, None]
    own = ((styles - mark - z[:, None]).abs() < 1e-4).all(dim=2)
    # Once it has been left, the first style does not come back.
    assert torch.equal(own, own.cummin(dim=1).values)
    return z, styles - mark, own.sum(dim=1)


def assert_even(places: Tensor) -> None:
    """A quarter each of the places 1 to 4, to within four standard deviations of the count."""
    expected = len(places) / (LAYERS - 1)
    counts = torch.bincount(places, minlength=LAYERS)
    assert counts[0] == 0
    assert (counts[1:] - expected).abs().max() < 4 * math.sqrt(0.75 * expected)


def test_nothing_is_mixed_with_probability_0() -> None:
    _, _, places = mixed(0.0)
    assert (places == LAYERS).all()


def test_everything_is_mixed_with_probability_1_from_any_later_layer_on() -> None:
    z, styles, places = mixed(1.0)
    assert_even(places)
    other = styles[:, -1]
    for image, place in enumerate(places.tolist()):
        assert (styles[image, place:] == other[image]).all()
    # The second latent is normal, and has nothing to do with the first.
    assert other.mean().item() == pytest.approx(0, abs=0.04)
    assert other.std().item() == pytest.approx(1, abs=0.03)
    assert (z * other).mean().item() == pytest.approx(0, abs=0.04)


def test_a_fraction_is_mixed_and_both_styles_are_of_the_images_class() -> None:
    labels = torch.arange(MANY) % 2
    _, styles, places = mixed(0.3, labels)
    assert (places < LAYERS).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert_even(places[places < LAYERS])
    assert styles.abs().max() < 10


def train(monkeypatch: pytest.MonkeyPatch, batches: int, **recipe: Any) -> dict[str, list[Any]]:
    """What tiny StyleGAN2 training asked of mixing, path length and descent, by images shown."""
    model = find("stylegan2").load()(
        16, 3, latent=4, width=4, max_width=4, recipe={"loss": "logistic", **recipe}
    )
    seen: dict[str, list[Any]] = {"mixing": [], "path": [], "loss": []}

    def mix(generator: Any, z: Tensor, labels: Any, probability: float, streams: Any) -> Tensor:
        seen["mixing"].append((streams.images, probability))
        return mixed_styles(generator, z, labels, probability, streams)

    def path(generator: Any, labels: Any, streams: Any, mean: Tensor) -> tuple[Tensor, Tensor]:
        seen["path"].append((streams.images, round(mean.item(), 4)))
        # Moves the running mean up by one.
        return torch.tensor(100.0), mean + 100 * torch.ones(8)

    def note(loss: Tensor) -> None:
        # In the critic's turn the generator is held.
        if next(model.generator.parameters()).requires_grad:
            seen["loss"].append((model.clock.images, loss.item()))
        backward(loss)

    backward = model.manual_backward
    model.manual_backward = note
    for name, stand_in in (("mixed_styles", mix), ("path_penalty", path)):
        monkeypatch.setattr(step, name, stand_in)
    fit(model, CutoutDataModule("sersic", size=16, batch=8, count=32, epoch_images=96), batches)
    return seen


def test_every_step_mixes_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, 3, mixing=0.9)["mixing"] == [(0, 0.9), (8, 0.9), (16, 0.9)]


def test_path_lengths_are_due_by_generator_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = train(monkeypatch, 10, critic_steps=2, path_length=2.0, path_every=2)
    # Generator steps are the second, fourth, ... batch; path lengths the first and third of those.
    assert seen["path"] == [(8, 0.0), (40, 1.0), (72, 2.0)]
    assert seen["mixing"] == []
    # 2 x 2 x 100 beside a loss of order 1.
    weighed = [(8, 400), (24, 0), (40, 400), (56, 0), (72, 400)]
    assert seen["loss"] == [(images, pytest.approx(loss, abs=50)) for images, loss in weighed]
