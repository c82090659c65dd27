"""``horizon.py``: a killed run goes on, a finished one is not run again, and what the tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import horizon
import long_runs
import pytest

TINY = {"num_envs": 4, "unroll": 25, "hidden": [8], "minibatches": 2, "epochs": 1}


def job(steps: int, **given: Any) -> dict[str, Any]:
    given = {**TINY, **given}
    return {"task": "InvertedPendulum", "name": "tiny", "arm": "vmpo", "seed": 100, "steps": steps, "given": given}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, steps in (("INTERVAL", 200), ("SAVED", 300), ("PLAYED", 500)):
        monkeypatch.setattr(long_runs, name, steps)


def numbers(row: dict[str, Any]) -> tuple[list, list]:
    """What a run found; its seconds are another each time."""
    return [{k: v for k, v in p.items() if k != "seconds"} for p in row["curve"]], row["played"]


def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path, often: None) -> None:
    class Killed(Exception):
        pass

    def kill(line: str) -> None:
        if "1,000 mean action" in line:
            raise Killed

    with pytest.raises(Killed):
        long_runs.run(job(1500), tmp_path / "a", kill)
    told: list[str] = []
    again = long_runs.run(job(1500), tmp_path / "a", told.append)
    assert "goes on at 900" in told[0]
    assert numbers(again) == numbers(long_runs.run(job(1500), tmp_path / "b", told.append))
    assert [point["steps"] for point in again["curve"]] == [200, 400, 600, 800, 1000, 1200, 1400]
    assert [played["steps"] for played in again["played"]] == [500, 1000, 1500]
    assert {"return", "scale", "kl_mu", "eta", "alpha_sigma", "explained_variance", "rate"} <= set(again["curve"][-1])


def test_a_state_of_other_settings_is_not_gone_on_from(tmp_path: Path, often: None) -> None:
    told: list[str] = []
    long_runs.run(job(600), tmp_path, told.append)
    long_runs.run(job(600, epochs=2), tmp_path, told.append)
    assert not any("goes on" in line for line in told)


def test_a_finished_run_is_not_run_again_and_a_longer_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, one = tmp_path / "rows.jsonl", job(600)
    settings = {name: value for name, value in long_runs.settings_of(one).items() if name != "target_kl"}
    long_runs.append(
        path, {**one, "settings": settings, "curve": [], "played": [], "seconds": 1}
    )  # as of before it was
    pools: list[int] = []

    class Pool:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: Any) -> None: ...
        def imap_unordered(self, _: Any, left: list) -> list:
            pools.append(len(left))
            return []

    monkeypatch.setattr(long_runs.multiprocessing, "get_context", lambda _: type("Context", (), {"Pool": Pool}))
    for wanted in ([one], [job(300)], [job(900)], [job(600, epochs=3)]):
        long_runs.run_all(wanted, path, tmp_path, 1)
    assert pools == [0, 0, 1, 1]


def test_every_job_of_the_study_is_one_that_can_run() -> None:
    jobs = horizon.jobs(horizon.STUDY, [], [100], 2_000_000)
    assert len({long_runs.key(job) for job in jobs}) == len(jobs)  # no two are the same
    assert [job["name"] for job in horizon.jobs(["Ant"], ["before"], [100, 101], 1)] == ["before", "before"]


def test_what_a_name_means_does_not_follow_the_defaults() -> None:
    for job in horizon.jobs(horizon.STUDY, [], [100], 1):
        settings, elsewhere = (long_runs.settings_of({**job, "task": task}) for task in (job["task"], "Pusher"))
        own = {name for name, value in settings.items() if value != elsewhere[name]} - {"env", "eval_interval"}
        assert not own, (job["task"], job["name"])


def row(seed: int, returns: list[float | None], played: dict[int, float], steps: int = 2_000_000) -> dict[str, Any]:
    curve = [
        {"steps": 25_000 * (k + 1), "episodes": 0 if value is None else k + 1, "return": value, "scale": 0.5}
        for k, value in enumerate(returns)
    ]
    fields = {"curve": curve, "played": [{"steps": s, "return": r} for s, r in played.items()], "seconds": 9}
    return {**job(steps), "seed": seed, "settings": {"seed": seed}, **fields}


def test_a_training_return_is_the_mean_over_the_episodes_of_the_last_50_000_steps() -> None:
    one = row(100, [1.0, 4.0, None, 10.0], {})
    assert long_runs.training_return(one, 50_000) == pytest.approx((1 * 1 + 2 * 4) / 3)
    assert long_runs.training_return(one, 75_000) == 4.0
    assert long_runs.training_return(one, 100_000) == 10.0
    assert long_runs.training_return(one, 150_000) is None


def test_the_summary_compares_seeds_where_all_have_played() -> None:
    short = row(100, [1.0], {999_424: 5.0}, steps=1_000_000)
    rows = [short, row(100, [1.0], {999_424: 5.0, 2_002_944: 50.0}), row(101, [1.0], {1_003_520: 7.0})]
    assert horizon.summary(rows) == {"InvertedPendulum tiny 1M": 6.0}
    assert len(horizon.returns_table(rows)) == 4  # the longer of two that are the same
