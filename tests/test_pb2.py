"""Population Based Bandits: the model against the dense formulas, the choices on known optima."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from simulate import ALL_KINDS, LR, READY, Simulation, Transition, make_setup, member
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from firerl.errors import SettingError
from firerl.evolution import pb2, pbt
from firerl.evolution.pb2 import Bandit
from firerl.evolution.population import Copy, Report, State, Values
from firerl.space import Dimension, Space

NUMBERS = {name: spec for name, spec in ALL_KINDS.items() if "choice" not in " ".join(spec)}


def chase(optimum: float, spec: dict[str, Any], seed: int = 0, noise: float = 0.0) -> list[Transition]:
    """Ten members whose objective grows by 1 - (lr's distance from ``optimum`` in decades)^2 an interval; PB2's run."""

    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        value += 1 - math.log10(values["lr"] / optimum) ** 2
        return value, value + noise * rng.normal()

    return Simulation(pb2, make_setup((10,), seed=seed, spec=spec), pb2.Settings(), learn).run(40)


def distances(log: list[Transition], optimum: float) -> list[float]:
    """Of the chosen rates, in decades, in the order they were chosen."""
    return [abs(math.log10(d.hyperparameters["lr"] / optimum)) for t in log for d in t.of(Copy)]


@pytest.mark.parametrize("optimum", [0.9, 0.02, 2e-4])
def test_it_finds_the_optimum_wherever_it_is(optimum: float) -> None:
    """The space has 4 decades: of uniform draws 15 % or less are as near as half of the last choices; at 0.3 decades
    an interval gains 91 % of the most."""
    found = distances(chase(optimum, LR), optimum)
    assert np.median(found[-20:]) < 0.3
    assert np.median(found[-20:]) < np.median(found[:4])


@pytest.mark.parametrize("seed", range(3))
def test_it_beats_pbts_explore_under_noise(seed: int) -> None:
    def last(algorithm: Any, settings: Any) -> float:
        def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
            value += 1 - math.log10(values["lr"] / 0.5) ** 2
            return value, value + 0.3 * rng.normal()

        setup = make_setup((8,), seed=seed, spec={"lr": {"log_uniform": [1e-4, 1e-3], "bounds": [1e-4, 1.0]}})
        after = Simulation(algorithm, setup, settings, learn).run(40)[-1].after
        return max(w.curve[-1] for w in after.workers if w.curve)

    assert last(pb2, pb2.Settings()) > last(pbt, pbt.Settings()) + 5


def test_before_any_interval_is_known_losers_explore_as_in_pbt() -> None:
    """At the second ready something is known, and only the hyperparameters differ from PBT's decision."""
    log = chase(0.02, LR)
    copies = [t for t in log if t.of(Copy)]
    for t, bandit in zip(copies[:2], (False, True), strict=True):
        _, decisions = pbt.decide(t.setup, pbt.Settings(), t.before, t.reports)
        for own, random in zip(t.of(Copy), [d for d in decisions if isinstance(d, Copy)], strict=True):
            assert (own.worker, own.donor, own.network_step) == (random.worker, random.donor, random.network_step)
            assert (own.hyperparameters != random.hyperparameters) == bandit
    assert copies[0].before.memory == {"intervals": [], "stood": {}}


def test_what_it_remembers() -> None:
    """One ready of four members, by hand: rows of t, R, change per step and lr in [0, 1]; the loser stands where its
    winner stood, and a member that was not heard of before, or has failed, adds no row."""
    setup, lr = make_setup((4,)), 1e-2  # half-way between 1e-4 and 1
    workers = tuple(member(i, curve=[1.0], lr=lr, failed=i == 3) for i in range(4))
    stood = {"0": [80, 1.0], "1": [80, 5.0]}
    old = [[0, 0.5, 0.25, 0.75]]
    reports = [Report(0, 100, 3.0), Report(1, 100, 4.0), Report(2, 100, 3.5)]
    after, decisions = pb2.decide(
        setup, pb2.Settings(memory=2), State(workers, 9, {"intervals": old, "stood": stood}), reports
    )
    assert after.memory["intervals"] == [[80, 1.0, 0.1, 0.5], [80, 5.0, -0.05, 0.5]]  # the oldest is forgotten
    copied = {str(d.worker): [100, 4.0] for d in decisions if isinstance(d, Copy)}
    assert sorted(copied) == ["0", "3"]
    assert after.memory["stood"] == {"0": [100, 3.0], "1": [100, 4.0], "2": [100, 3.5]} | copied


def intervals(n: int, d: int, seed: int = 0) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    t = np.sort(rng.integers(0, 9, n)) * READY
    y = np.sin(4 * x[:, 0]) + 0.1 * rng.normal(size=n)
    return np.column_stack([t, rng.normal(size=n), y, x]).tolist()


def test_the_model_is_the_papers() -> None:
    """Without fading it is scikit-learn's Gaussian process; with it, the covariance falls by (1 - epsilon)^(1/2) a
    ready."""
    bandit = Bandit.fit(intervals(40, 2), READY)
    length, _, noise = bandit.shape
    still = Bandit(bandit.points, bandit.targets, bandit.scale, (length, 0.0, noise))
    judge = GaussianProcessRegressor(RBF(length) + WhiteKernel(noise), optimizer=None)
    judge.fit(still.points[:, 1:], still.targets)
    rng = np.random.default_rng(1)
    candidates = np.hstack([np.full((200, 1), 9.0 * READY), np.zeros((200, 1)), rng.random((200, 2))])
    mean, deviation = judge.predict((candidates / still.scale)[:, 1:], return_std=True)
    spread = np.sqrt(np.maximum(deviation**2 - noise, 0))
    for c1 in (0.0, 0.2, 50.0):
        assert still.choose(candidates, [], c1) == np.argmax(mean + math.sqrt(c1 * math.log(0.4 * 40)) * spread)
    here, later = np.array([[0.0, 0.0, 0.5]]), np.array([[2.0, 0.0, 0.5]])
    assert pb2._kernel(pb2._apart(here, later), 0.4, 0.19)[0, 0] == pytest.approx(0.81)


def test_what_was_chosen_before_at_this_ready_repels() -> None:
    """With much exploration the second choice is elsewhere; without, the pending point changes nothing."""
    fitted = Bandit.fit(intervals(30, 1), READY)
    bandit = Bandit(fitted.points, fitted.targets, fitted.scale, (0.2, 0.1, 0.01))
    candidates = np.array([[9.0 * READY, 0.0, x] for x in np.linspace(0, 1, 101)])
    for c1, apart in ((0.0, False), (20.0, True)):
        first = bandit.choose(candidates, [], c1)
        second = bandit.choose(candidates, [candidates[first].tolist()], c1)
        assert (abs(candidates[first, 2] - candidates[second, 2]) > 0.05) == apart


def test_one_interval_and_constant_objectives_are_enough() -> None:
    for rows in ([[0.0, 1.0, 0.5, 0.3]], [[0.0, 1.0, 0.5, 0.3], [0.0, 1.0, 0.5, 0.9]]):
        candidates = np.array([[20.0, 1.0, x] for x in np.linspace(0, 1, 11)])
        assert 0 <= Bandit.fit(rows, READY).choose(candidates, [], 0.2) < 11


@pytest.mark.parametrize("d", Space.parse(NUMBERS).dimensions, ids=lambda d: d.name)
def test_values_are_scaled_on_the_scale_of_their_kind(d: Dimension) -> None:
    units = [pb2._unit(d, value) for value in np.linspace(d.lower, d.upper, 10).tolist()]
    assert all(0 <= unit <= 1 for unit in units)
    assert units == sorted(units)
    assert pb2._unit(Dimension("lr", "log_uniform", 1e-4, 1.0, 1e-4, 1.0), 1e-2) == pytest.approx(0.5)
    assert pb2._unit(Dimension("g", "one_minus_log_uniform", 0.9, 0.999, 0.9, 0.999), 0.99) == pytest.approx(0.5)
    assert pb2._unit(Dimension("k", "integer", 1, 4, 1, 4), 2) == pytest.approx(0.375)


def test_a_ready_of_22_members_is_cheap() -> None:
    began = time.process_time()
    bandit = Bandit.fit(intervals(200, 10), READY)
    for _ in range(5):
        bandit.choose(np.random.default_rng(0).random((257, 12)), [], 0.2)
    assert time.process_time() - began < 3  # some 0.2 s


def test_a_space_it_cannot_tune() -> None:
    pb2.validate(make_setup((4,), spec=NUMBERS), pb2.Settings())
    with pytest.raises(SettingError, match=r"space\.batch has kind ordered_choice: algo=pb2 tunes numbers only"):
        pb2.validate(make_setup((4,), spec=ALL_KINDS), pb2.Settings())
    with pytest.raises(SettingError, match="the space is empty"):
        pb2.validate(make_setup((4,), spec={}), pb2.Settings())
