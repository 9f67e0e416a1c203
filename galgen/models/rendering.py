"""Runs a generator so that a picture never depends on what else is drawn with it.

Kernels differ with the batch size, so the generator always runs on chunks of one shape, and
sample *i* always sits in row ``i % CHUNK`` of its chunk. Latents and noise are keyed by (seed,
sample number); everything runs in float32.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.condition import Entrance
from galgen.nn.style import StyleGenerator
from galgen.randomness import generator as keyed

CHUNK = 32


class Renderer:
    r"""Samples of one seed, from their codes to images.

    A *code* is what a generator makes an image of, beside noise: the styles of all layers for a
    `StyleGenerator`, the latent z for any other.

    Parameters
    ----------
    generator
        In evaluation mode; has ``latent``, ``size``, ``noise_shapes`` and
        ``forward(z, condition, noise)``.
    seed
        Seed of the sample stream.
    truncation
        psi of :math:`w' = \bar w + \psi (w - \bar w)` (Karras et al. 2019, arXiv:1812.04948,
        section 2.2), and of :math:`\psi z` for a generator without styles: 1 for none, 0 for the
        mean galaxy.
    finish
        Applied to whole chunks of images: the inverse stretch.
    attempt
        How often the samples have been drawn before: another latent and other noise each time.

    Raises
    ------
    ConfigError
        If `truncation` is negative, or the generator's latents cannot be truncated.
    """

    def __init__(
        self,
        generator: nn.Module,
        seed: int,
        truncation: float = 1.0,
        finish: Callable[[Tensor], Tensor] | None = None,
        attempt: int = 0,
    ) -> None:
        if not (math.isfinite(truncation) and truncation >= 0):
            raise ConfigError(
                f"--truncation {truncation:g}: give 1 for none, 0 for the mean galaxy, or a number "
                "between."
            )
        if truncation != 1 and not getattr(generator, "truncates", True):
            raise ConfigError(
                f"--truncation {truncation:g}: only the direction of this pair's latents counts, "
                "so none is nearer to the mean than another; leave it out."
            )
        self.generator, self.seed, self.finish = generator, seed, finish
        self.truncation, self.attempt = truncation, attempt
        self.device = next(generator.parameters()).device
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        shapes = cast(Sequence[tuple[int, int, int]], generator.noise_shapes)
        self.noise_shapes = [tuple(shape) for shape in shapes]
        self._centres: dict[bytes | None, Tensor] = {}

    def again(self, attempt: int) -> Renderer:
        """The same for another attempt."""
        if attempt == self.attempt:
            return self
        other = copy.copy(self)
        other.attempt = attempt
        return other

    @property
    def has_styles(self) -> bool:
        """Whether codes are styles (L, W), rather than latents."""
        return isinstance(self.generator, StyleGenerator)

    def stream(
        self, indices: Sequence[int], condition: Tensor | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (sample numbers, images (n, C, H, W) on the CPU) by chunks.

        Parameters
        ----------
        indices
            Sample numbers, in any order; ascending ones share chunks best.
        condition
            Rows (N, width), one per entry of `indices`, for a conditional generator.
        """
        for places in in_chunks(indices):
            members = [indices[place] for place in places]
            asked = None if condition is None else condition[places]
            rows = [index % CHUNK for index in members]
            yield members, self._images(self.codes(members, asked), asked, members, rows)

    @torch.no_grad()
    def codes(
        self,
        indices: Sequence[int],
        condition: Tensor | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Truncated codes of samples: styles (n, L, W), or latents (n, latent).

        Parameters
        ----------
        indices, condition
            As `stream`; each sample once.
        change
            Done to the latents (CHUNK, latent), where the pair has no styles after truncation.
        """
        found: dict[int, Tensor] = {}
        for places in in_chunks(indices):
            z = torch.zeros(CHUNK, self.latent)
            for place in places:
                z[indices[place] % CHUNK] = self._draw(indices[place])[0]
            rows = [indices[place] % CHUNK for place in places]
            asked = self._padded(condition if condition is None else condition[places], rows)
            codes = self._encode(z.to(self.device), asked, rows, change)
            found |= {place: codes[row] for place, row in zip(places, rows, strict=True)}
        return torch.stack([found[place] for place in range(len(indices))])

    def images(
        self,
        codes: Tensor,
        condition: Tensor | None,
        noise_of: Sequence[int],
        rows: Sequence[int | None],
    ) -> Tensor:
        """Images (n, C, H, W) of codes, on the CPU.

        Parameters
        ----------
        codes
            (n, L, W) or (n, latent).
        condition
            Rows (n, width) of a conditional generator without styles.
        noise_of
            Sample numbers whose noise each image has.
        rows
            Where each must sit in its chunk, so that it is bit for bit the sample that it repeats;
            None for anywhere.
        """
        found: dict[int, Tensor] = {}
        for chunk in _packed(rows):
            places = list(chunk.values())
            asked = None if condition is None else condition[places]
            numbers = [noise_of[place] for place in places]
            images = self._images(codes[places], asked, numbers, list(chunk))
            found |= dict(zip(places, images, strict=True))
        return torch.stack([found[place] for place in range(len(codes))])

    @torch.no_grad()
    def _images(
        self, codes: Tensor, condition: Tensor | None, noise_of: Sequence[int], rows: Sequence[int]
    ) -> Tensor:
        """At most one chunk of images, each computed in its own row."""
        pixels = [math.prod(shape) for shape in self.noise_shapes]
        flat = torch.zeros(CHUNK, sum(pixels))
        for row, index in zip(rows, noise_of, strict=True):
            flat[row] = self._draw(index)[1]
        noise = [
            part.view(CHUNK, *shape).to(self.device)
            for part, shape in zip(flat.split(pixels, dim=1), self.noise_shapes, strict=True)
        ]
        whole = torch.zeros(CHUNK, *codes.shape[1:], device=self.device)
        whole[list(rows)] = codes
        with torch.autocast(self.device.type, enabled=False):
            if isinstance(self.generator, StyleGenerator):
                images = self.generator.synthesise(whole, noise)
            else:
                images = self.generator(whole, self._padded(condition, rows), noise)
        images = _at_full_size(images.float(), int(self.generator.size)).cpu()  # type: ignore[arg-type]
        if self.finish is not None:
            images = self.finish(images)
        return images[list(rows)]

    def _padded(self, condition: Tensor | None, rows: Sequence[int]) -> Tensor | None:
        """Conditions (n, width) in their rows of a chunk, zeros elsewhere, on the device."""
        if condition is None:
            return None
        whole = torch.zeros(CHUNK, condition.shape[1])
        whole[list(rows)] = condition
        return whole.to(self.device)

    def latents(self, indices: Sequence[int]) -> Tensor:
        """Latents (n, latent) of samples as they are drawn."""
        return torch.stack([self._draw(index)[0] for index in indices])

    def _draw(self, index: int) -> tuple[Tensor, Tensor]:
        """Latent and noise of a sample."""
        again = [self.attempt] if self.attempt else []
        stream = keyed(self.seed, "sample", index, *again)
        z = torch.randn(self.latent, generator=stream)
        pixels = sum(math.prod(shape) for shape in self.noise_shapes)
        return z, torch.randn(pixels, generator=stream)

    def _encode(
        self,
        z: Tensor,
        condition: Tensor | None,
        rows: Sequence[int],
        change: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        """Codes of a chunk; those outside of `rows` mean nothing."""
        if not isinstance(self.generator, StyleGenerator):
            z = z if self.truncation == 1 else self._shortened(z)
            return z if change is None else change(z)
        z = z if change is None else change(z)
        with torch.autocast(self.device.type, enabled=False):
            w = self.generator.map(z, condition)
            if self.truncation != 1:
                centre = self._centre(condition, rows)
                w = centre + self.truncation * (w - centre)
            return self.generator.spread(w)

    def _shortened(self, z: Tensor) -> Tensor:
        """Truncated latents; the number that decides their category stays."""
        short = self.truncation * z
        way_in = entrance(self.generator)
        if way_in is not None and way_in.categories is not None:
            place = way_in.given.settings.codes
            short[:, place] = z[:, place]
        return short

    def _centre(self, condition: Tensor | None, rows: Sequence[int]) -> Tensor:
        """Mean style of the conditions of each of a chunk's `rows`, (CHUNK, W), zeros in the
        others; or of all, (1, W).
        """
        assert isinstance(self.generator, StyleGenerator)
        if condition is None:
            if None not in self._centres:
                self._centres[None] = self.generator.mean_style()
            return self._centres[None]
        keys = [row.numpy().tobytes() for row in condition[list(rows)].cpu()]
        found: dict[bytes | None, Tensor] = {}
        for key, row in zip(keys, rows, strict=True):
            if key not in found:
                known = self._centres.get(key)
                found[key] = self.generator.mean_style(condition[[row]]) if known is None else known
        # Classes come again, numbers hardly ever: of those the last chunk's are enough.
        way_in = entrance(self.generator)
        numbers = way_in is not None and way_in.given.numbers > 0
        self._centres = found if numbers else self._centres | found
        centres = torch.zeros(len(condition), found[keys[0]].shape[1], device=condition.device)
        centres[list(rows)] = torch.cat([found[key] for key in keys])
        return centres


def entrance(generator: nn.Module) -> Entrance | None:
    """Where conditions and codes join the latent; None for a generator that takes none."""
    return next((m for m in generator.modules() if isinstance(m, Entrance)), None)


def in_chunks(indices: Sequence[int]) -> list[list[int]]:
    """Places in `indices` of as few chunks as there can be, each sample in a row of its own.

    Which samples share a chunk changes nothing about them, so those that are left of many chunks
    are put together.

    >>> in_chunks([40, 8, 3])
    [[0, 2], [1]]
    """
    chunks: list[list[int]] = []
    seen = [0] * CHUNK
    for place, index in enumerate(indices):
        number = seen[index % CHUNK]
        seen[index % CHUNK] += 1
        if number == len(chunks):
            chunks.append([])
        chunks[number].append(place)
    return chunks


def _packed(rows: Sequence[int | None]) -> list[dict[int, int]]:
    """As few chunks as the wishes allow, each a dict of row to place."""
    chunks: list[dict[int, int]] = []
    free = [place for place, row in enumerate(rows) if row is None]
    for place, row in enumerate(rows):
        if row is not None:
            chunk = next((c for c in chunks if row not in c), None)
            if chunk is None:
                chunks.append(chunk := {})
            chunk[row] = place
    while free:
        chunk = next((c for c in chunks if len(c) < CHUNK), None)
        if chunk is None:
            chunks.append(chunk := {})
        empty = [row for row in range(CHUNK) if row not in chunk]
        chunk.update(zip(empty, free, strict=False))
        free = free[len(empty) :]
    return chunks


def _at_full_size(images: Tensor, size: int) -> Tensor:
    """Images of a pair that is still growing, at their final size."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
