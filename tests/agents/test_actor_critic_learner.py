"""Every on-policy agent as a learner: the promises of the interface, and where implementations break silently."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from agents_for_tests import AGENTS, UNIT, bits, collect, learner

from firerl.agents.actor_critic.learner import ActorCritic, Update
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.actor_critic.settings import Settings
from firerl.base.settings import with_default
from firerl.errors import SettingError
from firerl.storage import checkpoint


@pytest.fixture(params=AGENTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def kind(name: str) -> type[ActorCritic]:
    return AGENTS[name]


# ---- promises


@pytest.mark.parametrize("env", ["InvertedPendulum", "CartPole-v1"])
def test_two_trainings_equal_one_and_evaluation_changes_nothing(kind: type[ActorCritic], env: str):
    parts, whole = learner(kind, env, objective="fresh", objective_episodes=2), learner(kind, env)
    parts.train(2 * UNIT)
    assert parts.evaluate(3) == parts.evaluate(3)
    parts.train(UNIT)
    whole.train(3 * UNIT)
    assert bits(parts.state()["weights"]) == bits(whole.state()["weights"])
    a, b = parts.state()["stream"], whole.state()["stream"]
    for key in ("rollout", "generator"):
        assert bits(a[key]) == bits(b[key])


@pytest.mark.parametrize("env", ["InvertedPendulum", "Humanoid", "CartPole-v1"])
def test_a_load_in_this_process_goes_on_bit_for_bit(kind: type[ActorCritic], env: str):
    source, other = learner(kind, env), learner(kind, env, seed=1)
    source.train(2 * UNIT)
    source.evaluate(0)
    other.train(UNIT)
    state = checkpoint.loads(bits(source.state()))
    other.load(**state)
    assert bits(other.state()) == bits(source.state())
    assert source.train(2 * UNIT) == other.train(2 * UNIT)
    assert bits(other.state()) == bits(source.state())
    other.load(**state)  # the state was copied: training did not write into it
    assert bits(other.state()) == bits(state)


def test_a_load_in_a_new_process_goes_on_bit_for_bit(kind: type[ActorCritic], name: str, tmp_path: Path):
    expected = {}
    for env in ("InvertedPendulum", "Humanoid"):
        one = learner(kind, env)
        one.train(2 * UNIT)
        (tmp_path / env).write_bytes(bits(one.state()))
        one.train(UNIT)
        expected[env] = bits([one.state(), one.evaluate(0)])
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as t; t.go_on({name!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for env, state in expected.items():
        assert (tmp_path / f"{env}.out").read_bytes() == state


def go_on(name: str) -> None:
    """The other half of the test above, in its own process."""
    for env in ("InvertedPendulum", "Humanoid"):
        one = learner(AGENTS[name], env, seed=5)
        one.load(**checkpoint.loads(Path(env).read_bytes()))
        one.train(UNIT)
        Path(f"{env}.out").write_bytes(bits([one.state(), one.evaluate(0)]))


def test_no_global_random_state(kind: type[ActorCritic]):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    one = learner(kind)
    one.train(UNIT)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = learner(kind)
    two.train(UNIT)
    two.episodes(2, 0, mean=False)
    assert torch.equal(before, torch.get_rng_state())
    assert bits(one.state()) == bits(two.state())


def test_steps_must_be_a_multiple(kind: type[ActorCritic]):
    with pytest.raises(SettingError, match="nearest are 40 and 80"):
        learner(kind).train(50)


# ---- copied weights


def test_copied_weights_make_the_network_go_on_as_its_donor_would(kind: type[ActorCritic]):
    """With the donor's stream too, what follows is the donor's future; so nothing is missing from the weights."""
    donor, loser = learner(kind, values={"learning_rate": 3e-3}), learner(kind, seed=1, values={"learning_rate": 3e-3})
    donor.train(3 * UNIT)
    loser.train(2 * UNIT)
    loser.load(weights=donor.state()["weights"])
    assert bits(loser.state()["weights"]) == bits(donor.state()["weights"])
    names = " ".join(donor.state()["weights"]["networks"])
    for part in ("policy", "value", "normaliser.mean", "popart.mean"):
        assert part in names
    assert all(entry["step"] > 0 for entry in donor.state()["weights"]["optimiser"])
    loser.load(stream=donor.state()["stream"])
    assert donor.train(UNIT) == loser.train(UNIT)


def test_hyperparameters_stay_with_the_worker(kind: type[ActorCritic]):
    donor, loser = learner(kind, values={"learning_rate": 3e-3}), learner(kind, seed=1, values={"learning_rate": 0.0})
    donor.train(UNIT)
    loser.load(weights=donor.state()["weights"])
    before = bits(loser.state()["weights"]["networks"]["policy.head.mean.weight"])
    loser.train(UNIT)
    assert bits(loser.state()["weights"]["networks"]["policy.head.mean.weight"]) == before


def test_the_unroll_after_a_copy_is_acted_by_the_copied_policy_alone(kind: type[ActorCritic]):
    donor, loser = learner(kind), learner(kind, seed=1)
    donor.train(2 * UNIT)
    loser.train(UNIT)
    loser.load(weights=donor.state()["weights"])
    unroll = collect(loser)
    with torch.no_grad():
        mean, scale = donor.update.nets.acting(donor.update.nets.normaliser(unroll.raw))
    torch.testing.assert_close(unroll.old[0], mean)
    torch.testing.assert_close(unroll.old[1], scale)


def test_unstable_physics_is_counted_in_the_metrics(kind: type[ActorCritic]):
    one = learner(kind)
    assert one.train(UNIT)["physics_warnings"] == 0.0
    one.rollout.env.datas[0].qvel[:] = 1e11  # MuJoCo warns and resets the data
    assert one.train(UNIT)["physics_warnings"] > 0.0
    assert one.train(UNIT)["physics_warnings"] == 0.0


def test_divergence_is_an_error_with_a_name(kind: type[ActorCritic]):
    one = learner(kind)
    one.train(UNIT)
    one.update.nets.policy.head.mean.weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="policy_loss=nan"):
        one.train(UNIT)


# ---- what the update computes


def test_ends_of_episodes_reach_the_targets(kind: type[ActorCritic]):
    """Truncation bootstraps from the episode's own last observation, termination from nothing."""
    for truncate in (False, True):
        one = learner(kind, {"name": "FirerlKnown", "kwargs": {"truncate": truncate}}, gae_lambda=1.0, discount=0.5)
        unroll = collect(one)
        nets = one.update.nets
        with torch.no_grad():
            bootstrap = nets.popart.denormalise(nets.value(nets.normaliser(torch.tensor([[-7.0]])))).item()
        _, normalised = one.update.targets(unroll)
        targets = nets.popart.denormalise(normalised).reshape(10, 4)
        rest = bootstrap if truncate else 0.0
        expected = [1.75 + 0.125 * rest, 1.5 + 0.25 * rest, 1.0 + 0.5 * rest]
        torch.testing.assert_close(targets[:9, 0], torch.tensor(expected * 3), atol=1e-4, rtol=1e-4)
        assert unroll.raw[3].max() == 0.0  # the step after an end is the first of the next episode: a sample


