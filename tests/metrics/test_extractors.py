"""Extractors by name, and networks of the user's own."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.errors import ConfigError, DataError
from galgen.measure.composite import composite_planes
from galgen.metrics import extractors
from galgen.metrics.extractors import ExtractorOptions, make_extractor
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures
from galgen.metrics.module_features import ModuleFeatures
from galgen.metrics.module_file import load_module
from galgen.stretch import Stretch

Galaxies = Callable[..., Tensor]
SPEC = ImageSpec(16, ("g", "r", "i"), unit="nanomaggy")
PICTURE = ImageSpec(16, ("R", "G", "B"), display=True)


class Small(nn.Module):
    """Dropout and batch norm, whose answers depend on the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.convolution(x))).mean((2, 3))


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(path)  # type: ignore[no-untyped-call]
    return path


def export(module: nn.Module, path: Path) -> Path:
    batch = torch.export.Dim("batch")
    example = (torch.zeros(2, 3, 16, 16),)
    torch.export.save(torch.export.export(module, example, dynamic_shapes=({0: batch},)), path)
    return path


def test_extractors_by_name(galaxies: Galaxies) -> None:
    real = galaxies(20, bands=3, size=16)
    made = make_extractor("physics", real, SPEC)
    assert torch.equal(made(real), PhysicsFeatures.fit(real, SPEC)(real))


def test_inception_gets_its_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluate\.inception"):
        make_extractor(
            "inception",
            torch.zeros(2, 3, 16, 16),
            PICTURE,
            ExtractorOptions(inception=tmp_path / "none.pth"),
        )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("phisics", r"'phisics' is not known: did you mean physics\?$"),
        ("Inception", r"did you mean inception\?$"),
        ("vgg", r"choose one of physics, galaxy, inception, or a network file"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_extractor(name, torch.zeros(2, 3, 16, 16), PICTURE)


@pytest.mark.parametrize("kind", ["own.ts", "own.pt", "own.pt2", "exported.pt"])
def test_a_file_of_the_users_own(galaxies: Galaxies, tmp_path: Path, kind: str) -> None:
    module = Small().eval()
    save = export if "2" in kind or "exported" in kind else script
    path = save(module, tmp_path / kind)
    real = galaxies(6, bands=3, size=16)
    made = make_extractor(str(path), real, SPEC)
    assert isinstance(made, FeatureExtractor)
    assert (made.name, made.n_features) == (path.stem, 5)
    composites = composite_planes(real, SPEC, Stretch.fit(real, "asinh"))
    with torch.no_grad():
        torch.testing.assert_close(made(real), module(composites))
        torch.testing.assert_close(made(real[2:3]), module(composites[2:3]))


def test_a_file_must_not_take_a_known_name(tmp_path: Path) -> None:
    path = script(Small(), tmp_path / "galaxy.pt")
    with pytest.raises(ConfigError, match="another name"):
        make_extractor(str(path), torch.zeros(2, 3, 16, 16), PICTURE)


class Runs(nn.Module):
    """Makes a file when it is unpickled."""

    path: Path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (Runs.path,))


