"""``benchmarks/evidence/horizon_updates.py``: what it takes for signal, for noise and for a way."""

from __future__ import annotations

from pathlib import Path

import horizon_updates
import long_runs
import pytest
import torch
from agents_for_tests import bits


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    given = {"num_envs": 4, "unroll": 25, "hidden": [8], "minibatches": 2, "epochs": 1}
    job = {"task": "Hopper", "name": "tiny", "arm": "vmpo", "seed": 100, "steps": 300, "given": given}
    long_runs.run(job, folder, lambda _: None)
    return next(folder.glob("*.pt"))


def test_the_share_of_signal_is_that_of_the_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 20_000, generator=generator)
    signal = torch.randn(20_000, generator=generator)
    for size in (0.0, 0.1, 1.0):
        found, error = horizon_updates.share(size * signal + noise, size * signal + noise)
        assert found == pytest.approx(size**2 / (1 + size**2), abs=4 * error + 1e-3)
        assert error < 0.01
    wrong = torch.randn(20_000, generator=generator)  # comes back in every unroll, and is no signal
    found, error = horizon_updates.share(signal + wrong + noise, signal + noise)
    assert found == pytest.approx(1 / (3 * 2) ** 0.5, abs=4 * error)


def test_an_update_moves_the_policy_by_its_rate_and_the_learner_not_at_all(state: Path) -> None:
    learner = horizon_updates.load(state)
    (unroll,) = horizon_updates.collect(learner, 1)
    before = bits(learner.update.state())
    ways = [horizon_updates.moved(learner, unroll, rate, shuffles=False)[0] for rate in (0.0, 0.1, 1.0)]
    assert ways[0] == pytest.approx(0.0, abs=1e-9)
    assert ways[0] < ways[1] < ways[2]
    assert horizon_updates.moved(learner, unroll, 1.0, shuffles=True)[0] != ways[2]
    assert bits(learner.update.state()) == before


def test_the_tables_of_a_state(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = horizon_updates.study(state, 3, few=1)
    assert {
        "kl_over_bound_1",
        "kl_of_noise_over_bound_0.33",
        "signal_A_0.9",
        "signal_psi_0.95",
        "common_psi_0.8",
    } <= set(figures)
    assert capsys.readouterr().out.count("\n|") == 3 + 2 + 2 + 5
