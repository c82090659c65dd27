"""Population Based Bandits: the model against dense formulas and against Ray's, the choices on known optima."""

from __future__ import annotations

import importlib.util
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulate import ALL_KINDS, LR, READY, Simulation, Transition, make_setup, member
from sklearn.gaussian_process import GaussianProcessRegressor

from firerl.errors import SettingError
from firerl.evolution.algorithms import pb2, pbt
from firerl.evolution.algorithms.pb2 import Bandit
from firerl.evolution.population import Copy, Report, State, Values
from firerl.evolution.space import Dimension, Space

NUMBERS = {name: spec for name, spec in ALL_KINDS.items() if "choice" not in " ".join(spec)}


def chase(optimum: float, spec: dict[str, Any], seed: int = 0, noise: float = 0.0) -> list[Transition]:
    """Eight members that gain 1 - (lr's distance from ``optimum`` in decades)^2 an interval: PB2's run."""

    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        value += 1 - math.log10(values["lr"] / optimum) ** 2
        return value, value + noise * rng.normal()

    settings = pb2.Settings(scale="kind", memory=30)
    return Simulation(pb2, make_setup((8,), seed=seed, spec=spec), settings, learn).run(30)


def distances(log: list[Transition], optimum: float) -> list[float]:
    """Of the chosen rates, in decades, in the order they were chosen."""
    return [abs(math.log10(d.hyperparameters["lr"] / optimum)) for t in log for d in t.of(Copy)]


@pytest.mark.parametrize("optimum", [0.9, 2e-4])
def test_it_finds_the_optimum_wherever_it_is(optimum: float) -> None:
    """The space has 4 decades: of uniform draws 15 % or less are as near as half of the last choices; at 0.3 decades
    an interval gains 91 % of the most."""
    found = distances(chase(optimum, LR), optimum)
    assert np.median(found[-14:]) < 0.3
    assert np.median(found[-14:]) < np.median(found[:4])


@pytest.mark.parametrize("seed", range(2))
def test_it_beats_pbts_explore_under_noise(seed: int) -> None:
    def last(algorithm: Any, settings: Any) -> float:
        def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
            value += 1 - math.log10(values["lr"] / 0.5) ** 2
            return value, value + 0.3 * rng.normal()

        setup = make_setup((8,), seed=seed, spec={"lr": {"log_uniform": [1e-4, 1e-3], "bounds": [1e-4, 1.0]}})
        after = Simulation(algorithm, setup, settings, learn).run(30)[-1].after
        return max(w.curve[-1] for w in after.workers if w.curve)

    assert last(pb2, pb2.Settings(memory=30)) > last(pbt, pbt.Settings()) + 3


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
    """One ready of four members, by hand: rows of whose, t at the end, R at the start, change per step and lr in
    [0, 1]; the loser stands where its winner stood, and a member that was not heard of before, or has failed, adds no
    row."""
    setup, lr = make_setup((4,)), 1e-2
    workers = tuple(member(i, curve=[1.0], lr=lr, failed=i == 3) for i in range(4))
    stood = {"0": [80, 1.0], "1": [80, 5.0]}
    old = [[7, 80, 0.5, 0.25, 0.75]]
    reports = [Report(0, 100, 3.0), Report(1, 100, 4.0), Report(2, 100, 3.5)]
    after, decisions = pb2.decide(
        setup, pb2.Settings(memory=2), State(workers, 9, {"intervals": old, "stood": stood}), reports
    )
    x = (1e-2 - 1e-4) / (1 - 1e-4)
    assert after.memory["intervals"] == [[0, 100, 1.0, 0.1, x], [1, 100, 5.0, -0.05, x]]  # the oldest is forgotten
    copied = {str(d.worker): [100, 4.0] for d in decisions if isinstance(d, Copy)}
    assert sorted(copied) == ["0", "3"]
    assert after.memory["stood"] == {"0": [100, 3.0], "1": [100, 4.0], "2": [100, 3.5]} | copied


def intervals(n: int, d: int, seed: int = 0, noise: float = 0.1) -> np.ndarray:
    """Rows of t, R, change, x with the best x at (pi / 8, 0.3, ...)."""
    rng = np.random.default_rng(seed)
    x, t = rng.random((n, d)), np.sort(rng.integers(1, 9, n)) * float(READY)
    start = rng.normal(size=n) + t / READY
    change = np.sin(4 * x[:, 0]) - np.sum((x[:, 1:] - 0.3) ** 2, axis=1) + 0.1 * start + noise * rng.normal(size=n)
    return np.column_stack([t, start, change, x])


