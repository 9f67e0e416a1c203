"""The verb evaluate, from folders and from a model, on sets made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galgen import checkpoint
from galgen.bands import ImageSpec
from galgen.conditions import Conditions, Number
from galgen.config import RunConfig
from galgen.data import sets
from galgen.errors import ConfigError, DataError, OutputError
from galgen.evaluate import evaluate
from galgen.metrics import agreement, classifier
from galgen.metrics.matching import match
from galgen.sides import from_folder, real_set
from galgen.stretch import Stretch

METRICS = [
    "frechet_physics",
    "precision_physics",
    "recall_physics",
    "density_physics",
    "coverage_physics",
    "colour_magnitude",
    "nearest_training",
]


def galaxies(n: int, bands: int = 3, size: int = 16, seed: int = 0) -> np.ndarray:
    """Round galaxies of different flux, colour and size in unit noise."""
    rng = np.random.default_rng(seed)
    axis = np.arange(size) - (size - 1) / 2
    square = axis**2 + axis[:, None] ** 2
    images = rng.normal(size=(n, bands, size, size))
    for i in range(n):
        profile = np.exp(-square / 2 / rng.uniform(1.2, 2.5) ** 2)
        flux = 100 * np.exp(rng.normal(0, 0.4)) * np.linspace(1, 2, bands)
        images[i] += (flux * np.exp(rng.normal(0, 0.1, bands)))[:, None, None] * profile
    return images.astype(np.float32)


@dataclass
class ArraySet:
    """The part of a `CutoutSet` that evaluate uses, in memory."""

    pixels: np.ndarray
    spec: ImageSpec
    name: str = "arrays"
    catalogue: dict[str, np.ndarray] = field(default_factory=dict)
    bad: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    values: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.names = [f"{self.name}-{i}" for i in range(len(self.pixels))]
        self.groups = self.names

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Sequence[int], margin: int = 0) -> np.ndarray:
        assert margin == 0
        return self.pixels[list(indices)]


@dataclass
class Model:
    """What evaluate asks of a trained model."""

    samples: np.ndarray
    spec: ImageSpec
    path: Path
    holdout: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    name: str = "dcgan"
    digest: str = "0" * 64
    images: int = 1234
    specialists: dict[str, Any] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    rows: np.ndarray | None = None

    @property
    def module(self) -> Model:
        return self

    def sample_conditions(self, indices: Sequence[int], seed: int) -> torch.Tensor | None:
        return None if self.rows is None else torch.from_numpy(self.rows[list(indices)])

    @property
    def stretch(self) -> Stretch:
        return Stretch.fit(torch.from_numpy(self.samples), "asinh")

    def to(self, device: str) -> Model:
        return self

    def sample(self, n: int, *, seed: int, progress: Callable[[int], None]) -> torch.Tensor:
        progress(n)
        return torch.from_numpy(self.samples[:n])


Opened = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, ArraySet], Opened]:
    """Sets by the name that `open_set` is asked for, and what it was asked."""
    known: dict[str, ArraySet] = {}
    calls: Opened = []

    def open_set(source: str | Path, **options: Any) -> ArraySet:
        calls.append((str(source), options))
        return known[Path(source).name]

    monkeypatch.setattr(sets, "open_set", open_set)
    return known, calls


def folders(
    known: dict[str, ArraySet],
    root: Path,
    fake: np.ndarray,
    real: np.ndarray,
    bands: tuple[str, ...] = ("g", "r", "i"),
    display: bool = False,
) -> tuple[Path, Path]:
    spec = ImageSpec(fake.shape[-1], bands, display=display)
    known["fake"] = ArraySet(fake, spec, "fake")
    known["real"] = ArraySet(real, spec.replace(size=real.shape[-1]), "real")
    for name in ("fake", "real"):
        (root / name).mkdir()
    return root / "fake", root / "real"


def test_two_folders_of_the_same_kind(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(40, seed=3), galaxies(90, seed=4))
    told = []
    found = evaluate(fake, real, progress=lambda *args: told.append(args))
    assert list(found.scores) == METRICS
    for score in found.scores.values():
        assert set(score) == {"value", "floor", "interval", "z", "n"}
        assert abs(score["z"]) < 4
    assert found.scores["frechet_physics"]["n"] == 40
    # The real set's halves are 45: one stands for the training set, 40 of the other compare.
    assert found.scores["nearest_training"]["n"] == 20
    assert found.json == Path("evaluation-00001/evaluation.json")
    stored = json.loads(found.json.read_text())
    assert stored["metrics"] == found.scores
    assert stored["verdict"] == list(found.verdict)
    assert "half of the real set" in " ".join(stored["notes"])
    assert found.html.read_text().startswith("<!doctype html>")
    assert {what for what, _, _ in told} == {"photometry", "nearest images"}
    assert all(done <= total for _, done, total in told)
    assert evaluate(fake, real).json.parent.name == "evaluation-00002"


def test_the_same_call_gives_the_same_scores(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(30, seed=1), galaxies(60, seed=2))
    one, two = (evaluate(fake, real, n=20, seed=5, out="same").result for _ in range(2))
    assert one == two
    assert one["generated"]["n"] == 20


def test_an_interrupted_evaluation_leaves_no_empty_folder(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(6, seed=1), galaxies(12, seed=2))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    (workdir / "mine").mkdir()
    for out in (None, "new/deep", "mine"):
        with pytest.raises(KeyboardInterrupt):
            evaluate(fake, real, out=out, progress=stop)
    assert {path.name for path in workdir.iterdir()} == {"fake", "real", "mine"}


def test_other_galaxies_are_told_apart(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    wrong = galaxies(40, seed=1)
    wrong[:, 0] *= 3
    fake, real = folders(opened[0], workdir, wrong, galaxies(90, seed=2))
    scores = evaluate(fake, real).scores
    assert scores["frechet_physics"]["z"] > 5
    assert scores["colour_magnitude"]["z"] > 3


@pytest.mark.parametrize("bands", [("I",), ("g", "r"), ("u", "g", "r", "i", "z", "y", "j")])
@pytest.mark.parametrize("display", [False, True])
def test_any_number_of_bands(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    bands: tuple[str, ...],
    display: bool,
) -> None:
    sets_of = [galaxies(n, len(bands), seed=n) for n in (12, 30)]
    if display:
        sets_of = [x.clip(0, 255).round() for x in sets_of]
    fake, real = folders(opened[0], workdir, *sets_of, bands=bands, display=display)
    scores = evaluate(fake, real).scores
    assert scores["frechet_physics"]["value"] is not None
    colour = scores["colour_magnitude"]
    if len(bands) == 1:
        assert colour["value"] is None
        assert colour["reason"] == "one band (I) has no colour"
    else:
        assert 0 <= colour["value"] <= 1


def run_of(workdir: Path, **changes: Any) -> Model:
    run = workdir / "runs" / "00001-x"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 7\n")
    config = {"seed": 7, "data": {"source": "train", "crop": 40, "unit": "nanomaggy", "bands": None,
                                  "rotate": "quarter", "holdout": 0.1}}  # fmt: skip
    spec = ImageSpec(16, ("g", "r", "i"))
    made: dict[str, Any] = {"samples": galaxies(30, seed=1), "spec": spec, "config": config}
    return Model(**{**made, "path": run / "checkpoints" / "best.ckpt", **changes})


def test_a_model_is_compared_with_its_own_data(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, calls = opened
    holdout = tuple(f"train-{i}" for i in range(0, 80, 8))
    model = run_of(workdir, holdout=holdout)
    known["train"] = ArraySet(galaxies(80, seed=2), model.spec, "train")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=25)
    assert calls == [
        ("train", {"seed": 7, "size": 16, "crop": 40, "unit": "nanomaggy",
                   "bands": ("g", "r", "i")})
    ]  # fmt: skip
    assert found.json.parent == workdir / "runs" / "00001-x"
    assert found.result["details"]["nearest_training"]["train"] == 70
    assert found.result["details"]["nearest_training"]["held_out"] == 10
    assert found.scores["nearest_training"]["n"] == 5
    assert found.result["generated"]["images"] == 1234
    assert found.result["notes"] == [
        "25 images do not determine the covariance of 47 features: the Fréchet distance is usable "
        "only against its floor."
    ]


def test_copies_are_caught_whatever_way_up(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, _ = opened
    real = galaxies(80, seed=2)
    copies = np.rot90(real[:30], axes=(2, 3)) + np.float32(0.1)
    holdout = tuple(f"train-{i}" for i in range(50, 80))
    model = run_of(workdir, samples=np.ascontiguousarray(copies), holdout=holdout)
    known["train"] = ArraySet(real, model.spec, "train")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=30)
    assert found.scores["nearest_training"]["z"] > 5
    assert "nearer to training images than real ones" in " ".join(found.verdict)


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
    found = evaluate(None, "other", n=10, out="here", crop=20, magzero=27.0)
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
    details = evaluate(fake, real).result["details"]["colour_magnitude"]
    assert details["magnitude"] == "apparent"
    known["fake"].catalogue["redshift"] = np.full(20, 0.1)
    absolute = evaluate(fake, real).result["details"]["colour_magnitude"]
    assert absolute["magnitude"] == "absolute"
    assert absolute["cosmology"] == "Planck18"
    shift = details["box"]["centre"][0] - absolute["box"]["centre"][0]
    assert shift == pytest.approx(38.4, abs=0.1)


def test_match_brings_fluxes_to_one_zero_point() -> None:
    fake = ImageSpec(8, ("r", "g"), "nanomaggy", (22.5, 22.5))
    real = ImageSpec(10, ("G", "R"), "count", (27.0, 25.0))
    matched = match(fake, real)
    flux = torch.ones(1, 2, 10, 10)
    # 2.5 mag are a factor of 10: m = 25 for one count in R is 0.1 nanomaggies.
    brought = matched.real(flux)
    assert brought.shape == (1, 2, 8, 8)
    assert brought[0, :, 0, 0].tolist() == pytest.approx([0.1, 10 ** (-0.4 * 4.5)])
    assert matched.spec.bands == ("r", "g")
    assert len(matched.notes) == 2
    unknown = match(fake, real.replace(zero_points=(None, None)))
    assert unknown.gain == (1.0, 1.0)
    assert "without zero points" in unknown.notes[-1]


@pytest.mark.parametrize(
    ("real", "words"),
    [
        (ImageSpec(8, ("z", "y")), "none in common"),
        (ImageSpec(8, ("g", "r"), display=True), "display pictures"),
    ],
)
def test_sets_that_cannot_be_compared(real: ImageSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        match(ImageSpec(8, ("g", "r")), real)


def test_mistakes_are_named(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(8, seed=1), galaxies(12, seed=2))
    with pytest.raises(ConfigError, match="--real"):
        evaluate(fake)
    with pytest.raises(ConfigError, match="-n 1"):
        evaluate(fake, real, n=1)
    with pytest.raises(DataError, match="nowhere does not exist"):
        evaluate("nowhere", real)
    (workdir / "blocker").write_text("in the way")
    with pytest.raises(OutputError, match="blocker"):
        evaluate(fake, real, out="blocker")
    model = run_of(workdir, config={})
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    with pytest.raises(ConfigError, match="--real"):
        evaluate()


def test_small_sets_still_get_a_report(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(3, seed=1), galaxies(3, seed=2))
    found = evaluate(fake, real)
    assert all(score["value"] is None for score in found.scores.values())
    assert "too few" in found.html.read_text()


def kinds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Galaxies of 3 bands, ten times as bright in every second one; class number, flux."""
    images, labels = galaxies(n, seed=seed), np.arange(n) % 2
    images[labels == 1] *= 10
    return images, labels, images.sum((1, 2, 3)).astype(np.float64)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers that learn for a moment, in small steps."""
    train = agreement.train_classifier
    monkeypatch.setattr(classifier, "BATCH", 16)
    monkeypatch.setattr(
        agreement, "train_classifier", lambda *a, **k: train(*a, **{**k, "shown": 1600})
    )


def conditional(workdir: Path, known: dict[str, ArraySet], spec: ImageSpec) -> Model:
    """A model that obeys, and its training set."""
    images, labels, total = kinds(48, seed=1)
    magnitude = 22.5 - 2.5 * np.log10(total / 3)
    numbers = (Number("mag_g", "catalogue"), Number("redshift", "catalogue"))
    values = np.column_stack([magnitude, np.linspace(0.1, 0.2, 48)])
    conditions = Conditions.of(("dim", "bright"), labels, numbers, values)
    real, kind, flux = kinds(90, seed=2)
    known["train"] = ArraySet(real, spec, "train", labels=1 - kind, classes=("bright", "dim"))
    known["train"].numbers = numbers
    known["train"].values = np.column_stack(
        [22.5 - 2.5 * np.log10(flux / 3), np.linspace(0.1, 0.2, 90)]
    )
    rows = conditions.encode(labels, values)
    config = {"seed": 7, "data": {"source": "train", "condition": ["mag_g,redshift"]}}
    return run_of(
        workdir, samples=images, spec=spec, conditions=conditions, rows=rows, config=config
    )


@pytest.mark.usefixtures("quick")
def test_a_conditional_model_is_asked_whether_it_obeys(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = ImageSpec(16, ("g", "r", "i"), "nanomaggy", (22.5,) * 3)
    model = conditional(workdir, opened[0], spec)
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=48)
    assert opened[1][0][1]["condition"] == ["mag_g,redshift"]
    classes, conditions = found.result["classes"], found.result["conditions"]
    # The model and the real set count their classes in different orders.
    assert list(classes) == ["dim", "bright"]
    for entry in classes.values():
        assert list(entry["metrics"]) == METRICS
        assert entry["n_generated"] == 24
        assert entry["n_real"] == 45
        assert entry["metrics"]["frechet_physics"]["n"] == 22
        assert abs(entry["metrics"]["frechet_physics"]["z"]) < 5
    agreed = conditions["agreement"]
    assert agreed["value"] > 0.9
    assert agreed["ceiling"]["value"] > 0.9
    assert agreed["ceiling"]["n"] == 90
    magnitude = conditions["numbers"]["mag_g"]
    assert magnitude["r2"] > 0.9
    assert magnitude["real"]["r2"] > 0.9
    assert magnitude["r2_shuffled"] < 0.1
    assert "nothing that can be measured" in conditions["numbers"]["redshift"]["reason"]
    text = " ".join(found.verdict)
    assert "Galaxies are of the class that was asked for" in text
    assert "mag_g follows the request" in text
    page = found.html.read_text()
    for heading in ("A class a row", "Classes", "Numbers asked for and measured"):
        assert f"<h2>{heading}" in page
    # A model that does not listen is found out, and only there.
    assert model.rows is not None
    deaf = np.random.default_rng(0).permutation(model.rows)
    monkeypatch.setattr(model, "rows", deaf)
    other = evaluate(n=48)
    assert other.scores == found.scores
    assert other.result["conditions"]["agreement"]["value"] < 0.75
    assert other.result["conditions"]["agreement"]["ceiling"] == agreed["ceiling"]
    assert other.result["conditions"]["numbers"]["mag_g"]["r2"] < 0.3


def test_without_the_classifier_the_rest_is_there(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = ImageSpec(16, ("g", "r", "i"), "nanomaggy", (22.5,) * 3)
    model = conditional(workdir, opened[0], spec)
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=48, classifier=False).result
    assert found["conditions"]["agreement"]["value"] is None
    assert "evaluate.classifier" in found["conditions"]["agreement"]["reason"]
    assert found["conditions"]["numbers"]["mag_g"]["r2"] > 0.9
    assert found["classes"]["dim"]["metrics"]["recall_physics"]["value"] is not None
    # Real galaxies of which nothing is known.
    opened[0]["train"].classes = ("bright", "odd")
    notes = evaluate(n=48, classifier=False).result["notes"]
    assert any("Real galaxies of odd are of no class of the model" in note for note in notes)
    opened[0]["other"] = ArraySet(kinds(60, seed=4)[0], spec, "other")
    other = evaluate(None, "other", n=48, out="here").result
    assert "classes" not in other
    assert "no classes" in other["conditions"]["agreement"]["reason"]
    assert other["conditions"]["numbers"]["mag_g"]["real"] is None
    assert "data.condition" in other["conditions"]["numbers"]["mag_g"]["no_real"]


@pytest.mark.usefixtures("quick")
def test_a_folder_of_samples_with_its_catalogue_is_asked_too(workdir: Path) -> None:
    real, kind, _ = kinds(40, seed=2)
    for image, number, place in zip(real, kind, range(40), strict=True):
        (workdir / "sky" / "dB"[number]).mkdir(parents=True, exist_ok=True)
        header = fits.Header({"BANDS": "g,r,i", "BUNIT": "nanomaggy", "MAGZERO": 22.5})
        fits.writeto(workdir / "sky" / "dB"[number] / f"{place:03d}.fits", image, header)
    made, kind, total = kinds(24, seed=3)
    (workdir / "made").mkdir()
    names = [f"galaxy_{k:06d}.fits" for k in range(24)]
    for image, name in zip(made, names, strict=True):
        header = fits.Header({"BANDS": "g,r,i", "BUNIT": "nanomaggy", "MAGZERO": 22.5})
        fits.writeto(workdir / "made" / name, image, header)
    asked = 22.5 - 2.5 * np.log10(total / 3) + 0.5
    labels = ["", *("dB"[k] for k in kind[1:])]
    table = Table({"file": names, "label": labels, "mag_r_requested": asked})
    table.write(workdir / "made" / "catalogue.fits")
    found = evaluate("made", "sky").result
    conditions = found["conditions"]
    assert list(found["classes"]) == ["B", "d"]
    assert found["classes"]["d"]["n_generated"] == 11
    assert conditions["agreement"]["n"] == 23
    assert conditions["agreement"]["value"] > 0.9
    assert conditions["numbers"]["mag_r"]["r2"] > 0.9
    assert conditions["numbers"]["mag_r"]["bias"] == pytest.approx(-0.5, abs=0.2)


@pytest.mark.parametrize("labels", [[""] * 4, ["", "nan", "d", "B"]])
def test_blank_labels_of_a_catalogue_are_no_class(workdir: Path, labels: list[str]) -> None:
    names = [f"galaxy_{k}.fits" for k in range(4)]
    for name, cube in zip(names, galaxies(4, 2), strict=True):
        fits.writeto(workdir / name, cube, fits.Header({"BANDS": "g,r"}))
    Table({"file": names, "label": labels}).write(workdir / "catalogue.fits")
    made = from_folder(sets.open_set(str(workdir)), 4, 0)
    if any(labels):
        assert made.classes == ("B", "d")
        assert made.labels is not None
        assert made.labels.tolist() == [-1, -1, 1, 0]
    else:
        assert (made.classes, made.labels) == ((), None)


def test_real_files_through_open_set(workdir: Path) -> None:
    for name, n, seed in (("made", 8, 1), ("sky", 24, 2)):
        (workdir / name).mkdir()
        for i, cube in enumerate(galaxies(n, 2, seed=seed)):
            header = fits.Header({"BANDS": "g,r", "BUNIT": "nanomaggy"})
            fits.writeto(workdir / name / f"{i:03d}.fits", cube, header)
    found = evaluate("made", "sky")
    assert found.result["bands"] == ["g", "r"]
    assert found.result["real"]["n"] == 24
    assert found.scores["colour_magnitude"]["value"] is not None


def test_pictures_through_open_set(workdir: Path) -> None:
    for name, n, size, seed in (("made", 6, 16, 1), ("photos", 20, 24, 2)):
        (workdir / name).mkdir()
        for i, image in enumerate(galaxies(n, 3, size, seed)):
            pixels = image.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
            Image.fromarray(pixels).save(workdir / name / f"{i:03d}.png")
    found = evaluate("made", "photos", crop=20)
    assert found.result["size"] == 16
    assert found.scores["frechet_physics"]["n"] == 6


def test_classes_that_a_run_merged_are_merged_in_the_real_set_too(workdir: Path) -> None:
    for place, cube in enumerate(galaxies(12, 2, seed=3)):
        folder = workdir / "sky" / ("E", "S0", "Sp")[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        fits.writeto(folder / f"{place:03d}.fits", cube, fits.Header({"BANDS": "g,r"}))
    trained = RunConfig.build(
        {"data.source": str(workdir / "sky"), "data.merge": {"early": ["E", "S0"]}}
    ).to_dict()
    model: Any = SimpleNamespace(path="run", config=trained, spec=SimpleNamespace(bands=("g", "r")))
    real = real_set(model, None, {}, 0)
    assert real.classes == ("Sp", "early")
    assert real.labels is not None
    assert np.bincount(real.labels).tolist() == [4, 8]
