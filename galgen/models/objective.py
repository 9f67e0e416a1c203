"""What each network is asked to make small: adversarial loss, and penalties where due."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from galgen.config import Recipe
from galgen.losses import Critic, drift, gradient_penalty, make_loss, squared_gradient

#: Takes a name and a scalar to log.
Note = Callable[[str, Tensor], None]

#: Gamma of R1 and R2 at 32 px where the recipe says ``auto``.
GAMMA_AT_32_PX = 0.25
#: Pixel variance below which a set counts as quiet, and gamma falls in proportion.
QUIET_VARIANCE = 0.005


class Objective:
    """The losses of a recipe.

    Parameters
    ----------
    recipe
        Loss, penalties and their weights.
    size
        Side length in pixels.
    variance
        Mean over pixels of the variance between images in network space; it and the size
        decide an automatic gamma.

    Attributes
    ----------
    decay
        Factor of R1 and R2, which a schedule sets.
    """

    def __init__(self, recipe: Recipe, size: int, variance: float = QUIET_VARIANCE) -> None:
        self.recipe, self.size, self.variance = recipe, size, variance
        self.decay = 1.0
        self.loss = make_loss(recipe.loss, recipe.label_noise)

    @property
    def gammas(self) -> tuple[float, float]:
        """Weights (R1, R2); chosen from size and variance where the recipe says ``auto``.

        The squared gradient of the score with respect to the image grows with the number of
        pixels that move together, so gamma does too: `GAMMA_AT_32_PX` times (size / 32)^2. The
        critic of a set whose images hardly differ (radio sources on black) needs steep
        gradients to see anything, so gamma falls with the variance below `QUIET_VARIANCE`.
        With WGAN-GP's own penalty ``auto`` is none. Found by trial on the built-in sets and on
        SDSS, HSC and FIRST cutouts.
        """
        auto = GAMMA_AT_32_PX * (self.size / 32) ** 2 * min(1.0, self.variance / QUIET_VARIANCE)
        if self.recipe.gp:
            auto = 0.0
        r1, r2 = (auto if w == "auto" else float(w) for w in (self.recipe.r1, self.recipe.r2))
        return r1, r2

    def critic(
        self, critic: Critic, real: Tensor, fake: Tensor, mix: Tensor | None, note: Note
    ) -> tuple[Tensor, Tensor]:
        """Loss of the critic, and the signs (N,) that tell how sure it is of each real image.

        A score's sign is the critic's verdict where the loss has a boundary at 0; else that of
        its difference to a generated image's.

        Parameters
        ----------
        critic
            Images (N, C, H, W) to scores (N,).
        real, fake
            Images in network space; no gradient flows into them.
        mix
            Uniform numbers (N, 1, 1, 1) for the gradient penalty's points, where penalties are
            due in this step; None where they are not.
        note
            Takes what is worth logging.
        """
        # Differences of scores lose their meaning in bf16.
        real_scores, fake_scores = critic(real).float(), critic(fake).float()
        loss = self.loss.critic(real_scores, fake_scores)
        note("loss_critic", loss)
        note("score_real", real_scores.mean())
        note("score_fake", fake_scores.mean())
        if self.recipe.drift:
            loss = loss + self.recipe.drift * drift(real_scores)
        if mix is not None:
            # A lazy penalty weighs as much as one at every step would.
            loss = loss + self.recipe.penalty_every * self._penalty(critic, real, fake, mix, note)
        margin = real_scores if self.loss.has_boundary else real_scores - fake_scores
        return loss, margin.detach().sign()

    def _penalty(
        self, critic: Critic, real: Tensor, fake: Tensor, mix: Tensor, note: Note
    ) -> Tensor:
        total = torch.zeros((), device=real.device)
        r1, r2 = (self.decay * weight for weight in self.gammas)
        # A penalty's gradient is off by 5 % in bf16, so it is taken in float32.
        with torch.autocast(real.device.type, enabled=False):
            real, fake = real.float(), fake.float()
            for name, weight, images in (("r1", r1, real), ("r2", r2, fake)):
                if weight:
                    value = squared_gradient(critic, images)
                    note(name, value)
                    total = total + weight * value
            if self.recipe.gp:
                value = gradient_penalty(critic, real, fake, mix)
                note("gradient_penalty", value)
                total = total + self.recipe.gp * value
        return total

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the generator; gradients flow into `fake`."""
        real_scores = None
        if self.loss.needs_real_scores:
            with torch.no_grad():
                real_scores = critic(real).float()
        return self.loss.generator(real_scores, critic(fake).float())
