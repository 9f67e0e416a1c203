"""Sample *i* of seed *s* is the same galaxy, whatever else is drawn with it.

Kernels differ with the batch size, so the generator always runs on chunks of one shape, and
sample *i* always sits in row ``i % CHUNK`` of its chunk. Latents, labels and layer noise are
keyed by (seed, sample index); everything runs in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from galgen.randomness import generator as keyed

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
        images = images.cpu()
        if finish is not None:
            images = finish(images)
        yield members, images[[index % CHUNK for index in members]]
