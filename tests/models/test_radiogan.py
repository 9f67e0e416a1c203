"""The networks of `radiogan` against their published form written out plainly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen import CutoutDataModule, RadioGAN, checkpoint
from galgen.errors import ConfigError
from galgen.finetune import prepare as prepare_tuning
from galgen.models.radiogan.critic import Critic, DenseCritic
from galgen.models.radiogan.generator import Generator, level_widths
from galgen.models.radiogan.norm import MapNorm
from galgen.models.registry import find
from galgen.nn.condition import Given
from galgen.train import make_model, prepare
from galgen.transfer import transfer
from tiny import classes_folder, run

CLAMPED = {"clamp": True, "grain": False}


def shaken(network: nn.Module) -> nn.Module:
    """With weights that let all inputs be felt."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def rows(n: int = 6, classes: int = 4) -> Tensor:
    return torch.eye(classes)[torch.arange(n) % classes]


def norm(x: Tensor, by: nn.Module) -> Tensor:
    """Batch norm in training."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * by.weight.view(1, -1, 1, 1) + by.bias.view(
        1, -1, 1, 1
    )


def published_picture(g: Generator, z: Tensor, labels: Tensor) -> Tensor:
    """Maps of latent and label concatenated, as Rustige et al. have it."""
    own = g.entrance.labels
    x = F.conv_transpose2d(z[:, :, None, None], g.maps.conv.weight)
    y = F.conv_transpose2d(labels[:, :, None, None], own.maps.conv.weight)
    x = torch.cat([norm(x, g.maps.norm).relu(), norm(y, own.maps.norm).relu()], dim=1)
    weights = [torch.cat([g.stages[0].weight, own.grow.weight])]
    weights += [stage.weight for stage in g.stages[1:]]
    for weight, by in zip(weights, g.norms, strict=True):
        x = norm(F.conv_transpose2d(x, weight, stride=2, padding=1), by).relu()
    return F.conv_transpose2d(x, g.to_bands.weight, stride=2, padding=1)


def published_score(c: Critic, x: Tensor, labels: Tensor) -> Tensor:
    """Maps of image and label planes concatenated."""
    own, size = c.meeting.projection, x.shape[-1]
    planes = labels[:, :, None, None].expand(-1, -1, size, size)
    x = F.leaky_relu(F.conv2d(x, c.meeting.image.weight, stride=2, padding=1), 0.2)
    y = F.leaky_relu(F.conv2d(planes, own.planes.weight, stride=2, padding=1), 0.2)
    x = torch.cat([x, y], dim=1)
    weights = [torch.cat([c.meeting.merge.weight, own.mixed.weight], dim=1)]
    weights += [stage.weight for stage in c.stages]
    for weight, by in zip(weights, c.norms, strict=True):
        x = F.conv2d(x, weight, stride=2, padding=1)
        x = F.leaky_relu(F.layer_norm(x, x.shape[2:], by.weight, by.bias), 0.2)
    kernel = c.score.weight.view(1, -1, c.base, c.base)
    return F.conv2d(x, kernel).flatten()


@pytest.mark.parametrize(("size", "bands"), [(128, 1), (16, 3), (48, 2)])
def test_the_generator_is_the_published_one(size: int, bands: int) -> None:
    model = RadioGAN(size, bands, classes=list("abcd"), latent=7, width=4, **CLAMPED)
    g = shaken(model.generator)
    z = torch.randn(6, 7)
    with torch.no_grad():
        picture = published_picture(g, z, rows())
        assert 0.1 < (picture > 0).float().mean() < 0.9
        assert torch.allclose(g(z, rows()), picture.clamp(0, 1), atol=1e-5)
        g.end = type(g.end)(4, bands, g.end.settings.model_copy(update={"clamp": False}))
        scale = picture.abs().max()
        assert torch.allclose(g(z, rows()) / scale, picture / scale, atol=1e-5)


@pytest.mark.parametrize(("size", "bands"), [(128, 1), (16, 3), (48, 2)])
def test_the_critic_is_the_published_one(size: int, bands: int) -> None:
    model = RadioGAN(size, bands, classes=list("abcd"), critic_width=4, width=4)
    critic = shaken(model.critic)
    x = torch.rand(6, bands, size, size)
    with torch.no_grad():
        scores, plain = critic(x, rows()), published_score(critic, x, rows())
        assert plain.std() > 1e-3
        assert torch.allclose(scores, plain, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(scores, critic(x, rows().flip(1)), atol=1e-2)


def test_its_widths_are_the_published_ones() -> None:
    model = RadioGAN(128, 1, classes=list("abcd"), **CLAMPED)
    g, c = model.generator, model.critic
    assert g.latent == 100
    assert g.maps.conv.weight.shape == (100, 512, 4, 4)
    assert g.entrance.labels.maps.conv.weight.shape == (4, 512, 4, 4)
    assert [stage.weight.shape[1] for stage in g.stages] == [512, 256, 128, 64]
    assert g.to_bands.weight.shape == (64, 1, 4, 4)
    assert c.meeting.image.weight.shape == (32, 1, 4, 4)
    assert c.meeting.projection.planes.weight.shape == (32, 4, 4, 4)
    assert [layer.weight.shape[0] for layer in (c.meeting.merge, *c.stages)] == [
        128,
        256,
        512,
        1024,
    ]
    assert c.score.weight.shape == (1, 1024 * 16)
    assert not any(name.endswith("conv.bias") or "score.bias" in name for name in c.state_dict())


def test_both_halves_of_the_critic_start_as_one_convolution_would() -> None:
    torch.manual_seed(0)
    meeting = Critic(64, 1, width=32, given=Given(classes=4)).meeting
    plain = nn.Conv2d(32, 64, 4, bias=False).weight
    for half in (meeting.merge.weight, meeting.projection.mixed.weight):
        assert half.std().item() == pytest.approx(plain.std().item(), rel=0.05)
        assert half.abs().max() <= plain.abs().max() * 1.001


def test_the_dense_critic_has_a_score_for_each_class() -> None:
    model = RadioGAN(16, 2, classes=list("abcd"), critic="dense", dense_width=9, width=4)
    critic = shaken(model.critic)
    assert isinstance(critic, DenseCritic)
    x, labels = torch.rand(6, 2, 16, 16), rows()
    hidden = x.flatten(1) @ critic.first.weight.flatten(1).T + critic.first.bias
    for layer in critic.dense:
        hidden = F.linear(F.leaky_relu(hidden, 0.2), layer.weight, layer.bias)
    hidden = F.leaky_relu(hidden, 0.2)
    weights = critic.score.weight + critic.projection.classes
    scores = hidden @ weights.T + critic.score.bias
    assert torch.allclose(critic(x, labels), scores[torch.arange(6), labels.argmax(1)], atol=1e-5)
    assert [layer.name for layer in critic.layers()] == [
        "dense 1", "dense 2", "dense 3", "dense 4", "score"
    ]  # fmt: skip
    published = RadioGAN(128, 1, critic="dense", width=4).critic
    assert published.first.weight[0].numel() == 128 * 128
    assert {layer.weight.shape for layer in published.dense} == {(250, 250)}


def test_map_norm_is_layer_norm_two_gradients_deep() -> None:
    torch.manual_seed(0)
    ours, theirs = MapNorm(5), nn.LayerNorm([5, 5])
    x = torch.randn(4, 3, 5, 5) * torch.tensor([1.0, 1e-2, 1e-4]).view(3, 1, 1)
    found = []
    for layer in (shaken(ours), shaken(theirs)):
        points = x.clone().requires_grad_()
        y = layer(points)
        (slope,) = torch.autograd.grad(y.sin().sum(), points, create_graph=True)
        penalty = (slope.square().sum(dim=(1, 2, 3)).sqrt() - 1).square().sum()
        (penalty + layer(points).cos().sum()).backward()
        found.append([y, slope, points.grad, layer.weight.grad, layer.bias.grad])
    for mine, plain in zip(*found, strict=True):
        scale = plain.abs().max()
        assert torch.allclose(mine / scale, plain / scale, atol=1e-5)


def test_label_planes_are_felt_up_to_the_edges() -> None:
    planes = shaken(Critic(64, 1, width=4, given=Given(classes=2)).meeting.projection)
    with torch.no_grad():
        share = planes(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 16)
    assert share.shape == (2, 8, 16, 16)
    assert not torch.equal(share[0], share[1])
    assert torch.equal(share[:, :, 1:15, 1:15], share[:, :, 7:8, 7:8].expand(-1, -1, 14, 14))
    for edge in (share[:, :, 0], share[:, :, 15], share[..., 0], share[..., 15]):
        assert not torch.allclose(edge, share[:, :, 7])


@pytest.mark.parametrize("critic", ["convolutional", "dense"])
@pytest.mark.parametrize(
    "given", [(), ("classes",), ("numbers",), ("classes", "numbers")], ids="-".join
)
@pytest.mark.parametrize("conditioning", ["projection", "auxiliary", "both"])
def test_what_it_is_given(critic: str, given: tuple[str, ...], conditioning: str) -> None:
    names = {kind: ["a", "b"] for kind in given}
    options: dict[str, Any] = {"conditioning": conditioning, "codes": 1, "categories": 3}
    model = RadioGAN(
        16, 1, latent=8, width=4, critic_width=4, dense_width=8, critic=critic, **names, **options
    )
    width = model.conditions.width
    condition = torch.randn(5, width) if width else None
    x = model.generator(torch.randn(5, 8), condition)
    score, read = model.critic.judge(x, condition)
    told = 4 if conditioning == "projection" else 4 + 2 * len(given)
    assert score.shape == (5,)
    assert read.shape == (5, told)
    other = model.critic(x, None if condition is None else condition + 1)
    assert torch.equal(score, other) == (not given or conditioning == "auxiliary")


def test_silence_makes_conditions_count_for_nothing_and_can_be_left() -> None:
    model = RadioGAN(16, 1, classes=["a", "b"], latent=8, width=4, critic_width=4)
    z, one, two = torch.randn(4, 8), torch.eye(2)[[0, 1, 0, 1]], torch.eye(2)[[1, 0, 1, 1]]
    noise = [torch.zeros(4, *shape) for shape in model.generator.noise_shapes]
    image = model.generator(z, one, noise)
    assert not torch.equal(image, model.generator(z, two, noise))
    assert not torch.equal(model.critic(image, one), model.critic(image, two))
    model.generator.entrance.labels.silence()
    model.critic.meeting.projection.silence()
    image = model.generator(z, one, noise)
    assert torch.equal(image, model.generator(z, two, noise))
    score = model.critic(image, one)
    assert torch.equal(score, model.critic(image, two))
    score.sum().backward()
    for part in (model.generator.entrance.labels, model.critic.meeting.projection):
        assert any(bool(p.grad.abs().sum() > 0) for p in part.parameters())


@pytest.mark.parametrize(
    ("size", "options", "way_out"),
    [
        (72, {}, "choose 64 or 80"),
        (128, {"width": 0}, "model.options.width"),
        (128, {"critic_width": 1}, "model.options.critic_width"),
        (128, {"critic": "dense", "dense_width": 0}, "model.options.dense_width"),
        (128, {"latent": 0}, "model.options.latent"),
        (128, {"critic": "deep"}, "model.options.critic"),
    ],
)
def test_refusals(size: int, options: dict[str, Any], way_out: str) -> None:
    with pytest.raises(ConfigError, match=way_out):
        RadioGAN(size, 1, **{"width": 4, "critic_width": 4, **options})


def test_widths_of_every_size() -> None:
    assert level_widths(8, 2) == [8, 8]
    assert level_widths(8, 6) == [128, 128, 64, 32, 16, 8]


def test_the_preset_is_the_published_recipe_and_can_be_set_otherwise() -> None:
    run = prepare({"model": {"name": "radiogan"}})
    recipe = run.recipe
    assert (recipe.loss, recipe.gp, recipe.critic_steps) == ("wasserstein", 10, 5)
    assert (recipe.lr, recipe.lr_decay, recipe.betas) == (1e-4, 1, (0.0, 0.9))
    assert (recipe.r1, recipe.r2, recipe.drift, recipe.penalty_every) == (0, 0, 0, 1)
    assert (run.data.rotate, run.data.fill, run.data.flip) == ("any", "constant", True)
    assert run.model.options == {"clamp": True, "grain": False, "smear": False}
    own = {"data": {"rotate": "quarter"}, "model": {"options": {"smear": True}}}
    run = prepare({"model": {"name": "radiogan"}}, own, {"recipe": {"critic_steps": 2}})
    assert (run.data.rotate, run.data.fill, run.recipe.critic_steps) == ("quarter", "constant", 2)
    assert run.model.options["smear"] is True
    assert run.model.options["clamp"] is True
    assert find("radiogan").load() is RadioGAN


def test_other_classes_keep_the_rows_they_had(tmp_path: Path) -> None:
    folder = str(classes_folder(tmp_path / "blobs"))
    options = {"latent": 8, "width": 4, "critic_width": 4, "clamp": False}
    settings = {"model__name": "radiogan", "model__options": options, "recipe__critic_steps": 1}
    first = checkpoint.load(run(tmp_path / "runs", data__source=folder, **settings).run)
    config = prepare_tuning(first, folder, {"train.batch": 8})
    model = make_model(config, CutoutDataModule(folder, size=16, batch=8))
    model.conditions = dataclasses.replace(model.conditions, classes=("round", "spiral"))
    transfer(first, model, config)
    old, new = first.module.average.network.entrance, model.generator.entrance
    before, after = (part.labels.maps.conv.weight for part in (old, new))
    assert torch.equal(after, torch.stack([before[1], before.mean(dim=0)]))
    assert torch.equal(old.labels.grow.weight, new.labels.grow.weight)
    old, new = (m.critic.meeting.projection.planes.weight for m in (first.module, model))
    assert torch.equal(new, torch.stack([old[:, 1], old.mean(dim=1)], dim=1))
