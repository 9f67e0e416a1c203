"""FID's Inception: the published architecture, and images as FID wants them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.errors import DataError
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.inception import InceptionFeatures, extractor, weights
from galgen.metrics.inception.network import InceptionNetwork
from galgen.stretch import Stretch
from inception_reference import Reference

PICTURE = ImageSpec(24, ("R", "G", "B"), display=True)


@pytest.fixture(scope="module")
def network() -> InceptionNetwork:
    """Random weights, norms that do something."""
    generator = torch.Generator().manual_seed(0)
    made = InceptionNetwork().requires_grad_(False).eval()
    for key, tensor in made.state_dict().items():
        if key.endswith("running_var"):
            # small: with the usual 1, an epsilon of 1e-3 would not show
            tensor.uniform_(0.01, 0.03, generator=generator)
        elif key.endswith("bn.weight"):
            tensor.uniform_(0.2, 0.3, generator=generator)
        elif tensor.ndim == 1:
            tensor.normal_(0, 0.02, generator=generator)
        else:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
    return made


def tiny_state() -> dict[str, Tensor]:
    """Every key and shape of the published file, in a few kilobytes: strides of 0."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in InceptionNetwork().state_dict().items()}
    return {k: torch.full((1,), 0.01).expand(shape) for k, shape in shapes.items()}


def test_layers_are_those_of_the_published_architecture(network: InceptionNetwork) -> None:
    reference = Reference(network.state_dict())
    images = torch.rand(2, 3, 107, 91, generator=torch.Generator().manual_seed(1)) * 2 - 1
    wanted = reference(images)
    found = network(images)
    assert found.shape == (2, 2048)
    # Means differ between images and features, so that agreement says something.
    assert wanted.std(0).median() > 1e-3 * wanted.abs().median()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
    logits = network.logits(images)
    assert logits.shape == (2, 1008)
    torch.testing.assert_close(logits.double(), reference.logits(wanted), rtol=1e-3, atol=1e-2)
    assert reference.used == set(network.state_dict())


def test_sizes_are_those_of_the_paper(network: InceptionNetwork) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = [
        part.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:]))
        )
        for name, part in network.named_children()
    ]
    network(torch.zeros(1, 3, 299, 299))
    for hook in hooks:
        hook.remove()
    assert shapes == {
        "Conv2d_1a_3x3": (32, 149, 149),
        "Conv2d_2a_3x3": (32, 147, 147),
        "Conv2d_2b_3x3": (64, 147, 147),
        "Conv2d_3b_1x1": (80, 73, 73),
        "Conv2d_4a_3x3": (192, 71, 71),
        "Mixed_5b": (256, 35, 35),
        "Mixed_5c": (288, 35, 35),
        "Mixed_5d": (288, 35, 35),
        **{f"Mixed_6{x}": (768, 17, 17) for x in "abcde"},
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7b": (2048, 8, 8),
        "Mixed_7c": (2048, 8, 8),
    }
    # 23,834,568 with 1000 classes and no auxiliary classifier, as libraries list it.
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 + 8 * 2049
    assert len(network.state_dict()) == 94 * 5 + 2


def test_the_mode_changes_nothing(network: InceptionNetwork) -> None:
    x = torch.randn(1, 3, 75, 75)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.train()
    found = network(x)
    network.eval()
    assert torch.equal(found, network(x))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_the_published_keys_loads_as_it_is(
    network: InceptionNetwork, tmp_path: Path, legacy: bool
) -> None:
    path = tmp_path / "weights.pth"
    state = dict(network.state_dict())
    # as newer batch norms would save it
    counter = {"Mixed_5b.branch1x1.bn.num_batches_tracked": torch.tensor(0)} if legacy else {}
    torch.save(state | counter, path, _use_new_zipfile_serialization=not legacy)
    loaded = weights.load_network(path)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert set(loaded.state_dict()) == set(state)
    assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("Mixed_6c.branch7x7_2.bn.running_var"),
         r"Mixed_6c\.branch7x7_2\.bn\.running_var is missing"),
        (lambda s: s.update({"AuxLogits.fc.weight": torch.zeros(2)}), "AuxLogits.* not belong"),
        (lambda s: s.update({"fc.bias": torch.zeros(1000)}), r"fc\.bias has the shape \(1000,\)"),
        (lambda s: s.update({"fc.bias": "none"}), r"fc\.bias is no tensor"),
        (lambda s: s.clear(), "and 471 more"),
    ],
)  # fmt: skip
def test_another_file_gets_a_sentence(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    state, path = tiny_state(), tmp_path / "weights.pth"
    torch.save(state, path)
    weights.load_network(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(DataError, match=said) as caught:
        weights.load_network(path)
    assert str(path) in str(caught.value)
    assert weights.FILE in str(caught.value)


class Runs:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.path,))


