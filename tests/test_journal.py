"""The journal as text, on a run made by hand."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from firerl.commands import journal as command
from firerl.config.run_config import AlgoConfig, RunConfig, to_plain
from firerl.evolution.population import (
    Copy,
    Evaluation,
    Fail,
    Promote,
    Report,
    Set,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")

SPACE = {"lr": {"log_uniform": [1e-3, 1.0]}}


def config_for(run_dir: Path, algo: str = "fire", **changes: Any) -> RunConfig:
    """P1 and P2 of two members, one evaluator (pbt, random: five members); four evaluations, two a ready."""
    fire = algo == "fire"
    config = RunConfig(
        task="Quadratic",
        learner="quadratic",
        settings={"dimensions": 4, "kappa": 1.5, "noise": 0.3},
        space=SPACE,
        algo=AlgoConfig(algo, {}),
        sizes=(2, 2) if fire else (5,),
        evaluators=1 if fire else 0,
        steps=40,
        eval_interval=10,
        ready_interval=20,
        run_dir=str(run_dir),
    )
    return dataclasses.replace(config, **changes)


def members_of(config: RunConfig, values: dict[str, Any] | None = None) -> State:
    """The first population of a config; worker i has lr (i + 1) / 10, or all have ``values``."""
    populations = [p for p, size in enumerate(config.sizes, start=1) for _ in range(size)]
    workers = [
        Worker(i, p, False, {"lr": (i + 1) / 10} if values is None else values) for i, p in enumerate(populations)
    ]
    return State((*workers, *(Worker(len(workers) + i, 2, True) for i in range(config.evaluators))))


def fire_points() -> list[Point]:
    """Two evaluation points: a start, then a copy, a success and a stop, each told as the core would."""
    begin = StartEvaluator(worker=4, parent=2, child=0, step=10, network_step=10, hyperparameters={"lr": 0.1})
    first = Point([Report(i, 10, float(i), {"loss": 0.5, "a": 1.0}) for i in range(4)], [begin])
    second = Point(
        [*(Report(i, 20, i + 0.25) for i in range(3)), Report(3, 20, failure="NaN"), Report(4, 20, None)],
        [
            Fail(3, 20, "NaN"),
            Promote(4, 2, 0, 20, 20, 7, 0.5, 0.0078125),
            Copy(3, 2, 20, 20, {"lr": 0.3}, {"lr": 0.6}, None, 1.5, fresh=True),
            StartEvaluator(4, 3, 1, 20, 20, {"lr": 0.2}),
            StopEvaluator(4, 3, 1, 20, "no-improvement", 5, -0.1, 0.5),
        ],
    )
    return [first, second]


def state_after(state: State) -> State:
    """Worker 3 as after its copy, the evaluator at work."""
    workers = [dataclasses.replace(w, step=20) for w in state.workers]
    workers[3] = dataclasses.replace(workers[3], hyperparameters={"lr": 0.6})
    if len(workers) > 4 and workers[4].is_evaluator:
        workers[4] = dataclasses.replace(workers[4], evaluation=Evaluation(2, 0, 20), hyperparameters={"lr": 0.1})
    return State(tuple(workers))


def make_run(config: RunConfig, points: Sequence[Point]) -> str:
    """A run folder with one generation; returns its hash."""
    state = members_of(config)
    store = Store.create(Path(config.run_dir), to_plain(config), {"seed": 0}, state)
    generation = store.commit(store.last(), 20, points, state_after(state), [], None, {})
    store.close()
    return generation.hash


def test_every_kind_of_event_has_its_line(tmp_path: Path) -> None:
    digest = make_run(config_for(tmp_path / "r"), fire_points())
    assert list(command.lines(Journal.open(tmp_path / "r"))) == [
        "sample step=0 worker=0 population=P1 lr=0.1",
        "sample step=0 worker=1 population=P1 lr=0.2",
        "sample step=0 worker=2 population=P2 lr=0.3",
        "sample step=0 worker=3 population=P2 lr=0.4",
        "evaluator start step=10 worker=4 parent=2 child=0 network_step=10 lr=0.1",
        "failure step=20 worker=3 failure=NaN",
        "evaluator success step=20 worker=4 parent=2 child=0 points=7 best_score_diff=0.5 p_value=0.0078125",
        "promotion step=20 child=0 worker=4 parent=2 network_step=20 lr=0.1",
        "copy step=20 worker=3 donor=2 network_step=20 fitness=none donor_fitness=1.5 fresh=True lr=0.3",
        "explore step=20 worker=3 lr=0.3->0.6",
        "evaluator start step=20 worker=4 parent=3 child=1 network_step=20 lr=0.2",
        "evaluator stop step=20 reason=no-improvement worker=4 parent=3 child=1 points=5 best_score_diff=-0.1"
        " p_value=0.5",
        f"hash 20 {digest}",
    ]


def test_changes_of_hyperparameters_alone_have_a_line(tmp_path: Path) -> None:
    make_run(config_for(tmp_path / "r"), [Point([Report(0, 10, 1.0)], [Set(0, 10, 12, {"lr": 0.05, "b": 2})])])
    assert "set step=10 worker=0 network_step=12 b=2 lr=0.05" in command.lines(Journal.open(tmp_path / "r"))


def test_reports_stand_before_the_events_of_their_point(tmp_path: Path) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    lines = list(command.lines(Journal.open(tmp_path / "r"), reports=True))
    assert lines[4] == "report step=10 worker=0 objective=0.0 a=1.0 loss=0.5"
    assert lines[8].startswith("evaluator start step=10")
    assert lines[12:14] == [
        "report step=20 worker=3 objective=none failure=NaN",
        "report step=20 worker=4 objective=none",
    ]
    assert lines[14].startswith("failure step=20")


@pytest.mark.parametrize(("algo", "absent"), [("pbt", ["evaluator"]), ("random", ["evaluator", "copy"])])
def test_rivals_have_no_lines_of_what_they_lack(tmp_path: Path, algo: str, absent: list[str]) -> None:
    copies = [Copy(3, 2, 20, 20, {"lr": 0.3}, {"lr": 0.6}, 0.0, 1.5)] if algo == "pbt" else []
    make_run(config_for(tmp_path / "r", algo), [Point([Report(i, 20, float(i)) for i in range(5)], copies)])
    text = "\n".join(command.lines(Journal.open(tmp_path / "r"), reports=True))
    assert not [word for word in absent if word in text]
    assert ("copy" in text) == (algo == "pbt")


def test_a_run_that_has_only_begun_has_its_draws_and_its_hash(tmp_path: Path) -> None:
    config = config_for(tmp_path / "r")
    Store.create(tmp_path / "r", to_plain(config), {}, members_of(config)).close()
    lines = list(command.lines(Journal.open(tmp_path / "r")))
    assert len(lines) == 5
    assert lines[-1].startswith("hash 0 ")


def test_words_with_spaces_and_odd_floats_are_printed_with_repr(tmp_path: Path) -> None:
    config = config_for(tmp_path / "r")
    state = members_of(config, {"optimiser": "adam w", "kind": "sgd", "lr": float("nan"), "n": 3})
    Store.create(tmp_path / "r", to_plain(config), {}, state).close()
    first = next(command.lines(Journal.open(tmp_path / "r")))
    assert first == "sample step=0 worker=0 population=P1 kind=sgd lr=nan n=3 optimiser='adam w'"


def test_command_prints_the_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = make_run(config_for(tmp_path / "r"), fire_points())
    assert command.main([str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"hash 20 {digest}\n")
    assert str(tmp_path) not in out


@pytest.mark.parametrize("arguments", [["{}/none"], ["{}"], [], ["{}", "--reprots"]])
def test_bad_arguments_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert command.main([argument.format(tmp_path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("firerl: ")
    assert captured.err.count("\n") == 1


def test_a_damaged_journal_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all" * 100)
    assert command.main([str(tmp_path)]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    points = [
        Point([Report(i, 10 * n, 1.0, {"loss": 0.5}) for i in range(4)], []) for n in range(1, 500)
    ]  # more than a pipe holds
    config = config_for(tmp_path / "r")
    store = Store.create(tmp_path / "r", to_plain(config), {}, members_of(config))
    store.commit(store.last(), 4990, points, members_of(config), [], None, {})
    store.close()
    shown = [sys.executable, "-m", "firerl.journal", "--reports", str(tmp_path / "r")]
    process = subprocess.Popen(shown, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert (process.wait(30), error) == (0, b"")
