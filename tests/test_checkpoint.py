"""Checkpoints load without running anything, and what is none says so."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from galgen import DCGAN, CutoutDataModule, checkpoint
from galgen.errors import CheckpointError
from galgen.export import export
from tiny import run

TINY = {"latent": 4, "widths": [4, 4, 4], "critic_widths": [4, 4, 4]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("checkpoints"), train__images=16).run


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Any:
    """Writes a copy of the checkpoint with changes made to its content."""

    def write(change: Any) -> Path:
        content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
        content = change(content) or content
        torch.save(content, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return write


class Touch:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("where", ["alone", "card", "optimizer", "legacy"])
def test_a_pickled_object_does_not_run(copy: Any, tmp_path: Path, where: str) -> None:
    canary = tmp_path / "canary"
    bomb = Touch(canary)
    if where == "alone":
        path = copy(lambda _: {"galgen": bomb, "ema": {}})
    elif where == "card":
        path = copy(lambda content: content["galgen"].update(config=bomb))
    elif where == "optimizer":
        path = copy(lambda content: content["optimizer_states"].append(bomb))
    else:
        path = tmp_path / "legacy.ckpt"
        torch.save({"galgen": bomb}, path, _use_new_zipfile_serialization=False)
    for use in (checkpoint.read, checkpoint.load):
        with pytest.raises(CheckpointError, match="would run code when loaded") as caught:
            use(path)
        assert str(path) in str(caught.value)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists(), "the bomb is a dud, so the test shows nothing"


def test_a_plain_pickle_does_not_run(tmp_path: Path) -> None:
    path, canary = tmp_path / "a.ckpt", tmp_path / "canary"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Touch(canary), protocol=protocol))
        with pytest.raises(CheckpointError, match=r"run code|no checkpoint"):
            checkpoint.load(path)
        assert not canary.exists()


@pytest.mark.parametrize(
    "content", [b"", b"hello world", b"train:\n  batch: 8\n", b"PK\x03\x04 not a zip", b"\x80\x02."]
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint") as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert "run code" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_anywhere_is_an_error_of_ours(trained: Path, tmp_path: Path) -> None:
    whole = (trained / "checkpoints" / "last.ckpt").read_bytes()
    path, dice = tmp_path / "a.ckpt", random.Random(0)
    for size in (10, 1000, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"a\.ckpt"):
            checkpoint.load(path)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(20):
            damaged[dice.randrange(4000)] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            assert "a.ckpt" in str(error)  # noqa: PT017


def test_checkpoints_of_another_kind(tmp_path: Path) -> None:
    class Other(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Other(), torch.utils.data.DataLoader(torch.randn(4, 2)))
    trainer.save_checkpoint(tmp_path / "lightning.ckpt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.ckpt")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    torch.save({"galgen": {"format": 1}}, tmp_path / "half.ckpt")
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="of another kind") as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value)


def test_a_newer_layout_asks_for_an_upgrade(copy: Any) -> None:
    path = copy(lambda content: content["galgen"].update(format=99, version="9.9"))
    with pytest.raises(CheckpointError, match=r"galgen 9\.9.*upgrade"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["galgen"].pop("spec"), "lacks or distorts"),
        (lambda c: c["galgen"].update(spec={"size": 16}), "lacks or distorts"),
        (lambda c: c["galgen"].update(clock=None), "lacks or distorts"),
        (lambda c: c["galgen"].update(format="new"), "lacks or distorts"),
        (lambda c: c["galgen"].update(recipe={"loss": "x"}), "lacks or distorts"),
        (lambda c: c["galgen"].update(options={"depth": 9}), "cannot be built"),
        (lambda c: c["galgen"]["options"].update(widths=[4, 4, 4]), "does not fit its own"),
        (lambda c: c["state_dict"].popitem(), "does not fit its own"),
        (lambda c: c["ema"].popitem(), "does not fit its own"),
        (lambda c: c.pop("state_dict"), "of another kind"),
        (lambda c: c["galgen"].update(model="nothing"), "cannot be built: --model nothing"),
        (lambda c: c["galgen"]["stretch"].update(kind="log"), "stretch"),
    ],
)
def test_entries_that_are_wrong(copy: Any, change: Any, words: str) -> None:
    def apply(content: Any) -> None:
        change(content)

    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load(copy(apply))
    assert "\n" not in str(caught.value)


def test_resolving(trained: Path, workdir: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    assert checkpoint.resolve(trained) == checkpoint.resolve(last) == last
    with pytest.raises(CheckpointError, match=r"nowhere does not exist"):
        checkpoint.resolve("nowhere")
    (workdir / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty holds no checkpoint"):
        checkpoint.resolve("empty")
    assert checkpoint.resolve() == checkpoint.packaged_model()
    (workdir / "runs").mkdir()
    (workdir / "runs" / "00003-x").symlink_to(trained, target_is_directory=True)
    assert checkpoint.resolve() == Path("runs/00003-x/checkpoints/last.ckpt")


def test_what_looks_like_a_checkpoint(trained: Path, tmp_path: Path) -> None:
    exported = export(checkpoint.load(trained), tmp_path / "exported")
    for path in (trained, exported, trained / "checkpoints" / "last.ckpt"):
        assert checkpoint.looks_like_checkpoint(path)
    (tmp_path / "a.fits").touch()
    for name in ("hubble", str(tmp_path), str(tmp_path / "a.fits"), "none.ckpt"):
        assert not checkpoint.looks_like_checkpoint(name)


def test_an_exported_folder_that_is_damaged(trained: Path, tmp_path: Path) -> None:
    folder = export(checkpoint.load(trained), tmp_path / "exported")
    card = json.loads((folder / checkpoint.CARD).read_text())
    weights = (folder / checkpoint.WEIGHTS).read_bytes()
    for text in ("", "[]", "{", json.dumps({**card, "model": "nothing"})):
        (folder / checkpoint.CARD).write_text(text)
        with pytest.raises(CheckpointError, match="exported"):
            checkpoint.load(folder)
    (folder / checkpoint.CARD).write_text(json.dumps(card))
    checkpoint.load(folder)
    (folder / checkpoint.WEIGHTS).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="exported"):
        checkpoint.load(folder)
    (folder / checkpoint.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="exported"):
        checkpoint.load(folder)


def test_a_plain_lightning_checkpoint_of_a_plain_trainer_loads(tmp_path: Path) -> None:
    data = CutoutDataModule("sersic", size=16, count=24, batch=8)
    model = DCGAN(size=16, bands=["g", "r", "i"], seed=4, **TINY)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    loaded = checkpoint.load(tmp_path / "mine.ckpt")
    assert torch.equal(loaded.sample(5), model.sample(5, seed=0))
    assert loaded.config == {}
    assert loaded.images == model.clock.images == 48
    again = DCGAN.load_from_checkpoint(tmp_path / "mine.ckpt", weights_only=True)
    assert torch.equal(again.sample(5, seed=0), model.sample(5, seed=0))
    assert again.seed == 4