def test_hyperparameters_override_settings_and_change_without_a_rebuild(kind: type[ActorCritic]):
    one = learner(kind, values={"discount": 0.9})
    one.train(UNIT)
    assert one.update.settings["discount"] == 0.9
    one.set_hyperparameters({"learning_rate": 1e-5, "epochs": 1})
    assert one.update.settings["discount"] == one.config["discount"]
    one.train(UNIT)
    assert one.update.optimiser.param_groups[0]["lr"] == 1e-5
    with pytest.raises(SettingError, match="did you mean 'learning_rate'"):
        one.set_hyperparameters({"learning_rat": 1e-3})
    with pytest.raises(SettingError, match=r"hyperparameters\.entropy_cost=-1"):
        one.set_hyperparameters({"entropy_cost": -1})


# ---- it learns


def best_of_three(one: ActorCritic) -> float:
    """The best mean return of ten episodes after 8,000, 16,000 and 24,000 steps: a small task's policy may dip."""
    means = []
    for _ in range(3):
        one.train(8_000)
        means.append(np.mean([value for value, _ in one.episodes(10, 1)]))
    return float(max(means))


def test_it_learns_a_discrete_task(kind: type[ActorCritic]):
    one = learner(kind, "CartPole-v1", num_envs=8, unroll=25, hidden=[64, 64], epochs=4, minibatches=4)
    assert best_of_three(one) > 400


