"""Training of the network behind the features `galaxy`, on built-in galaxies and for a moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from galgen.errors import DataError
from galgen.metrics.galaxy import load_network
from galgen.metrics.galaxy_network import GalaxyNetwork
from galgen.studies import galaxy_network, galaxy_tasks
from galgen.studies.galaxy_network import main, run, train
from galgen.studies.galaxy_pool import Pool, is_held, pools, turn
from galgen.studies.galaxy_tasks import Batch, Heads, distort, draw_rows, losses, make_batch, moved

NONE = [0.0] * 6


@pytest.fixture(scope="module")
def sets() -> list[Pool]:
    return pools(None, 0, 24, lambda line: None)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_command_writes_weights_that_load(tmp_path: Path) -> None:
    out = tmp_path / "new" / "weights.safetensors"
    arguments = ["--out", str(out), "--steps", "2", "--batch", "8", "--most", "12"]
    assert main(arguments) == 0
    network = load_network(out)
    planes = torch.rand(4, 3, 64, 64)
    assert torch.isfinite(network(planes)).all()
    with safe_open(out, "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert set(about["held out"]) == {"classes", "turns", "distortions", "truth"}
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_same_seed_gives_the_same_network(sets: list[Pool], tmp_path: Path) -> None:
    networks = []
    for name in ("one", "two"):
        path = tmp_path / name
        run(None, path, seconds=None, steps=2, batch=8, most=12, seed=4, say=lambda line: None)
        networks.append(load_network(path).state_dict())
    for key, value in networks[0].items():
        assert torch.equal(value, networks[1][key]), key


def test_a_missing_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
    with pytest.raises(DataError, match="--data"):
        run(tmp_path / "absent", tmp_path / "x", seconds=1, steps=None)


def test_held_out_galaxies_are_never_drawn(sets: list[Pool]) -> None:
    members = [torch.nonzero(~pool.held).flatten() for pool in sets]
    source, rows = draw_rows(sets, members, 300, generator())
    for number, pool in enumerate(sets):
        assert not pool.held[rows[source == number]].any()
    assert torch.equal(is_held(["a", "b", "c"]), is_held(["a", "b", "c"]))
    assert 0.15 < is_held([str(i) for i in range(2000)]).float().mean() < 0.25


def test_turning_is_that_of_rot90() -> None:
    images = torch.rand(2, 3, 20, 20)
    turned = turn(images, torch.tensor([90.0, 180.0]))
    torch.testing.assert_close(turned[0], images[0].rot90(1, (-2, -1)), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[1], images[1].rot90(2, (-2, -1)), atol=1e-4, rtol=0)
    inner = turn(images, torch.tensor([0.0, 0.0]), 8)
    assert torch.equal(inner, images[..., 6:14, 6:14])


def test_moves_keep_pixels() -> None:
    planes = torch.zeros(40, 3, 16, 16, dtype=torch.uint8)
    planes[:, :, 8, 6] = 200
    out = moved(planes, generator())
    assert (out.flatten(2).amax(2) == 200).all()
    assert (out.flatten(2).sum(2) == 200).all()
    places = out[:, 0].flatten(1).argmax(1)
    assert len(places.unique()) > 15


@pytest.mark.parametrize("softening", [0.0, 5.0])
def test_distortions_do_what_they_are_called(softening: float) -> None:
    planes = torch.full((1, 3, 64, 64), 0.2)
    planes[..., 24:40, 24:40] = 0.5
    curve, grey = torch.tensor([softening]), torch.tensor([False])

    def made(**strengths: float) -> torch.Tensor:
        numbers = [strengths.get(name, 0.0) for name in galaxy_tasks.DISTORTIONS]
        return distort(planes, torch.tensor([numbers]), curve, grey, generator())

    torch.testing.assert_close(made(), planes, atol=1e-5, rtol=0)
    assert 0.2 < made(blur=2.0)[0, 0, 23, 32] < 0.5
    assert abs(float(made(noise=0.02)[..., :16].std()) - 0.02) < 0.006
    assert (made(gain=0.1) > planes).all()
    red = made(red=0.2) - planes
    assert red[:, 0].min() > 0
    assert red[:, 1:].abs().max() < 1e-5
    torch.testing.assert_close(made(pedestal=0.1), planes + 0.1, atol=1e-5, rtol=0)


def test_no_colour_is_asked_of_grey_pictures(sets: list[Pool]) -> None:
    number = next(k for k, pool in enumerate(sets) if pool.grey)
    source = torch.full((20,), number)
    batch = make_batch(sets, source, torch.arange(20), generator())
    assert (batch.views[:, :, 0] - batch.views[:, :, 2]).abs().max() < 1e-6
    assert batch.distortions[..., 3:5].isnan().all()
    assert not batch.distortions[..., :3].isnan().any()


def test_each_part_of_the_loss_reaches_the_features(sets: list[Pool]) -> None:
    members = [torch.arange(len(pool.views)) for pool in sets]
    batch = make_batch(sets, *draw_rows(sets, members, 30, generator()), generator())
    for name in galaxy_tasks.WEIGHTS:
        features = torch.randn(3, 30, 64, generator=generator()).mul(0.5).requires_grad_()
        part = losses(sets, Heads(sets), features, batch)[name]
        part.backward()
        assert float(part.detach()) > 0
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()
        assert features.grad.abs().sum() > 0, name


def test_all_of_a_step_is_on_the_device(sets: list[Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    # A device without numbers, which refuses to be added to those of another.
    learn = galaxy_network._learn
    seen: list[Batch] = []

    def learned(
        network: GalaxyNetwork,
        heads: Heads,
        pools: list[Pool],
        batch: Batch,
        optimizer: torch.optim.Optimizer,
    ) -> dict[str, torch.Tensor]:
        parts = learn(network, heads, pools, batch, optimizer)
        held = [*network.parameters(), *network.buffers(), *heads.parameters(), *parts.values()]
        assert {tensor.device.type for tensor in held} == {"meta"}
        assert all(p.grad is not None for p in network.parameters())
        seen.append(batch)
        return {name: torch.zeros(()) for name in parts}

    monkeypatch.setattr(galaxy_network, "_learn", learned)
    monkeypatch.setattr(galaxy_network, "_finished", lambda network, heads, *rest: (network, heads))
    network, heads = train(sets, steps=2, batch=40, device="meta", say=lambda line: None)
    averaged = [*network.parameters(), *heads.parameters()]
    assert {tensor.device.type for tensor in averaged} == {"meta"}
    assert len(seen) == 2
    for batch in seen:
        assert batch.views.device.type == batch.distortions.device.type == "meta"
        # Pools stay in memory, and what finds galaxies in them too.
        assert batch.source.device.type == batch.rows.device.type == "cpu"


def test_a_device_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--device", "cuda", "--out", str(tmp_path / "x")]) == 2
    assert "--device cuda is not there" in capsys.readouterr().err
