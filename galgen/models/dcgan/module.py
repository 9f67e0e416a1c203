"""The `dcgan` and `dcgan-course` pairs as LightningModules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from galgen.models.base import AdversarialModule
from galgen.models.dcgan.course import CourseCritic, CourseGenerator
from galgen.models.dcgan.critic import Critic
from galgen.models.dcgan.generator import Generator
from galgen.nn.condition import Given
from galgen.nn.ending import EndSettings
from galgen.nn.norm import Norm


class DCGAN(AdversarialModule):
    """A convolutional pair small enough for a laptop.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``widths`` (feature
    maps of the generator per resolution, coarse to fine), ``critic_widths`` (fine to coarse) and
    ``norm`` (``none`` or ``batch``, in both networks).

    Examples
    --------
    >>> model = DCGAN(size=32, bands=["g", "r", "i"])
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "dcgan"

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 64,
        widths: Sequence[int] | None = None,
        critic_widths: Sequence[int] | None = None,
        norm: Norm = "none",
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        return (
            Generator(size, bands, latent, widths, given, end, norm),
            Critic(size, bands, critic_widths, given, norm),
        )

    @classmethod
    def couples_images(cls, options: Mapping[str, Any]) -> bool:
        """With batch norm."""
        return options.get("norm") == "batch"


class CourseDCGAN(AdversarialModule):
    """The pair of the ASTR 21100 course project.

    Options, beside those of `AdversarialModule`: ``latent`` (length of z), ``widths`` (feature
    maps of the generator's three transposed convolutions), ``critic_widths`` (of the critic's
    three convolutions) and ``dropout`` (in front of the critic's score).

    Examples
    --------
    >>> model = CourseDCGAN(size=16, bands=["g", "r"], grain=False)
    >>> model.sample(2, seed=0).shape
    torch.Size([2, 2, 16, 16])
    """

    name = "dcgan-course"

    def build(  # type: ignore[override]
        self,
        size: int,
        bands: int,
        given: Given,
        *,
        end: EndSettings,
        latent: int = 128,
        widths: Sequence[int] = (128, 256, 512),
        critic_widths: Sequence[int] = (64, 128, 128),
        dropout: float = 0.2,
    ) -> tuple[nn.Module, nn.Module]:
        """Generator and critic."""
        return (
            CourseGenerator(size, bands, end, latent=latent, widths=widths, given=given),
            CourseCritic(size, bands, widths=critic_widths, dropout=dropout, given=given),
        )
