"""What a trained pair gives: galaxies, each decided by the seed and its number alone."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor, nn

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import ConfigError
from galgen.io.psf import read_psf
from galgen.models.rendering import CHUNK, Renderer, in_chunks
from galgen.models.requests import Request, Where, draw
from galgen.nn.ending import End
from galgen.telescope.difference import difference_kernels

if TYPE_CHECKING:
    from galgen.sections import Recipe
    from galgen.stretch import Stretch
    from galgen.training.ema import GeneratorEMA

__all__ = ["CHUNK", "KERNELS", "Look", "SamplingModule", "generate"]

#: Where a generator's state keeps the PSF that it ends in.
KERNELS = "end.psf.kernels"


@dataclass(frozen=True)
class Look:
    """How samples look, whichever they are.

    Attributes
    ----------
    truncation
        Towards the mean galaxy: 1 for none, 0 for the mean itself.
    psf
        Another PSF than the one that the generator was trained with, as in
        `galgen.io.psf.read_psf`; ``none`` leaves it out. A generator without a layer for one can
        be given a wider one than its data's.
    noise
        False leaves the grain out, the noise of sky and photons.
    own_psf
        The PSF of the data, for a generator without a layer; None for the width that they say.
    """

    truncation: float = 1.0
    psf: str | None = None
    noise: bool = True
    own_psf: str | None = None

    def __post_init__(self) -> None:
        try:
            if isinstance(self.truncation, str | bytes):
                raise TypeError
            float(self.truncation)
        except (TypeError, ValueError):
            raise ConfigError(
                f"truncation={self.truncation!r}: give a number, 1 for none, 0 for the mean galaxy."
            ) from None

    @classmethod
    def of(cls, *others: str, **asked: Any) -> Look:
        """From what was typed; `others` may be asked for too, elsewhere.

        Raises
        ------
        ConfigError
            If something else was asked for.
        """
        known = [entry.name for entry in fields(cls)]
        choices = ["label", "where", "no_condition", *others, *known]
        for name in asked:
            if name not in known:
                near = difflib.get_close_matches(name, choices)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ConfigError(
                    f"{name} is nothing that samples can be asked for: {hint}choose of "
                    f"{', '.join(choices)}."
                )
        return cls(**asked)


def generate(
    generator: nn.Module,
    indices: Sequence[int],
    *,
    seed: int,
    condition: Tensor | None = None,
    truncation: float = 1.0,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (sample numbers, images (n, C, H, W) in network space on the CPU) by chunks.

    Parameters
    ----------
    generator, truncation, finish
        As `galgen.models.rendering.Renderer`.
    indices, condition
        As its `stream`.
    seed
        Seed of the sample stream.
    """
    return Renderer(generator, seed, truncation, finish).stream(indices, condition)


