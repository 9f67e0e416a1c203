"""One training step: the critic's turn and the generator's, in parts where memory is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.reading import Reading
from galgen.models.styles import mixed_styles, path_penalty
from galgen.nn.augment import DRAWS, augment
from galgen.nn.condition import Guess
from galgen.nn.scoring import Judgement
from galgen.nn.style import StyleGenerator
from galgen.randomness import StepStreams
from galgen.training.descent import held
from galgen.training.growth import present
from galgen.training.memory import out_of_memory, parts, release, smaller

if TYPE_CHECKING:
    from galgen.models.base import AdversarialModule

#: Losses of one part of the batch; what it returns is added up over the parts.
Turn = Callable[["Part"], tuple[Tensor, Tensor]]


class Part:
    """A part of a replica's images, real and generated, as the critic sees them.

    Parameters
    ----------
    module, real, condition, streams
        As of `Step`, for these images alone.
    p
        Probability of adaptive augmentation, 0-dim.
    graph
        Whether gradients can flow into the generator.

    Attributes
    ----------
    real, fake
        (N, C, H, W) in network space, of one resolution, augmented.
    z
        Latents (N, latent) of the generated images.
    share
        Its share of the replica's images.
    """

    def __init__(
        self,
        module: AdversarialModule,
        real: Tensor,
        condition: Tensor | None,
        streams: StepStreams,
        p: Tensor,
        *,
        graph: bool,
    ) -> None:
        self.streams, self.condition, self.module = streams, condition, module
        self.share = len(real) / streams.local
        streams.seed_layers()
        self.z = streams.normal("latent", int(module.generator.latent))  # type: ignore[arg-type]
        with torch.set_grad_enabled(graph):
            self.real, self.fake = self._shown(real, self._imagined(), p)

    @property
    def reading(self) -> Reading | None:
        """Losses of what the critic reads in images, where it does."""
        guess, recipe = self.module.critic.guess, self.module.recipe
        if not isinstance(guess, Guess):
            return None
        return Reading(guess, self.condition, self.z, recipe)

    def judge(self, images: Tensor) -> Judgement:
        """What the critic makes of images of this part, once or several times over."""
        return self.module.passes.judge(images, self._rows(images))

    def judge_plainly(self, images: Tensor) -> Judgement:
        """The same by functions that can be differentiated twice."""
        judged = self.module.critic.judge(images, self._rows(images))  # type: ignore[operator]
        return cast(Judgement, judged)

    def _rows(self, images: Tensor) -> Tensor | None:
        rows = self.condition
        if rows is not None and len(images) > len(rows):
            rows = rows.repeat(len(images) // len(rows), 1)
        return rows

    def _imagined(self) -> Tensor:
        generator, mixing = self.module.generator, self.module.recipe.mixing
        if mixing and isinstance(generator, StyleGenerator):
            styles = mixed_styles(generator, self.z, self.condition, mixing, self.streams)
            return self.module.passes.synthesise(styles)
        return self.module.passes.generate(self.z, self.condition)

    def _shown(self, real: Tensor, fake: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        module, streams = self.module, self.streams
        if module.grows:
            level, alpha = module.growth.at(module.clock.images)
            sides = cast(list[int], module.generator.sides)
            real = present(real, sides[level], alpha)
        if module.recipe.ada:
            draws = [streams.uniform(f"augment {of}", DRAWS) for of in ("real", "fake")]
            kept = isinstance(guess := module.critic.guess, Guess) and guess.parts[1] > 0
            real = augment(real, draws[0], p, keep_numbers=kept)
            fake = augment(fake, draws[1], p, keep_numbers=kept)
        return real, fake


class Step:
    """Gradients of critic and generator for one batch.

    The batch is gone through in parts of `AdversarialModule.micro` images. Their gradients add up
    to those of the whole; the generated images are made once for both turns if there is one part,
    else anew in each. Where memory runs out, the parts are halved and the turn begins again. That
    concerns this replica alone: what replicas exchange comes afterwards.

    Parameters
    ----------
    module
        The pair.
    real
        This replica's images (N, C, H, W) in network space.
    condition
        Rows (N, width), or None.
    streams
        Random numbers of this replica's images.
    generator_due, penalty_due, path_due
        What this step has: the generator's turn, penalties, path length regularisation.
    """

    def __init__(
        self,
        module: AdversarialModule,
        real: Tensor,
        condition: Tensor | None,
        streams: StepStreams,
        *,
        generator_due: bool,
        penalty_due: bool,
        path_due: bool,
    ) -> None:
        self.module, self.real, self.condition, self.streams = module, real, condition, streams
        self.generator_due, self.penalty_due, self.path_due = generator_due, penalty_due, path_due
        self._whole: Part | None = None
        # Between the turns it may change.
        self._p = module.ada.p.to(real.device)

    def critic(self) -> Tensor:
        """Gradients of the critic; gives (3,): parts without a finite loss, and the sum and number
        of signs of the scores of real images.
        """
        return self._accumulate(self._critic_turn, self.module.generator, graph=False)

    def generator(self) -> Tensor:
        """Gradients of the generator; gives (3,): parts without a finite loss, and the sum and
        number of path lengths.
        """
        return self._accumulate(self._generator_turn, self.module.critic, graph=True)

    def _critic_turn(self, part: Part) -> tuple[Tensor, Tensor]:
        module = self.module
        mix = part.streams.uniform("mix", 1, 1, 1) if self.penalty_due else None
        loss, signs = module.objective.critic(
            part.judge,
            part.real,
            part.fake.detach(),
            mix,
            module.means.note,
            part.reading,
            penalised=part.judge_plainly,
            together=self._together(len(part.real)),
            label_noise=part.streams.uniform("label noise", 2),
        )
        return loss, torch.stack([signs.float().sum(), loss.new_full((), len(signs))])

    def _generator_turn(self, part: Part) -> tuple[Tensor, Tensor]:
        module = self.module
        loss = module.objective.generator(
            part.judge, part.real, part.fake, module.means.note, part.reading
        )
        seen = loss.new_zeros(2)
        if self.path_due:
            generator, recipe = module.generator, module.recipe
            assert isinstance(generator, StyleGenerator)
            mean = module.path_mean.to(loss.device)
            penalty, lengths = path_penalty(generator, part.condition, part.streams, mean)
            # A lazy penalty weighs as much as one at every step would.
            loss = loss + recipe.path_every * recipe.path_length * penalty
            seen = torch.stack([lengths.sum(), loss.new_full((), len(lengths))])
        return loss, seen

    # -- parts ---------------------------------------------------------------------------

    def _accumulate(self, turn: Turn, other: nn.Module, *, graph: bool) -> Tensor:
        """Gradients of a turn, in which the `other` network is held."""
        module = self.module
        while True:
            mark = module.means.mark()
            try:
                return self._try(turn, other, graph=graph)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Out of the handler, whose traceback would keep what filled the memory.
            self._whole = None
            module.means.reset(mark)
            self._make_smaller()

    def _try(self, turn: Turn, other: nn.Module, *, graph: bool) -> Tensor:
        module = self.module
        module.zero_grad(set_to_none=True)
        micro = module.micro
        if micro is not None:
            micro = max(self._group, micro // self._group * self._group)
            if micro < len(self.real) and self._coupled:
                raise ConfigError(
                    "train.micro_batch and batch norm do not go together, since that needs all "
                    "images of a batch at once: leave it out and lower --batch."
                )
        pieces = parts(len(self.real), micro)
        total = torch.zeros(3, device=self.real.device)
        for piece in pieces:
            part = self._part(piece, whole=len(pieces) == 1, graph=graph)
            with held(other):
                loss, seen = turn(part)
                total = total + torch.cat([(~torch.isfinite(loss.detach())).float()[None], seen])
                # Under autocast second derivatives of penalties would be taken in low precision.
                with torch.autocast(self.real.device.type, enabled=False):
                    module.manual_backward(part.share * loss)
        return total

    def _part(self, piece: slice, *, whole: bool, graph: bool) -> Part:
        if whole and self._whole is not None:
            part, self._whole = self._whole, None
            return part
        rows = None if self.condition is None else self.condition[piece]
        graph = self.generator_due if whole else graph
        part = Part(
            self.module, self.real[piece], rows, self.streams.of(piece), self._p, graph=graph
        )
        if whole and self.generator_due:
            self._whole = part
        return part

    def _make_smaller(self) -> None:
        module = self.module
        if self._coupled:
            raise ConfigError(
                f"memory runs out with --batch {module.objective.batch}, and batch norm needs all "
                "images of a batch at once: lower --batch, --size or the widths (model.options)."
            )
        module.zero_grad(set_to_none=True)
        release()
        now = len(self.real) if module.micro is None else min(module.micro, len(self.real))
        module.micro = smaller(now, self._group)
        module.say(
            f"memory ran out with {now} images at a time: {module.micro} from here on, their "
            "gradients added up to those of the same batch"
        )

    @property
    def _coupled(self) -> bool:
        """Whether batch norm couples all images of the batch."""
        return self.module.couples_batch

    def _together(self, count: int) -> bool:
        """Whether images are judged alike among others: no batch norm, the same groups."""
        groups = self.module.groups
        return not self._coupled and all(m.group_of(count) == m.group_of(2 * count) for m in groups)

    @property
    def _group(self) -> int:
        """Images that the critic compares with each other, which stay together."""
        return max((m.group_of(len(self.real)) for m in self.module.groups), default=1)
