"""The one tester that every generator/critic pair passes.

A test module makes a fixture `case` out of its `Case` objects and subclasses `PairContract`;
see ``models/test_contract.py`` and ``cases.py``. A new pair costs one line there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

import replicas_script
from galgen import checkpoint
from galgen.data.module import CutoutDataModule
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.training.ada import AdaptiveP
from tiny import (
    KINDS,
    assert_same_training,
    classes_folder,
    differences,
    interrupt_at,
    last,
    logged,
    run,
)


@dataclass(frozen=True)
class Case:
    """A pair with networks small enough for tests.

    Attributes
    ----------
    pair
        Name in the registry.
    options
        Network options for an image size.
    sizes
        Sizes to build at; the smallest is trained on.
    overfit
        (images, most that may be left of the distance to one batch) of the overfitting test.
    recipe
        What of the pair's recipe is worth testing: ADA, mixing, path length. A growing pair
        passes all of its stages in every test that trains.
    resumed
        Settings of the test of resuming.
    """

    pair: str
    options: Callable[[int], Mapping[str, Any]] = lambda size: {}
    sizes: tuple[int, ...] = (16, 64)
    overfit: tuple[int, float] = (1600, 0.4)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    resumed: Mapping[str, Any] = field(default_factory=dict)

    def build(
        self,
        size: int,
        bands: int = 3,
        classes: tuple[str, ...] = (),
        numbers: tuple[str, ...] = (),
        recipe: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        """The LightningModule."""
        recipe = {**self.recipe, **(recipe or {})}
        make = find(self.pair).load()
        options = {**self.options(size), **more}
        return make(size, bands, classes=classes, numbers=numbers, recipe=recipe, **options)

    def growing(self, images: int) -> dict[str, int]:
        """When a growing pair is to be grown; nothing for others."""
        return {"grow_images": images} if find(self.pair).load().grows else {}

    def changes(self, **more: Any) -> dict[str, Any]:
        """Settings of a tiny run of this pair."""
        size = min(self.sizes)
        base = {"model__name": self.pair, "model__options": dict(self.options(size))}
        recipe = {f"recipe__{name}": value for name, value in self.recipe.items()}
        return base | {"data__size": size} | recipe | more


def fit(model: AdversarialModule, data: CutoutDataModule, batches: int, **more: Any) -> None:
    """A plain Lightning fit of so many batches."""
    L.Trainer(
        accelerator="cpu",
        limit_train_batches=batches,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    ).fit(model, data)


class PairContract:
    """What DESIGN asks of a pair ("Adding a pair")."""

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_shapes_at_every_size_and_band_count(self, case: Case, bands: int) -> None:
        for size in case.sizes:
            model = case.build(size, bands)
            with torch.no_grad():
                images = model.generator(torch.randn(2, model.generator.latent))
                scores = model.critic(images)
            assert images.shape == (2, bands, size, size)
            assert images.isfinite().all()
            assert scores.shape in ((2,), (2, 1))
            assert scores.isfinite().all()
            assert not torch.equal(images[0], images[1])

    @pytest.mark.parametrize("conditioning", ["projection", "auxiliary", "both"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_parameter_gets_a_gradient(
        self, case: Case, kind: str, conditioning: str, tmp_path: Path
    ) -> None:
        if (kind, conditioning) in (("neither", "projection"), ("neither", "auxiliary")):
            pytest.skip("nothing to condition on: one test without conditions is enough")
        data = self.data(case, tmp_path, kind)
        # A relativistic loss only sees differences of scores, so their offset has no gradient.
        recipe = {"loss": "logistic", **case.growing(16)}
        coded = {"codes": 2, "categories": 3} if conditioning == "both" else {}
        model = case.build(
            data.spec.size,
            data.spec.n_bands,
            classes=data.conditions.classes,
            numbers=data.conditions.names,
            recipe={**recipe, "mixing": 0.0} if coded else recipe,
            conditioning=conditioning,
            **coded,
        )
        assert bool(model.classes) == (kind in ("classes", "both"))
        assert bool(model.conditions.numbers) == (kind in ("numbers", "both"))
        reached: set[str] = set()

        def note(name: str) -> Callable[[torch.Tensor], None]:
            return lambda p: reached.add(name) if bool(p.grad.abs().sum() > 0) else None

        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(note(name))
        # A growing pair needs two steps at full size: the grain's fading waits for its strength.
        data.epoch_images = 48
        fit(model, data, 6)
        assert {name for name, _ in model.named_parameters()} == reached

    @pytest.mark.parametrize("kind", ["classes", "numbers", "both"])
    def test_conditions_reach_both_networks(self, case: Case, kind: str) -> None:
        classes = ("a", "b") if kind in ("classes", "both") else ()
        numbers = ("height", "width") if kind in ("numbers", "both") else ()
        model = case.build(min(case.sizes), classes=classes, numbers=numbers)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        # Another class, another first number, another second number, nothing asked for.
        labels = [0, 1, 0, 0, -1] if classes else None
        values = np.array([[0, 0], [0, 0], [1, 0], [0, 1], [np.nan, 0]]) if numbers else None
        rows = torch.from_numpy(model.conditions.encode(labels, values))
        z = torch.randn(1, model.generator.latent).expand(5, -1)
        noise = [torch.zeros(5, *shape) for shape in model.generator.noise_shapes]
        model.eval()
        with torch.no_grad():
            images = model.generator(z, rows, noise)
            scores = model.critic(images[:1].expand(5, -1, -1, -1), rows)
        others = [k for k in range(1, 5) if not torch.equal(rows[k], rows[0])]
        assert len(others) == len(rows.unique(dim=0)) - 1 >= 2
        for k in others:
            assert not torch.equal(images[0], images[k])
            assert scores[0] != scores[k]

    @pytest.mark.parametrize("kind", KINDS)
    def test_state_survives_a_checkpoint(self, case: Case, kind: str, tmp_path: Path) -> None:
        source = str(classes_folder(tmp_path / "blobs"))
        settings = {f"data__{name}": value for name, value in KINDS[kind].items()}
        settings["data__count"] = None
        outcome = run(tmp_path / "runs", **case.changes(data__source=source, **settings))
        content = last(outcome)
        assert set(content["galgen"]) >= {"spec", "stretch", "config", "version", "clock"}
        model = checkpoint.load(outcome.run)
        assert not differences(dict(model.module.state_dict()), content["state_dict"])
        assert not differences(dict(model.module.average.state()), content["ema"])
        assert model.spec.to_dict() == content["galgen"]["spec"]
        assert model.stretch.state() == content["galgen"]["stretch"]
        assert model.images == outcome.images == 96
        assert len(model.holdout) > 0
        assert model.config["data"]["source"] == source
        conditions = model.module.conditions
        assert conditions.to_dict() == content["galgen"]["conditions"]
        if kind in ("classes", "both"):
            assert model.classes == ("edge", "round")
            assert conditions.counts[0] < conditions.counts[1]
        if kind in ("numbers", "both"):
            assert conditions.names == ("height", "width")
            assert all(n.low < n.mean < n.high for n in conditions.numbers)
        json.dumps(dict(model.card), allow_nan=False)

    @pytest.mark.parametrize(
        ("kind", "steps"),
        [(k, 16) if k == "both" else pytest.param(k, 16, marks=pytest.mark.slow) for k in KINDS]
        # 50 of the critic and 25 of the generator.
        + [pytest.param("classes", 75, marks=pytest.mark.slow)],
    )
    def test_two_processes_equal_one(
        self, case: Case, kind: str, steps: int, tmp_path: Path
    ) -> None:
        # At larger rates some pairs diverge, and rounding errors with them.
        lr = 0.06 if kind in ("numbers", "both") else 0.1
        slow = {"lr": case.recipe.get("lr", lr) / 3} if steps > 16 else {}
        recipe = {"lr": lr, "r1": 0.2, "r2": 0.2, "gp": 0.5, "penalty_every": 2}
        job = {
            "pair": case.pair,
            "source": str(classes_folder(tmp_path / "blobs")),
            "data": {
                "size": min(case.sizes),
                "batch": 8,
                "shift": 2,
                "rotate": "any",
                **KINDS[kind],
            },
            "options": dict(case.options(min(case.sizes))),
            "recipe": {
                **recipe,
                "critic_steps": 2,
                "drift": 0.01,
                "label_dropout": 0.0 if kind == "neither" else 0.2,
                **case.growing(64),
                **case.recipe,
                **slow,
            },
            "steps": steps,
        }
        replicas_script.main({**job, "devices": 1}, tmp_path / "1.pt")
        (tmp_path / "job.json").write_text(json.dumps({**job, "devices": 2}))
        done = subprocess.run(
            [sys.executable, replicas_script.__file__, tmp_path / "job.json", tmp_path / "2.pt"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
        moved = [(v - one["start"][k]).abs().max() for k, v in one["state"].items()]
        assert sorted(moved)[len(moved) // 2] > 1e-4
        assert one["steered"]["p"] > 0
        assert (one["steered"]["path_mean"] > 0) == bool(case.recipe.get("path_length"))
        close = 3e-6 if steps > 16 else 1e-6
        for part in ("state", "ema", "steered"):
            for name, value in one[part].items():
                assert torch.allclose(value, two[part][name], rtol=close, atol=close), name
        whole = torch.load(tmp_path / "1.rank0.pt", weights_only=True)
        halves = [torch.load(tmp_path / f"2.rank{r}.pt", weights_only=True) for r in (0, 1)]
        assert torch.equal(whole, torch.cat(halves, dim=1))
        assert not torch.equal(halves[0], halves[1])
        assert len(whole.flatten(0, 1).unique(dim=0)) == whole.shape[0] * whole.shape[1]

    @pytest.mark.parametrize(
        ("images", "kind"),
        [(24, "neither"), (40, "classes"), (56, "numbers"), (80, "both")],
        ids=["mid-epoch", "epoch-end-classes", "second-epoch-numbers", "late-both"],
    )
    def test_resumed_equals_uninterrupted(
        self, case: Case, images: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import galgen.train

        monkeypatch.setattr(galgen.train, "EPOCH_BATCHES", 5)
        # So that adaptive augmentation, where there is any, has something to do.
        monkeypatch.setattr(AdaptiveP, "START", 0.5)
        changes = case.changes(recipe__critic_steps=2, train__metric_images=32)
        changes |= {"train__metric_samples": 16, **case.resumed}
        if kind != "neither":
            changes["data__source"] = str(classes_folder(tmp_path / "blobs"))
            changes |= {f"data__{name}": value for name, value in KINDS[kind].items()}
            changes |= {"data__count": None, "recipe__label_dropout": 0.2}
            changes |= {"model__options": {**changes["model__options"], "conditioning": "both"}}
        whole = run(tmp_path / "whole", **changes)
        with monkeypatch.context() as patch:
            interrupt_at(patch, images)
            half = run(tmp_path / "half", **changes)
            assert (half.reason, half.images) == ("interrupted", images)
        resumed = galgen.train.resume(half.run)
        assert (resumed.reason, resumed.images) == ("finished", 96)
        assert_same_training(last(whole), last(resumed))
        assert (last(whole)["ada"]["p"] != 0.5) == bool(case.recipe.get("ada"))
        assert (last(whole)["galgen"]["path_mean"] > 0) == bool(case.recipe.get("path_length"))
        assert logged(whole.run) == logged(resumed.run)
        assert any(row.get("frechet") for row in logged(whole.run))
        best = [checkpoint.read(r.run / "checkpoints" / "best.ckpt") for r in (whole, resumed)]
        assert_same_training(*best)

    def test_looking_does_not_change_training(self, case: Case, tmp_path: Path) -> None:
        plain = run(tmp_path / "a", **case.changes())
        watched = run(
            tmp_path / "b",
            **case.changes(
                train__log_images=8,
                train__snapshot_images=16,
                train__grid_images=24,
                train__metric_images=32,
                train__metric_samples=40,
            ),
        )
        assert len(list((watched.run / "samples").glob("*.png"))) == 4
        a, b = last(plain), last(watched)
        for part in ("state_dict", "ema", "optimizer_states", "CutoutDataModule"):
            assert not differences(a[part], b[part]), part

    @pytest.mark.parametrize("unit", ["layer", "block"])
    def test_frozen_layers_stay_bit_identical(self, case: Case, unit: str, tmp_path: Path) -> None:
        from galgen.finetune import finetune

        # Not relativistic, so that the score's offset trains too.
        changes = case.changes(recipe__loss="logistic")
        source = checkpoint.load(run(tmp_path / "runs", **changes).run)
        before = {
            "generator": dict(source.module.average.state()),
            "critic": dict(source.module.critic.state_dict()),
        }
        settings = {"finetune.freeze_unit": unit, "finetune.freeze_critic": 1}
        settings |= {"train.images": 64, "train.batch": 8, "train.precision": "32"}
        tuned = finetune(source, config=settings, freeze=2, out=tmp_path / "runs")
        content = last(tuned)
        after = {
            part: {
                name.removeprefix(f"{part}."): value
                for name, value in content["state_dict"].items()
                if name.startswith(f"{part}.")
            }
            for part in before
        }
        frozen = self.frozen_names(case, unit, {"generator": 2, "critic": 1})
        for part, names in frozen.items():
            assert 0 < len(names) < len(before[part])
            still = names | self.idle_names(case, part)
            for name, value in before[part].items():
                assert torch.equal(value, after[part][name]) == (name in still), f"{part} {name}"
                if part == "generator":
                    assert torch.equal(value, content["ema"][name]) == (name in still), name

    def test_one_batch_can_be_overfitted(self, case: Case) -> None:
        images, left = case.overfit
        data = self.data(case, holdout=0.0, count=8, rotate="none", flip=False)
        size = data.spec.size
        torch.manual_seed(0)
        model = case.build(size, data.spec.n_bands, recipe={"ema_images": 100, "lr": 2e-3})
        data.setup("fit")
        batch = data.train_set.kept
        assert batch is not None
        start = self.distance(model, batch)
        data.epoch_images = images
        near: list[float] = []

        class Look(L.Callback):
            def on_train_batch_end(look, trainer: Any, module: Any, *rest: Any) -> None:
                # A pair without penalties swings, so its end alone says little.
                if module.clock.crossed(images // 4):
                    near.append(self.distance(model, batch))

        fit(model, data, images // 8, callbacks=[Look()])
        assert len(near) == 4
        assert min(near) < left * start

    # -- helpers -------------------------------------------------------------------------

    @staticmethod
    def data(
        case: Case, folder: Path | None = None, kind: str = "neither", **more: Any
    ) -> CutoutDataModule:
        size = min(case.sizes)
        if folder is not None:
            source, more = classes_folder(folder / "blobs"), {**KINDS[kind], **more}
            return CutoutDataModule(source, size=size, batch=8, **more)
        return CutoutDataModule("sersic", size=size, batch=8, **{"count": 32, **more})

    @staticmethod
    def distance(model: AdversarialModule, batch: torch.Tensor) -> float:
        """Mean squared distance of real images to the nearest of 64 samples, in network space."""
        from galgen.models.sampling import generate

        network = model.average.network.eval()
        fake = torch.cat([x for _, x in generate(network, range(64), seed=1)])
        return float(torch.cdist(batch.flatten(1), fake.flatten(1)).amin(dim=1).square().mean())

    @staticmethod
    def idle_names(case: Case, part: str) -> set[str]:
        """Parameters that a fully grown network does not use: a growing pair's coarser ends."""
        model = case.build(min(case.sizes))
        model.critic(model.generator(torch.randn(2, model.generator.latent))).sum().backward()
        return {name for name, p in getattr(model, part).named_parameters() if p.grad is None}

    @staticmethod
    def frozen_names(case: Case, unit: str, depth: Mapping[str, int]) -> dict[str, set[str]]:
        """State names of the first layers, found by walking the networks' own module tree."""
        model = case.build(min(case.sizes))
        names: dict[str, set[str]] = {}
        for part, count in depth.items():
            network = getattr(model, part)
            layers = network.layers()
            units = [layer.name if unit == "layer" else layer.block for layer in layers]
            first = list(dict.fromkeys(units))[:count]
            modules = {
                id(m) for u, layer in zip(units, layers, strict=True) if u in first
                for m in layer.modules
            }  # fmt: skip
            names[part] = {
                f"{place}.{inner}" if place else inner
                for place, module in network.named_modules()
                if id(module) in modules
                for inner in module.state_dict()
            }
        return names
