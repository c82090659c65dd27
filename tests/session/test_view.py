"""What a person sees: the observers on rounds made by hand."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of, state_after
from rich.console import Console

from firerl.config.run_config import RunConfig
from firerl.evolution import plain
from firerl.evolution.lineage import Segment
from firerl.evolution.population import Report
from firerl.session.watching import blocks, live, view
from firerl.session.watching.progress import Observer, Round
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal

pytestmark = pytest.mark.unverified("journals made by hand")

PARTS = {"train": 0.9, "evaluate": 0.06, "idle": 0.04}


def rounds(config: RunConfig) -> list[Round]:
    state = members_of(config)
    first, second = fire_points()
    return [
        Round(10, state, first, False, 40, 0.5, PARTS, 125.0),
        Round(20, state_after(state), second, True, 50, 0.5, PARTS, 61.0),
    ]


def result_of(segments: int = 2) -> dict[str, Any]:
    lineage = [Segment(1, "copy", 10 * i, 10 * i + 10, {"lr": 0.1 + i, "kind": "adam"}) for i in range(segments)]
    return {
        "task": "Quadratic", "learner": "quadratic", "worker": 1, "algo": "fire", "seed": 0, "steps": 40,
        "stopped": "steps", "objective": 1.25, "hyperparameters": {"lr": 1.1}, "fresh": {"mean_return": 412.5},
        "lineage": [plain.encode(segment) for segment in lineage], "best_ever": None,
        "evolution": {"copies": 1, "evaluator_starts": 2, "evaluator_successes": 1,
                      "evaluator_stops": {"timeout": 1}},
    }  # fmt: skip


def watch(observer: Observer, config: RunConfig, step: int = 0) -> None:
    """A whole short run."""
    journal = Journal.open(Path(config.run_dir))
    observer.started(config, journal, step, 2)
    for round in rounds(config):
        observer.worker_done(1, 5)
        observer.round_done(round)
    observer.note("worker 3 failed after step 10: NaN")
    observer.finished(result_of(), Path(config.run_dir))
    observer.close()


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    made = config_for(tmp_path / "r")
    make_run(made, fire_points())
    return made


def test_lines_tell_the_run(config: RunConfig) -> None:
    out = io.StringIO()
    watch(view.LineView(config, out), config)
    text = out.getvalue()
    for expected in (
        "Quadratic: algorithm fire, learner quadratic, seed 0",
        "P1 2 + P2 2 members, 1 evaluator: 5 workers in 2 processes",
        "40 per worker, 200 in all",
        "last event  step 20: ",
        "so far      2 copies; evaluators: 1 running, 2 succeeded, 2 stopped",
        "P2  lr 0.45 [0.3..0.6]",
        "time        train 90%, evaluate 6%, idle 4%",
        "! worker 3 failed",
        "winner      worker 1: mean return on fresh data 412.5",
        "ranked by   last evaluation 1.250",
        "figures     best and median are of last evaluations",
        "a member's rank is by its last evaluation",
        "fresh       mean_return 412.5",
        "evolution   1 copy; evaluators: 2 starts, 1 success, 1 stop (timeout 1)",
        "0..10  lr 0.1  kind adam",
        f"python -m firerl.report {config.run_dir}",
        f"tensorboard --logdir {config.run_dir}/tensorboard",
    ):
        assert expected in text, f"{expected!r} is not in:\n{text}"


def test_lines_are_aligned_under_their_header_and_short(config: RunConfig) -> None:
    out = io.StringIO()
    watch(view.LineView(config, out), config)
    lines = out.getvalue().splitlines()
    at = next(i for i, line in enumerate(lines) if "steps/s   elapsed      left" in line)
    header, first, second = lines[at : at + 3]
    assert len(header) == len(first) == len(second)
    assert first.split() == ["10", "80", "0:00", "2:05", "1.000", "0.500", "3.000", "2.500"]
    assert max(len(line) for line in lines if config.run_dir not in line) <= 80  # to be pasted as it is


def test_counts_go_on_from_the_journal_and_not_from_what_a_dead_process_lost(config: RunConfig) -> None:
    out = io.StringIO()
    observer = view.LineView(config, out)
    journal = Journal.open(Path(config.run_dir))
    for _ in range(2):  # a machine failure starts it again
        observer.started(config, journal, 20, 2)
        assert (observer.tally.copies, observer.tally.successes, observer.tally.stops.total()) == (1, 1, 1)
        observer.round_done(rounds(config)[1])
        assert observer.tally.copies == 2
    assert out.getvalue().count("run folder") == 1
    assert "resumed     at step 20 of 40, where the last generation was saved" in out.getvalue()


def test_three_sub_populations_fit_a_line(tmp_path: Path) -> None:
    config = config_for(tmp_path, sizes=(8, 8, 8), evaluators=12, steps=1_234_567)
    state = members_of(config, {f"hyperparameter_{i}": 1.2345e-5 for i in range(9)})
    out = io.StringIO()
    point = Point([Report(i, 10, -12345.678) for i in range(24)], [])
    view.LineView(config, out).round_done(Round(1_000_000, state, point, True, 10, 0.1, PARTS, 86_400.0))
    assert max(map(len, out.getvalue().splitlines())) <= 100
    assert "hyperparameter_8 1.2e-5 [1.2e-5..1.2e-5]" in out.getvalue()


def test_table_tells_the_same(config: RunConfig) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    observer = live.TerminalView(config, console)
    watch(observer, config)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in (
        "P1 2 + P2 2 members", "20 of 40   100 steps/s", "50%  elapsed 0:00, left 1:01", "[0.3..0.6]", "2 copies",
        "1 running, 2 succeeded, 2 stopped", "time        train 90%", "worker 3 failed", "winner      worker 1",
    ):  # fmt: skip
        assert expected in text, f"{expected!r} is not in:\n{text}"
    assert observer.live is None


def test_views_take_what_is_missing(tmp_path: Path) -> None:
    """No objective yet, everybody failed, no hyperparameters, text, random search, a result of nothing."""
    config = config_for(tmp_path / "r", "random", space={}, logger=())
    make_run(config, [Point([Report(0, 20)], [])])
    nothing = Round(10, members_of(config, {}), Point([Report(0, 10)], []), True, 0, 0.0, {}, float("nan"))
    failed = Point([Report(i, 20, float("nan"), failure="NaN") for i in range(5)], [])
    words = Round(20, members_of(config, {"kind": "[red]", "on": True}), failed, True, 1, 0.1, PARTS, float("inf"))
    out = io.StringIO()
    console = Console(file=io.StringIO(), force_terminal=True, width=40, color_system=None)
    for observer in (view.LineView(config, out), live.TerminalView(config, console)):
        observer.started(config, Journal.open(tmp_path / "r"), 0, 1)
        observer.round_done(nothing)
        observer.round_done(words)
        observer.finished({"worker": 0, "objective": None, "fresh": {}, "algo": "random", "steps": 40}, tmp_path)
    assert "kind 5 [red]  on 5 True" in out.getvalue()
    assert "copies" not in out.getvalue()
    assert "resume=" in out.getvalue()
    assert "steps=80" in out.getvalue()


def test_the_end_can_come_without_a_start(tmp_path: Path, config: RunConfig) -> None:
    out = io.StringIO()
    view.LineView(config, out).finished(json.loads(json.dumps(result_of())), tmp_path)
    assert "ended at step 40\n" in out.getvalue()


def test_a_long_schedule_loses_its_middle(tmp_path: Path) -> None:
    lines = blocks.closing(result_of(30), tmp_path, None, True)
    rows = [line for line in lines if "lr " in line]
    assert len(rows) == blocks.SCHEDULE_ROWS
    assert any("20 more in schedule.yaml" in line for line in lines)


@pytest.mark.parametrize(("settings", "command"), [({"env": {"name": "Ant"}}, "play"), ({"data": "digits"}, "report")])
def test_only_what_can_be_played_is_said_to_be(
    settings: dict[str, object], command: str, tmp_path: Path, config: RunConfig
) -> None:
    out = io.StringIO()
    view.LineView(dataclasses.replace(config, settings=settings), out).finished(
        json.loads(json.dumps(result_of())), tmp_path
    )
    assert f"try next    python -m firerl.{command} {tmp_path}" in out.getvalue()


def test_make_view_follows_stdout(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(view.make_view(config), view.LineView)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(view.make_view(config), live.TerminalView)


def test_a_reader_that_left_does_not_stop_the_run(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    watch(view.LineView(dataclasses.replace(config), Closed()), config)
    assert capsys.readouterr().err.count("standard output cannot be written (nobody reads it)") == 1
