"""How conditions and codes enter a generator, and what a critic makes of them.

A condition is one row (N, width) a galaxy as `galgen.conditions.Conditions.encode` makes it; a
row of zeros asks for nothing, so that one network does both. An `Embedding` makes a vector of zeros
of it; a `Branch` may make something else, since batch norm has an offset of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from galgen.nn.layers import LEAK

#: Names of the modules below in generators and critics, by which fine-tuning knows them.
ENTRANCE, PROJECTION, GUESS = "entrance", "projection", "guess"
#: Hidden units of what numbers pass.
_HIDDEN = 64


class ConditionSettings(BaseModel):
    """Options of every pair.

    Attributes
    ----------
    conditioning
        How the critic uses conditions: ``projection`` (Miyato and Koyama 2018, arXiv:1802.05637),
        ``auxiliary``, which lets it tell them from the image (Odena et al. 2017,
        arXiv:1610.09585), or ``both``.
    codes
        The first so many numbers of the latent are codes that the critic must find in the image
        (InfoGAN, Chen et al. 2016, arXiv:1606.03657).
    categories
        Categories of one more code, which is discrete; 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    conditioning: Literal["projection", "auxiliary", "both"] = "projection"
    codes: Annotated[int, Field(ge=0)] = 0
    categories: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Given:
    """What a pair is given beside the latent.

    Attributes
    ----------
    classes, numbers
        How many there are.
    settings
        What is made of them.
    """

    classes: int = 0
    numbers: int = 0
    settings: ConditionSettings = field(default_factory=ConditionSettings)

    @property
    def width(self) -> int:
        """Length of a row: a place a class, the numbers, and whether these are known."""
        return self.classes + (self.numbers + 1 if self.numbers else 0)

    @property
    def projects(self) -> bool:
        """Whether the score depends on the conditions."""
        return bool(self.width) and self.settings.conditioning != "auxiliary"

    @property
    def guesses(self) -> bool:
        """Whether the critic tells conditions or codes from the image."""
        told = bool(self.width) and self.settings.conditioning != "projection"
        return told or self.settings.codes > 0 or self.settings.categories > 0


class Embedding(nn.Module):
    """Rows of conditions (N, width) to vectors (N, features); a row of zeros to zero.

    A class has a vector of its own. Numbers pass a linear map and a dense network of one hidden
    layer, so that the vector bends as they change.

    Parameters
    ----------
    given
        What a row holds.
    features
        Length of the vectors.
    std
        Standard deviation that their entries start with, about.
    """

    def __init__(self, given: Given, features: int, std: float) -> None:
        super().__init__()
        self.given, self.features = given, features
        if given.classes:
            self.classes = nn.Parameter(std * torch.randn(given.classes, features))
        if given.numbers:
            self.line = nn.Parameter(std * torch.randn(given.numbers, features))
            self.hidden = nn.Linear(given.numbers, _HIDDEN)
            # Bends all over the range that standardised numbers have.
            nn.init.normal_(self.hidden.weight)
            nn.init.uniform_(self.hidden.bias, -2, 2)
            self.bent = nn.Parameter(std / math.sqrt(_HIDDEN) * torch.randn(_HIDDEN, features))

    def forward(self, rows: Tensor) -> Tensor:
        """In float32."""
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.float()
            total = rows.new_zeros(len(rows), self.features)
            if self.given.classes:
                total = total + rows[:, : self.given.classes] @ self.classes
            if self.given.numbers:
                numbers, known = rows[:, self.given.classes : -1], rows[:, -1:]
                bent = F.leaky_relu(self.hidden(numbers), LEAK) @ self.bent
                total = total + known * (numbers @ self.line + bent)
        return total

    @torch.no_grad()
    def silence(self) -> None:
        """Make it zero, whatever the conditions, in a way that training can leave again."""
        for name in ("classes", "line", "bent"):
            if hasattr(self, name):
                getattr(self, name).zero_()


