"""What a fine-tuning run takes over: bands and classes for every pair, clock, average, moments."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from cases import CASES
from contract import Case
from galgen import checkpoint
from galgen.callbacks.ending import Ending
from galgen.carry import of_conditions
from galgen.checkpoint import TrainedModel
from galgen.data.module import CutoutDataModule
from galgen.errors import CheckpointError, ConfigError
from galgen.export import export
from galgen.finetune import finetune, prepare
from galgen.train import make_data, make_model, resume
from galgen.transfer import transfer
from galgen_cli.main import app
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
ALL = ["clock", "ema", "optimizers"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], TrainedModel]:
    """A run of each pair in g, r, i, made once."""
    folder, known = tmp_path_factory.mktemp("transfer"), {}

    def make(case: Case) -> TrainedModel:
        if case.pair not in known:
            settings = {"train__images": 48, "recipe__lr": 0.01}
            if "grow_images" in case.recipe:
                settings["recipe__grow_images"] = 16
            done = run(folder, **case.changes(**settings))
            known[case.pair] = checkpoint.load(done.run)
        return known[case.pair]

    return make


@pytest.fixture(scope="module")
def source(trained: Callable[[Case], TrainedModel]) -> TrainedModel:
    return trained(Case("dcgan", lambda size: OPTIONS, sizes=(16,)))


every_pair = pytest.mark.parametrize("case", CASES, ids=lambda case: case.pair)


def moved(source: TrainedModel, bands: tuple[str, ...]) -> Any:
    """A model of other bands that took over the source's weights, in evaluation mode."""
    config = prepare(source, "sersic", {"data.bands": list(bands), "data.count": 24})
    data = CutoutDataModule("sersic", size=source.spec.size, bands=bands, count=24, batch=8)
    model = make_model(config, data)
    transfer(source, model, config)
    return model.eval()


@torch.no_grad()
def without_noise(generator: Any, n: int = 4) -> torch.Tensor:
    z = torch.randn(n, generator.latent, generator=torch.Generator().manual_seed(1))
    return generator.eval()(z, None, [torch.zeros(n, *s) for s in generator.noise_shapes])


@every_pair
def test_bands_are_matched_by_name(case: Case, trained: Callable[[Case], TrainedModel]) -> None:
    source = trained(case)
    model = moved(source, ("u", "r", "z", "g", "i"))
    old, new = (without_noise(m.average.network) for m in (source.module, model))
    assert new.shape[1] == 5
    for place, want in ((1, old[:, 1]), (3, old[:, 0]), (4, old[:, 2])):
        assert torch.allclose(new[:, place], want, atol=1e-5), place
    for place in (0, 2):
        assert torch.allclose(new[:, place], old.mean(1), atol=1e-5), place


