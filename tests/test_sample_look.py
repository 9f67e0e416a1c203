"""How galaxies are made to look: point spread function and noise, left out, swapped and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits

from galgen import checkpoint
from galgen.errors import ConfigError, DataError, UserError
from galgen.export import Sharing, export
from galgen.io.psf import read_psf
from galgen.sample import sample
from tiny import OPTIONS, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a model of simulated galaxies."""
    folder = tmp_path_factory.mktemp("sampling")
    return run(folder, train__snapshot_images=48, recipe__lr=0.01).run


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a model that ends in a PSF, whose file is gone."""
    folder = tmp_path_factory.mktemp("seen")
    random = np.random.default_rng(4)
    kernel = random.uniform(0, 1, (7, 7)) * np.hanning(9)[1:-1, None] * np.hanning(9)[1:-1]
    kernel += kernel[::-1, ::-1]
    fits.PrimaryHDU(kernel).writeto(folder / "psf.fits")
    options = {**OPTIONS, "psf": str(folder / "psf.fits")}
    made = run(folder / "runs", model__options=options, recipe__lr=0.01).run
    (folder / "psf.fits").unlink()
    return made


def by_hand(flux: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolved in float64 with scipy, mirrored at the edges."""
    from scipy.ndimage import convolve

    images = [
        [
            convolve(x, k, mode="reflect")
            for x, k in zip(image, kernels.double().numpy(), strict=True)
        ]
        for image in flux.double().numpy()
    ]
    return torch.tensor(np.array(images))


def test_the_psf_is_left_out_swapped_and_kept(seen: Path) -> None:
    model = checkpoint.load(seen)
    own = model.module.average.network.end.psf.kernels
    assert own.shape == (3, 7, 7)
    bare = model.sample(6, psf="none", noise=False)
    scale = bare.abs().max()
    assert (model.sample(6, noise=False) - by_hand(bare, own)).abs().max() < 1e-5 * scale
    other = read_psf("moffat:0.6", model.spec)
    assert other is not None
    wide = by_hand(bare, torch.from_numpy(other.kernels))
    got = model.sample(6, psf="moffat:0.6", noise=False)
    assert (got - wide).abs().max() < 1e-5 * scale
    # Light is kept: these kernels are symmetric.
    assert torch.allclose(got.sum((2, 3)), bare.sum((2, 3)), rtol=1e-5)
    grain = model.sample(6, psf="none") - bare
    assert grain.abs().mean() > 0
    # Nothing of this stays with the model.
    assert torch.equal(model.sample(6), checkpoint.load(seen).sample(6))


def test_the_psf_is_a_part_of_checkpoints_and_exports(seen: Path, tmp_path: Path) -> None:
    model = checkpoint.load(seen)
    want = model.sample(4)
    exported = export(model, tmp_path / "full")
    assert torch.equal(checkpoint.load(exported).sample(4), want)
    half = checkpoint.load(export(model, tmp_path / "half", Sharing(half=True)))
    kernels = half.module.average.network.end.psf.kernels
    assert (kernels.double().sum((1, 2)) - 1).abs().max() < 1e-6
    assert (half.sample(4) - want).abs().max() < 0.02 * want.abs().max()


def test_a_run_with_a_psf_goes_on_without_its_file(seen: Path, tmp_path: Path) -> None:
    import shutil

    from galgen.train import resume

    folder = tmp_path / seen.name
    shutil.copytree(seen, folder)
    before = checkpoint.load(folder).module.average.network.end.psf.kernels
    outcome = resume(folder, changes={"train.images": 128})
    assert (outcome.images, outcome.reason) == (128, "finished")
    after = checkpoint.load(folder / "checkpoints/last.ckpt")
    assert torch.equal(after.module.average.network.end.psf.kernels, before)
    assert torch.equal(after.module.generator.end.psf.kernels, before)


def test_a_fine_tuned_model_has_the_psf_of_its_own_configuration(
    seen: Path, trained: Path, tmp_path: Path
) -> None:
    from galgen.finetune import finetune

    short = {"train.images": 16, "train.batch": 8, "train.precision": "32"}
    given = short | {"model.options": {**OPTIONS, "psf": "3px"}}
    for source in (seen, trained):
        tuned = checkpoint.load(finetune(source, config=given, out=tmp_path / source.parts[-3]).run)
        want = read_psf("3px", tuned.spec)
        assert want is not None
        got = tuned.module.average.network.end.psf.kernels
        assert np.allclose(got.numpy(), want.kernels, atol=1e-7)
    without = short | {"model.options.psf": "none"}
    tuned = checkpoint.load(finetune(seen, config=without, out=tmp_path / "none").run)
    assert tuned.module.average.network.end.psf is None
    with pytest.raises(DataError, match=r"psf\.fits does not exist"):
        finetune(seen, config=short, out=tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_headers_say_how_galaxies_were_made_to_look(
    seen: Path, trained: Path, tmp_path: Path
) -> None:
    def cards(source: Path, **look: Any) -> tuple[Any, Any]:
        out = tmp_path / f"{source.name}-{len(list(tmp_path.iterdir()))}"
        sample(source, 1, formats=["fits"], out=out, **look)
        with fits.open(out / "galaxy_000000.fits") as hdus:
            return hdus[0].header, hdus[1].header

    primary, band = cards(seen, truncation=0.5)
    assert primary["TRUNC"] == 0.5
    assert primary["PSF"].endswith("psf.fits")
    assert "GRAIN" not in primary
    assert band["PSFFWHM"] == 0.7
    primary, band = cards(seen, psf="none", noise=False)
    assert (primary["PSF"], primary["GRAIN"]) == ("none", False)
    assert "PSFFWHM" not in band
    primary, band = cards(seen, psf="moffat:g=0.5,r=0.6,i=0.4,beta=3")
    assert primary["PSF"] == "moffat:g=0.5,r=0.6,i=0.4,beta=3"
    assert band["PSFFWHM"] == 0.5
    primary, band = cards(trained)
    assert "PSF" not in primary
    assert band["PSFFWHM"] == 0.7


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (
            {"psf": "none"},
            "--psf none: this model was trained without a PSF layer, so its galaxies",
        ),
        ({"truncation": -1.0}, "--truncation -1"),
    ],
)
def test_looks_that_a_model_does_not_have(
    trained: Path, tmp_path: Path, look: dict, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        sample(trained, 1, out=tmp_path / "out", **look)
    assert not (tmp_path / "out").exists()


def test_noise_that_a_model_does_not_have(tmp_path: Path) -> None:
    from galgen import DCGAN

    plain = DCGAN(size=16, bands=2, **OPTIONS, grain=False)
    with pytest.raises(ConfigError, match=r"--no-noise: .*model\.options\.grain"):
        plain.sample(1, noise=False)
    assert torch.equal(plain.sample(3, noise=True), plain.sample(3))


def test_a_psf_that_cannot_be_made_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    for psf, words in (("nowhere.fits", "nowhere.fits does not exist"), ("9,9", "one for each")):
        with pytest.raises(UserError, match=words):
            run(tmp_path / "runs", model__options={**OPTIONS, "psf": psf})
    assert not (tmp_path / "runs").exists()