def test_files_that_are_no_tensors_are_refused_unopened(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "ran"
    for content in (Runs(trace), [torch.zeros(1)]):
        torch.save(content, path)
        with pytest.raises(DataError, match="is not the weight file"):
            weights.load_network(path)
    for data in (b"", b"<html>not found</html>", b"PK\x03\x04 cut short"):
        path.write_bytes(data)
        with pytest.raises(DataError, match="is not the weight file"):
            weights.load_network(path)
    assert not trace.exists()


def bilinear(size: int) -> Tensor:
    """Rows of weights (299, size): pixel centres to pixel centres, edges held."""
    matrix = torch.zeros(299, size, dtype=torch.float64)
    for i in range(299):
        at = min(max((i + 0.5) * size / 299 - 0.5, 0.0), size - 1.0)
        low = min(int(at), size - 2)
        matrix[i, low] += 1 - (at - low)
        matrix[i, low + 1] += at - low
    return matrix


@pytest.mark.parametrize("size", [24, 400])
def test_pictures_are_resized_as_fid_does_it(network: InceptionNetwork, size: int) -> None:
    spec = PICTURE.replace(size=size)
    pixels = torch.randint(0, 256, (1, 3, size, size)).float()
    seen = InceptionFeatures(network, spec).pictures(pixels)
    w = bilinear(size)
    wanted = w @ (pixels.double() / 255) @ w.T * 2 - 1
    torch.testing.assert_close(seen.double(), wanted, rtol=0, atol=1e-4)


def test_pictures_have_eight_bits(network: InceptionNetwork) -> None:
    features = InceptionFeatures(network, PICTURE)
    level = torch.full((1, 3, 24, 24), 100.0)
    assert torch.equal(features.pictures(level + 0.4), features.pictures(level - 0.4))
    assert not torch.equal(features.pictures(level + 0.6), features.pictures(level))
    assert features.pictures(level * 0).unique().tolist() == [-1.0]
    torch.testing.assert_close(features.pictures(level * 9), torch.ones(1, 3, 299, 299))


def test_any_number_of_bands_under_one_stretch(network: InceptionNetwork) -> None:
    torch.manual_seed(0)
    for count in range(1, 8):
        spec = ImageSpec(16, tuple("ugrizyJ"[:count]), unit="nanomaggy")
        real = torch.randn(6, count, 16, 16) + 3
        stretch = Stretch.fit(real, "asinh")
        features = InceptionFeatures(network, spec, stretch)
        bright = real.clone()
        bright[0, 0, 8, 8] = float("nan")
        bright[0] *= 100
        seen = features.pictures(bright)
        assert seen.shape == (6, 3, 299, 299)
        assert bool(torch.isfinite(seen).all())
        # Nothing is scaled per image, nor by its neighbours.
        assert torch.equal(features.pictures(bright)[1:], features.pictures(real)[1:])
    with pytest.raises(ValueError, match="stretch"):
        InceptionFeatures(network, spec)


def test_features_of_a_batch(network: InceptionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    features = InceptionFeatures(network, PICTURE)
    assert isinstance(features, FeatureExtractor)
    flux = torch.randint(0, 256, (3, 3, 24, 24)).float().requires_grad_()
    monkeypatch.setattr(extractor, "_CHUNK", 2)
    found = features(flux)
    assert found.shape == (3, features.n_features) == (3, 2048)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found[2:], network(features.pictures(flux[2:])))
    with pytest.raises(ValueError, match="expected"):
        features(flux[:, :2])


def test_fit_says_whether_the_weights_are_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.pth"
    torch.save(tiny_state(), path)
    real = torch.randn(4, 1, 16, 16)
    spec = ImageSpec(16, ("r",), unit="nanomaggy")
    with caplog.at_level("WARNING", logger="galgen.weights"):
        made = InceptionFeatures.fit(real, spec, weights=path)
    assert not made.published
    assert "checksum" in caplog.text
    assert made.stretch == Stretch.fit(real, "asinh")
    monkeypatch.setattr(extractor, "SHA256", weights.checksum(path))
    assert InceptionFeatures.fit(real, spec, weights=path).published
