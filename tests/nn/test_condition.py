"""Conditions and codes by hand: what enters the latent, what the score adds, what is misread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.nn.condition import (
    ConditionSettings,
    Embedding,
    Entrance,
    Given,
    Guess,
    category,
)
from galgen.nn.scoring import ScoringCritic

BOTH = Given(classes=3, numbers=2)
#: A class and numbers; a class alone; numbers alone; nothing.
ROWS = torch.tensor(
    [
        [0, 1, 0, 0.5, -1.5, 1],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, -0.3, 2.0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
)


def plain(embedding: Embedding, row: np.ndarray) -> np.ndarray:
    """The vector of one row, written out."""
    state = {name: value.double().numpy() for name, value in embedding.state_dict().items()}
    total = np.zeros(embedding.features)
    for k in range(3):
        total += row[k] * state["classes"][k]
    if row[5]:
        hidden = state["hidden.weight"] @ row[3:5] + state["hidden.bias"]
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
        total += row[3:5] @ state["line"] + hidden @ state["bent"]
    return total


def test_embedding_against_its_sum_written_out() -> None:
    embedding = Embedding(BOTH, 7, std=1.0)
    got = embedding(ROWS).detach().numpy()
    for row, vector in zip(ROWS.double().numpy(), got, strict=True):
        assert np.allclose(vector, plain(embedding, row), atol=1e-5)
    assert not got[3].any()


def test_numbers_bend_the_vector() -> None:
    embedding = Embedding(Given(numbers=1), 16, std=1.0)
    steps = torch.linspace(-2, 2, 5)[:, None]
    vectors = embedding(torch.cat([steps, torch.ones(5, 1)], dim=1))
    assert not torch.allclose(vectors[0] + vectors[4], 2 * vectors[2], atol=0.1)


def test_silenced_it_adds_nothing_and_learns_again() -> None:
    embedding = Embedding(BOTH, 7, std=1.0)
    embedding.silence()
    assert not embedding(ROWS).any()
    step = torch.optim.SGD(embedding.parameters(), lr=0.1)
    embedding(ROWS).sum().backward()
    step.step()
    moved = embedding(ROWS)
    assert moved[:3].any(dim=1).all()
    assert not moved[3].any()


def test_conditions_and_category_are_added_to_the_latent() -> None:
    given = Given(2, 0, ConditionSettings(codes=2, categories=4))
    entrance, z = Entrance(6, given), torch.randn(500, 6)
    rows = torch.eye(2)[torch.arange(500) % 2]
    got = entrance(z, rows)
    kind = category(z, given.settings)
    assert torch.allclose(got, z + entrance.embedding(rows) + entrance.categories[kind], atol=1e-5)
    # Equal parts of the normal distribution of the number after the codes.
    bounds = torch.distributions.Normal(0, 1).icdf(torch.tensor([0.25, 0.5, 0.75]))
    assert torch.equal(kind, torch.bucketize(z[:, 2].contiguous(), bounds))
    counts = kind.bincount(minlength=4)
    assert counts.min() > 90


def test_nothing_is_added_where_nothing_is_given() -> None:
    entrance, z = Entrance(6, Given()), torch.randn(3, 6)
    assert entrance(z, None) is z
    assert not list(entrance.parameters())
    with pytest.raises(ValueError, match="give conditions"):
        Entrance(6, Given(classes=2))(z, None)


@pytest.mark.parametrize(
    ("conditioning", "projects", "guesses"),
    [("projection", True, False), ("auxiliary", False, True), ("both", True, True)],
)
def test_what_the_settings_ask_for(conditioning: str, projects: bool, guesses: bool) -> None:
    settings = ConditionSettings(conditioning=conditioning)
    given = Given(3, 2, settings)
    assert (given.projects, given.guesses) == (projects, guesses)
    assert not Given(0, 0, settings).projects
    assert not Given(0, 0, settings).guesses
    assert Given(0, 0, ConditionSettings(codes=1)).guesses


class Flat(ScoringCritic):
    def __init__(self, given: Given) -> None:
        super().__init__()
        self.add_head(nn.Linear(12, 1), 12, given)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x.flatten(1)


def test_the_score_is_a_projection() -> None:
    critic, x = Flat(BOTH), torch.randn(4, 3, 2, 2)
    got = critic(x, ROWS)
    for k in range(4):
        features = x[k].flatten()
        vector = torch.from_numpy(plain(critic.projection, ROWS[k].double().numpy())).float()
        want = critic.score(features)[0] + vector @ features
        assert torch.allclose(got[k], want, atol=1e-5)
    assert torch.equal(got[3:], critic.score(x[3:].flatten(1))[:, 0])
    with pytest.raises(ValueError, match="give conditions"):
        critic(x)


def test_an_auxiliary_critic_scores_without_looking_at_conditions() -> None:
    critic = Flat(Given(3, 2, ConditionSettings(conditioning="auxiliary")))
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(critic(x, ROWS), critic(x))
    assert critic.judge(x, ROWS).read.shape == (4, 5)
    assert len(critic.head) == 2


def test_what_is_misread_by_hand() -> None:
    guess = Guess(12, Given(3, 2, ConditionSettings(conditioning="both", codes=2, categories=4)))
    read = torch.randn(4, 3 + 2 + 2 + 4)
    logs = F.log_softmax(read[:, :3], dim=1)
    want = -(logs[0, 1] + logs[1, 0]) / 4
    want = want + 0.5 * ((read[0, 3:5] - ROWS[0, 3:5]) ** 2).sum() / 4
    want = want + 0.5 * ((read[2, 3:5] - ROWS[2, 3:5]) ** 2).sum() / 4
    assert torch.allclose(guess.missed(read, ROWS), want)
    z = torch.randn(4, 6)
    kind = category(z, guess.given.settings)
    want = 0.5 * ((read[:, 5:7] - z[:, :2]) ** 2).sum() / 4
    want = want - F.log_softmax(read[:, 7:], dim=1)[range(4), kind].mean()
    assert torch.allclose(guess.missed_codes(read, z), want)


def test_a_guess_that_is_right_costs_least() -> None:
    guess = Guess(12, Given(0, 0, ConditionSettings(codes=1, categories=2)))
    z = torch.randn(64, 6)
    right = torch.zeros(64, 3)
    right[:, 0] = z[:, 0]
    right[range(64), 1 + category(z, guess.given.settings)] = 9.0
    assert float(guess.missed_codes(right, z)) < 0.01
    blind = float(guess.missed_codes(torch.zeros(64, 3), z))
    assert blind == pytest.approx(0.5 * float(z[:, 0].square().mean()) + math.log(2), rel=1e-5)
