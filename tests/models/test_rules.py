"""Recipes that make no sense are refused, with the reason; others are let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.models.registry import PAIRS, find
from galgen.models.rules import check_data, check_recipe
from galgen.sections import Recipe
from tiny import KINDS, classes_folder

BATCH_NORM = {"norm": "batch"}


def check(pair: str = "dcgan", options: dict[str, Any] | None = None, **recipe: Any) -> None:
    check_recipe(find(pair).load(), Recipe(**recipe), options)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_preset_makes_sense(pair: str) -> None:
    preset = PAIRS[pair].preset
    check(pair, preset.get("model", {}).get("options"), **preset.get("recipe", {}))


@pytest.mark.parametrize("penalty", [{"r1": 3}, {"r2": 0.5}, {"gp": 10}])
def test_a_penalty_per_image_and_batch_norm(penalty: dict[str, float]) -> None:
    check(loss="logistic", **penalty)
    name, weight = next(iter(penalty.items()))
    with pytest.raises(ConfigError, match=rf"recipe\.{name} {weight}.*norm to none"):
        check(options=BATCH_NORM, loss="logistic", **penalty)


def test_batch_norm_without_penalties() -> None:
    for loss in ("logistic", "bce"):
        check(options=BATCH_NORM, loss=loss)
        check(options=BATCH_NORM, loss=loss, r1=0, r2=0)
    with pytest.raises(ConfigError, match=r"relativistic diverges.*batch norm.*logistic or bce"):
        check(options=BATCH_NORM)
    with pytest.raises(ConfigError, match=r"wasserstein has no bound.*batch norm"):
        check(options=BATCH_NORM, loss="wasserstein")


@pytest.mark.parametrize("loss", ["logistic", "relativistic", "wasserstein"])
def test_label_noise_belongs_to_bce(loss: str) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.label_noise belongs to the loss bce"):
        check(loss=loss, label_noise=0.05)
    check(loss="bce", label_noise=0.05)


@pytest.mark.parametrize(
    ("loss", "way_out"),
    [("wasserstein", r"recipe\.gp to 10"), ("relativistic", r"recipe\.r1 and recipe\.r2 to auto")],
)
def test_losses_of_differences_need_a_penalty(loss: str, way_out: str) -> None:
    with pytest.raises(ConfigError, match=rf"recipe\.loss {loss} .*{way_out}"):
        check(loss=loss, r1=0, r2=0)
    for penalty in ({"gp": 10}, {"r1": 1}, {"r2": "auto"}):
        check(loss=loss, **{"r1": 0, "r2": 0, **penalty})


@pytest.mark.parametrize("loss", ["bce", "logistic"])
def test_losses_with_a_boundary_do_without(loss: str) -> None:
    check(loss=loss, r1=0, r2=0)


@pytest.mark.parametrize("name", ["mixing", "path_length"])
def test_styles_are_needed_to_mix_them(name: str) -> None:
    for pair in PAIRS:
        if find(pair).load().has_styles:
            check(pair, **{name: 0.5})
        else:
            with pytest.raises(ConfigError, match=rf"recipe\.{name} 0\.5 needs .* {pair} has not"):
                check(pair, **{name: 0.5})


def test_growing_is_for_pairs_that_grow() -> None:
    for pair in PAIRS:
        check(pair, grow_images="auto")
        check(pair, grow_images=0)
        if find(pair).load().grows:
            check(pair, grow_images=4000)
        else:
            with pytest.raises(ConfigError, match=rf"grow_images 4000.*{pair} does not"):
                check(pair, grow_images=4000)


def test_beta2_rises() -> None:
    check(beta2_start=0.9, betas=(0.0, 0.99))
    check(beta2_start=0.99, betas=(0.0, 0.99))
    with pytest.raises(ConfigError, match=r"recipe\.beta2_start 0\.999 is above 0\.99"):
        check(beta2_start=0.999, betas=(0.0, 0.99))


def test_a_run_is_refused_before_it_reads_anything() -> None:
    from galgen.train import prepare

    with pytest.raises(ConfigError, match=r"recipe\.mixing 0\.5 needs"):
        prepare({"data.source": "nowhere", "recipe.mixing": 0.5})
    with pytest.raises(ConfigError, match=r"recipe\.loss relativistic .*batch norm"):
        prepare({"data.source": "nowhere", "model.options": {"norm": "batch"}})


def test_a_model_knows_all_conditions_of_its_data_or_none(tmp_path: Path) -> None:
    data = CutoutDataModule(classes_folder(tmp_path / "blobs"), size=16, batch=8, **KINDS["both"])
    for known in ({"classes": ("edge", "round")}, {"numbers": ("height", "width")}):
        model = find("dcgan").load()(16, data.spec.bands, **known)
        with pytest.raises(ConfigError, match=r"the model knows the .* none, the data"):
            check_data(model, data, 1, named_bands=True)
    check_data(find("dcgan").load()(16, data.spec.bands), data, 1, named_bands=True)
