"""What AdversarialModule does for every pair, beside the contract."""

from __future__ import annotations

from galgen import DCGAN
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