def dense(bandit: Bandit, targets: np.ndarray, x: np.ndarray, context: list[float], pending: list[list[float]]) -> Any:
    """Mean and variance by the formulas of section 4, with numpy's solver."""
    length, fading, noise = math.exp(bandit.shape[0]), bandit.shape[1], math.exp(bandit.shape[2])

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        apart = np.sum((a[:, None, 1:] - b[None, :, 1:]) ** 2, axis=2)
        return bandit.variance * np.exp(-apart / length) * (1 - fading) ** (np.abs(a[:, None, 0] - b[None, :, 0]) / 2)

    def scaled(rows: list[list[float]]) -> np.ndarray:
        return np.array([[*((np.array(row[:2]) - bandit.low) / bandit.span), *row[2:]] for row in rows])

    at = scaled([[*context, *one] for one in x.tolist()])
    known = np.vstack([bandit.points, scaled(pending)]) if pending else bandit.points
    first = kernel(bandit.points, bandit.points) + bandit.variance * noise * np.eye(len(targets))
    both = kernel(known, known) + bandit.variance * noise * np.eye(len(known))
    mean = kernel(at, bandit.points) @ np.linalg.solve(first, targets)
    to_known = kernel(at, known)
    return mean, bandit.variance - np.sum(to_known.T * np.linalg.solve(both, to_known.T), axis=0)


@pytest.mark.parametrize("pending", [[], [[160.0, 9.0, 0.4, 0.3], [140.0, 8.0, 0.1, 0.9]]], ids=["none", "two"])
def test_the_bound_is_the_papers(pending: list[list[float]]) -> None:
    """mu + sqrt(c1 + log(0.4 n)) sigma^2, sigma^2 with what is pending, mu without."""
    rows, context = intervals(40, 2), [160.0, 9.0]
    bandit = Bandit.fit(rows.tolist())
    targets = np.clip((rows[:, 2] - rows[:, 2].mean()) / rows[:, 2].std(), -2, 2)
    x = np.random.default_rng(1).random((100, 2))
    mean, variance = dense(bandit, targets, x, context, pending)
    for c1 in (0.0, 0.2, 50.0):
        expected = mean + math.sqrt(c1 + math.log(0.4 * 40)) * variance
        np.testing.assert_allclose(bandit.bound(context, pending, c1)(x), expected, atol=1e-6)
        chosen = np.array([bandit.choose(context, x, pending, c1)])
        assert bandit.bound(context, pending, c1)(chosen)[0] >= expected.max() - 1e-9


def test_the_shape_is_the_likeliest() -> None:
    """No shape of a fine grid is likelier by more than the last step of the search is worth."""
    rows = intervals(30, 1)
    bandit = Bandit.fit(rows.tolist())
    targets = np.clip((rows[:, 2] - rows[:, 2].mean()) / rows[:, 2].std(), -2, 2)
    apart = pb2._apart(bandit.points, bandit.points)
    own = pb2._likelihood(apart, targets, bandit.shape)[0]
    for length in np.linspace(-5, 5, 15).tolist():
        for fading in (1e-5, 0.1, 0.3, 0.5):
            for noise in np.linspace(-12, 2, 12).tolist():
                assert pb2._likelihood(apart, targets, (length, fading, noise))[0] < own + 0.05


