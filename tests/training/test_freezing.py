"""Layers and blocks counted from the latent, and what too many says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galgen import DCGAN
from galgen.carry import of_conditions
from galgen.errors import ConfigError
from galgen.nn.condition import Branch
from galgen.training.freezing import Layer, freeze, select


def layers() -> list[Layer]:
    return [
        Layer(name, block, (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),))
        for name, block in (("mapping", "mapping"), ("a", "4x4"), ("b", "4x4"), ("c", "8x8"))
    ]


def test_counting() -> None:
    every = layers()
    names = {
        depth: [x.name for x in select(every, depth, "layer", "--freeze")] for depth in (0, 2, 4)
    }
    assert names == {0: [], 2: ["mapping", "a"], 4: ["mapping", "a", "b", "c"]}
    assert [x.name for x in select(every, 2, "block", "--freeze")] == ["mapping", "a", "b"]


@pytest.mark.parametrize(
    ("depth", "unit", "most"), [(5, "layer", 4), (4, "block", 3), (-1, "layer", 4)]
)
def test_more_than_there_is(depth: int, unit: str, most: int) -> None:
    with pytest.raises(ConfigError, match=rf"--freeze {depth} .*0 to {most} {unit}s \(mapping, "):
        select(layers(), depth, unit, "--freeze")


def test_unknown_unit() -> None:
    with pytest.raises(ConfigError, match="layer or block"):
        select(layers(), 1, "stage", "--freeze")


def test_frozen_modules_have_no_gradient_and_keep_their_buffers() -> None:
    every = layers()
    network = nn.Sequential(*(m for layer in every for m in layer.modules))
    freeze(every[:2])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(torch.randn(6, 2)).square().sum().backward()
    for number, module in enumerate(network):
        changed = not torch.equal(module[1].running_mean, before[f"{number}.1.running_mean"])
        assert changed == (number >= 2)
        assert all((p.grad is not None) == (number >= 2) for p in module.parameters())


def test_training_mode_leaves_frozen_layers_in_evaluation_mode() -> None:
    model = DCGAN(size=16, widths=[4, 4, 4], critic_widths=[4, 4, 4], latent=4)
    frozen = model.freeze_layers(generator=2, critic=1)
    model.train()
    for layer in frozen:
        assert not any(m.training for m in layer.parts())
    assert model.generator.training
    assert model.critic.mix.training


def test_every_parameter_belongs_to_exactly_one_layer_or_to_the_conditions() -> None:
    model = DCGAN(size=37, classes=("a", "b"), numbers=("m",))
    for network in (model.generator, model.critic):
        listed = [id(p) for layer in network.layers() for p in layer.parameters()]
        asked = [id(p) for name, p in network.named_parameters() if of_conditions(name)]
        assert sorted(listed + asked) == sorted(id(p) for p in network.parameters())


def test_nothing_left_to_train() -> None:
    model = DCGAN(size=16, widths=[4, 4, 4], critic_widths=[4, 4, 4])
    with pytest.raises(ConfigError, match="--freeze-critic leaves nothing"):
        model.freeze_layers(critic=len(model.critic.layers()))
    assert model.frozen == []
    assert all(p.requires_grad for p in model.critic.parameters())


def test_conditions_are_learnt_whatever_is_frozen() -> None:
    from galgen.models.dcgan import DCGAN
    from galgen.models.radiogan import RadioGAN

    for make in (DCGAN, RadioGAN):
        model = make(16, 1, classes=("a", "b"), numbers=("m",), categories=2, grain=False)
        model.freeze_layers(generator=2, critic=1)
        free = {name for name, p in model.named_parameters() if p.requires_grad}
        paths = {name for name, _ in model.named_parameters() if of_conditions(name)}
        assert any("generator.entrance" in name for name in paths)
        assert paths <= free
        frozen = {name for name, _ in model.named_parameters()} - free
        assert any(name.startswith("generator.") for name in frozen)
        assert any(name.startswith("critic.") for name in frozen)
        model.train()
        for name, module in model.named_modules():
            if isinstance(module, Branch) or name.endswith("entrance"):
                assert module.training
