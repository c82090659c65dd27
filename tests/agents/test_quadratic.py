"""The noisy quadratic: its update by hand, and the contract of a learner."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.agents.quadratic.learner import Quadratic
from firerl.errors import SettingError


def make(lr: float = 0.1, seed: int = 0, **given_settings: Any) -> Quadratic:
    return Quadratic(Quadratic.resolve(given_settings), {"lr": lr}, seed, "cpu")


def test_first_objective_by_hand() -> None:
    # theta = 1, h = (1, 1/4): 1/2 sum h = 0.625
    assert make(dimensions=2, kappa=2).evaluate(0) == pytest.approx(-math.log10(0.625))


def test_noiseless_step_by_hand() -> None:
    learner = make(lr=0.5, dimensions=2, kappa=2, noise=0)
    learner.train(2)  # theta_i = (1 - 0.5 h_i)^2
    np.testing.assert_allclose(learner.theta, [0.25, 0.875**2], rtol=1e-15)


def test_noise_is_scaled_by_the_root_of_the_curvature() -> None:
    learner = make(lr=1.0, seed=5, dimensions=2, kappa=2, noise=0.3)
    learner.train(1)
    eps = np.random.default_rng(5).standard_normal(2)
    np.testing.assert_allclose(learner.theta, [0 - 0.3 * eps[0], 0.75 - 0.3 * 0.5 * eps[1]], rtol=1e-14)


def test_the_objective_has_a_ceiling() -> None:
    learner = make(lr=1.0, dimensions=1, noise=0)
    learner.train(1)  # theta = 0 exactly
    assert learner.evaluate(0) == pytest.approx(12.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.floats(1e-3, 1.0))
def test_training_can_be_cut_and_moved_bit_for_bit(a: int, b: int, lr: float) -> None:
    whole, cut, moved = make(lr), make(lr), make(lr, seed=9)
    whole.train(a + b)
    cut.train(a)
    cut.evaluate(3)
    moved.load(**cut.state())
    cut.train(b)
    moved.train(b)
    for other in (cut, moved):
        assert np.array_equal(other.theta, whole.theta)
        assert other.state()["stream"] == whole.state()["stream"]


def test_either_half_of_a_state_moves_alone_and_is_copied() -> None:
    donor, taker = make(seed=1), make(seed=2)
    donor.train(5)
    own_stream, state = taker.state()["stream"], donor.state()
    taker.load(weights=state["weights"])
    assert np.array_equal(taker.theta, donor.theta)
    assert taker.state()["stream"] == own_stream
    kept = donor.theta.copy()
    taker.train(3)
    assert np.array_equal(state["weights"]["theta"], kept)
    assert np.array_equal(donor.theta, kept)
    taker.load(stream=state["stream"])
    assert taker.state()["stream"] == state["stream"]


def test_the_seed_decides_the_noise_and_the_rate_can_change() -> None:
    a, b, c = make(seed=1), make(seed=2), make(seed=1)
    c.set_hyperparameters({"lr": 0.2})
    for learner in (a, b, c):
        learner.train(1)
    assert not np.array_equal(a.theta, b.theta)
    np.testing.assert_allclose(c.theta - 1, 2 * (a.theta - 1), rtol=1e-9)


def test_divergence_is_a_nan_objective_without_a_warning() -> None:
    learner = make(lr=1e3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.train(80)
        assert math.isnan(learner.evaluate(0))  # theta finite, its square is not
        learner.train(300)
        assert math.isnan(learner.evaluate(0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimensions", 0), ("dimensions", 1_000_001), ("dimensions", 2.5), ("dimensions", True),
        ("kappa", -1), ("kappa", "steep"),
        ("noise", math.nan), ("noise", math.inf), ("noise", False),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_named(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"learner.{name}=.*: must be"):
        Quadratic.resolve({name: value})


def test_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"did you mean 'learner\.noise'"):
        Quadratic.resolve({"nois": 1})
