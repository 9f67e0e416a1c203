"""What the growing pairs have in common, and what each draws from its papers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.carry import of_conditions
from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.models.objective import Objective
from galgen.models.progan import ProGAN
from galgen.models.registry import PAIRS, find
from galgen.models.stylegan import StyleGAN
from galgen.sections import Recipe

PAIRS_THAT_GROW = ["progan", "stylegan"]
FIRST = {"progan": 0, "stylegan": 1}


def networks(pair: str, size: int = 24, **options: Any) -> tuple[Any, Any]:
    """Generator and critic with nothing left at 0."""
    torch.manual_seed(0)
    model = find(pair).load()(size, 2, latent=8, width=4, max_width=8, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.generator.eval(), model.critic.eval()


def draw(generator: Any, n: int = 3) -> tuple[Tensor, list[Tensor]]:
    z = torch.randn(n, generator.latent)
    return z, [torch.randn(n, *shape) for shape in generator.noise_shapes]


def double(images: Tensor) -> Tensor:
    return images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def pooled(images: Tensor) -> Tensor:
    n, bands, side, _ = images.shape
    return images.view(n, bands, side // 2, 2, side // 2, 2).mean(dim=(3, 5))


def levels(network: Any) -> range:
    return range(network.first_level, len(network.sides))


@pytest.mark.parametrize("pair", PAIRS_THAT_GROW)
class TestGrowth:
    def test_levels_start_where_the_papers_do(self, pair: str) -> None:
        for network in networks(pair, 32):
            assert network.sides == [4, 8, 16, 32]
            assert network.first_level == FIRST[pair]
        for network in networks(pair, 24):
            assert network.sides == [6, 12, 24]

    def test_every_level_makes_images_of_its_side(self, pair: str) -> None:
        generator, critic = networks(pair)
        z, noise = draw(generator)
        for level in levels(generator):
            for network in (generator, critic):
                network.grow(level, 0.5)
            images = generator(z, noise=noise)
            assert images.shape == (3, 2, generator.sides[level], generator.sides[level])
            assert critic(images).shape == (3,)

    def test_a_new_generator_level_starts_as_the_level_below(self, pair: str) -> None:
        generator, _ = networks(pair)
        z, noise = draw(generator)
        for level in list(levels(generator))[1:]:
            generator.grow(level - 1)
            below = generator(z, noise=noise)
            generator.grow(level, 0.0)
            assert torch.allclose(generator(z, noise=noise), double(below), atol=1e-5)

    def test_a_new_critic_level_starts_as_the_level_below(self, pair: str) -> None:
        _, critic = networks(pair)
        for level in list(levels(critic))[1:]:
            images = torch.randn(3, 2, critic.sides[level], critic.sides[level])
            critic.grow(level - 1)
            below = critic(pooled(images))
            critic.grow(level, 0.0)
            assert torch.allclose(critic(images), below, atol=1e-5)

    def test_a_level_that_has_faded_in_is_on_its_own(self, pair: str) -> None:
        generator, critic = networks(pair)
        z, noise = draw(generator)
        for level in list(levels(generator))[1:]:
            generator.grow(level)
            critic.grow(level)
            images = generator(z, noise=noise)
            scores = critic(images)
            with torch.no_grad():
                for network in (generator.to_bands, critic.from_bands):
                    lower = network[level - 1 - generator.first_level]
                    lower.weight.add_(1.0)
                    lower.bias.add_(1.0)
            assert torch.equal(generator(z, noise=noise), images)
            assert torch.equal(critic(images), scores)
            generator.grow(level, 0.9)
            assert not torch.equal(generator(z, noise=noise), images)

    def test_pictures_and_features_are_linear_in_alpha(self, pair: str) -> None:
        """A hundredth of a fade changes a hundredth of the picture, to and from either end."""
        generator, critic = networks(pair, grain=False)
        z, noise = draw(generator)
        top = len(generator.sides) - 1
        pictures, scores = {}, {}
        image = torch.randn(3, 2, generator.size, generator.size)
        for alpha in (0.0, 0.01, 0.5, 0.99, 1.0):
            generator.grow(top, alpha)
            critic.grow(top, alpha)
            pictures[alpha], scores[alpha] = generator(z, noise=noise), critic(image)
        for alpha in (0.01, 0.5, 0.99):
            want = torch.lerp(pictures[0.0], pictures[1.0], alpha)
            assert torch.allclose(pictures[alpha], want, atol=1e-5)
        whole = (scores[1.0] - scores[0.0]).abs().max()
        assert (scores[0.01] - scores[0.0]).abs().max() < 0.1 * whole
        assert (scores[0.99] - scores[1.0]).abs().max() < 0.1 * whole

    def test_grain_fades_in_with_the_last_level(self, pair: str) -> None:
        generator, _ = networks(pair)
        # So that the grain does not depend on the picture, which fades too.
        nn.init.zeros_(generator.end.grain.fading)
        z, noise = draw(generator)
        silent = [*noise[:-1], torch.zeros_like(noise[-1])]
        top, grain = len(generator.sides) - 1, {}
        for alpha in (0.0, 0.5, 1.0):
            generator.grow(top, alpha)
            grain[alpha] = generator(z, noise=noise) - generator(z, noise=silent)
        assert grain[1.0].std() > 0.1
        assert torch.allclose(grain[0.5], 0.5 * grain[1.0], atol=1e-5)
        assert torch.equal(grain[0.0], torch.zeros_like(grain[0.0]))
        generator.grow(top - 1)
        assert torch.equal(generator(z, noise=noise), generator(z, noise=silent))

    def test_where_growth_stands_is_no_part_of_the_state(self, pair: str) -> None:
        generator, critic = networks(pair)
        for network in (generator, critic):
            before = set(network.state_dict())
            network.grow(network.first_level)
            assert set(network.state_dict()) == before

    def test_each_level_trains_its_own_ends_alone(self, pair: str) -> None:
        generator, critic = networks(pair)
        z, noise = draw(generator)
        for level in levels(generator):
            generator.grow(level, 0.5)
            critic.grow(level, 0.5)
            for network in (generator, critic):
                network.zero_grad()
            critic(generator(z, noise=noise)).sum().backward()
            in_use = {level, level - 1} if level > generator.first_level else {level}
            for ends in (generator.to_bands, critic.from_bands):
                for number, end in enumerate(ends, start=generator.first_level):
                    assert (end.weight.grad is not None) == (number in in_use)

    def test_sizes_that_do_not_double(self, pair: str) -> None:
        with pytest.raises(ConfigError, match=rf"--size 100: {pair}.*96 or 112"):
            find(pair).load()(100, 3)


@pytest.mark.parametrize("pair", PAIRS_THAT_GROW)
class TestFreezing:
    def test_every_parameter_belongs_to_one_layer(self, pair: str) -> None:
        for classes in ((), ("a", "b")):
            for network in networks(pair, classes=classes):
                owned = [id(p) for layer in network.layers() for p in layer.parameters()]
                owned += [id(p) for name, p in network.named_parameters() if of_conditions(name)]
                assert sorted(owned) == sorted(id(p) for p in network.parameters())

    def test_the_critic_is_frozen_from_the_image(self, pair: str) -> None:
        _, critic = networks(pair, 16)
        names = [layer.name for layer in critic.layers()]
        assert names[:3] == ["16x16 from bands", "16x16 convolution 1", "16x16 convolution 2"]
        assert names[-3:] == ["4x4 mixing convolution", "4x4 dense", "4x4 score"]
        assert ("4x4 from bands" in names) == (pair == "progan")
        blocks = [layer.block for layer in critic.layers()]
        assert list(dict.fromkeys(blocks)) == ["16x16", "8x8", "4x4"]

    def test_a_frozen_critic_block_still_lets_the_gradient_through(self, pair: str) -> None:
        model = find(pair).load()(16, 2, latent=8, width=4, max_width=8)
        frozen = model.freeze_layers(generator=2, critic=1, unit="block")
        assert {layer.block for layer in frozen} == {
            "16x16",
            *(("4x4", "8x8") if pair == "progan" else ("mapping", "4x4")),
        }
        images = model.generator(torch.randn(2, 8))
        model.critic(images).sum().backward()
        cold = {id(p) for layer in frozen for p in layer.parameters()}
        last = model.generator.to_bands[-1].weight
        assert last.grad is not None
        assert last.grad.abs().sum() > 0
        for parameter in model.parameters():
            assert parameter.requires_grad == (id(parameter) not in cold)
            assert id(parameter) not in cold or parameter.grad is None


def test_the_layers_of_a_progan_generator() -> None:
    generator = ProGAN(16, 2, latent=8, width=4, max_width=8).generator
    assert [layer.name for layer in generator.layers()] == [
        "4x4 dense",
        "4x4 convolution 1",
        "4x4 to bands",
        "8x8 convolution 1",
        "8x8 convolution 2",
        "8x8 to bands",
        "16x16 convolution 1",
        "16x16 convolution 2",
        "16x16 to bands",
        "16x16 grain",
    ]


def test_the_layers_of_a_stylegan_generator() -> None:
    generator = StyleGAN(16, 2, latent=8, width=4, max_width=8).generator
    layers = generator.layers()
    assert [layer.name for layer in layers] == [
        "mapping",
        "4x4 constant",
        "4x4 convolution",
        "8x8 convolution 1",
        "8x8 convolution 2",
        "8x8 to bands",
        "16x16 convolution 1",
        "16x16 convolution 2",
        "16x16 to bands",
        "16x16 grain",
    ]
    convolution = dict(layers[3].modules[0].named_parameters())
    assert set(convolution) == {
        "source.weight",
        "source.bias",
        "noise.strength",
        "adain.affine.weight",
        "adain.affine.bias",
    }


def test_only_the_direction_of_a_progan_latent_counts() -> None:
    generator, _ = networks("progan")
    z, noise = draw(generator)
    assert torch.allclose(generator(3 * z, noise=noise), generator(z, noise=noise), atol=1e-4)
    assert not generator.truncates


@pytest.mark.parametrize("normalised", [True, False])
def test_pixel_norm_is_an_option_of_progan(normalised: bool) -> None:
    generator, _ = networks("progan", pixel_norm=normalised, grain=False)
    seen: list[Tensor] = []
    generator.to_bands[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    generator(draw(generator)[0])
    squares = seen[0].square().mean(dim=1)
    assert torch.allclose(squares, torch.ones_like(squares), atol=1e-4) == normalised


def test_a_style_of_a_coarse_layer_moves_what_is_below_and_not_above() -> None:
    """Styles enter where `style_layers` counts them: a later one leaves earlier maps alone."""
    generator, _ = networks("stylegan")
    z, noise = draw(generator)
    styles = generator.spread(generator.map(z)).clone()
    layers = [layer for stage in generator.stages for layer in stage]
    assert generator.style_layers == len(layers) == 2 * len(generator.sides)
    maps: list[Tensor] = []
    for layer in layers:
        layer.register_forward_hook(lambda *parts: maps.append(parts[-1]))
    generator.synthesise(styles, noise)
    before, place = list(maps), 3
    styles[:, place] += 1
    maps.clear()
    generator.synthesise(styles, noise)
    same = [torch.equal(a, b) for a, b in zip(before, maps, strict=True)]
    assert same == [True] * place + [False] * (len(layers) - place)


def test_a_stylegan_block_by_hand() -> None:
    generator, _ = networks("stylegan")
    layer = generator.stages[1][0]
    x = torch.randn(2, 8, 12, 12)
    w = torch.randn(2, 8)
    noise = torch.randn(2, 1, 12, 12)
    conv, affine = layer.source, layer.adain.affine
    y = F.conv2d(x, conv.weight * 2**0.5 / (9 * 8) ** 0.5, conv.bias, padding=1)
    y = y + layer.noise.strength[:, None, None] * noise
    y = torch.where(y > 0, y, 0.2 * y)
    style = w @ (affine.weight / 8**0.5).T + affine.bias
    for image in range(2):
        for i in range(y.shape[1]):
            values = y[image, i]
            normal = (values - values.mean()) / (values.var(unbiased=False) + 1e-5).sqrt()
            want = style[image, i] * normal + style[image, y.shape[1] + i]
            got = layer(x, w, noise)[image, i]
            assert torch.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("option", ["latent", "depth"])
def test_nonsense_lengths_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"options\.{option} must be 1 or more"):
        StyleGAN(16, 3, **{option: 0})


@pytest.mark.parametrize("pair", PAIRS_THAT_GROW)
def test_the_presets_are_the_papers(pair: str) -> None:
    recipe = RunConfig.build(PAIRS[pair].preset).recipe
    assert (recipe.loss, recipe.gp, recipe.drift) == ("wasserstein", 10, 0.001)
    assert (recipe.penalty_every, recipe.critic_steps, recipe.lr_decay) == (1, 1, 1)
    assert (recipe.lr, recipe.betas) == (1e-3, (0, 0.99))
    assert recipe.mixing == (0.9 if pair == "stylegan" else 0)
    assert Objective(recipe, 32).gammas == (0, 0)


def test_logistic_with_r1_is_two_settings_away_from_stylegans_preset() -> None:
    changes = {"recipe.loss": "logistic", "recipe.gp": 0}
    recipe: Recipe = RunConfig.build(PAIRS["stylegan"].preset, changes).recipe
    r1, r2 = Objective(recipe, 32).gammas
    assert r1 > 0
    assert r2 == 0
