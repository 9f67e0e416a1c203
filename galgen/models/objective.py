"""What each network is asked to make small: adversarial loss, and penalties where due."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from galgen.losses import Bce, Critic, drift, gradient_penalty, make_loss, squared_gradients
from galgen.models.reading import Reading
from galgen.nn.scoring import Judgement
from galgen.sections import Recipe

#: Takes a name and a scalar to log.
Note = Callable[[str, Tensor], None]
#: Images (N, C, H, W) to what the critic makes of them.
Judge = Callable[[Tensor], Judgement]

#: An automatic gamma in units of size^2 / batch: 0.25 at 32 px and batch 32.
GAMMA_RATE = 0.25 / 32
#: With more training images an automatic gamma is a quarter.
MANY_IMAGES = 5000
#: Pixel variance below which a set counts as quiet, and gamma falls in proportion.
QUIET_VARIANCE = 0.005


class Objective:
    """The losses of a recipe.

    Parameters
    ----------
    recipe
        Loss, penalties and their weights.
    size
        Side length in pixels; of a pair that grows, the final one.
    variance
        Mean over pixels of the variance between images in network space.
    batch
        Images of a global batch.
    images
        Number of training images.
    coupled
        True if the critic's batch norm couples the images of a batch, so that a penalty on the
        gradient of one image's score is not defined.

    Attributes
    ----------
    decay
        Factor of R1 and R2, which a schedule sets.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: int,
        variance: float = QUIET_VARIANCE,
        batch: int = 32,
        images: int = MANY_IMAGES,
        *,
        coupled: bool = False,
    ) -> None:
        self.recipe, self.size, self.coupled = recipe, size, coupled
        self.variance, self.batch, self.images = variance, batch, images
        self.decay = 1.0
        self.loss = make_loss(recipe.loss, recipe.label_noise)

    @property
    def gammas(self) -> tuple[float, float]:
        """Weights (R1, R2); chosen from the images where the recipe says ``auto``.

        An automatic gamma is `GAMMA_RATE` times size^2 / batch, and a quarter of that above
        `MANY_IMAGES`. The form is the heuristic of Karras et al. 2020b (arXiv:2006.06676,
        appendix C), which takes 0.0002 for large networks and sets and four times that for small
        ones. Ours was found by trial, with the relativistic loss on 300 to 4,500 galaxies of the
        built-in sets, SDSS, HSC and FIRST; with 0.0008 StyleGAN2 under the logistic loss drew
        smears on 288 galaxies.

        The critic of a set whose images hardly differ (radio sources on black) needs steep
        gradients to see anything, so gamma falls with the variance below `QUIET_VARIANCE`.
        With WGAN-GP's own penalty, and where batch norm couples the images, ``auto`` is none.
        """
        auto = GAMMA_RATE * self.size**2 / self.batch
        auto *= min(1.0, self.variance / QUIET_VARIANCE)
        if self.images > MANY_IMAGES:
            auto /= 4
        if self.recipe.gp or self.coupled:
            auto = 0.0
        r1, r2 = (auto if w == "auto" else float(w) for w in (self.recipe.r1, self.recipe.r2))
        return r1, r2

    def describe(self) -> str | None:
        """A sentence on the penalties and what their weights come from; None without any."""
        recipe, (r1, r2) = self.recipe, self.gammas
        parts, gamma = [], "gamma "
        for name, weight in (("R1", r1), ("R2", r2)):
            if weight:
                parts.append(f"{name} with {gamma}{weight:.3g}")
                gamma = ""
        text = " and ".join(parts)
        if parts and recipe.gamma_decay < 1:
            text += f", falling to {recipe.gamma_decay:.0%}"
        if any(given == "auto" and w for given, w in ((recipe.r1, r1), (recipe.r2, r2))):
            quiet = ", which hardly differ" if self.variance < QUIET_VARIANCE else ""
            text += f" ({self.size} px, batch {self.batch}, {self.images:,} images{quiet})"
        if recipe.gp:
            text += f"{', and ' if parts else ''}WGAN-GP with lambda {recipe.gp:g}"
        return f"penalties: {text}" if text else None

    def critic(
        self,
        judge: Judge,
        real: Tensor,
        fake: Tensor,
        mix: Tensor | None,
        note: Note,
        reading: Reading | None = None,
        *,
        penalised: Judge | None = None,
        together: bool = False,
        label_noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss of the critic, and the signs (N,) that tell how sure it is of each real image.

        A score's sign is the critic's verdict where the loss has a boundary at 0; else that of
        its difference to a generated image's.

        Parameters
        ----------
        judge
            The critic under the batch's conditions.
        real, fake
            Images in network space; no gradient flows into them.
        mix
            Uniform numbers (N, 1, 1, 1) for the gradient penalty's points, where penalties are
            due in this step; None where they are not.
        note
            Takes what is worth logging.
        reading
            Losses of what the critic reads in images, where it does.
        penalised
            As `judge`, in a form that can be differentiated twice; None where that one can.
        together
            Real and generated images may pass the critic as one batch, which is quicker.
        label_noise
            Uniform numbers (N, 2) for a loss with label noise.
        """
        of_real, of_fake = _judged(judge, real, fake, together)
        # Differences of scores lose their meaning in bf16.
        real_scores, fake_scores = of_real.scores.float(), of_fake.scores.float()
        if isinstance(self.loss, Bce):
            loss = self.loss.critic(real_scores, fake_scores, label_noise)
        else:
            loss = self.loss.critic(real_scores, fake_scores)
        note("loss_critic", loss)
        note("score_real", real_scores.mean())
        note("score_fake", fake_scores.mean())
        if self.recipe.drift:
            loss = loss + self.recipe.drift * drift(real_scores)
        if reading is not None:
            misread = reading.of_real(of_real.read) + reading.of_fake(of_fake.read)
            note("misread_critic", misread)
            loss = loss + misread
        if mix is not None:
            # A lazy penalty weighs as much as one at every step would.
            twice = penalised or judge
            loss = loss + self.recipe.penalty_every * self._penalty(
                lambda images: twice(images).scores, real, fake, mix, note, together
            )
        margin = real_scores if self.loss.has_boundary else real_scores - fake_scores
        return loss, margin.detach().sign()

    def _penalty(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        mix: Tensor,
        note: Note,
        together: bool,
    ) -> Tensor:
        total = torch.zeros((), device=real.device)
        r1, r2 = (self.decay * weight for weight in self.gammas)
        # A penalty's gradient is off by 5 % in bf16, so it is taken in float32.
        with torch.autocast(real.device.type, enabled=False):
            real, fake = real.float(), fake.float()
            asked = [
                (name, weight, images)
                for name, weight, images in (("r1", r1, real), ("r2", r2, fake))
                if weight
            ]
            if together and len(asked) == 2:
                values = squared_gradients(critic, torch.cat([real, fake])).chunk(2)
            else:
                values = tuple(squared_gradients(critic, images) for _, _, images in asked)
            for (name, weight, _), value in zip(asked, values, strict=True):
                note(name, value.mean())
                total = total + weight * value.mean()
            if self.recipe.gp:
                value = gradient_penalty(critic, real, fake, mix)
                note("gradient_penalty", value)
                total = total + self.recipe.gp * value
        return total

    def generator(
        self,
        judge: Judge,
        real: Tensor,
        fake: Tensor,
        note: Note,
        reading: Reading | None = None,
    ) -> Tensor:
        """Loss of the generator; gradients flow into `fake`. Parameters as of `critic`."""
        real_scores = None
        if self.loss.needs_real_scores:
            with torch.no_grad():
                real_scores = judge(real).scores.float()
        of_fake = judge(fake)
        loss = self.loss.generator(real_scores, of_fake.scores.float())
        note("loss_generator", loss)
        if reading is not None:
            misread = reading.of_generator(of_fake.read)
            note("misread_generator", misread)
            loss = loss + misread
        return loss


def _judged(
    judge: Judge, real: Tensor, fake: Tensor, together: bool
) -> tuple[Judgement, Judgement]:
    if not together:
        return judge(real), judge(fake)
    both = judge(torch.cat([real, fake]))
    reads = (None, None) if both.read is None else both.read.chunk(2)
    first, second = (Judgement(*parts) for parts in zip(both.scores.chunk(2), reads, strict=True))
    return first, second
