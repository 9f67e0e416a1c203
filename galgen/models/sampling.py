"""Sample *i* of seed *s* is the same galaxy, whatever else is drawn with it.

Kernels differ with the batch size, so the generator always runs on chunks of one shape, and
sample *i* always sits in row ``i % CHUNK`` of its chunk. Latents, labels and layer noise are
keyed by (seed, sample index); everything runs in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.randomness import generator as keyed

if TYPE_CHECKING:
    from galgen.stretch import Stretch
    from galgen.training.ema import GeneratorEMA

CHUNK = 32


def draw_labels(seed: int, indices: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Class numbers by the training set's class frequencies, keyed by sample."""
    edges = torch.tensor(counts, dtype=torch.float64).cumsum(0)
    edges = edges / edges[-1]
    points = torch.stack(
        [torch.rand((), dtype=torch.float64, generator=keyed(seed, "label", i)) for i in indices]
    )
    return torch.searchsorted(edges, points, right=True).clamp_max(len(counts) - 1)


@torch.no_grad()
def generate(
    generator: nn.Module,
    indices: Sequence[int],
    *,
    seed: int,
    labels: Tensor | None = None,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (sample indices, images (n, C, H, W) in network space on the CPU) by chunks.

    Parameters
    ----------
    generator
        In evaluation mode; has ``latent``, ``noise_shapes`` and ``forward(z, labels, noise)``.
    indices
        Sample numbers, in any order; ascending ones share chunks best.
    seed
        Seed of the sample stream.
    labels
        Class numbers, one per entry of `indices`, for a conditional generator.
    finish
        Applied to each chunk before its padding is dropped: the inverse stretch.
    """
    parameter = next(generator.parameters())
    device = parameter.device
    shapes: list[tuple[int, int, int]] = list(generator.noise_shapes)  # type: ignore[arg-type]
    latent = int(generator.latent)  # type: ignore[arg-type]
    place = {index: row for row, index in enumerate(indices)}
    chunks: dict[int, list[int]] = {}
    for index in indices:
        chunks.setdefault(index // CHUNK, []).append(index)
    pixels = [math.prod(shape) for shape in shapes]
    for members in chunks.values():
        z = torch.zeros(CHUNK, latent)
        flat = torch.zeros(CHUNK, sum(pixels))
        classes = torch.zeros(CHUNK, dtype=torch.long)
        for index in members:
            row = index % CHUNK
            stream = keyed(seed, "sample", index)
            z[row] = torch.randn(latent, generator=stream)
            flat[row] = torch.randn(sum(pixels), generator=stream)
            if labels is not None:
                classes[row] = labels[place[index]]
        noise = [
            part.view(CHUNK, *shape).to(device)
            for part, shape in zip(flat.split(pixels, dim=1), shapes, strict=True)
        ]
        with torch.autocast(device.type, enabled=False):
            images = generator(
                z.to(device), None if labels is None else classes.to(device), noise
            ).float()
        images = _whole(images, int(generator.size)).cpu()  # type: ignore[arg-type]
        if finish is not None:
            images = finish(images)
        yield members, images[[index % CHUNK for index in members]]


def _whole(images: Tensor, size: int) -> Tensor:
    """Images of a pair that is still growing, at their final size."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


class SamplingModule(L.LightningModule):
    """What a trained pair gives: galaxies of the averaged generator, in flux."""

    classes: tuple[str, ...]
    class_counts: list[int]

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

    def sample_chunks(
        self, indices: Sequence[int], *, seed: int = 0, label: str | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (sample numbers, flux (n, C, H, W)) by chunks, from the averaged generator.

        The flux is float32 on the CPU, in the training data's unit, or in network space if the
        model has never seen data.
        """
        labels = self.sample_labels(indices, seed, label)
        network = self.average.network.to(self.device).eval()
        finish: Callable[[Tensor], Tensor] | None = None
        if self.stretch is not None:
            finish = self.stretch.inverse
        yield from generate(network, indices, seed=seed, labels=labels, finish=finish)

    def sample(self, n: int, *, seed: int = 0, start: int = 0, label: str | None = None) -> Tensor:
        """Draw galaxies ``start`` to ``start + n`` of a seed.

        Returns
        -------
        Tensor
            Flux (n, bands, size, size), float32, in the unit of the training data. Galaxy
            *i* of a seed is the same whatever `n` and `start`.
        """
        if n < 1:
            raise ConfigError(f"-n {n}: ask for at least one galaxy.")
        indices = list(range(start, start + n))
        return torch.cat([flux for _, flux in self.sample_chunks(indices, seed=seed, label=label)])