@pytest.mark.parametrize("name", ["own.pt", "own.pth", "own.pkl", "own.ts"])
def test_pickles_are_not_opened(tmp_path: Path, name: str) -> None:
    Runs.path = tmp_path / "ran"
    for zipped in (True, False):
        torch.save(Runs(), tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(DataError, match="opens no pickles"):
            make_extractor(str(tmp_path / name), torch.zeros(2, 3, 16, 16), PICTURE)
    assert not Runs.path.exists()


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive with the content of its members changed."""
    copy = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return copy


def test_an_export_that_holds_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = export(Small().eval(), tmp_path / "own.pt2")
    Runs.path = tmp_path / "ran"
    torch.save(Runs(), tmp_path / "bad.pt")
    bad = (tmp_path / "bad.pt").read_bytes()
    seen = []

    def as_sample(name: str, content: bytes) -> bytes:
        seen.append(name)
        return bad if name.endswith(".pt") else content

    def as_weight(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            table = json.loads(content)
            for entry in table["config"].values():
                entry["use_pickle"] = True
            return json.dumps(table).encode()
        return bad if "weight_" in name else content

    for change in (as_sample, as_weight):
        with pytest.raises(DataError, match="holds a pickle"):
            load_module(rewritten(path, change))
    assert not Runs.path.exists()
    assert any(name.endswith(".pt") for name in seen)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no network file .*none\.pt"):
        load_module(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(DataError, match="neither"):
        load_module(tmp_path / "text.pt")
    whole = script(Small(), tmp_path / "own.pt")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "cut.pt", "w") as new:
        for name in old.namelist():
            if not name.endswith(".py"):
                new.writestr(name, old.read(name))
    with pytest.raises(DataError, match="damaged"):
        load_module(tmp_path / "cut.pt")


def test_modes_and_statistics_are_left_as_they_were() -> None:
    module = Small().train()
    module.dropout.eval()
    modes = [part.training for part in module.modules()]
    before = {k: v.clone() for k, v in module.state_dict().items()}
    features = ModuleFeatures(module, "own", PICTURE)
    flux = torch.rand(4, 3, 16, 16) * 255
    found = features(flux)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert not found.requires_grad
    assert torch.equal(found, features(flux))
    with torch.no_grad():
        torch.testing.assert_close(found, module.eval()(flux / 255))


def test_modes_are_restored_after_a_failure() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).train()
    with pytest.raises(DataError, match=r"own fails on composites of the shape \(2, 3, 16, 16\)"):
        ModuleFeatures(module, "own", PICTURE)
    assert module.training


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (lambda x: x, r"must give \(images, features\).*2 images gave \(2, 3, 16, 16\)"),
        (lambda x: x.mean((1, 2, 3)), r"gave \(2,\)"),
        (lambda x: x.mean((2, 3)).sum(0, keepdim=True), r"gave \(1, 3\)"),
        (lambda x: [x], "gave list"),
        (lambda x: x.mean((2, 3)) / 0, "not finite"),
    ],
)
def test_what_comes_out_is_checked(module: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(DataError, match=said):
        ModuleFeatures(module, "own", PICTURE)


def test_what_comes_out_later_is_checked_too() -> None:
    def first_only(x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 3 if x.amax() == 0 else 4)

    features = ModuleFeatures(first_only, "own", PICTURE)
    assert features(torch.zeros(3, 3, 16, 16)).shape == (3, 3)
    with pytest.raises(DataError, match="4 features here and 3"):
        features(torch.ones(3, 3, 16, 16))


def test_images_are_brought_to_the_size_asked_for(galaxies: Galaxies) -> None:
    shapes = []

    def note(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape[1:]))
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        return x.mean((2, 3))

    real = galaxies(5, bands=3, size=16)
    small = ModuleFeatures.fit(note, "own", real, SPEC, size=8)(real)
    assert set(shapes) == {(3, 8, 8)}
    # Resizing keeps the mean, and so antialiases.
    whole = ModuleFeatures.fit(lambda x: x.mean((2, 3)), "own", real, SPEC)(real)
    torch.testing.assert_close(small, whole, rtol=0, atol=0.01)


def test_many_images_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def note(x: Tensor) -> Tensor:
        lengths.append(len(x))
        return x.mean((2, 3))

    features = ModuleFeatures(note, "own", PICTURE)
    lengths.clear()
    flux = torch.rand(300, 3, 16, 16) * 255
    torch.testing.assert_close(features(flux), (flux / 255).mean((2, 3)))
    assert sum(lengths) == 300
    assert max(lengths) <= 128


def test_flux_needs_a_stretch_and_its_bands() -> None:
    with pytest.raises(ValueError, match="stretch"):
        ModuleFeatures(lambda x: x.mean((2, 3)), "own", SPEC)
    with pytest.raises(ValueError, match="expected"):
        ModuleFeatures(lambda x: x.mean((2, 3)), "own", PICTURE)(torch.zeros(2, 4, 16, 16))


def test_every_extractor_of_the_list_can_be_made(
    galaxies: Galaxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galgen.metrics import galaxy, inception

    class Stub:
        name, n_features = "inception", 2

        @classmethod
        def fit(cls, real: Tensor, spec: ImageSpec, weights: Path | None = None) -> Stub:
            return cls()

        def __call__(self, flux: Tensor) -> Tensor:
            return flux.new_zeros(len(flux), 2)

    monkeypatch.setattr(inception, "InceptionFeatures", Stub)
    # Wiring alone is asked for, not what the network has learnt.
    monkeypatch.setattr(galaxy, "load_network", lambda: galaxy.random_network(0))
    real = galaxies(20, bands=3, size=16)
    for name in extractors.EXTRACTORS:
        made = make_extractor(name, real, SPEC)
        assert isinstance(made, FeatureExtractor)
        assert made.name == name
        found = made(real)
        assert found.shape == (20, made.n_features)
        assert bool(torch.isfinite(found).all())
