"""What AdversarialModule does for every pair, beside the contract."""

from __future__ import annotations

import pytest
import torch

from galgen import DCGAN
from galgen.errors import ConfigError
from galgen.models.registry import find
from galgen.models.styles import mixed_styles
from galgen.randomness import StepStreams
from tiny import OPTIONS


def test_the_average_moves_with_the_module() -> None:
    model = DCGAN(size=16, **OPTIONS)
    model.to("meta")
    assert all(p.is_meta for p in model.generator.parameters())
    assert all(p.is_meta for p in model.average.network.parameters())
    # What an update does between networks on one device works, and would not across two.
    model.average.update(model.generator, 8, 8)


def test_the_average_is_no_part_of_the_modules_own_state() -> None:
    model = DCGAN(size=16, **OPTIONS)
    parts = {name.split(".")[0] for name in model.state_dict()}
    assert parts == {"generator", "critic"}
    adams = model.configure_optimizers()
    held = [p for adam in adams for group in adam.param_groups for p in group["params"]]
    assert len(held) == len(list(model.parameters()))


def test_frozen_layers_and_growing_do_not_go_together() -> None:
    pair = find("progan").load()
    model = pair(16, width=8, max_width=8, recipe={"loss": "wasserstein", "grow_images": 64})
    with pytest.raises(ConfigError, match=r"recipe.grow_images 64 and frozen layers"):
        model.freeze_layers(generator=2)


def test_styles_are_mixed_within_the_layers_in_use() -> None:
    generator = find("stylegan").load()(16, latent=8, width=8, max_width=8).generator
    generator.grow(1, 1.0)
    assert generator.active_styles == 4 < generator.style_layers
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    styles = mixed_styles(generator, z, None, 1.0, StepStreams(0, 0, 64))
    first, last = styles[:, 0], styles[:, 3]
    assert torch.equal(first, generator.map(z))
    assert (first != last).any(dim=1).all()
