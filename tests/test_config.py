"""The configuration: precedence, counts, and mistakes that name the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from galgen.config import RunConfig, load_yaml, parse_count, parse_settings
from galgen.errors import ConfigError


def test_later_layers_win_and_leave_the_rest() -> None:
    preset = {"recipe": {"lr": 0.1, "loss": "bce"}, "train": {"batch": 4, "images": "2k"}}
    file = {"recipe": {"lr": 0.2}, "train": {"batch": 8}}
    setting, option = {"train.batch": 16, "recipe.lr": 0.3}, {"train.batch": 32}
    config = RunConfig.build(preset, file, setting, option)
    assert (config.train.batch, config.recipe.lr) == (32, 0.3)
    assert (config.recipe.loss, config.train.images) == ("bce", 2000)
    assert config.train.log_images == RunConfig().train.log_images
    assert preset == {"recipe": {"lr": 0.1, "loss": "bce"}, "train": {"batch": 4, "images": "2k"}}


def test_network_options_are_merged_by_name() -> None:
    config = RunConfig.build(
        {"model": {"options": {"latent": 8, "widths": [1, 2]}}}, {"model.options.latent": 16}
    )
    assert config.model.options == {"latent": 16, "widths": [1, 2]}


def test_yaml_and_back(tmp_path: Path) -> None:
    settings = {"data.bands": "g,r", "data.rotate": 45, "data.magzero": [22.5, 27], "seed": 3}
    config = RunConfig.build(settings, {"finetune.checkpoint": "a.ckpt", "train.logger": "csv"})
    assert config.data.bands == ("g", "r")
    assert config.data.rotate == "45"
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert RunConfig.build(load_yaml(path)) == config
    assert RunConfig.build(config.to_dict()) == config
    assert config.replace({}) == config
    changed = config.replace({"train.batch": 4})
    assert changed != config
    assert changed.train.batch == 4


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("200k", 200_000),
        ("1.5M", 1_500_000),
        ("640", 640),
        (12, 12),
        ("4_000", 4000),
        ("1e3", 1000),
    ],
)
def test_counts(text: str | int, count: int) -> None:
    assert parse_count(text) == count
    assert RunConfig.build({"train.images": text}).train.images == count


@pytest.mark.parametrize("text", ["many", "", "0", "-5", "0.2", "nan", "inf", "k", "5kk"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ConfigError, match="200k"):
        parse_count(text)


def test_settings_are_read_as_yaml() -> None:
    settings = ["a.b=1", "c=1e-3", "d=[8, 8]", "e=g,r", "f=true", "g=null", "h==x", "i=eel"]
    assert parse_settings(settings) == {
        "a.b": 1, "c": 0.001, "d": [8, 8], "e": "g,r", "f": True, "g": None, "h": "=x", "i": "eel",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["train.batch", "=4", " =4"])
def test_settings_without_a_key_or_value(text: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_settings([text])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train.snapshot": 64}, "train.snapshot: did you mean train.snapshot_images"),
        ({"trian.batch": 64}, "unknown configuration key trian: did you mean train"),
        ({"recipe": {"learning_rate": 1}}, "unknown configuration key recipe.learning_rate"),
        ({"zzz": 1}, "unknown configuration key zzz: the sections are"),
        ({"train.batch": 1}, r"train.batch \(--batch 1\): should be greater than or equal to 2"),
        ({"train.batch": "x"}, r"train.batch \(--batch x\)"),
        ({"recipe.loss": "hinge"}, "recipe.loss: should be 'bce', 'logistic', .*got 'hinge'"),
        ({"recipe.r1": -1}, "r1 must not be negative"),
        ({"data.size": 8}, "data.size"),
        ({"data.rotate": 30}, "data.rotate"),
        ({"data.holdout": 1.0}, "data.holdout"),
        ({"seed": -1}, "seed"),
        ({"train": 5}, "train: .*got 5"),
        ({"train": None}, "train"),
        ({"data": "hubble"}, "data: .*got 'hubble'"),
        ({"train.images": "lots"}, "--images lots"),
        ({"seed": 1, "seed.x": 2}, "seed is a value"),
        ({"train": 5, "train.batch": 8}, "train is a value"),
    ],
)
def test_mistakes_are_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        RunConfig.build(settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_it_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().train.batch = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("train: [1, 2", "not valid YAML"),
        ("- a\n- b", "must hold keys"),
        ("just text", "must hold keys"),
        (b"\xff\xfe\x00", "cannot be read"),
        ("a: !!python/object/apply:os.system ['touch canary']", "not valid YAML"),
    ],
)
def test_files_that_are_no_configuration(workdir: Path, content: str | bytes, words: str) -> None:
    path = workdir / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (workdir / "canary").exists()


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml cannot be read"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").touch()
    assert load_yaml(tmp_path / "empty.yaml") == {}


def test_every_key_has_a_default_that_yaml_can_hold() -> None:
    assert yaml.safe_load(RunConfig().to_yaml()) == RunConfig().to_dict()


@pytest.mark.parametrize(
    "key", ["train.snapshot_images", "train.metric_samples", "recipe.ema_images"]
)
def test_every_number_of_images_may_be_written_short(key: str) -> None:
    section, name = key.split(".")
    assert getattr(getattr(RunConfig.build({key: "3k"}), section), name) == 3000


@pytest.mark.parametrize("setting", ["recipe.lr=.inf", "recipe.r1=.nan", "recipe.betas=[0, 1.5]"])
def test_numbers_that_no_run_can_use(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.(lr|r1|betas)"):
        RunConfig.build(parse_settings([setting]))
