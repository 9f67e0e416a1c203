"""StyleGAN2's networks against the papers' plain forms, in float64 from the same weights."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.models.stylegan2.critic import Critic
from galgen.models.stylegan2.generator import Generator
from galgen.nn.condition import Given

LATENT, BANDS, SIDES = 5, 2, (4, 8, 16)
ROW = torch.tensor([1.0, 3, 3, 1], dtype=torch.double) / 8
KERNEL = ROW[:, None] * ROW


def randomise(network: Any) -> Any:
    """Nothing left at 0 or 1, so that every parameter shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(nn.init.normal_(torch.empty_like(parameter), std=0.5))
    return network


def leaky(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.2 * x, x)


def filtered(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Every channel by itself, with zeros around."""
    channels = F.pad(x, [padding] * 4).flatten(0, 1)[:, None]
    return F.conv2d(channels, kernel[None, None])[:, 0].unflatten(0, x.shape[:2])


def doubled(picture: Tensor) -> Tensor:
    """Bilinear: each new pixel three quarters of the old one it lies in, a quarter of the next."""
    for axis in (2, 3):
        x = picture.movedim(axis, 0)
        before, after = torch.cat([x[:1], x[:-1]]), torch.cat([x[1:], x[-1:]])
        both = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim=1)
        picture = both.flatten(0, 1).movedim(0, axis)
    return picture


def modulated(layer: Any, x: Tensor, w: Tensor, gain: float, *, up: bool, demodulate: bool) -> Any:
    """Equations 1 and 3 of Karras et al. 2020: weights of its own for every image."""
    affine, weight = layer.affine, layer.weight.double()
    scales = w @ affine.weight.double().T / math.sqrt(LATENT) + affine.bias.double()
    images = []
    for image, s in zip(x, scales, strict=True):
        own = weight * s[None, :, None, None] / math.sqrt(weight[0].numel())
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            c, h, _ = image.shape
            spread = torch.zeros(1, c, 2 * h + 3, 2 * h + 3, dtype=torch.double)
            spread[..., 2 : 2 + 2 * h : 2, 2 : 2 + 2 * h : 2] = image
            y = 4 * filtered(F.conv2d(spread, own.flip(2, 3)), KERNEL, 1)
        else:
            y = F.conv2d(image[None], own, padding=weight.shape[-1] // 2)
        images.append(gain * y[0])
    return torch.stack(images)


def styled(layer: Any, x: Tensor, w: Tensor, noise: Tensor, *, up: bool = False) -> Tensor:
    x = modulated(layer.conv, x, w, 2**0.5, up=up, demodulate=True)
    x = x + layer.bias.double()[:, None, None]
    return leaky(x + layer.noise.strength.double()[:, None, None] * noise)


def to_bands(layer: Any, x: Tensor, w: Tensor) -> Tensor:
    share = modulated(layer.conv, x, w, 0.25, up=False, demodulate=False)
    return share + layer.bias.double()[:, None, None]


def plain_generator(g: Any, styles: Tensor, noise: list[Tensor]) -> Tensor:
    """Figure 7b of Karras et al. 2020, place by place, and the grain."""
    w = styles.double().unbind(dim=1)
    n = [draw.double() for draw in noise]
    first, second, third = g.stages
    x = g.constant.value.double().expand(len(styles), -1, -1, -1)
    x = styled(first.conv, x, w[0], n[0])
    picture = to_bands(first.to_bands, x, w[1])
    x = styled(second.up, x, w[1], n[1], up=True)
    x = styled(second.conv, x, w[2], n[2])
    picture = doubled(picture) + to_bands(second.to_bands, x, w[3])
    x = styled(third.up, x, w[3], n[3], up=True)
    x = styled(third.conv, x, w[4], n[4])
    picture = doubled(picture) + to_bands(third.to_bands, x, w[5])
    grain = g.end.grain
    strength = F.conv2d(x, grain.strength.weight.double(), grain.strength.bias.double())
    fade = torch.cosh(10 * grain.fading.double() * picture.clamp(-4, 4))
    return picture + strength * n[5] / fade


def generator(classes: int = 0) -> Any:
    torch.manual_seed(1)
    made = randomise(
        Generator(16, BANDS, LATENT, depth=2, width=3, max_width=6, given=Given(classes))
    )
    assert [stage.conv.bias.numel() for stage in made.stages] == [6, 6, 3]
    return made


def drawn(g: Any, n: int) -> list[Tensor]:
    noise = [torch.randn(n, *shape) for shape in g.noise_shapes]
    shapes = [(1, 4, 4), (1, 8, 8), (1, 8, 8), (1, 16, 16), (1, 16, 16), (BANDS, 16, 16)]
    assert g.noise_shapes == shapes
    return noise


def close(got: Tensor, want: Tensor) -> None:
    assert got.shape == want.shape
    assert (got - want).abs().max() < 1e-5 * want.abs().max()


@torch.no_grad()
def test_the_generator_is_the_plain_sum_of_skips_with_a_style_in_each_place() -> None:
    g = generator()
    assert g.style_layers == 6
    styles, noise = torch.randn(3, 6, LATENT), drawn(g, 3)
    want = plain_generator(g, styles, noise)
    close(g.synthesise(styles, noise), want)
    # Each place counts, and each draw of noise.
    for change in [*range(6), *(-1 - i for i in range(6))]:
        other, shaken = styles.clone(), list(noise)
        if change >= 0:
            other[:, change] += 1
        else:
            shaken[-1 - change] = shaken[-1 - change] + 1
        assert (plain_generator(g, other, shaken) - want).abs().max() > 1e-2


@torch.no_grad()
def test_one_latent_becomes_the_style_of_all_places() -> None:
    g = generator(classes=2)
    z, labels, noise = torch.randn(3, LATENT), torch.tensor([1, 0, 1]), drawn(g, 3)
    w = z.double()
    w = w / (w.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    w = w + g.mapping.entrance.embedding.classes.double()[labels]
    for layer in g.mapping.layers:
        # A hundredth of the learning rate: weights and biases are stored a hundredfold.
        weight = 0.01 * layer.weight.double() * (2 / layer.weight.shape[1]) ** 0.5
        w = leaky(w @ weight.T + 0.01 * layer.bias.double())
    rows = torch.eye(2)[labels]
    close(g.map(z, rows), w)
    want = plain_generator(g, w[:, None].expand(-1, 6, -1), noise)
    close(g(z, rows, noise), want)


# -- critic ------------------------------------------------------------------------------------


def conv(layer: Any, x: Tensor, gain: float, *, stride: int = 1, padding: int = 0) -> Tensor:
    weight = gain * layer.weight.double() / math.sqrt(layer.weight[0].numel())
    bias = None if layer.bias is None else layer.bias.double()
    return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def plain_critic(c: Any, x: Tensor, labels: Tensor) -> Tensor:
    """Figure 7c of Karras et al. 2020; root 2 is the gain of a leaky ReLU."""
    root = 2**0.5
    x = leaky(conv(c.from_bands, x.double(), root))
    for block in c.blocks:
        y = leaky(conv(block.conv, x, root, padding=1))
        y = root * leaky(conv(block.halve, filtered(y, KERNEL, 2), 1.0, stride=2))
        skip = conv(block.skip, filtered(x, KERNEL, 1)[..., ::2, ::2], 1.0)
        x = (y + skip) / root
    maps = []
    # Six images are two groups of three.
    for group in (x[:3], x[3:]):
        mean = group.mean(dim=0)
        std = ((group - mean).square().mean(dim=0) + 1e-8).sqrt().mean()
        maps.append(std.expand(3, 1, 4, 4))
    x = leaky(conv(c.mix, torch.cat([x, torch.cat(maps)], dim=1), root, padding=1)).flatten(1)
    x = x @ c.dense.weight.double().T * (2 / x.shape[1]) ** 0.5 + c.dense.bias.double()
    x = leaky(x)
    score = x @ c.score.weight.double()[0] / math.sqrt(x.shape[1]) + c.score.bias.double()
    return score + (c.projection.classes.double()[labels] * x).sum(dim=1)


@torch.no_grad()
def test_the_critic_is_the_plain_residual_one() -> None:
    torch.manual_seed(2)
    c = randomise(Critic(16, BANDS, width=3, max_width=6, given=Given(2)))
    assert [block.skip.weight.shape[:2] for block in c.blocks] == [(6, 3), (6, 6)]
    images, labels = torch.randn(6, BANDS, 16, 16), torch.tensor([0, 1, 1, 0, 1, 0])
    want = plain_critic(c, images, labels)
    close(c(images, torch.eye(2)[labels]), want)
    assert want.std() > 0.1
