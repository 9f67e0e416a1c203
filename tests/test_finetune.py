"""The verb finetune: what is taken over, matched by name, frozen and refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.data.module import CutoutDataModule
from galgen.errors import CheckpointError, ConfigError
from galgen.finetune import finetune, prepare
from galgen.train import make_model, resume
from galgen.transfer import transfer
from tiny import (
    OPTIONS,
    assert_same_training,
    classes_folder,
    differences,
    interrupt_at,
    last,
    run,
)

SHORT = {"train.images": 32, "train.batch": 8, "train.precision": "32", "train.accelerator": "cpu"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model of g, r, i."""
    return checkpoint.load(run(tmp_path_factory.mktemp("finetune"), recipe__lr=0.01).run)


def moved(source: TrainedModel, bands: tuple[str, ...], **more: Any) -> tuple[Any, Any]:
    """A fresh model of other bands that took over the source's weights, and the `Transfer`."""
    settings = {"data.bands": list(bands), "data.count": 24, "recipe.ema_images": 0, **more}
    config = prepare(source, "sersic", settings)
    data = CutoutDataModule("sersic", size=16, bands=bands, count=24, batch=8)
    model = make_model(config, data)
    done = transfer(source, model, config)
    model.spec = data.spec
    return model, done


def test_it_starts_from_the_averaged_weights(source: TrainedModel) -> None:
    model, done = moved(source, ("g", "r", "i"))
    average = dict(source.module.average.state())
    assert differences(average, dict(source.module.generator.state_dict()))
    assert not differences(average, dict(model.generator.state_dict()))
    assert not differences(average, dict(model.average.state()))
    assert not differences(dict(source.module.critic.state_dict()), dict(model.critic.state_dict()))
    assert done.frozen == ()
    assert [line.split(":")[0] for line in done.sentences()] == ["frozen", "training"]


def network_images(model: Any, n: int = 4) -> torch.Tensor:
    from galgen.models.sampling import generate

    return torch.cat([x for _, x in generate(model.average.network.eval(), range(n), seed=2)])


def without_noise(model: Any, n: int = 4) -> torch.Tensor:
    generator = model.average.network.eval()
    z = torch.randn(n, generator.latent, generator=torch.Generator().manual_seed(1))
    silence = [torch.zeros(n, *shape) for shape in generator.noise_shapes]
    with torch.no_grad():
        return generator(z, None, silence)


def test_known_bands_keep_their_images_in_the_new_order(source: TrainedModel) -> None:
    model, done = moved(source, ("i", "g"))
    old, new = without_noise(source.module), without_noise(model)
    assert torch.allclose(new[:, 0], old[:, 2], atol=1e-5)
    assert torch.allclose(new[:, 1], old[:, 0], atol=1e-5)
    assert done.bands == {"i": "i", "g": "g"}


def test_new_bands_take_the_mean(source: TrainedModel) -> None:
    model, done = moved(source, ("r", "z", "y", "g"))
    old, new = without_noise(source.module), without_noise(model)
    for place, want in ((0, old[:, 1]), (1, old.mean(1)), (2, old.mean(1)), (3, old[:, 0])):
        assert torch.allclose(new[:, place], want, atol=1e-5)
    assert done.bands["z"] == done.bands["y"] == "the mean of the old bands"
    assert any("z from the mean" in line for line in done.sentences())


@pytest.mark.parametrize("bands", [("g",), ("g", "r"), ("u", "g", "r", "i", "z"), ("z", "y")])
def test_a_grey_image_scores_as_before(source: TrainedModel, bands: tuple[str, ...]) -> None:
    # All band weights of the critic made equal, so that only their sum counts.
    weight = source.module.critic.stages[0].weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(kept.mean(dim=1, keepdim=True).expand_as(kept))
        grey = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        model, _ = moved(source, bands)
        before = source.module.critic(grey.expand(-1, 3, -1, -1))
        after = model.critic(grey.expand(-1, len(bands), -1, -1))
        weight.copy_(kept)
    assert torch.allclose(before, after, atol=1e-5)