@every_pair
def test_a_grey_image_scores_as_before(case: Case, trained: Callable[[Case], TrainedModel]) -> None:
    source = trained(case)
    critic = source.module.critic.eval()
    kept = {name: value.clone() for name, value in critic.state_dict().items()}
    grey = torch.randn(4, 1, *[source.spec.size] * 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # All band weights made equal, so that only their sum counts.
        for name, axis in critic.band_parameters():  # type: ignore[operator]
            weight = critic.get_parameter(name)
            weight.copy_(weight.mean(dim=axis, keepdim=True).expand_as(weight))
        before = critic(grey.expand(-1, 3, -1, -1))
        for bands in (("r",), ("u", "g", "r", "i", "z")):
            after = moved(source, bands).critic(grey.expand(-1, len(bands), -1, -1))
            assert torch.allclose(before, after, atol=1e-5), bands
    critic.load_state_dict(kept)


@every_pair
@pytest.mark.parametrize("unit", ["layer", "block"])
def test_five_bands_with_both_networks_frozen(
    case: Case, unit: str, trained: Callable[[Case], TrainedModel], tmp_path: Path
) -> None:
    source = trained(case)
    bands = ["g", "r", "i", "z", "y"]
    settings = {**SHORT, "train.images": 16, "data.bands": bands, "data.count": 24}
    frozen = {"finetune.freeze_unit": unit, "finetune.freeze_critic": 1}
    said: list[str] = []
    tuned = finetune(
        source, "sersic", config={**settings, **frozen}, freeze=2, out=tmp_path, say=said.append
    )
    content, start = last(tuned), moved(source, tuple(bands))
    names = next(line for line in said if line.startswith("frozen: ")).removeprefix("frozen: ")
    for which in ("generator", "critic"):
        network = getattr(start, which)
        cold = {
            name
            for layer in network.layers()
            for name, parameter in network.named_parameters()
            if f"{which} {layer.name}" in names.split(", ")
            and any(parameter is p for p in layer.parameters())
        }
        assert cold
        for name, parameter in network.named_parameters():
            after = content["state_dict"][f"{which}.{name}"]
            if name in cold:
                assert torch.equal(after, parameter), name
                if which == "generator":
                    assert torch.equal(content["ema"][name], parameter), name
        assert any(
            not torch.equal(content["state_dict"][f"{which}.{name}"], parameter)
            for name, parameter in network.named_parameters()
        )
    assert checkpoint.load(tuned.run).sample(2).shape[1] == 5


@every_pair
def test_new_classes_change_nothing_at_first(
    case: Case, trained: Callable[[Case], TrainedModel], tmp_path: Path
) -> None:
    source = trained(case)
    folder = classes_folder(tmp_path / "blobs", side=source.spec.size)
    config = prepare(source, str(folder), {"data.bands": "g,r,i"})
    data = CutoutDataModule(folder, size=source.spec.size, bands="g,r,i", batch=8)
    model = make_model(config, data)
    assert model.classes == ("edge", "round")
    transfer(source, model, config)
    model.eval()
    rows = torch.eye(2)[[0, 1, 0, 1]]
    z = torch.randn(4, model.generator.latent)
    silence = [torch.zeros(4, *shape) for shape in model.generator.noise_shapes]
    images = torch.randn(4, 3, *[source.spec.size] * 2)
    with torch.no_grad():
        old, new = source.module.average.network.eval(), model.average.network
        assert torch.allclose(old(z, None, silence), new(z, rows, silence), atol=1e-6)
        old, new = source.module.critic.eval(), model.critic
        assert torch.allclose(old(images), new(images, rows), atol=1e-6)
    paths = [name for name, _ in model.named_parameters() if of_conditions(name)]
    assert {name.split(".")[0] for name in paths} == {"generator", "critic"}


class Watched(Ending):
    """Notes what a run holds before its first batch and after its last."""

    seen: dict[str, Any]

    def note(self, trainer: Any, module: Any) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for which, optimizer in zip(("generator", "critic"), trainer.optimizers, strict=True):
            for name, parameter in getattr(module, which).named_parameters():
                if parameter in optimizer.state:
                    state = optimizer.state[parameter]
                    names[f"{which}.{name}"] = {k: v.clone() for k, v in state.items()}
        copy = {
            "clock": module.clock.state(),
            "weights": module.state_dict(),
            "average": module.average.state(),
            "ada": module.ada.state(),
            "path_mean": module.path_mean,
        }
        frozen = {k: {n: v.clone() for n, v in copy[k].items()} for k in ("weights", "average")}
        return {**copy, **frozen, "moments": names}

    def on_train_start(self, trainer: Any, module: Any) -> None:
        super().on_train_start(trainer, module)
        type(self).seen = {"start": self.note(trainer, module)}

    def on_train_end(self, trainer: Any, module: Any) -> None:
        type(self).seen["end"] = self.note(trainer, module)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr("galgen.fitting.Ending", Watched)
    return Watched


@pytest.mark.parametrize("frozen", [{}, {"finetune.freeze": 3, "finetune.freeze_critic": 1}])
@pytest.mark.parametrize("pair", ["dcgan", "stylegan"])
def test_everything_kept_equals_resuming_at_the_first_step(
    pair: str,
    frozen: dict[str, Any],
    trained: Callable[[Case], TrainedModel],
    watched: type[Watched],
    tmp_path: Path,
) -> None:
    base = trained(next(case for case in CASES if case.pair == pair))
    settings = {**SHORT, "recipe.loss": "logistic", "recipe.ada": True}
    first = finetune(base, config={**settings, **frozen}, out=tmp_path)
    left = watched.seen["end"]
    assert len(left["moments"]) > 8
    assert ("generator.constant" in left["moments"]) <= (not frozen)
    again = {**settings, "finetune.keep": ALL, "train.images": 16}
    second = finetune(first.checkpoint.with_name("last.ckpt"), config=again, out=tmp_path)
    found = watched.seen["start"]
    assert not differences(found, left)
    assert second.images == first.images + 16
    assert watched.seen["end"]["moments"].keys() > left["moments"].keys() or not frozen


def test_without_it_everything_starts_anew(
    source: TrainedModel, watched: type[Watched], tmp_path: Path
) -> None:
    assert finetune(source, config=SHORT, out=tmp_path).images == 32
    start = watched.seen["start"]
    assert start["clock"]["images"] == 0
    assert start["moments"] == {}
    assert float(start["ada"]["p"]) == 0
    weights = {k.removeprefix("generator."): v for k, v in start["weights"].items()}
    average = dict(source.module.average.state())
    assert not differences(average, start["average"])
    assert not differences(average, {name: weights[name] for name in average})


def test_a_kept_clock_goes_on(source: TrainedModel, tmp_path: Path) -> None:
    settings = {**SHORT, "train.images": 40, "train.log_images": 8, "finetune.keep": "clock"}
    tuned = finetune(source, config=settings, out=tmp_path)
    assert source.images == 48
    assert tuned.images == 88
    config = yaml.safe_load((tuned.run / "config.yaml").read_text())
    assert (config["train"]["images"], config["finetune"]["keep"]) == (88, ["clock"])
    with (tuned.run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == [56, 64, 72, 80, 88]
    # The cosine of the whole, not one of the run's own 40 images.
    cosine = torch.cos(torch.tensor(torch.pi * 80 / 88))
    rate = 5e-4 * (0.1 + 0.9 * 0.5 * (1 + float(cosine)))
    assert float(rows[-1]["learning_rate"]) == pytest.approx(rate, rel=1e-4)
    further = resume(tuned.run, changes={"train.images": 96})
    assert (further.images, further.reason) == (96, "finished")


@pytest.mark.parametrize("keep", [["ema"], ["clock", "optimizers"], ALL])
def test_interrupted_and_resumed_equals_uninterrupted(
    keep: list[str], source: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SHORT, "finetune.keep": keep}
    whole = finetune(source, config=settings, out=tmp_path / "a")
    with monkeypatch.context() as patch:
        interrupt_at(patch, (48 if "clock" in keep else 0) + 16)
        half = finetune(source, config=settings, out=tmp_path / "b")
        assert half.reason == "interrupted"
    assert_same_training(last(whole), last(resume(half.run)))


def test_a_kept_average_remembers(
    source: TrainedModel, watched: type[Watched], tmp_path: Path
) -> None:
    finetune(source, config={**SHORT, "finetune.keep": "ema"}, out=tmp_path)
    start, end = watched.seen["start"], watched.seen["end"]
    raw = dict(source.module.generator.state_dict())
    before = dict(source.module.average.state())
    assert differences(raw, before)
    assert not differences(before, start["average"])
    assert not differences(raw, {name: start["weights"][f"generator.{name}"] for name in raw})
    # 32 images of a half-life of 2000, though the clock began anew.
    part = 1 - 0.5 ** (32 / 2000)
    name = "mapping.0.weight"
    moved = (end["average"][name] - before[name]).norm()
    assert 0 < moved < 3 * part * (end["weights"][f"generator.{name}"] - before[name]).norm()


def test_frozen_layers_agree_with_a_kept_average(source: TrainedModel, tmp_path: Path) -> None:
    settings = {**SHORT, "finetune.keep": "ema", "finetune.freeze": 1}
    content = last(finetune(source, config=settings, out=tmp_path))
    average = source.module.average.state()["mapping.0.weight"]
    assert not torch.equal(average, source.module.generator.state_dict()["mapping.0.weight"])
    assert torch.equal(content["ema"]["mapping.0.weight"], average)
    assert torch.equal(content["state_dict"]["generator.mapping.0.weight"], average)


def test_moments_of_other_bands_are_dropped(
    source: TrainedModel, watched: type[Watched], tmp_path: Path
) -> None:
    # As many bands as before, so that the shapes alone would not tell.
    settings = {**SHORT, "data.bands": ["i", "r", "g"], "finetune.keep": "optimizers"}
    finetune(source, config=settings, freeze=1, out=tmp_path)
    model = source.module
    bands = {f"generator.{name}" for name, _ in model.generator.band_parameters()}  # type: ignore[operator]
    bands |= {f"critic.{name}" for name, _ in model.critic.band_parameters()}  # type: ignore[operator]
    frozen = {f"generator.mapping.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")}
    everything = {name for name, _ in model.named_parameters()}
    assert set(watched.seen["start"]["moments"]) == everything - bands - frozen


def test_an_exported_model_keeps_its_clock_alone(source: TrainedModel, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "exported")
    for keep in ("ema", "optimizers", "clock,ema"):
        with pytest.raises(ConfigError, match=r"--keep \w+: .* is an exported model"):
            finetune(folder, config={**SHORT, "finetune.keep": keep}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    settings = {**SHORT, "finetune.keep": "clock"}
    assert finetune(folder, config=settings, out=tmp_path / "runs").images == 80


def test_a_checkpoint_without_optimizers(source: TrainedModel, tmp_path: Path) -> None:
    content = checkpoint.read(source.path)
    del content["optimizer_states"]
    torch.save(content, tmp_path / "light.ckpt")
    settings = {**SHORT, "finetune.keep": "optimizers"}
    with pytest.raises(CheckpointError, match=r"light.ckpt holds no optimizers that fit"):
        finetune(tmp_path / "light.ckpt", config=settings, out=tmp_path / "runs")


def test_what_can_be_kept_is_named(source: TrainedModel) -> None:
    with pytest.raises(ConfigError, match=r"--keep .*'clock', 'ema' or 'optimizers'"):
        prepare(source, None, {"finetune.keep": "clock,moments"})
    for none in ("none", "", []):
        config = prepare(source, None, SHORT, {"finetune.keep": none})
        assert config.finetune is not None
        assert config.finetune.keep == ()
        assert config.train.images == 32


def test_the_command_keeps(source: TrainedModel, workdir: Path) -> None:
    options = ["--images", "16", "--batch", "8", "--precision", "32", "--json"]
    words = ["finetune", str(source.path), "--keep", "clock,optimizers", *options]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 64
    assert "going on with the checkpoint's clock, optimizers" in done.stderr
    wrong = CliRunner().invoke(app, ["finetune", str(source.path), "--keep", "moments"])
    assert wrong.exit_code == 2
    assert "--keep" in wrong.stderr


def test_a_point_spread_function_is_the_new_bands_own(tmp_path: Path) -> None:
    options = {**OPTIONS, "psf": "0.5"}
    first = run(tmp_path, model__options=options, train__images=16)
    old = checkpoint.load(first.run).module.generator.end.psf.kernels
    assert old.shape[0] == 3
    settings = {**SHORT, "data.bands": ["g", "z"], "data.pixscale": 0.4}
    tuned = checkpoint.load(finetune(first.run, config=settings, out=tmp_path).run)
    kernels = tuned.module.generator.end.psf.kernels
    assert kernels.shape[0] == 2
    assert kernels.sum(dim=(1, 2)) == pytest.approx(1, abs=1e-6)
    # The same arcsec are fewer pixels of twice the size.
    assert kernels[0].max() > old[0].max()


def test_a_pair_that_had_not_grown_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in CASES if case.pair == "progan")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 24)
        half = run(tmp_path, **case.changes(recipe__grow_images=64))
    said: list[str] = []
    tuned = finetune(half.run, config=SHORT, out=tmp_path, say=said.append)
    assert any("had grown to 4 px: what makes finer detail" in line for line in said)
    model = checkpoint.load(tuned.run)
    assert model.config["recipe"]["grow_images"] == 0
    assert model.module.generator.level == len(model.module.generator.sides) - 1
    said.clear()
    finetune(tuned.run, config=SHORT, out=tmp_path, say=said.append)
    assert not any("had grown" in line for line in said)


