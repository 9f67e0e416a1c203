"""Codes and images of samples: truncation by hand, and rows that keep their bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.registry import find
from galgen.models.rendering import CHUNK, Renderer
from galgen.nn.condition import ConditionSettings, category
from galgen.nn.style import CENTRE_LATENTS, StyleGenerator
from galgen.randomness import generator as keyed

PICKED = [3, 70, 40, 35]


def network(pair: str, classes: int = 0) -> nn.Module:
    torch.manual_seed(2)
    names = [f"class {k}" for k in range(classes)]
    options = {"latent": 6} if pair == "dcgan" else {"latent": 6, "width": 4, "max_width": 8}
    made = find(pair).load()(16, 2, classes=names, **options).average.network
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


def latents(indices: list[int], length: int = 6) -> Tensor:
    return torch.stack([torch.randn(length, generator=keyed(1, "sample", i)) for i in indices])


def images(renderer: Renderer, indices: list[int], condition: Tensor | None = None) -> Tensor:
    found: dict[int, Tensor] = {}
    for numbers, part in renderer.stream(indices, condition):
        found |= dict(zip(numbers, part, strict=True))
    return torch.stack([found[i] for i in indices])


@pytest.mark.parametrize("classes", [0, 2])
def test_styles_are_truncated_towards_the_mean_style(classes: int) -> None:
    made = network("stylegan2", classes)
    assert isinstance(made, StyleGenerator)
    rows = torch.eye(2)[[1, 0, 1, 1]] if classes else None
    with torch.no_grad():
        w = made.map(latents(PICKED), rows)
        z = torch.randn(CENTRE_LATENTS, 6, generator=keyed(0, "centre"))
        mean = torch.stack([
            made.map(z, None if rows is None else rows[k].expand(len(z), -1)).mean(dim=0)
            for k in range(4)
        ])  # fmt: skip
    assert mean[0].allclose(mean[1]) == (not classes)
    for psi in (0.0, 0.4, 1.0, 1.3):
        codes = Renderer(made, 1, psi).codes(PICKED, rows)
        assert codes.shape == (4, made.style_layers, 6)
        want = mean + psi * (w - mean)
        assert torch.allclose(codes, want[:, None].expand_as(codes), atol=1e-5)


def test_centres_of_numbers_are_made_once_a_row_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"latent": 6, "width": 4, "max_width": 8}
    pair = find("stylegan2").load()
    made: list[Tensor] = []

    def counted(network: StyleGenerator, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        made.extend(condition)
        return mean_style(network, condition)

    mean_style = StyleGenerator.mean_style
    monkeypatch.setattr(StyleGenerator, "mean_style", counted)
    rows = torch.randn(4, 2)
    rows[:, 1] = 1
    rows[3] = rows[2]
    renderer = Renderer(pair(16, 2, numbers=["mag"], **options).average.network.eval(), 1, 0.5)
    codes = [renderer.codes(PICKED, rows), renderer.codes([40, 35], rows[2:])]
    # Neither for the empty places of three chunks, nor again for the last chunk's row.
    assert len(made) == 3
    assert torch.equal(codes[0][2:], codes[1])
    many = torch.cat([torch.randn(5 * CHUNK, 1), torch.ones(5 * CHUNK, 1)], dim=1)
    renderer.codes(range(5 * CHUNK), many)
    assert len(renderer._centres) == CHUNK
    made.clear()
    renderer = Renderer(pair(16, 2, classes=["a", "b"], **options).average.network.eval(), 1, 0.5)
    for index in (0, 40, 70, 100):
        renderer.codes([index], torch.eye(2)[[index // 10 % 2]])
    assert len(made) == 2


@pytest.mark.parametrize("pair", ["dcgan", "r3gan"])
def test_latents_without_styles_are_shortened(pair: str) -> None:
    made = network(pair)
    for psi in (0.0, 0.7, 1.0):
        codes = Renderer(made, 1, psi).codes(PICKED)
        assert torch.allclose(codes, psi * latents(PICKED), atol=1e-6)


@pytest.mark.parametrize("pair", ["dcgan", "stylegan2", "progan"])
def test_no_truncation_is_no_truncation_bit_for_bit(pair: str) -> None:
    made = network(pair)
    plain = images(Renderer(made, 1), PICKED)
    assert torch.equal(images(Renderer(made, 1, 1.0), PICKED), plain)
    noise = [torch.zeros(4, *shape) for shape in made.noise_shapes]
    for row, index in enumerate(PICKED):
        stream = keyed(1, "sample", index)
        torch.randn(6, generator=stream)
        flat = torch.randn(sum(part[0].numel() for part in noise), generator=stream)
        for part, values in zip(noise, flat.split([p[0].numel() for p in noise]), strict=True):
            part[row] = values.view_as(part[row])
    with torch.no_grad():
        assert torch.allclose(made(latents(PICKED), None, noise), plain, atol=1e-5)


def test_the_mean_galaxy_differs_by_noise_alone() -> None:
    made = network("stylegan2")
    renderer = Renderer(made, 1, 0.0)
    shown = images(renderer, [3, 4])
    assert not torch.equal(shown[0], shown[1])
    codes = renderer.codes([3, 4])
    assert torch.equal(codes[0], codes[1])
    quiet = renderer.images(codes, None, [3, 3], [3, None])
    assert torch.allclose(quiet[0], quiet[1], atol=1e-6)
    assert torch.equal(quiet[0], shown[0])


@pytest.mark.parametrize("psi", [-0.1, float("nan"), float("inf")])
def test_no_such_truncation(psi: float) -> None:
    with pytest.raises(ConfigError, match="--truncation"):
        Renderer(network("dcgan"), 1, psi)


def test_latents_on_a_sphere_are_not_truncated() -> None:
    made = network("progan")
    assert Renderer(made, 1, 1.0).codes([0]).shape == (1, 6)
    with pytest.raises(ConfigError, match=r"--truncation 0.7: only the direction"):
        Renderer(made, 1, 0.7)


@pytest.mark.parametrize("pair", ["dcgan", "stylegan2"])
def test_images_in_the_rows_asked_for_are_the_samples(pair: str) -> None:
    """Also where many ask for one row, and others fill the gaps."""
    made = network(pair)
    renderer = Renderer(made, 1)
    numbers = [5, 37, 5, 69, 8, *range(100, 140)]
    rows = [n % CHUNK if place < 5 else None for place, n in enumerate(numbers)]
    got = renderer.images(renderer.codes(numbers), None, numbers, rows)
    want = images(renderer, sorted(set(numbers)))
    want = want[[sorted(set(numbers)).index(n) for n in numbers]]
    assert torch.equal(got[:5], want[:5])
    assert torch.allclose(got, want, atol=1e-5)


def test_conditions_and_the_last_step_reach_each_image() -> None:
    made = network("dcgan", classes=2)
    rows = torch.eye(2)[[0, 1, 1, 0]]
    plain = images(Renderer(made, 1), PICKED, rows)
    other = images(Renderer(made, 1), PICKED, torch.eye(2)[[0, 1, 0, 1]])
    changed = [not torch.equal(a, b) for a, b in zip(plain, other, strict=True)]
    assert changed == [False, False, True, True]
    twice = Renderer(made, 1, finish=lambda x: 2 * x)
    got = twice.images(twice.codes(PICKED, rows), rows, PICKED, [i % CHUNK for i in PICKED])
    assert torch.equal(got, 2 * plain)


def test_truncation_keeps_the_category() -> None:
    torch.manual_seed(2)
    made = find("dcgan").load()(16, 2, latent=6, codes=2, categories=3).average.network.eval()
    z = latents(PICKED)
    codes = Renderer(made, 1, 0.5).codes(PICKED)
    kept = torch.tensor([0.5, 0.5, 1, 0.5, 0.5, 0.5])
    assert torch.allclose(codes, kept * z)
    settings = ConditionSettings(codes=2, categories=3)
    assert torch.equal(category(codes, settings), category(z, settings))