def test_a_run_from_pictures_to_other_bands(source: TrainedModel, tmp_path: Path) -> None:
    settings = {**SHORT, "data.bands": ["u", "g", "r", "i", "z"], "data.count": 24}
    said: list[str] = []
    tuned = finetune(source, "sersic", config=settings, freeze=2, out=tmp_path, say=said.append)
    model = checkpoint.load(tuned.run)
    assert model.spec.bands == ("u", "g", "r", "i", "z")
    assert model.sample(2).shape == (2, 5, 16, 16)
    assert model.config["finetune"]["freeze"] == 2
    frozen = next(line for line in said if line.startswith("frozen: "))
    assert frozen == "frozen: generator mapping, generator 4x4 dense"
    training = next(line for line in said if line.startswith("training: "))
    assert "generator 4x4 convolution" in training
    assert "critic 16x16 convolution" in training
    assert any(str(source.path) in line for line in said)


def test_without_data_it_uses_the_checkpoints_own_and_its_holdout(
    source: TrainedModel, tmp_path: Path
) -> None:
    tuned = checkpoint.load(finetune(source, config=SHORT, out=tmp_path).run)
    assert tuned.config["data"] == source.config["data"]
    assert tuned.holdout == source.holdout
    assert tuned.stretch == source.stretch
    assert tuned.config["finetune"]["checkpoint"] == str(source.path)


def test_a_fine_tuning_run_resumes_with_its_frozen_layers(
    source: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SHORT, "finetune.freeze_critic": 1, "recipe.loss": "logistic"}
    whole = finetune(source, config=settings, freeze=3, out=tmp_path / "a")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 16)
        half = finetune(source, config=settings, freeze=3, out=tmp_path / "b")
        assert half.images == 16
    resumed = last(resume(half.run))
    assert_same_training(last(whole), resumed)
    average = source.module.average.state()
    same = [name for name, value in average.items() if torch.equal(value, resumed["ema"][name])]
    assert "mapping.0.weight" in same
    assert "stages.0.conv.weight" in same
    assert "stages.1.conv.weight" not in same


