"""What it costs that a critic misreads conditions and codes in an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from galgen.nn.condition import Guess
from galgen.sections import Recipe


@dataclass(frozen=True)
class Reading:
    """Losses of a critic's `Guess` for one batch.

    The critic learns to read conditions from real images alone, as in Choi et al. 2018
    (arXiv:1711.09020, equations 2 and 3): Odena et al. 2017 let it learn from generated ones too,
    so that it comes to believe what the generator got wrong. Codes exist in generated images only.

    Attributes
    ----------
    guess
        What reads.
    condition
        Rows (N, width) that were asked for, None without conditions.
    z
        Latents (N, latent) of the generated images.
    recipe
        Has the weights ``auxiliary`` and ``information``.
    """

    guess: Guess
    condition: Tensor | None
    z: Tensor
    recipe: Recipe

    def of_real(self, read: Tensor | None) -> Tensor:
        """For the critic, on real images."""
        return self._conditions(read)

    def of_fake(self, read: Tensor | None) -> Tensor:
        """For the critic, on generated images."""
        return self._codes(read)

    def of_generator(self, read: Tensor | None) -> Tensor:
        """For the generator, on its images."""
        return self._conditions(read) + self._codes(read)

    def _conditions(self, read: Tensor | None) -> Tensor:
        if read is None or self.condition is None:
            return torch.zeros((), device=self.z.device)
        return self.recipe.auxiliary * self.guess.missed(read, self.condition)

    def _codes(self, read: Tensor | None) -> Tensor:
        if read is None:
            return torch.zeros((), device=self.z.device)
        return self.recipe.information * self.guess.missed_codes(read, self.z)
