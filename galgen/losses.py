"""Adversarial losses and penalties, the paper's equation beside each.

Scores are the critic's raw outputs, shape (N,) or (N, 1): D(x) for real images x, D(y) for
generated images y = G(z). Every function returns a scalar, the mean over the batch, unless it says
another shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.errors import ConfigError
from galgen.nn.convolution import images_alone

Critic = Callable[[Tensor], Tensor]


class Bce:
    r"""Binary cross entropy with label noise (Goodfellow et al. 2014, arXiv:1406.2661).

    Critic: :math:`-\log\sigma(D(x)) - \log(1-\sigma(D(y)))`, with targets moved away from 0
    and 1 by `label_noise` times uniform numbers. Generator, non-saturating:
    :math:`-\log\sigma(D(y))`.
    """

    needs_real_scores = False
    has_boundary = True

    def __init__(self, label_noise: float = 0.0) -> None:
        self.label_noise = label_noise

    def critic(self, real: Tensor, fake: Tensor, noise: Tensor | None = None) -> Tensor:
        """Loss of the critic; `noise` are uniform numbers (N, 2), drawn here if none are given."""
        up, down = torch.ones_like(real), torch.zeros_like(fake)
        if self.label_noise:
            drawn = (torch.rand_like(real), torch.rand_like(fake))
            of_real, of_fake = drawn if noise is None else noise.unbind(1)
            up = up - self.label_noise * of_real.view_as(real)
            down = down + self.label_noise * of_fake.view_as(fake)
        bce = F.binary_cross_entropy_with_logits
        return bce(real, up) + bce(fake, down)

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Loss of the generator."""
        return F.softplus(-fake).mean()


class Logistic:
    r"""Non-saturating logistic loss (Karras et al. 2020, arXiv:1912.04958, section 4.2).

    Critic: :math:`f(-D(x)) + f(D(y))`, generator :math:`f(-D(y))`, with the softplus
    :math:`f(t) = \log(1 + e^t)`.
    """

    needs_real_scores = False
    has_boundary = True

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the critic."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Loss of the generator."""
        return F.softplus(-fake).mean()


class Relativistic:
    r"""Relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al.
    2024, arXiv:2501.05441, equation 2).

    Critic: :math:`f(D(y) - D(x))`, generator :math:`f(D(x) - D(y))`, images paired by their
    place in the batch.
    """

    needs_real_scores = True
    has_boundary = False

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the critic."""
        return F.softplus(fake - real).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Loss of the generator; `real` are scores of the same batch's real images."""
        if real is None:
            raise ValueError("the relativistic loss needs the scores of real images")
        return F.softplus(real - fake).mean()


class Wasserstein:
    r"""Wasserstein loss (Arjovsky et al. 2017, arXiv:1701.07875).

    Critic: :math:`D(y) - D(x)`, generator :math:`-D(y)`.
    """

    needs_real_scores = False
    has_boundary = False

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the critic."""
        return fake.mean() - real.mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Loss of the generator."""
        return -fake.mean()


AdversarialLoss = Bce | Logistic | Relativistic | Wasserstein
LOSSES = ("bce", "logistic", "relativistic", "wasserstein")


def make_loss(name: str, label_noise: float = 0.0) -> AdversarialLoss:
    """The loss of that name.

    Raises
    ------
    ConfigError
        If the name is unknown, or label noise is asked for of another loss than ``bce``.
    """
    if label_noise and name != "bce":
        raise ConfigError(
            f"recipe.label_noise belongs to the loss bce, not to {name}: set it to 0."
        )
    if name == "bce":
        return Bce(label_noise)
    for loss in (Logistic, Relativistic, Wasserstein):
        if loss.__name__.lower() == name:
            return loss()
    raise ConfigError(f"recipe.loss {name!r} is not known: choose one of {', '.join(LOSSES)}.")


def squared_gradients(critic: Critic, images: Tensor) -> Tensor:
    r"""R1 on real images, R2 on generated ones: :math:`\frac12 \|\nabla_x D(x)\|^2` of each, (N,)
    (Mescheder et al. 2018, arXiv:1801.04406, equation 9), without its weight gamma.
    """
    images = images.detach().requires_grad_(True)
    scores = critic(images).sum()
    with images_alone():
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3))


def squared_gradient(critic: Critic, images: Tensor) -> Tensor:
    """Mean of `squared_gradients`."""
    return squared_gradients(critic, images).mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    r"""WGAN-GP: :math:`E (\|\nabla_u D(u)\| - 1)^2` at points :math:`u = m x + (1-m) y`
    (Gulrajani et al. 2017, arXiv:1704.00028, equation 3), without its weight lambda.

    Parameters
    ----------
    mix
        Uniform numbers m of shape (N, 1, 1, 1).
    """
    points = (mix * real.detach() + (1 - mix) * fake.detach()).requires_grad_(True)
    scores = critic(points).sum()
    with images_alone():
        (gradient,) = torch.autograd.grad(scores, points, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def drift(real: Tensor) -> Tensor:
    r"""Keeps a Wasserstein critic near zero: :math:`E D(x)^2` (Karras et al. 2018,
    arXiv:1710.10196, appendix A.1), without its weight.
    """
    return real.square().mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    r"""Lengths :math:`\|J_w^T y\|` (N,) of the path from style to image (Karras et al. 2020,
    arXiv:1912.04958, section 3.2): the root of the mean over layers of the squared gradient of
    :math:`\sum y\, G(w)`.

    Parameters
    ----------
    images
        G(w), (N, C, H, W), with a graph to `styles`.
    styles
        w per layer, (N, L, W).
    noise
        y, of the images' shape, normal with standard deviation 1 / side.
    """
    (gradient,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
    return (gradient.square().sum(dim=2).mean(dim=1) + 1e-12).sqrt()