def test_an_option_that_changes_the_networks(source: TrainedModel, tmp_path: Path) -> None:
    said: list[str] = []
    clean = {**SHORT, "model.options": {**OPTIONS, "grain": False}}
    tuned = finetune(source, config=clean, out=tmp_path, say=said.append)
    again = {**SHORT, "model.options": {**OPTIONS, "grain": True}}
    finetune(tuned.run, config=again, out=tmp_path, say=said.append)
    (line,) = [line for line in said if line.startswith("not in the checkpoint: ")]
    assert "generator end.grain.strength.weight" in line
    wide = {**SHORT, "model.options": {**OPTIONS, "widths": [8, 8, 12]}}
    with pytest.raises(ConfigError, match=r"generator of another shape .* leave model.options"):
        finetune(source, config=wide, out=tmp_path)


CODED = {"latent": 8, "widths": [8, 8, 8], "critic_widths": [8, 8, 8]}


def test_optimizers_are_kept_where_they_still_fit(tmp_path: Path) -> None:
    """Adam's moments of another shape would be read beyond their end."""
    folder = classes_folder(tmp_path / "blobs")
    settings = {"data__source": str(folder), "data__count": None}
    first = run(tmp_path / "a", model__options={**CODED, "codes": 1}, **settings)
    source = checkpoint.load(first.run)
    options = {**CODED, "codes": 4, "categories": 3, "conditioning": "both"}
    config = prepare(
        source,
        str(folder),
        {"model.options": options, "finetune.keep": "optimizers", "train.images": 64},
        {"train.batch": 8, "train.precision": "32", "train.accelerator": "cpu"},
    )
    model = make_model(config, make_data(config))
    taken = transfer(source, model, config)
    critic = dict(model.critic.named_parameters())
    assert "score.weight" in taken.moments["critic"]
    assert not any(of_conditions(name) for name in taken.moments["critic"])
    for name, moment in taken.moments["critic"].items():
        assert moment["exp_avg"].shape == critic[name].shape, name
    assert not model.generator.entrance.categories.any()
    tuned = finetune(source, str(folder), config=config, out=tmp_path / "b")
    assert (tuned.reason, tuned.images) == ("finished", 64)


