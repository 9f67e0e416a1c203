"""A small network that names the class of a galaxy, trained on real images.

It judges generated galaxies: one that was asked for as a spiral should be called one. What its
word is worth is what it scores on real galaxies that it has not seen (`galgen.metrics.agreement`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galgen.data.augment import Augmentation
from galgen.errors import DataError
from galgen.metrics.nearest import ORIENTATIONS, orient
from galgen.randomness import generator, key

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Images are averaged over blocks of pixels until their side is at most this.
SIDE = 64
#: Images shown in all, however large the set: 20 s of one processor core at 64 pixels.
SHOWN = 24_000
BATCH = 64
_WIDTHS = (16, 32, 64, 96)
_RATE, _WARM, _DECAY = 3e-3, 0.2, 0.02
_SMOOTHING = 0.1
_CHUNK = 256


@dataclass(frozen=True)
class Classifier:
    """A trained network with what prepares its input.

    Attributes
    ----------
    classes
        Class names, in the order of the probabilities.
    network
        Prepared images to one number a class.
    mean, std
        Of each band of the training images, (C, 1, 1).
    """

    classes: tuple[str, ...]
    network: nn.Module
    mean: Tensor
    std: Tensor

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (N, K) of the classes, all equally common beforehand.

        Parameters
        ----------
        images
            (N, C, H, W) in the space of the training images. The answer is the mean over 8
            quarter turns and flips, so it does not depend on which way up a galaxy is.
        """
        self.network.eval()
        rows = [
            torch.stack([self.network(turn).softmax(1) for turn in _orientations(prepared)]).mean(0)
            for prepared in _prepare(images, self.mean, self.std).split(_CHUNK)
        ]
        return torch.cat(rows) if rows else torch.zeros(0, len(self.classes))


def train_classifier(
    images: Tensor,
    labels: NDArray[Any],
    classes: Sequence[str],
    *,
    seed: int = 0,
    shown: int = SHOWN,
    progress: Callable[[int], None] | None = None,
) -> Classifier:
    """Train a network to name the classes of real galaxies.

    Seven convolutions with batch normalisation, one cycle of the learning rate (Smith & Topin
    2017, arXiv:1708.07120), smoothed labels (Szegedy et al. 2016). Each batch holds as many
    galaxies of one class as of any other, turned by quarter turns, flipped and shifted by up to
    a sixteenth of the side. Heavy tails of the brightness are drawn in by an asinh.

    Parameters
    ----------
    images
        (N, C, H, W), network space for fluxes, any linear scale for pictures.
    labels
        (N,) class numbers.
    classes
        Their names.
    seed
        The same seed gives the same network on one machine. Generators that others draw from
        stay as they are.
    shown
        Images shown in all.
    progress
        Called with the number of images of each step.

    Raises
    ------
    DataError
        If a class has no image, or there is only one class.
    """
    numbers = np.asarray(labels, dtype=np.int64)
    members = [np.flatnonzero(numbers == k) for k in range(len(classes))]
    if len(classes) < 2:
        raise DataError(f"a classifier needs two classes or more, not {len(classes)}.")
    for name, rows in zip(classes, members, strict=True):
        if not len(rows):
            raise DataError(f"class {name!r} has no real image to train a classifier on.")
    images = images.detach().float().cpu()
    # In float64, because a sum of many pixels in float32 loses digits.
    mean = images.double().mean((0, 2, 3))[:, None, None].float()
    std = images.double().std((0, 2, 3))[:, None, None].float()
    std = torch.where(std > 0, std, torch.ones(()))
    prepared = _prepare(images, mean, std)
    augment = Augmentation("quarter", flip=True, shift=max(1, prepared.shape[-1] // 16))
    turns = generator(seed, "classifier turns")
    targets = torch.from_numpy(numbers)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        # Not torch.manual_seed, which would reseed GPUs too, and nobody sets these back.
        torch.default_generator.manual_seed(key(seed, "classifier weights"))
        network = _network(prepared.shape[1], prepared.shape[-1], len(classes)).train()
        steps = max(1, shown // BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _RATE, total_steps=steps + 1, pct_start=_WARM
        )
        for rows in _batches(members, steps, seed):
            batch = augment.apply(prepared[rows], augment.draw(len(rows), turns))
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(batch), targets[rows], label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress(len(rows))
    return Classifier(tuple(classes), network.eval(), mean, std)


def _prepare(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardised by band, heavy tails drawn in, and small enough."""
    images = images.detach().float().cpu()
    block = -(-images.shape[-1] // SIDE)
    if block > 1:
        side = images.shape[-1] // block * block
        start = (images.shape[-1] - side) // 2
        window = slice(start, start + side)
        images = F.avg_pool2d(images[..., window, window], block)
    return torch.asinh((images - mean) / std)


def _network(bands: int, side: int, classes: int) -> nn.Sequential:
    """Strided and plain convolutions in turn; the first keeps the side of small images."""
    strides = (2 if side > SIDE // 2 else 1, 2, 2, 2)
    layers = _convolution(bands, _WIDTHS[0], strides[0])
    for (before, after), stride in zip(pairwise(_WIDTHS), strides[1:], strict=True):
        layers += [*_convolution(before, after, stride), *_convolution(after, after, 1)]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(_WIDTHS[-1], classes))
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    # The batch normalisation has the bias.
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def _batches(
    members: Sequence[NDArray[np.int64]], steps: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch: the classes in equal parts, each gone through before it repeats."""
    rng = np.random.default_rng(key(seed, "classifier batches"))
    queues = [rng.permutation(rows) for rows in members]
    for step in range(steps):
        parts = []
        # Places are dealt in turn over batches, so that no class gets the odd one every time.
        places = np.bincount(np.arange(step * BATCH, (step + 1) * BATCH) % len(members),
                             minlength=len(members))  # fmt: skip
        for k, places_of_class in enumerate(places):
            while len(queues[k]) < places_of_class:
                queues[k] = np.concatenate([queues[k], rng.permutation(members[k])])
            parts.append(queues[k][:places_of_class])
            queues[k] = queues[k][places_of_class:]
        yield np.concatenate(parts)


def _orientations(images: Tensor) -> Iterator[Tensor]:
    for orientation in range(ORIENTATIONS):
        yield orient(images, orientation)
