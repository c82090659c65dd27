"""The journal as text, on a run made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of

from firerl.commands import journal as command
from firerl.config.run_config import to_plain
from firerl.evolution.population import (
    Copy,
    Report,
    Set,
)
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")


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