def rays() -> Any:
    """Ray's own functions, without the rest of ray.tune, which needs pandas."""
    pytest.importorskip("sklearn")
    found = importlib.util.find_spec("ray")
    if found is None or found.origin is None:
        pytest.skip("Ray is not installed")
    spec = importlib.util.spec_from_file_location(
        "rays_pb2_utils", Path(found.origin).parent / "tune" / "schedulers" / "pb2_utils.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("n", "d", "pending"), [(12, 1, 0), (30, 1, 2), (60, 1, 0), (60, 2, 2)])
def test_it_chooses_what_rays_chooses(n: int, d: int, pending: int) -> None:
    """The same data, scaled by their functions, in their process and their acquisition, without noise as theirs: their
    fit is no likelier than ours, and with our shape they choose our x."""
    theirs = rays()
    rows, context = intervals(n, d, noise=0.0), [160.0, 8.5]
    bandit = Bandit.fit(rows.tolist())
    assert math.exp(bandit.shape[2]) < 1e-3  # without noise
    chosen = [[*context, *np.random.default_rng(i).random(d)] for i in range(pending)]

    limits = np.vstack([[*rows[:, :2].min(axis=0), *[0.0] * d], [*rows[:, :2].max(axis=0), *[1.0] * d]])
    points = theirs.normalize(rows[:, [0, 1, *range(3, 3 + d)]], limits)
    targets = theirs.standardize(rows[:, 2]).reshape(-1, 1)
    fixed = theirs.normalize(np.array(context), rows[:, :2])
    np.testing.assert_allclose(points, bandit.points, atol=1e-6)

    kernel = theirs.TV_SquaredExp(variance=1.0, lengthscale=1.0, epsilon=0.1)
    fitted = GaussianProcessRegressor(kernel, alpha=1e-10, optimizer="fmin_l_bfgs_b").fit(points, targets)
    own = theirs.TV_SquaredExp(bandit.variance, math.exp(bandit.shape[0]), bandit.shape[1])
    noise = bandit.variance * math.exp(bandit.shape[2])
    model = GaussianProcessRegressor(own, alpha=noise, optimizer=None).fit(points, targets)
    assert model.log_marginal_likelihood_value_ > fitted.log_marginal_likelihood_value_ - 1.0

    padded = model
    if pending:
        more = np.vstack([points, [[*fixed, *row[2:]] for row in chosen]])
        padded = GaussianProcessRegressor(own, alpha=noise, optimizer=None).fit(more, np.zeros((len(more), 1)))
    np.random.seed(0)  # noqa: NPY002 - theirs draws from it
    expected = theirs.optimize_acq(theirs.UCB, model, padded, fixed, 2)
    found = bandit.choose(context, np.random.default_rng(0).random((128, d)), chosen, 0.2)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_what_was_chosen_before_at_this_ready_repels() -> None:
    """With much exploration the second choice is elsewhere."""
    bandit, context = Bandit.fit(intervals(30, 1).tolist()), [160.0, 20.0]
    candidates = np.linspace(0, 1, 101)[:, None]
    first = bandit.choose(context, candidates, [], 1e6)
    second = bandit.choose(context, candidates, [[*context, *first]], 1e6)
    assert abs(first[0] - second[0]) > 0.05
    before, after = (bandit.bound(context, chosen, 0.2)(np.array([first]))[0] for chosen in ([], [[*context, *first]]))
    assert after < before


def test_one_interval_and_constant_objectives_are_enough() -> None:
    for rows in ([[0.0, 1.0, 0.5, 0.3]], [[0.0, 1.0, 0.5, 0.3], [0.0, 1.0, 0.5, 0.9]], [[0.0, 1.0, 0.5, 0.3]] * 3):
        (x,) = Bandit.fit(rows).choose([20.0, 1.0], np.linspace(0, 1, 11)[:, None], [], 0.2)
        assert 0 <= x <= 1


def test_in_any_unit_of_the_objective_and_of_time_the_choice_is_the_same() -> None:
    rows, candidates = intervals(30, 2), np.random.default_rng(0).random((64, 2))
    unit = np.array([4.0, 2.0**-20, 2.0**-22, 1.0, 1.0])
    first = Bandit.fit(rows.tolist()).choose([160.0, 8.5], candidates, [], 0.2)
    assert Bandit.fit((rows * unit).tolist()).choose([640.0, 8.5 * 2.0**-20], candidates, [], 0.2) == first


@pytest.mark.parametrize("d", Space.parse(NUMBERS).dimensions, ids=lambda d: d.name)
@pytest.mark.parametrize("scale", ["linear", "kind"])
def test_values_are_scaled_between_their_bounds(d: Dimension, scale: str) -> None:
    units = [pb2._unit(d, value, scale) for value in np.linspace(d.lower, d.upper, 10).tolist()]
    assert all(0 <= unit <= 1 for unit in units)
    assert units == sorted(units)
    for unit, value in zip(units, np.linspace(d.lower, d.upper, 10).tolist(), strict=True):
        assert pb2._value(d, unit, scale) == pytest.approx(round(value) if d.kind == "integer" else value, abs=1e-9)
    for unit in (0.0, 1e-9, 0.37, 1.0):
        assert d.contains(pb2._value(d, unit, scale))


def test_half_way_between_the_bounds() -> None:
    lr = Dimension("lr", "log_uniform", 1e-4, 1.0, 1e-4, 1.0)
    assert pb2._unit(lr, 1e-2, "kind") == pytest.approx(0.5)
    assert pb2._unit(lr, 0.50005, "linear") == pytest.approx(0.5)
    assert pb2._unit(Dimension("g", "one_minus_log_uniform", 0.9, 0.999, 0.9, 0.999), 0.99, "kind") == pytest.approx(
        0.5
    )
    assert pb2._unit(Dimension("k", "integer", 1, 4, 1, 4), 2, "linear") == pytest.approx(0.375)


def test_a_ready_of_22_members_is_cheap() -> None:
    began = time.process_time()
    bandit = Bandit.fit(intervals(200, 10).tolist())
    for _ in range(5):
        bandit.choose([160.0, 9.0], np.random.default_rng(0).random((128, 10)), [], 0.2)
    assert time.process_time() - began < 5  # some 0.6 s on an idle core


def test_a_space_it_cannot_tune() -> None:
    pb2.validate(make_setup((4,), spec=NUMBERS), pb2.Settings())
    with pytest.raises(SettingError, match=r"space\.batch has kind ordered_choice: algo=pb2 tunes numbers only"):
        pb2.validate(make_setup((4,), spec=ALL_KINDS), pb2.Settings())
    with pytest.raises(SettingError, match="the space is empty"):
        pb2.validate(make_setup((4,), spec={}), pb2.Settings())
