"""A short form of tests/stress/crash_points.py: every 31st durable action of every scenario, and all of its kinds."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from firerl.base.disk import durable, files
from firerl.storage.store import Store


@pytest.fixture(scope="module")
def harness() -> Any:
    module = importlib.import_module("crash_points")
    module.warm()
    return module


@pytest.fixture(scope="module")
def bench(harness: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    bench = harness.Bench(tmp_path_factory.mktemp("bench"), 40)
    return bench, harness.prepare(bench)


@pytest.mark.unverified("the runs are verified by the harness; those that scenarios begin with are broken")
@pytest.mark.parametrize("name", ["run", "resume", "extend", "repair", "large states"])
def test_a_killed_process_leaves_nothing_that_a_resume_cannot_mend(harness: Any, bench: Any, name: str) -> None:
    made, expected = bench
    scenario = next(s for s in made.scenarios() if s.name == name)
    run_dir = made.folder / "run"
    points = harness.record(scenario, run_dir)
    assert len(points) > 50
    found = {str(p): harness.attempt(scenario, p, run_dir, expected) for p in points[::31]}
    assert not {point: wrong for point, wrong in found.items() if wrong}


def test_every_kind_of_durable_action_is_met(harness: Any, bench: Any) -> None:
    made, _ = bench
    run, _, extend, _, tight = made.scenarios()
    points = [point for scenario in (run, extend, tight) for point in harness.record(scenario, made.folder / "run")]
    assert {p.action for p in points} >= {
        "mkdir", "create", "write", "fsync", "rename", "unlink", "commit", "backup", "journal mode", "empty log",
        "close",
    }  # fmt: skip
    assert {p.moment for p in points} == {"before", "half", "after"}
    assert {p.variant for p in points} == {"kill", "short", "torn", "undone"}


def test_a_copy_that_is_half_written_comes_back(harness: Any, bench: Any) -> None:
    """Every commit of ``journal.bak`` that a power failure can end in the middle."""
    made, expected = bench
    scenario, run_dir = made.scenarios()[0], made.folder / "run"
    points = [p for p in harness.record(scenario, run_dir) if (p.name, p.variant) == ("journal.bak", "torn")]
    assert len(points) >= 3
    found = {str(p): harness.attempt(scenario, p, run_dir, expected) for p in points}
    assert not {point: wrong for point, wrong in found.items() if wrong}


def test_the_harness_sees_files_that_are_written_in_place(
    harness: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, expected = bench
    scenario, run_dir = made.scenarios()[0], made.folder / "run"
    monkeypatch.setattr(files, "write", durable.write)
    point = at(harness.record(scenario, run_dir), "half", "result.json")
    assert "lost" in harness.attempt(scenario, point, run_dir, expected)


def test_the_harness_sees_garbage_that_nobody_collects(
    harness: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, expected = bench
    scenario, run_dir = made.scenarios()[0], made.folder / "run"
    monkeypatch.setattr(Store, "collect_garbage", lambda self: None)
    point = at(harness.record(scenario, run_dir), "half", "g000002-w1.pt.tmp")
    assert "unreferenced" in harness.attempt(scenario, point, run_dir, expected)


def at(points: list[Any], moment: str, name: str) -> Any:
    return next(p for p in points if (p.moment, p.name) == (moment, name))
