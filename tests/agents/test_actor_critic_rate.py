"""How the learning rate goes on, and that it belongs to the weights."""

from __future__ import annotations

import pytest
from agents_for_tests import AGENTS, UNIT, bits, learner

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.rate import Schedule

KL = {"schedule": "kl", "target_kl": 0.01}


def test_a_rate_that_follows_the_kl_goes_down_after_a_long_way_and_up_after_a_short_one():
    schedule = Schedule()
    schedule.move(KL, 10, kl=0.021)
    assert schedule.factor == pytest.approx(1 / 1.5)
    for kl in (0.019, 0.006):  # near enough
        schedule.move(KL, 10, kl)
    assert schedule.factor == pytest.approx(1 / 1.5)
    schedule.move(KL, 10, kl=0.004)
    assert schedule.factor == pytest.approx(1.0)
    for kl, bound in ((0.0, 30.0), (1.0, 0.01)):
        for _ in range(50):
            schedule.move(KL, 10, kl)
        assert schedule.factor == bound
    schedule.move(KL, 10, float("nan"))  # says nothing
    assert (schedule.factor, schedule.steps) == (0.01, 1050)


def test_a_linear_rate_falls_to_a_hundredth_over_its_steps():
    schedule, settings = Schedule(), {"schedule": "linear", "schedule_steps": 100}
    factors = []
    for _ in range(4):
        schedule.move(settings, 40, kl=1.0)
        factors.append(schedule.factor)
    assert factors == pytest.approx([0.6, 0.2, 0.01, 0.01])


@pytest.mark.parametrize("kind", AGENTS.values())
@pytest.mark.parametrize("settings", [{**KL, "target_kl": 1e-6}, {"schedule": "linear", "schedule_steps": 4 * UNIT}])
def test_the_schedule_sets_the_rate_and_is_copied_with_the_weights(kind: type[ActorCritic], settings: dict):
    one, other = (learner(kind, seed=seed, learning_rate=1e-2, **settings) for seed in (0, 1))
    rates = [one.train(UNIT)["rate"] for _ in range(3)]
    assert rates[0] == 1e-2
    assert rates[0] > rates[1] > rates[2]
    other.load(weights=one.state()["weights"])
    assert other.update.schedule.state() == one.update.schedule.state()
    assert other.train(UNIT)["rate"] == one.train(UNIT)["rate"] < rates[2]
    one.set_hyperparameters({"learning_rate": 1e-3})  # what is explored moves the rate, the factor stays
    factor = one.update.schedule.factor
    assert one.train(UNIT)["rate"] == 1e-3 * factor


@pytest.mark.parametrize("kind", AGENTS.values())
def test_a_fixed_rate_stays(kind: type[ActorCritic]):
    one = learner(kind, learning_rate=2e-3)
    assert [one.train(UNIT)["rate"] for _ in range(3)] == [2e-3] * 3
    before = bits(one.state())
    other = learner(kind, seed=5, learning_rate=2e-3)
    other.load(**one.state())
    assert bits(other.state()) == before