def test_what_is_read_keeps_its_class(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs")
    options = {**CODED, "conditioning": "both", "codes": 2}
    settings = {"data__source": str(folder), "data__count": None, "model__options": options}
    source = checkpoint.load(run(tmp_path / "a", **settings).run)
    config = prepare(source, str(folder))
    model = make_model(config, make_data(config))
    model.conditions = dataclasses.replace(model.conditions, classes=("round", "spiral"))
    fresh = model.critic.guess.read.weight.detach().clone()
    transfer(source, model, config)
    before, after = source.module.critic.guess.read.weight, model.critic.guess.read.weight
    assert torch.equal(after[0], before[1])
    assert torch.equal(after[1], fresh[1])
    assert torch.equal(after[2:], before[2:])


def test_conditions_learn_under_frozen_layers(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs")
    plain = run(tmp_path / "a", data__source=str(folder), data__labels="none", data__count=None)
    source = checkpoint.load(plain.run)
    settings = {"train.images": 64, "train.batch": 8, "train.precision": "32", "finetune.freeze": 2}
    settings |= {"data.source": str(folder), "data.labels": None, "finetune.freeze_critic": 1}
    tuned = checkpoint.load(finetune(source, config=settings, out=tmp_path / "b").run).module
    assert tuned.classes == ("edge", "round")
    assert tuned.average.network.entrance.embedding.classes.abs().max() > 0
    assert torch.equal(tuned.average.state()["mapping.0.weight"],
                       source.module.average.state()["mapping.0.weight"])  # fmt: skip
    assert not torch.equal(tuned.sample(2, label="edge"), tuned.sample(2, label="round"))
