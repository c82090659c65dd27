"""A journal is what its settings and its reports give: true of every run, and false after the edit of any number."""

from __future__ import annotations

import json
import math
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.commands import explain
from firerl.errors import RunFolderError, SettingError
from firerl.evolution import plain
from firerl.evolution.population import Copy
from firerl.insight.health.verify import verify_folder
from firerl.storage.generation import Point, first_hash, next_hash
from firerl.storage.journal.journal_db import Journal

pytestmark = pytest.mark.unverified("journals damaged on purpose")

Edit = Callable[[Any], Any]


def open_db(run_dir: Path) -> sqlite3.Connection:
    db = sqlite3.connect(run_dir / "journal.sqlite", isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")  # a test's copy need not survive a power failure
    return db


@pytest.fixture
def run(told_run: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(told_run, tmp_path / "run"))


def nudge(value: Any) -> Any:
    """Another number, as near as may be."""
    if isinstance(value, dict) and "float" in value:
        return 0.5
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else math.nextafter(value, math.inf)


def edit_json(run_dir: Path, table: str, column: str, where: str, path: list[Any], change: Edit = nudge) -> None:
    """Change one number inside one JSON value; ``where`` picks the row, its first match is taken."""
    db = open_db(run_dir)
    key = {"meta": "key", "generations": "number", "reports": "point, worker", "decisions": "point, position"}[table]
    row = db.execute(f"SELECT {key}, {column} FROM {table} WHERE {where} ORDER BY {key} LIMIT 1").fetchone()
    assert row is not None
    *keys, text = row
    value = json.loads(text)
    if path:
        inside = value
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = change(inside[path[-1]])
    else:
        value = change(value)
    match = " AND ".join(f"{name} = ?" for name in key.split(", "))
    dumped = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert dumped != text
    assert db.execute(f"UPDATE {table} SET {column} = ? WHERE {match}", (dumped, *keys)).rowcount == 1
    db.close()


def edit_sql(run_dir: Path, statement: str) -> None:
    """One statement that changes one row."""
    db = open_db(run_dir)
    assert db.execute(statement).rowcount == 1
    db.close()


def data(kind: str, *path: Any, more: str = "") -> tuple[Any, ...]:
    return "decisions", "data", f"kind = '{kind}'{more}", list(path)


LAST = "number = (SELECT max(number) FROM generations)"
JSON_EDITS: dict[str, tuple[Any, ...]] = {
    "first objective": ("reports", "objective", "point = 1", []),
    "middle objective": ("reports", "objective", "point = 60 AND worker = 5", []),
    "last objective": ("reports", "objective", "point = (SELECT max(point) FROM reports)", []),
    "a metric": ("reports", "metrics", "point = 33", ["lr_used"]),
    "copy: fitness": data("copy", "fitness", more=" AND data NOT LIKE '%\"fitness\":null%'"),
    "copy: donor": data("copy", "donor"),
    "copy: donor_fitness": data("copy", "donor_fitness"),
    "copy: network_step": data("copy", "network_step"),
    "copy: lr": data("copy", "hyperparameters", "lr"),
    "copy: donor's lr": data("copy", "donor_hyperparameters", "lr"),
    "copy: step": data("copy", "step"),
    "copy: fresh": data("copy", "fresh"),
    "failure: step": data("fail", "step"),
    "failure: worker": data("fail", "worker"),
    "start: child": data("start_evaluator", "child"),
    "start: parent": data("start_evaluator", "parent"),
    "start: network_step": data("start_evaluator", "network_step"),
    "start: lr": data("start_evaluator", "hyperparameters", "lr"),
    "stop: points": data("stop_evaluator", "points"),
    "stop: p_value": data("stop_evaluator", "p_value", more=" AND data LIKE '%no-improvement%'"),
    "stop: best_score_diff": data("stop_evaluator", "best_score_diff", more=" AND data LIKE '%no-improvement%'"),
    "promotion: best_score_diff": data("promote", "best_score_diff"),
    "promotion: p_value": data("promote", "p_value"),
    "promotion: child": data("promote", "child"),
    "promotion: worker": data("promote", "worker"),
    "state: a curve": ("generations", "state", LAST, ["workers", 1, "curve", -1]),
    "state: step": ("generations", "state", LAST, ["workers", 0, "step"]),
    "state: network_step": ("generations", "state", LAST, ["workers", 0, "network_step"]),
    "state: evaluated_point": ("generations", "state", LAST, ["workers", 6, "evaluated_point"]),
    "state: lr": ("generations", "state", LAST, ["workers", 2, "hyperparameters", "lr"]),
    "state: point": ("generations", "state", LAST, ["point"]),
    "best ever: objective": ("generations", "best_ever", LAST, ["objective"]),
    "best ever: step": ("generations", "best_ever", LAST, ["step"]),
    "promised seed": ("meta", "value", "key = 'promised'", ["seed"]),
    "usual significance": ("meta", "value", "key = 'usual'", ["algo", "settings", "significance"]),
    "promised population": ("meta", "value", "key = 'promised'", ["sizes", 0]),
    "config: seed": ("meta", "value", "key = 'config'", ["seed"]),
    "config: truncation": ("meta", "value", "key = 'config'", ["algo", "settings", "truncation"]),
    "config: a bound": ("meta", "value", "key = 'config'", ["space", "lr", "log_uniform", 0]),
    "config: a learner's setting": ("meta", "value", "key = 'config'", ["settings", "noise"]),
    "config: evaluators": ("meta", "value", "key = 'config'", ["evaluators"]),
    "first draw": ("meta", "value", "key = 'initial_state'", ["workers", 3, "hyperparameters", "lr"]),
    "first step": ("meta", "value", "key = 'initial_state'", ["workers", 3, "step"]),
}
SQL_EDITS = {
    "a report's step": "UPDATE reports SET step = step + 10 WHERE point = 7 AND worker = 2",
    "a report's worker": "UPDATE reports SET worker = 99 WHERE point = 7 AND worker = 2",
    "a report's generation": "UPDATE reports SET generation = generation + 1 WHERE point = 8 AND worker = 1",
    "a report's point": "UPDATE reports SET point = 9999 WHERE point = 12 AND worker = 3",
    "a failure that was none": "UPDATE reports SET failure = 'NaN' WHERE point = 9 AND worker = 0",
    "a decision's position": "UPDATE decisions SET position = 77 WHERE point = 1 AND position = 0",
    "a decision's generation": "UPDATE decisions SET generation = 9 WHERE point = 1 AND position = 0",
    "a decision's point": "UPDATE decisions SET point = 3 WHERE point = 1 AND position = 0",
    "a generation's step": "UPDATE generations SET step = step + 60 WHERE number = 4",
    "the first generation's step": "UPDATE generations SET step = 10 WHERE number = 0",
    "the last generation's number": f"UPDATE generations SET number = number + 1 WHERE {LAST}",
    "a hash": "UPDATE generations SET hash = replace(hash, 'a', 'b') WHERE number = 3",
    "the first hash": "UPDATE generations SET hash = replace(hash, 'a', 'b') WHERE number = 0",
    "the last hash": f"UPDATE generations SET hash = replace(hash, 'a', 'b') WHERE {LAST}",
    "a checkpoint's size": "UPDATE checkpoints SET size = size + 1 WHERE name = (SELECT min(name) FROM checkpoints)",
    "a checkpoint's worker": "UPDATE checkpoints SET worker = 5 WHERE name = (SELECT min(name) FROM checkpoints)",
    "a checkpoint's time": "UPDATE checkpoints SET generation = 2 WHERE name = (SELECT max(name) FROM checkpoints)",
    "a report gone": "DELETE FROM reports WHERE point = 20 AND worker = 4",
    "a decision gone": "DELETE FROM decisions WHERE point = 1 AND position = 1",
    "a member's checkpoint gone": "DELETE FROM checkpoints WHERE worker = 3 AND name LIKE 'g000015-%'",
    "an evaluator's checkpoint gone": "DELETE FROM checkpoints WHERE name = 'g000015-w8.pt'",
}  # fmt: skip


def test_a_run_is_verified(told_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify_folder(told_run)
    assert found.differences == []
    assert found.rounded == 0
    journal = Journal.open(told_run)
    points = list(journal.points())
    assert (found.generations, found.reports) == (15, sum(len(p.reports) for p in points))
    assert found.decisions == len(journal.decisions())
    assert explain.main([str(told_run), "--verify"]) == 0
    last = journal.hashes()[-1][2]
    text = f"verified: 15 generations, {found.reports:,} reports, {found.decisions:,} decisions, hash {last}\n"
    assert capsys.readouterr().out == text


def test_the_run_of_these_tests_has_every_kind_of_decision(told_run: Path) -> None:
    kinds = {plain.decision_kind(d) for d in Journal.open(told_run).decisions()}
    assert kinds == set(plain.KINDS) - {"set"}


@pytest.mark.parametrize("name", JSON_EDITS)
def test_an_edited_number_is_found(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit_json(run, *JSON_EDITS[name])
    assert explain.main([str(run), "--verify"]) == 1
    assert capsys.readouterr().out.startswith("not verified: ")


@pytest.mark.parametrize("name", SQL_EDITS)
def test_an_edited_row_is_found(run: Path, name: str) -> None:
    edit_sql(run, SQL_EDITS[name])
    assert verify_folder(run).differences


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to the numbers inside a JSON value."""
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inside, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("seed", range(15))
def test_any_number_may_be_the_one(run: Path, seed: int) -> None:
    rng = random.Random(seed)
    db = open_db(run)
    table, column = rng.choice([("reports", "objective"), ("reports", "metrics"), ("decisions", "data")])
    other = "worker" if table == "reports" else "position"
    rows = db.execute(f"SELECT point, {other}, {column} FROM {table} ORDER BY 1, 2").fetchall()
    point, second, text = rng.choice([row for row in rows if list(leaves(json.loads(row[2])))])
    path = rng.choice(list(leaves(json.loads(text))))
    edit_json(run, table, column, f"point = {point} AND {other} = {second}", list(path))
    assert verify_folder(run).differences


def forge(run_dir: Path) -> None:
    """Make all hashes those of the rows, as a careful forger would."""
    journal = Journal.open(run_dir)
    made: dict[int, list[Point]] = {}
    db = open_db(run_dir)
    numbers = [row[0] for row in db.execute("SELECT min(generation) FROM reports GROUP BY point ORDER BY point")]
    for number, point in zip(numbers, journal.points(), strict=True):
        made.setdefault(number, []).append(point)
    promised = plain.loads(db.execute("SELECT value FROM meta WHERE key = 'promised'").fetchone()[0])
    digest = first_hash(promised, journal.initial_state())
    for number, step, _ in journal.hashes():
        digest = next_hash(digest, step, made[number]) if number else digest
        db.execute("UPDATE generations SET hash = ? WHERE number = ?", (digest, number))
    db.close()
    path = run_dir / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hash": digest}))


def test_forging_nothing_changes_nothing(run: Path) -> None:
    forge(run)
    assert verify_folder(run).differences == []


def more(value: Any) -> Any:
    """A number that is clearly another one."""
    return value + 1 if isinstance(value, int) else 1.1 * value + 0.01


BY_REPLAY = [name for name in JSON_EDITS if name.split(":")[0] in ("copy", "failure", "start", "stop", "promotion")]


@pytest.mark.parametrize("name", [*BY_REPLAY, "first draw", "last objective"])
def test_the_replay_finds_what_forged_hashes_hide(run: Path, name: str) -> None:
    edit_json(run, *JSON_EDITS[name], lambda value: not value if isinstance(value, bool) else more(value))
    forge(run)
    found = verify_folder(run)
    assert found.differences
    assert not [line for line in found.differences if "hash" in line]


def test_an_objective_that_would_have_decided_otherwise_is_found_by_the_replay(run: Path) -> None:
    points = list(Journal.open(run).points())
    copied = [(i, d) for i, p in enumerate(points, 1) for d in p.decisions if isinstance(d, Copy) and d.worker < 4]
    index, copy = next((i, d) for i, d in copied if not d.fresh)
    edit_json(run, "reports", "objective", f"point = {index} AND worker = {copy.worker}", [], lambda _: 100.0)
    forge(run)
    line = f"step {copy.step:,}: the journal has copy of worker {copy.worker}, donor {copy.donor}, the rules do not"
    assert line in verify_folder(run).differences


def test_an_edited_decision_is_named(run: Path) -> None:
    edit_json(run, *JSON_EDITS["promotion: p_value"], lambda _: 0.25)
    promoted = next(d for d in Journal.open(run).decisions() if plain.decision_kind(d) == "promote")
    (line,) = [line for line in verify_folder(run).differences if "promote" in line]
    assert line.startswith(
        f"step {promoted.step:,}: promote of worker {promoted.worker}: p_value is 0.25 in the journal"
    )


def test_a_deleted_decision_is_named(run: Path) -> None:
    edit_sql(run, SQL_EDITS["a decision gone"])
    assert any("the rules give start_evaluator of worker" in line for line in verify_folder(run).differences)


def test_last_digits_may_differ_where_the_hashes_are_right(run: Path) -> None:
    """As on another processor: the replay gives other last digits than those that were hashed."""
    edit_json(run, *data("promote", "best_score_diff"))
    forge(run)
    found = verify_folder(run)
    assert (found.differences, found.rounded) == ([], 1)
    assert "1 number rounded" in found.lines()[0]


def test_an_unfinished_run_is_verified(tmp_path: Path) -> None:
    for algo in ("fire", "cosine"):
        run_dir = tmp_path / algo
        settings: dict[str, Any] = {"population": [2, 2], "evaluators": 2, "seed": 3, "engine": "inline"}
        firerl.run("quadratic", algo=algo, steps=120, run_dir=run_dir, progress=False, **settings)
        (run_dir / "result.json").unlink()
        assert verify_folder(run_dir).differences == []


def test_a_checkpoint_that_is_not_the_one_saved_is_found(run: Path) -> None:
    path = max((run / "checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (line,) = verify_folder(run).differences
    assert path.name in line
    path.unlink()
    (line,) = verify_folder(run).differences
    assert "cannot be read" in line


RESULT_EDITS: dict[str, list[Any]] = {
    "objective": ["objective"],
    "hyperparameters": ["hyperparameters", "lr"],
    "worker": ["worker"],
    "lineage": ["lineage", 0, "end"],
    "evolution": ["evolution", "copies"],
    "best_ever": ["best_ever", "objective"],
    "hash": ["hash"],
}


@pytest.mark.parametrize("name", RESULT_EDITS)
def test_an_edited_result_is_found(run: Path, name: str) -> None:
    path, *inside, last = run / "result.json", *RESULT_EDITS[name]
    value = result = json.loads(path.read_text())
    for step in inside:
        value = value[step]
    value[last] = "0" if name == "hash" else more(value[last])
    path.write_text(json.dumps(result))
    (line,) = verify_folder(run).differences
    assert line.startswith(f"result.json: {name}")


def test_an_edited_schedule_is_found(run: Path) -> None:
    path = run / "schedule.yaml"
    path.write_text(path.read_text().replace("to: ", "to: 1", 1))
    (line,) = verify_folder(run).differences
    assert line.startswith("schedule.yaml: schedule[0].to is ")
    path.unlink()
    assert verify_folder(run).differences == ["schedule.yaml cannot be read: No such file or directory"]


def test_an_algorithm_that_is_not_there_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = open_db(run)
    for key in ("config", "promised"):
        db.execute(
            'UPDATE meta SET value = replace(value, \'"name":"fire"\', \'"name":"mine.own"\') WHERE key = ?', (key,)
        )
    db.close()
    forge(run)
    with pytest.raises(SettingError, match=r"mine\.own"):
        verify_folder(run)
    assert explain.main([str(run), "--verify"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"settings":1}'])
def test_a_row_that_cannot_be_read_is_one_line(run: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    db = open_db(run)
    db.execute("UPDATE meta SET value = ? WHERE key = 'initial_state'", (text,))
    with pytest.raises(RunFolderError, match="damaged"):
        verify_folder(run)
    db.execute("UPDATE decisions SET data = ?", (text,))
    db.close()
    for arguments in ([], ["--verify"], ["--plot", str(run / "x.png")]):
        assert explain.main([str(run), *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
    assert not (run / "x.png").exists()