class Branch(nn.Module):
    """Layers of their own that rows of conditions (N, width) pass, in pairs that do not embed them.

    Attributes
    ----------
    first
        Name of the parameter that the rows meet, and its axis of their entries.
    """

    first: tuple[str, int]

    def silence(self) -> None:
        """Make it zero, whatever the conditions, in a way that training can leave again."""
        raise NotImplementedError


class Entrance(nn.Module):
    """Where conditions and a discrete code join the latent z: vectors that are added to it.

    Continuous codes are numbers of z as they are; the category follows from another number of z,
    by equal parts of the normal distribution.

    Parameters
    ----------
    latent
        Length of z.
    given
        What there is beside it.
    """

    def __init__(self, latent: int, given: Given) -> None:
        super().__init__()
        self.given = given
        self.embedding = Embedding(given, latent, std=1.0) if given.width else None
        categories = given.settings.categories
        self.categories = nn.Parameter(torch.randn(categories, latent)) if categories else None

    def offset(self, z: Tensor, condition: Tensor | None) -> Tensor | None:
        """What is added to z (N, latent) for these conditions (N, width); None for nothing."""
        total = None
        if self.embedding is not None:
            if condition is None:
                raise ValueError("this generator is conditional: give conditions")
            total = cast(Tensor, self.embedding(condition))
        if self.categories is not None:
            chosen = self.categories[category(z, self.given.settings)]
            total = chosen if total is None else total + chosen
        return total

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """Z with all of it."""
        offset = self.offset(z, condition)
        return z if offset is None else z + offset


def category(z: Tensor, settings: ConditionSettings) -> Tensor:
    """Category numbers (N,) of latents (N, latent)."""
    uniform = 0.5 * (1 + torch.erf(z[:, settings.codes].float() / math.sqrt(2)))
    return (uniform * settings.categories).long().clamp_max(settings.categories - 1)


class Guess(nn.Module):
    """What a critic reads in its features: class, numbers, codes and category.

    Parameters
    ----------
    features
        Length of the critic's features.
    given
        What there is to read.
    """

    def __init__(self, features: int, given: Given) -> None:
        super().__init__()
        self.given, settings = given, given.settings
        told = settings.conditioning != "projection"
        self.parts = [
            given.classes if told else 0,
            given.numbers if told else 0,
            settings.codes,
            settings.categories,
        ]
        self.read = nn.Linear(features, sum(self.parts))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F) to what is read, one column a class, number, code and category."""
        with torch.autocast(features.device.type, enabled=False):
            return cast(Tensor, self.read(features.float()))

    def missed(self, read: Tensor, condition: Tensor) -> Tensor:
        r"""How far it is from the conditions asked for: cross entropy of the class, and half the
        squared error of the numbers in standard deviations, mean over the batch.
        """
        classes, numbers, _, _ = read.split(self.parts, dim=1)
        total = read.new_zeros(())
        if classes.shape[1]:
            wanted = condition[:, : classes.shape[1]]
            total = total - (wanted * F.log_softmax(classes, dim=1)).sum(dim=1).mean()
        if numbers.shape[1]:
            wanted, known = condition[:, self.given.classes : -1], condition[:, -1:]
            total = total + 0.5 * (known * (numbers - wanted).square()).sum(dim=1).mean()
        return total

    def missed_codes(self, read: Tensor, z: Tensor) -> Tensor:
        r"""Minus the bound on the mutual information of codes and image (Chen et al. 2016,
        equation 5), less its constant: :math:`-E \log Q(c|x)` with a normal Q of unit variance for
        each code and a categorical one for the category.
        """
        _, _, codes, categories = read.split(self.parts, dim=1)
        settings = self.given.settings
        total = read.new_zeros(())
        if settings.codes:
            wanted = z[:, : settings.codes].to(codes)
            total = total + 0.5 * (codes - wanted).square().sum(dim=1).mean()
        if settings.categories:
            total = total + F.cross_entropy(categories, category(z, settings))
        return total
