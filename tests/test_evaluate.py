"""The verb evaluate, from folders and from a model, on sets made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from PIL import Image

from galgen import checkpoint
from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.evaluate import evaluate
from judged import FEW, SHORT, ArraySet, Opened, folders, galaxies, run_of


def test_two_folders_of_the_same_kind(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(60, seed=3), galaxies(130, seed=4))
    told: list[tuple[str, int, int]] = []
    found = evaluate(fake, real, progress=lambda *args: told.append(args))
    known = {name: score for name, score in found.scores.items() if score["value"] is not None}
    assert {"frechet_galaxy", "kid_physics", "coverage_galaxy", "repeats_galaxy", "detected",
            "colour_magnitude", "wasserstein_gini", "morphology", "spectrum", "bulge",
            "wasserstein", "copies_aligned", "nearer_galaxy"} <= set(known)  # fmt: skip
    for name, score in found.scores.items():
        assert set(score) - {"reason"} == {"value", "floor", "interval", "z", "n"}, name
        assert score["value"] is not None or score["reason"], name
        assert score["z"] is None or abs(score["z"]) < 5, name
    assert found.scores["frechet_physics"]["n"] == 60
    # The real set's halves are 65: one stands for the training set, the other compares.
    assert found.scores["copies_aligned"]["n"] == 32
    assert found.json == Path("evaluation-00001/evaluation.json")
    stored = json.loads(found.json.read_text())
    assert stored["metrics"] == found.scores
    assert stored["verdict"] == list(found.verdict)
    assert set(stored["questions"]) == {"real", "physical", "new"}
    assert "half of the real set" in " ".join(stored["notes"])
    assert found.html.read_text().startswith("<!doctype html>")
    assert {what for what, _, _ in told} == {
        "real galaxies",
        "generated galaxies",
        "training galaxies",
        "scores",
    }
    assert all(done <= total for _, done, total in told)


def test_the_same_call_gives_the_same_scores(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(30, seed=1), galaxies(60, seed=2))
    options: dict[str, Any] = {"n": 20, "seed": 5, "out": "same", "metrics": FEW}
    one, two = (evaluate(fake, real, **options).result for _ in range(2))
    assert one == two
    assert one["generated"]["n"] == 20
    assert evaluate(fake, real, metrics=SHORT).json.parent.name == "evaluation-00001"
    assert evaluate(fake, real, metrics=SHORT).json.parent.name == "evaluation-00002"


def test_only_what_is_asked_for_is_taken(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(30, seed=1), galaxies(60, seed=2))
    spectra = evaluate(fake, real, metrics="photometry,spectrum").scores
    assert "spectrum" in spectra
    assert not any(name.endswith(("_galaxy", "_physics")) for name in spectra)
    assert "wasserstein_gini" not in spectra
    copies = evaluate(fake, real, metrics="copies").scores
    assert set(copies) == {f"{what}_{space}" for what in ("copies", "nearer")
                           for space in ("aligned", "polar")}  # fmt: skip
    with pytest.raises(ConfigError, match="did you mean copies"):
        evaluate(fake, real, metrics="copys")


def test_a_network_of_the_users_own(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    torch.jit.script(Means()).save("means.pt")
    fake, real = folders(opened[0], workdir, galaxies(30, seed=1), galaxies(60, seed=2))
    scores = evaluate(fake, real, metrics="means.pt").scores
    assert scores["frechet_means"]["n"] == 30


def test_an_interrupted_evaluation_leaves_no_empty_folder(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(6, seed=1), galaxies(12, seed=2))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    (workdir / "mine").mkdir()
    for out in (None, "new/deep", "mine"):
        with pytest.raises(KeyboardInterrupt):
            evaluate(fake, real, out=out, metrics=SHORT, progress=stop)
    assert {path.name for path in workdir.iterdir()} == {"fake", "real", "mine"}


def test_other_galaxies_are_told_apart(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    wrong = galaxies(60, seed=1)
    wrong[:, 0] *= 3
    fake, real = folders(opened[0], workdir, wrong, galaxies(130, seed=2))
    found = evaluate(fake, real, metrics="galaxy,physics,photometry")
    for name in ("frechet_physics", "frechet_galaxy", "kid_galaxy", "wasserstein_colour"):
        assert found.scores[name]["z"] > 5, name
    assert found.scores["colour_magnitude"]["z"] > 3
    assert found.result["questions"]["real"]["answer"] == "no"
    assert found.result["questions"]["physical"]["answer"] == "no"


def test_two_generators_side_by_side(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    known, _ = opened
    fake, real = folders(known, workdir, galaxies(60, seed=1), galaxies(130, seed=2))
    worse = galaxies(50, seed=5)
    worse[:, 0] *= 3
    known["other"] = ArraySet(worse, known["fake"].spec, "other")
    (workdir / "other").mkdir()
    found = evaluate(fake, real, against="other", metrics="physics,photometry")
    against = found.result["against"]
    # As many galaxies of each, so that both have the same floor.
    assert found.result["generated"]["n"] == against["generated"]["n"] == 50
    for name, score in found.scores.items():
        assert score["floor"] == pytest.approx(against["metrics"][name]["floor"])
        assert score["n"] == against["metrics"][name]["n"]
    assert against["metrics"]["frechet_physics"]["value"] > found.scores["frechet_physics"]["value"]
    assert against["generated"]["name"] == "other"
    assert "other" in found.html.read_text()
    known["other"] = ArraySet(worse[:, :2], known["fake"].spec.select(("g", "r")), "other")
    with pytest.raises(ConfigError, match="the two generators share other bands"):
        evaluate(fake, real, against="other", metrics=SHORT)


def test_a_second_generator_in_another_unit_and_order_of_bands(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    known, _ = opened
    fake, real = folders(known, workdir, galaxies(40, seed=1), galaxies(90, seed=2))
    for name in ("fake", "real"):
        known[name].spec = known[name].spec.replace(unit="nanomaggy", zero_points=(22.5,) * 3)
    # 2.5 mag brighter a unit: the same galaxies in tenths of the numbers.
    spec = ImageSpec(16, ("I", "g", "r"), "count", (20.0,) * 3)
    known["other"] = ArraySet(known["fake"].pixels[:, [2, 0, 1]] / 10, spec, "other")
    (workdir / "other").mkdir()
    found = evaluate(fake, real, against="other", metrics="physics,photometry,copies")
    for name, score in found.scores.items():
        other = found.result["against"]["metrics"][name]["value"]
        assert (score["value"] is None) == (other is None), name
        assert other is None or score["value"] == pytest.approx(other, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize(
    ("bands", "display"),
    [(("I",), True), (("g", "r"), False), (("u", "g", "r", "i", "z", "y", "j"), False)],
)
def test_any_number_of_bands(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    bands: tuple[str, ...],
    display: bool,
) -> None:
    sets_of = [galaxies(n, len(bands), seed=n) for n in (24, 50)]
    if display:
        sets_of = [x.clip(0, 255).round() for x in sets_of]
    fake, real = folders(opened[0], workdir, *sets_of, bands=bands, display=display)
    scores = evaluate(fake, real).scores
    for name in ("frechet_physics", "frechet_galaxy", "spectrum", "copies_aligned"):
        assert scores[name]["value"] is not None, name
    colour = scores["colour_magnitude"]
    if len(bands) == 1:
        assert colour["value"] is None
        assert colour["reason"] == "one band (I) has no colour"
        assert "wasserstein_colour" not in scores
        assert scores["rmae"]["value"] is not None
    else:
        assert 0 <= colour["value"] <= 1
        assert scores["wasserstein_colour"]["value"] is not None


def test_a_model_is_compared_with_its_own_data(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, calls = opened
    holdout = tuple(f"train-{i}" for i in range(0, 80, 4))
    model = run_of(workdir, holdout=holdout)
    known["train"] = ArraySet(galaxies(80, seed=2), model.spec, "train")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=25, metrics=FEW)
    assert calls == [
        ("train", {"seed": 7, "size": 16, "crop": 40, "unit": "nanomaggy",
                   "bands": ("g", "r", "i")})
    ]  # fmt: skip
    assert found.json.parent == workdir / "runs" / "00001-x"
    assert found.result["details"]["copies"]["train"] == 60
    assert found.result["details"]["copies"]["held_out"] == 20
    assert found.scores["copies_polar"]["n"] == 10
    assert found.result["generated"]["images"] == 1234
    assert found.result["notes"] == [
        "25 images do not determine the covariance of 47 features: the Fréchet distance in physics "
        "features is usable only against its floor."
    ]
    # Against other galaxies the run's own report stays as it is.
    known["elsewhere"] = ArraySet(galaxies(60, seed=3), model.spec, "elsewhere")
    other = evaluate(None, "elsewhere", n=25, metrics=SHORT)
    assert other.json.parent == Path("evaluation-00001")


def test_copies_are_caught_whatever_way_up(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, _ = opened
    real = galaxies(160, size=32, seed=2)
    copies = np.rot90(real[:60], axes=(2, 3)) + np.float32(0.1)
    holdout = tuple(f"train-{i}" for i in range(100, 160))
    spec = ImageSpec(32, ("g", "r", "i"))
    model = run_of(workdir, samples=np.ascontiguousarray(copies), spec=spec, holdout=holdout)
    known["train"] = ArraySet(real, model.spec, "train")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=60, metrics="copies")
    for space in ("aligned", "polar"):
        assert found.scores[f"copies_{space}"]["value"] < -3
        assert found.scores[f"copies_{space}"]["z"] > 3
        assert found.scores[f"nearer_{space}"]["value"] > 0.5
    assert found.result["questions"]["new"]["answer"] == "no"


def test_a_generator_without_light_is_a_sentence(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    dark = np.zeros((20, 3, 16, 16), np.float32)
    fake, real = folders(opened[0], workdir, dark, galaxies(60, seed=2))
    found = evaluate(fake, real, metrics="photometry,copies")
    assert found.scores["detected"]["value"] == 0
    for name in ("copies_aligned", "nearer_polar"):
        assert found.scores[name]["value"] is None
        assert "only 0 of 20 generated and 30 of 30 held-out" in found.scores[name]["reason"]
    assert found.result["questions"]["new"]["answer"] == "unclear"


def test_another_real_set_and_options(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, calls = opened
    model = run_of(workdir)
    spec = ImageSpec(16, ("i", "g", "r", "z"), "count", (27.0,) * 4)
    known["other"] = ArraySet(galaxies(40, 4, seed=2), spec, "other")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(
        None, "other", n=10, out="here", crop=20, magzero=27.0, metrics=f"{SHORT},copies"
    )
    assert calls == [("other", {"seed": 0, "size": 16, "crop": 20, "magzero": 27.0})]
    assert found.result["bands"] == ["g", "r", "i"]
    assert "Only the bands g, r, i" in found.result["notes"][0]
    assert "too few galaxies that the model kept out" in " ".join(found.result["notes"])
    assert found.json.parent == Path("here")


def test_redshifts_on_both_sides_make_absolute_magnitudes(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    known, _ = opened
    fake, real = folders(known, workdir, galaxies(20, seed=1), galaxies(40, seed=2))
    known["real"].catalogue["redshift"] = np.full(40, 0.1)
    result = evaluate(fake, real, metrics="photometry").result
    details = result["details"]["colour_magnitude"]
    assert details["magnitude"] == "apparent"
    known["fake"].catalogue["redshift"] = np.full(20, 0.1)
    result = evaluate(fake, real, metrics="photometry").result
    absolute = result["details"]["colour_magnitude"]
    assert absolute["magnitude"] == "absolute"
    assert absolute["cosmology"] == "Planck18"
    shift = details["box"]["centre"][0] - absolute["box"]["centre"][0]
    assert shift == pytest.approx(38.4, abs=0.1)


def test_real_files_through_open_set(workdir: Path) -> None:
    for name, n, seed in (("made", 8, 1), ("sky", 24, 2)):
        (workdir / name).mkdir()
        for i, cube in enumerate(galaxies(n, 2, seed=seed)):
            header = fits.Header({"BANDS": "g,r", "BUNIT": "nanomaggy"})
            fits.writeto(workdir / name / f"{i:03d}.fits", cube, header)
    found = evaluate("made", "sky", metrics=FEW)
    assert found.result["bands"] == ["g", "r"]
    assert found.result["real"]["n"] == 24
    assert found.scores["colour_magnitude"]["value"] is not None


def test_pictures_through_open_set(workdir: Path) -> None:
    for name, n, size, seed in (("made", 6, 16, 1), ("photos", 20, 24, 2)):
        (workdir / name).mkdir()
        for i, image in enumerate(galaxies(n, 3, size, seed)):
            pixels = image.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
            Image.fromarray(pixels).save(workdir / name / f"{i:03d}.png")
    found = evaluate("made", "photos", crop=20, metrics=FEW)
    assert found.result["size"] == 16
    assert found.scores["frechet_physics"]["n"] == 6