def test_it_learns_a_continuous_task(kind: type[ActorCritic]):
    one = learner(kind, "InvertedPendulum", num_envs=8, unroll=25, hidden=[64, 64], epochs=4, minibatches=4)
    assert best_of_three(one) > 800


# ---- the rate


@pytest.mark.parametrize(
    "settings", [{"schedule": "kl", "target_kl": 1e-6}, {"schedule": "linear", "schedule_steps": 4 * UNIT}]
)
def test_the_schedule_sets_the_rate_and_is_copied_with_the_weights(kind: type[ActorCritic], settings: dict):
    one, other = (learner(kind, seed=seed, learning_rate=1e-2, **settings) for seed in (0, 1))
    rates = [one.train(UNIT)["rate"] for _ in range(3)]
    assert rates[0] == 1e-2
    assert rates[0] > rates[1] > rates[2]
    other.load(weights=one.state()["weights"])
    assert other.state()["weights"]["schedule"] == one.state()["weights"]["schedule"]
    assert other.train(UNIT)["rate"] == one.train(UNIT)["rate"] < rates[2]
    one.set_hyperparameters({"learning_rate": 1e-3})  # what is explored moves the rate, the factor stays
    factor = one.update.factor
    assert one.train(UNIT)["rate"] == 1e-3 * factor


def test_a_fixed_rate_stays(kind: type[ActorCritic]):
    one = learner(kind, learning_rate=2e-3)
    assert [one.train(UNIT)["rate"] for _ in range(3)] == [2e-3] * 3
    before = bits(one.state())
    other = learner(kind, seed=5, learning_rate=2e-3)
    other.load(**one.state())
    assert bits(other.state()) == before


# ---- a third algorithm is forty lines


class PolicyGradient(Update):
    """- mean A log pi(a|s) + 1/2 mean (G - V)^2 - entropy_cost x entropy, one pass over an unroll."""

    algorithm = "A2C"

    def samples(self, unroll: Unroll) -> list[torch.Tensor]:
        advantages, targets = self.targets(unroll)
        return [unroll.observations.flatten(0, 1), unroll.actions.flatten(0, 1), advantages / advantages.std(), targets]

    @torch.no_grad()
    def gradients(self, *minibatch: torch.Tensor) -> torch.Tensor:
        observations, actions, advantages, targets = minibatch
        outputs, inputs = self.policy.forward(observations)
        (values,), value_inputs = self.value.forward(observations)
        new, errors, count = self.head.parameters_of(outputs), values - targets.unsqueeze(-1), len(targets)
        cost = self.settings["entropy_cost"]
        self.policy.backward(self.head.backward(outputs, new, actions, advantages / count, cost), inputs)
        self.value.backward([errors / count], value_inputs)
        return torch.stack([errors.square().mean(), self.head.entropy(new).mean()])

    def names(self) -> list[str]:
        return ["value_error", "entropy"]


@dataclass(frozen=True)
class OnePass(Settings):
    """Other defaults."""

    epochs: int = with_default(Settings, "epochs", 1)
    learning_rate: float = with_default(Settings, "learning_rate", 3e-3)


class A2C(ActorCritic):
    """Advantage actor-critic."""

    Settings = OnePass
    update_class = PolicyGradient


def test_a_third_algorithm_learns_and_keeps_the_promises():
    complete = A2C.resolve({"env": "CartPole-v1"})
    one, other = (A2C(complete, {"entropy_cost": 1e-3}, seed, "cpu") for seed in (0, 1))
    one.train(8000)
    assert np.mean([value for value, _ in one.episodes(5, 1)]) > 100
    other.load(**one.state())
    assert one.train(400) == other.train(400)
    assert bits(one.state()) == bits(other.state())