class SamplingModule(L.LightningModule):
    """What a trained pair gives: galaxies of the averaged generator, in flux.

    Attributes
    ----------
    specialists
        Classes whose galaxies another averaged generator of the same pair draws, by name: that
        of the snapshot which was best at them.
    """

    specialists: Mapping[str, nn.Module] = MappingProxyType({})
    conditions: Conditions
    recipe: Recipe
    generator: nn.Module
    spec: ImageSpec
    options: Mapping[str, Any]

    @property
    def average(self) -> GeneratorEMA:
        """The averaged generator, which samples are drawn from."""
        raise NotImplementedError

    @property
    def stretch(self) -> Stretch | None:
        """The map between flux and network space; None before any data were seen."""
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, empty for a pair without classes."""
        return self.conditions.classes

    def sample_conditions(
        self, indices: Sequence[int], seed: int, request: Request | None = None
    ) -> Tensor | None:
        """Rows (n, width) of conditions for samples, None for a pair without conditions.

        Raises
        ------
        ConfigError
            If the pair cannot be asked for it, as `galgen.models.requests.draw`.
        """
        request = request or Request()
        rows = draw(self.conditions, request, seed, indices)
        if request.nothing and not self.recipe.label_dropout:
            raise ConfigError(
                "--no-condition: this model was always told what to make, leave it out or train "
                "one with recipe.label_dropout."
            )
        return None if rows is None else torch.from_numpy(rows)

    # -- point spread function -----------------------------------------------------------

    def set_psf(self, kernels: Tensor | None) -> None:
        """Set the kernels (bands, k, k) that the generators end in; None leaves the PSF out.

        Raises
        ------
        ValueError
            If the pair was built without a PSF layer.
        """
        for network in (self.generator, self.average.network):
            network.end.set_kernels(kernels)  # type: ignore[operator, union-attr]

    def make_psf(self, spec: ImageSpec) -> None:
        """Make the PSF that the options say for such images, where a layer for one has none yet.

        Raises
        ------
        UserError
            If it cannot be made; see `galgen.io.psf.read_psf`.
        """
        end = getattr(self.generator, "end", None)
        if isinstance(end, End) and end.psf is not None and end.psf.kernels is None:
            psf = read_psf(self.options["psf"], spec)
            assert psf is not None
            self.set_psf(torch.from_numpy(psf.kernels))

    # -- samples -------------------------------------------------------------------------

    def renderer(
        self,
        seed: int = 0,
        look: Look | None = None,
        label: str | None = None,
        attempt: int = 0,
    ) -> Renderer:
        """What draws samples of a seed from the averaged generator, in flux.

        Parameters
        ----------
        seed, look
            Which galaxies, and how they look.
        label
            Their class, which a specialist may draw; None for the pair's own generator.
        attempt
            As `Renderer`.

        Raises
        ------
        ConfigError
            If the pair has no truncation, PSF or grain to change.
        """
        look = look or Look()
        network = self.average.network
        if label is not None:
            network = self.specialists.get(label, network)
        network = network.to(self.device).eval()
        end = getattr(network, "end", None)
        if not look.noise and (not isinstance(end, End) or end.grain is None):
            raise ConfigError(
                "--no-noise: this model has no noise of its own to leave out (model.options.grain)."
            )
        if look != Look(truncation=look.truncation):
            network = copy.deepcopy(network)
            assert isinstance(network.end, End)
            network.end.quiet = not look.noise
            if look.psf is not None:
                network.end.add_psf(self._kernels(look, ends_in_psf(network)))
                network.to(self.device)
        finish: Callable[[Tensor], Tensor] | None = None
        if self.stretch is not None:
            finish = self.stretch.inverse
        return Renderer(network, seed, look.truncation, finish, attempt)

    def _kernels(self, look: Look, layered: bool) -> Tensor:
        """What the galaxies of a generator are convolved with to have the PSF of a look."""
        assert look.psf is not None
        if layered:
            chosen = read_psf(look.psf, self.spec, "--psf")
            if chosen is None:
                return torch.ones(self.spec.n_bands, 1, 1)
            return torch.from_numpy(chosen.kernels)
        if self.spec.display:
            raise ConfigError(
                "--psf: this model was trained without a PSF layer, so its galaxies carry the "
                "data's own PSF, and pictures have no fluxes to widen it in; leave it out, or "
                "train one with model.options.psf."
            )
        return torch.from_numpy(difference_kernels(look.psf, look.own_psf, self.spec)[0])

    def stream(
        self,
        indices: Sequence[int],
        condition: Tensor | None,
        seed: int = 0,
        look: Look | None = None,
        attempt: int = 0,
        known: dict[str | None, Renderer] | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (sample numbers, flux (n, C, H, W)) by chunks, from the averaged generators.

        The flux is float32 on the CPU, in the training data's unit, or in network space if the
        model has never seen data.

        Parameters
        ----------
        indices, seed
            Which galaxies.
        condition
            Their rows, as `sample_conditions` gives them.
        look
            How they look.
        attempt
            How often they have been drawn before: another galaxy each time.
        known
            Renderers by class, kept from call to call with one seed and look while the weights
            stay as they are: making one may copy a network.
        """
        known = {} if known is None else known

        def renderer(label: str | None) -> Renderer:
            if label not in known:
                known[label] = self.renderer(seed, look, label)
            return known[label].again(attempt)

        if condition is None or not self.specialists:
            return renderer(None).stream(indices, condition)
        labels = [
            name if name in self.specialists else None for name in self._asked_classes(condition)
        ]
        # Made before the first chunk is asked for, so that what cannot be drawn is refused now.
        renderers = {label: renderer(label) for label in dict.fromkeys(labels)}
        return _shared(renderers, labels, indices, condition)

    def _asked_classes(self, condition: Tensor) -> list[str | None]:
        """Class that each row asks for."""
        numbers = self.conditions.decode(condition.numpy())[0].tolist()
        return [self.classes[number] if number >= 0 else None for number in numbers]

    def sample_chunks(
        self,
        indices: Sequence[int],
        *,
        seed: int = 0,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool = False,
        **look: Any,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """As `stream`, with conditions as they are asked for.

        Parameters
        ----------
        indices, seed
            Which galaxies.
        label, where, no_condition
            As `sample`.
        look
            ``truncation``, ``psf`` and ``noise`` as in `Look`.
        """
        chosen = Look.of(**look)
        request = Request.of(self.conditions, label, where, no_condition)
        condition = self.sample_conditions(indices, seed, request)
        return self.stream(indices, condition, seed, chosen)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool = False,
        **look: Any,
    ) -> Tensor:
        """Draw galaxies ``start`` to ``start + n`` of a seed.

        Parameters
        ----------
        n, seed, start
            Which galaxies.
        label
            Class of all of them; None for the training set's mix.
        where
            Their numbers: ``"mag_r=18..20, g-r=0.6"``, or numbers and ranges by name. What is not
            asked for is that of training galaxies.
        no_condition
            Ask for nothing, of a pair that was trained with dropped labels.
        look
            ``truncation``, ``psf`` and ``noise`` as in `Look`.

        Returns
        -------
        Tensor
            Flux (n, bands, size, size), float32, in the unit of the training data. Galaxy
            *i* of a seed is the same whatever `n` and `start`.
        """
        if n < 1:
            raise ConfigError(f"-n {n}: ask for at least one galaxy.")
        indices = list(range(start, start + n))
        chunks = self.sample_chunks(
            indices, seed=seed, label=label, where=where, no_condition=no_condition, **look
        )
        return torch.cat([flux for _, flux in chunks])


def _shared(
    renderers: Mapping[str | None, Renderer],
    labels: Sequence[str | None],
    indices: Sequence[int],
    condition: Tensor,
) -> Iterator[tuple[list[int], Tensor]]:
    """Chunks of samples, each of them drawn by its label's renderer in its own row."""
    for places in in_chunks(indices):
        images: dict[int, Tensor] = {}
        for label in dict.fromkeys(labels[place] for place in places):
            mine = [place for place in places if labels[place] == label]
            numbers = [indices[place] for place in mine]
            ((_, drawn),) = renderers[label].stream(numbers, condition[mine])
            images |= dict(zip(mine, drawn, strict=True))
        yield [indices[place] for place in places], torch.stack([images[p] for p in places])


def ends_in_psf(generator: nn.Module) -> bool:
    """Whether a generator has a layer for a point spread function."""
    end = getattr(generator, "end", None)
    return isinstance(end, End) and end.psf is not None
