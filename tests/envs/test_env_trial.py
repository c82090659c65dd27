"""The trial of environments before a run: what can be saved passes, what cannot is named."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from envs_for_tests import LOST, SAVED, WRAPPED

from firerl.envs.state import global_draws, trial
from firerl.envs.state.trial import Verdict, tried
from firerl.envs.vector import LONGEST_EPISODE


@pytest.mark.parametrize("name", [*(kind.__name__ for kind in SAVED), *WRAPPED])
def test_what_a_seed_and_actions_determine_can_be_saved(name: str) -> None:
    assert tried(f"FirerlZoo{name}", {}) == Verdict()


@pytest.mark.parametrize(("name", "why"), LOST.items())
def test_what_lasts_longer_than_an_episode_or_is_shared_is_found_and_named(name: str, why: str) -> None:
    verdict = tried(f"FirerlZoo{name}", {}, "wins")
    assert why in verdict.why
    assert "\n" not in verdict.why


def test_our_own_forms_need_no_trial() -> None:
    assert tried("Hopper", {}) == Verdict(own=True)
    assert tried("Hopper", {"width": 64}) == Verdict()  # Gymnasium's own


def test_an_episode_with_a_far_limit_may_be_too_long_to_be_repeated() -> None:
    assert not tried("CartPole", {"max_episode_steps": LONGEST_EPISODE + 1}).whole
    assert tried("CartPole", {"max_episode_steps": LONGEST_EPISODE}).whole
    assert tried(
        "FirerlZooRemembers", {"max_episode_steps": LONGEST_EPISODE + 1}
    ).whole  # it brings its state back itself


def test_a_trial_leaves_the_global_generators_where_they_are() -> None:
    before = global_draws.states()
    for name in ("Global", "SeedsGlobal", "GlobalTorch"):
        tried(f"FirerlZoo{name}", {})
    assert global_draws.states() == before
    for draw in (random.random, np.random.random, lambda: torch.rand(1)):
        draw()
    assert [name for name, state in global_draws.states().items() if state == before[name]] == []


def test_a_slow_environment_is_tried_for_a_short_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    assert tried("FirerlZooUsual", {}) == Verdict()
    assert "it carries episode" in tried("FirerlZooCurriculum", {}).why