def test_classes_are_added_kept_and_exchanged(source: TrainedModel, tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs")
    settings = {**SHORT, "data.bands": None}
    first = checkpoint.load(finetune(source, str(folder), config=settings, out=tmp_path / "a").run)
    assert first.classes == ("edge", "round")
    assert not torch.equal(first.sample(4, label="edge"), first.sample(4, label="round"))
    before = first.module.average.state()["entrance.embedding.classes"]
    mean = before.mean(dim=0)
    config = prepare(first, str(folder), SHORT)
    for names, want in (
        (("edge", "round"), [before[0], before[1]]),
        (("edge", "spiral"), [before[0], mean]),
        (("round", "edge"), [before[1], before[0]]),
    ):
        data = CutoutDataModule(folder, size=16, batch=8)
        model = make_model(config, data)
        model.conditions = dataclasses.replace(model.conditions, classes=names)
        transfer(first, model, config)
        assert torch.equal(model.generator.entrance.embedding.classes, torch.stack(want))


def test_more_layers_than_there_are(source: TrainedModel, tmp_path: Path) -> None:
    cases = {
        "finetune.freeze": r"--freeze 99 asks for more .* 0 to \d+ layers \(mapping, 4x4 dense",
        "finetune.freeze_critic": r"--freeze-critic 99 asks for more .* \(16x16 convolution",
    }
    for key, words in cases.items():
        with pytest.raises(ConfigError, match=words):
            finetune(source, config={**SHORT, key: 99}, out=tmp_path / "runs")
    blocks = {"finetune.freeze": 5, "finetune.freeze_unit": "block"}
    with pytest.raises(ConfigError, match=r"0 to 4 blocks \(mapping, 4x4, 8x8, 16x16\)"):
        finetune(source, config={**SHORT, **blocks}, out=tmp_path / "runs")
    everything = len(source.module.critic.layers())
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        finetune(
            source, config={**SHORT, "finetune.freeze_critic": everything}, out=tmp_path / "runs"
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data.size": 32}, r"makes 16 px images: choose --size 16, not 32"),
        ({"model.options": {**OPTIONS, "lattent": 1}}, "did you mean latent"),
        ({"finetune.freze": 1}, "did you mean finetune.freeze"),
        ({"finetune.freeze_unit": "stage"}, "finetune.freeze_unit"),
    ],
)
def test_mistakes(
    source: TrainedModel, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        finetune(source, config={**SHORT, **settings}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_model_of_the_library_alone_needs_data_named(tmp_path: Path) -> None:
    from contract import fit
    from galgen import DCGAN

    data = CutoutDataModule("sersic", size=16, count=16, batch=8)
    module = DCGAN(size=16, bands=["g", "r", "i"], **OPTIONS)
    fit(module, data, 1)
    checkpoint_dict: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint_dict)
    torch.save(checkpoint_dict, tmp_path / "a.ckpt")
    with pytest.raises(ConfigError, match=r"a.ckpt does not say which data it was trained on"):
        finetune(tmp_path / "a.ckpt", config=SHORT, out=tmp_path / "runs")
    settings = {**SHORT, "data.count": 16}
    assert finetune(tmp_path / "a.ckpt", "sersic", config=settings, out=tmp_path).images == 32


def test_a_source_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        finetune(tmp_path / "none.ckpt", "sersic", out=tmp_path)


def test_own_data_keeps_its_hold_out_whether_typed_or_not(tmp_path: Path) -> None:
    trained = run(tmp_path / "a", seed=3)
    kept = set(last(trained)["galgen"]["holdout"])
    for data in (None, "sersic"):
        again = finetune(trained.run, data, config=SHORT, out=tmp_path / str(data))
        card = last(again)["galgen"]
        assert set(card["holdout"]) == kept
        assert (card["seed"], card["config"]["data"]["count"]) == (3, 48)


def test_own_data_is_known_by_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes_folder(tmp_path / "images")
    trained = run(tmp_path / "runs", data__source=str(tmp_path / "images"), data__count=None)
    monkeypatch.chdir(tmp_path)
    config = prepare(checkpoint.load(trained.run), "images")
    assert config.data.source.endswith("images")
    lines: list[str] = []
    finetune(trained.run, "./images", config=SHORT, out=tmp_path / "b", say=lines.append)
    assert any("never trained on stay held out" in line for line in lines)


def test_a_file_decides_over_gentle_rates_and_cannot_name_the_checkpoint(
    source: TrainedModel,
) -> None:
    assert prepare(source).recipe.lr == 5e-4
    said = {"recipe": {"lr": 0.002}, "finetune": {"freeze": 1, "checkpoint": "/nowhere.ckpt"}}
    config = prepare(source, None, said)
    assert config.recipe.lr == 0.002
    assert config.finetune is not None
    assert (config.finetune.freeze, config.finetune.checkpoint) == (1, str(source.path))


def test_a_whole_network_cannot_be_frozen(source: TrainedModel, tmp_path: Path) -> None:
    layers = len(source.module.generator.layers())  # type: ignore[operator]
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        finetune(source, None, config=SHORT, freeze=layers, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_settings_of_conditions_stay_behind_with_them(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "galaxies", {"edge": 8, "round": 8, "spiral": 16})
    began = {"data__source": str(folder), "data__count": None, "data__balance": True}
    merge = {"disk": ["edge", "spiral"]}
    parent = run(tmp_path / "a", **began, data__merge=merge, recipe__label_dropout=0.25)
    source = checkpoint.load(parent.run)
    for where, more in ((None, {"data.labels": "none"}), ("sersic", {"data.count": 24})):
        said: list[str] = []
        settings = {**SHORT, **more}
        done = finetune(source, where, config=settings, out=tmp_path / "b", say=said.append)
        card = last(done)["galgen"]
        assert card["recipe"]["label_dropout"] == 0
        left = [line for line in said if "is left out" in line]
        assert ("data.merge (disk)" in left[0]) == (where is None)
        assert ("data.balance (true)" in left[-2 if where is None else -1]) == (where is None)
        assert left[-1].startswith("the checkpoint's recipe.label_dropout (0.25)")
        resume(done.run, changes={"train.images": 40})
        with pytest.raises(ConfigError, match="label_dropout"):
            finetune(source, where, config={**settings, "recipe.label_dropout": 0.5},
                     out=tmp_path / "c")  # fmt: skip
    typed = {**SHORT, "data.count": 24, "data.balance": True, "recipe.label_dropout": 0}
    with pytest.raises(ConfigError, match=r"data\.balance needs two classes"):
        finetune(source, "sersic", config=typed, out=tmp_path / "d")
