"""What a trained pair gives: galaxies, each decided by the seed and its number alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.io.psf import read_psf
from galgen.models.rendering import CHUNK, Renderer
from galgen.nn.ending import End
from galgen.randomness import generator as keyed

if TYPE_CHECKING:
    from galgen.stretch import Stretch
    from galgen.training.ema import GeneratorEMA

__all__ = ["CHUNK", "KERNELS", "Look", "SamplingModule", "draw_labels", "generate"]

#: Where a generator's state keeps the PSF that it ends in.
KERNELS = "end.psf.kernels"


@dataclass(frozen=True)
class Look:
    """How samples look, whichever they are.

    Attributes
    ----------
    truncation
        Towards the mean galaxy: 1 for none, 0 for the mean itself.
    psf
        Another PSF than the one that the generator was trained with, as in
        `galgen.io.psf.read_psf`; ``none`` leaves it out.
    noise
        False leaves the grain out, the noise of sky and photons.
    """

    truncation: float = 1.0
    psf: str | None = None
    noise: bool = True


def draw_labels(seed: int, indices: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Class numbers by the training set's class frequencies, keyed by sample."""
    edges = torch.tensor(counts, dtype=torch.float64).cumsum(0)
    edges = edges / edges[-1]
    points = torch.stack(
        [torch.rand((), dtype=torch.float64, generator=keyed(seed, "label", i)) for i in indices]
    )
    return torch.searchsorted(edges, points, right=True).clamp_max(len(counts) - 1)


def generate(
    generator: nn.Module,
    indices: Sequence[int],
    *,
    seed: int,
    labels: Tensor | None = None,
    truncation: float = 1.0,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (sample numbers, images (n, C, H, W) in network space on the CPU) by chunks.

    Parameters
    ----------
    generator, truncation, finish
        As `galgen.models.rendering.Renderer`.
    indices, labels
        As its `stream`.
    seed
        Seed of the sample stream.
    """
    return Renderer(generator, seed, truncation, finish).stream(indices, labels)


class SamplingModule(L.LightningModule):
    """What a trained pair gives: galaxies of the averaged generator, in flux."""

    classes: tuple[str, ...]
    class_counts: list[int]
    generator: nn.Module
    spec: ImageSpec
    options: Mapping[str, Any]

    @property
    def average(self) -> GeneratorEMA:
        """The averaged generator, which samples are drawn from."""
        raise NotImplementedError

    @property
    def stretch(self) -> Stretch | None:
        """The map between flux and network space; None before any data were seen."""
        raise NotImplementedError

    def sample_labels(
        self, indices: Sequence[int], seed: int, label: str | None = None
    ) -> Tensor | None:
        """Class numbers for samples: all `label`, or by the training set's frequencies.

        Raises
        ------
        ConfigError
            If the label is unknown, or the model is not conditional.
        """
        if not self.classes:
            if label is not None:
                raise ConfigError(
                    f"--label {label}: this model was trained without classes, leave it out."
                )
            return None
        if label is None:
            return draw_labels(seed, indices, self.class_counts)
        if label not in self.classes:
            raise ConfigError(
                f"--label {label} is not a class of this model: choose one of "
                f"{', '.join(self.classes)}."
            )
        return torch.full((len(indices),), self.classes.index(label), dtype=torch.long)

    # -- point spread function -----------------------------------------------------------

    def set_psf(self, kernels: Tensor | None) -> None:
        """Set the kernels (bands, k, k) that the generators end in; None leaves the PSF out.

        Raises
        ------
        ValueError
            If the pair was built without a PSF layer.
        """
        for network in (self.generator, self.average.network):
            network.end.set_kernels(kernels)  # type: ignore[operator, union-attr]

    def make_psf(self, spec: ImageSpec) -> None:
        """Make the PSF that the options say for such images, where a layer for one has none yet.

        Raises
        ------
        UserError
            If it cannot be made; see `galgen.io.psf.read_psf`.
        """
        end = getattr(self.generator, "end", None)
        if isinstance(end, End) and end.psf is not None and end.psf.kernels is None:
            psf = read_psf(self.options["psf"], spec)
            assert psf is not None
            self.set_psf(torch.from_numpy(psf.kernels))

    # -- samples -------------------------------------------------------------------------

    def renderer(self, seed: int = 0, look: Look | None = None) -> Renderer:
        """What draws samples of a seed from the averaged generator, in flux.

        Raises
        ------
        ConfigError
            If the pair has no truncation, PSF or grain to change.
        """
        look = look or Look()
        network = self.average.network.to(self.device).eval()
        if look.psf is not None and not ends_in_psf(network):
            raise ConfigError(
                "--psf: this model was trained without a PSF layer, so its galaxies carry the "
                "data's own PSF; leave it out, or train one with model.options.psf."
            )
        end = getattr(network, "end", None)
        if not look.noise and (not isinstance(end, End) or end.grain is None):
            raise ConfigError(
                "--no-noise: this model has no noise of its own to leave out (model.options.grain)."
            )
        if look != Look(truncation=look.truncation):
            network = copy.deepcopy(network)
            assert isinstance(network.end, End)
            network.end.quiet = not look.noise
        if look.psf is not None:
            chosen = read_psf(look.psf, self.spec, "--psf")
            kernels = None if chosen is None else torch.from_numpy(chosen.kernels)
            network.end.set_kernels(kernels)  # type: ignore[union-attr, operator]
        finish: Callable[[Tensor], Tensor] | None = None
        if self.stretch is not None:
            finish = self.stretch.inverse
        return Renderer(network, seed, look.truncation, finish)

    def sample_chunks(
        self, indices: Sequence[int], *, seed: int = 0, label: str | None = None, **look: Any
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (sample numbers, flux (n, C, H, W)) by chunks, from the averaged generator.

        The flux is float32 on the CPU, in the training data's unit, or in network space if the
        model has never seen data.

        Parameters
        ----------
        indices, seed, label
            Which galaxies.
        look
            ``truncation``, ``psf`` and ``noise`` as in `Look`.
        """
        labels = self.sample_labels(indices, seed, label)
        return self.renderer(seed, Look(**look)).stream(indices, labels)

    def sample(
        self, n: int, *, seed: int = 0, start: int = 0, label: str | None = None, **look: Any
    ) -> Tensor:
        """Draw galaxies ``start`` to ``start + n`` of a seed.

        Parameters
        ----------
        n, seed, start, label
            Which galaxies.
        look
            ``truncation``, ``psf`` and ``noise`` as in `Look`.

        Returns
        -------
        Tensor
            Flux (n, bands, size, size), float32, in the unit of the training data. Galaxy
            *i* of a seed is the same whatever `n` and `start`.
        """
        if n < 1:
            raise ConfigError(f"-n {n}: ask for at least one galaxy.")
        indices = list(range(start, start + n))
        chunks = self.sample_chunks(indices, seed=seed, label=label, **look)
        return torch.cat([flux for _, flux in chunks])


def ends_in_psf(generator: nn.Module) -> bool:
    """Whether a generator has a layer for a point spread function."""
    end = getattr(generator, "end", None)
    return isinstance(end, End) and end.psf is not None
