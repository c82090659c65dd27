"""What ``benchmarks/evidence/returns.py`` makes of curves; its runs are too long for a test."""

from __future__ import annotations

from typing import Any

import pytest
import returns


def row(seed: int = 3, arm: str = "vmpo", played: dict[int, float] | None = None, **fields: Any) -> dict[str, Any]:
    """A run of two million steps that evaluated at each."""
    points = [
        {"steps": steps, "return": value} for steps, value in (played or {1_003_520: 10.0, 2_000_000: 20.0}).items()
    ]
    plain = {
        "task": "Humanoid",
        "name": arm,
        "steps": 2_000_000,
        "given": {},
        "settings": {},
        "curve": [],
        "seconds": 9,
    }
    return {**plain, "seed": seed, "arm": arm, "played": points, **fields}


def curve(returns_: list[float], episodes: int = 50) -> list[dict[str, Any]]:
    """Points every 25,000 steps and ten seconds."""
    return [
        {"steps": 25_000 * (k + 1), "seconds": 10 * (k + 1), "episodes": episodes, "return": value}
        for k, value in enumerate(returns_)
    ]


def test_walking_is_a_mean_of_100_episodes_that_stays_above_5000_for_200000_steps() -> None:
    assert returns.seconds_to_walk(row(curve=curve([6000.0] * 12))) == 10 * (2 + 8)  # two points hold 100 episodes
    assert returns.seconds_to_walk(row(curve=curve([0.0] + [6000.0] * 12))) == 10 * (3 + 8)
    assert returns.seconds_to_walk(row(curve=curve([6000.0] * 5 + [1000.0] + [6000.0] * 12))) == 10 * (8 + 8)
    assert returns.seconds_to_walk(row(curve=curve([6000.0] * 9))) is None
    assert returns.seconds_to_walk(row(curve=curve([6000.0] * 12, episodes=0))) is None
    assert returns.seconds_to_walk(row(curve=curve([6000.0] * 12, episodes=25))) == 10 * (4 + 8)


def test_the_summary_is_of_medians_where_all_seeds_have_played() -> None:
    rows = [row(seed, played={1_003_520: 10.0 * seed, 2_000_000: 5.0}) for seed in (3, 4)]
    rows += [row(5, played={1_003_520: 90.0}), row(3, "rl_games", curve=curve([6000.0] * 70))]
    figures = returns.summary(rows)
    assert figures["vmpo_humanoid_1m"] == 40.0
    assert "vmpo_humanoid_2m" not in figures
    assert figures["rl_games_humanoid_2m"] == 20.0
    assert figures["vmpo_humanoid_kept"] == pytest.approx((5 / 30 + 5 / 40) / 2, abs=1e-3)
    assert figures["vmpo_seconds_to_walk"] is None
    assert figures["rl_games_seconds_to_walk"] == 100
    assert figures["rl_games_humanoid_training_1.6m"] == 6000.0
    assert "| Humanoid | V-MPO | 1M | 40 | 3: 30, 4: 40, 5: 90 |" in "\n".join(returns.table(rows))


def test_rivals_run_on_humanoid_alone_and_jobs_go_seed_by_seed() -> None:
    jobs = returns.jobs(["Humanoid", "Ant"], ["vmpo", "sb3"], [3, 4])
    assert [(job["seed"], job["task"], job["arm"]) for job in jobs][:4] == [
        (3, "Humanoid", "vmpo"), (3, "Humanoid", "sb3"), (3, "Ant", "vmpo"), (4, "Humanoid", "vmpo"),
    ]  # fmt: skip
