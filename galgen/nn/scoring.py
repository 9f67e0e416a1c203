"""What all critics share: features of an image, a score of them, and what else they tell."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from galgen.nn.condition import Embedding, Given, Guess


class Judgement(NamedTuple):
    """Scores (N,), and what a `Guess` reads in the same images, None where there is none."""

    scores: Tensor
    read: Tensor | None


class ScoringCritic(nn.Module):
    """A critic that makes features of an image and scores them.

    A subclass writes `features` and calls `add_head` when its other layers are there. Conditions
    enter the score by projection (Miyato and Koyama 2018, arXiv:1802.05637) where the pair's
    settings say so.

    Attributes
    ----------
    score
        Features (N, F) to (N, 1).
    projection, guess
        None where they are not asked for.
    """

    score: nn.Module
    projection: Embedding | None
    guess: Guess | None

    def add_head(
        self, score: nn.Module, features: int, given: Given, *, projects: bool = True
    ) -> None:
        """Take the score's layer, and make what the settings ask for beside it.

        Without `projects` no projection, for a critic whose features depend on the conditions.
        """
        self.score = score
        projects = projects and given.projects
        self.projection = Embedding(given, features, std=features**-0.5) if projects else None
        self.guess = Guess(features, given) if given.guesses else None

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, h, w) in network space to features (N, F)."""
        raise NotImplementedError

    def judge(self, x: Tensor, condition: Tensor | None = None) -> Judgement:
        """Images (N, bands, h, w) and conditions (N, width) to scores and guesses.

        In float32, because losses are made of small differences of scores.
        """
        features = self.features(x, condition)
        with torch.autocast(x.device.type, enabled=False):
            features = features.to(next(self.score.parameters()).dtype)
            scores = cast(Tensor, self.score(features)).squeeze(1)
            if self.projection is not None:
                if condition is None:
                    raise ValueError("this critic is conditional: give conditions")
                scores = scores + (self.projection(condition) * features).sum(dim=1)
            read = None if self.guess is None else cast(Tensor, self.guess(features))
        return Judgement(scores, read)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, h, w) in network space to scores (N,)."""
        return self.judge(x, condition).scores

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """The modules of the last unit of freezing."""
        parts = (self.score, self.projection, self.guess)
        return tuple(part for part in parts if part is not None)
