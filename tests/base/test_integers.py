"""Integers beyond 64 bits, and steps and workers near that, anywhere in a run folder: one line, no traceback."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.base.disk import untrusted
from firerl.base.integers import integer
from firerl.commands import compare, doctor, explain, journal, launch, play, report
from firerl.errors import SettingError
from firerl.storage.journal import seal

pytestmark = pytest.mark.unverified("their journals are spoilt on purpose")
READERS: dict[str, Callable[[Path], int]] = {
    "journal": lambda run: journal.main([str(run), "--reports"]),
    "explain": lambda run: explain.main([str(run)]),
    "report": lambda run: report.main([str(run)]),
    "play": lambda run: play.main([str(run)]),
    "compare": lambda run: compare.main([str(run), str(run.with_name("rival"))]),
    "resume": lambda run: launch.main([f"resume={run}", "engine=inline"]),
    "extend": lambda run: launch.main([f"resume={run}", "steps=90", "engine=inline"]),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("run", 0), ("rival", 1)):
        firerl.run("quadratic", population=[2, 2], evaluators=2, steps=60, eval_interval=10, ready_interval=30,
                   engine="inline", logger="none", progress=False, run_dir=folder / name, seed=seed)  # fmt: skip
    return folder


def spoilt(runs: Path, folder: Path, statement: str) -> Path:
    """A copy of the run with this done to its journal and the copy, sealed again."""
    for name in ("run", "rival"):
        shutil.copytree(runs / name, folder / name)
    for name in ("journal.sqlite", "journal.bak"):
        with closing(sqlite3.connect(folder / "run" / name, isolation_level=None)) as db:
            assert db.execute(statement).rowcount
            seal.recount_rows(db)
            seal.close(db)
    return folder / "run"


def in_json(table: str, column: str, old: str, new: str, where: str = "1") -> str:
    return f"UPDATE {table} SET {column} = replace({column}, '{old}', '{new}') WHERE {where}"


LONG = "9" * 400
CASES = {
    "a setting": in_json("meta", "value", '"steps":60', f'"steps":{2**63}', "key = 'config'"),
    "a setting of 400 digits": in_json(
        "meta", "value", '"eval_interval":10', f'"eval_interval":{LONG}', "key = 'config'"
    ),
    "the first population": in_json("meta", "value", '"step":0', f'"step":{2**70}', "key = 'initial_state'"),
    "a state": in_json("generations", "state", '"step":60', f'"step":{2**63}', "number = 2"),
    "a worker of an old decision": "UPDATE decisions SET data = json_set(data, '$.worker', 4611686018427387904) "
    "WHERE point = (SELECT min(point) FROM decisions)",
    "a worker of a report": "UPDATE reports SET worker = 9223372036854775807 WHERE point = 1 AND worker = 0",
    "a list of kept generations": "UPDATE meta SET value = '[1,9223372036854775807]' WHERE key = 'kept'",
    "an objective": f"UPDATE reports SET objective = '{LONG}' WHERE point = 2 AND worker = 0",
}


@pytest.mark.parametrize("case", CASES)
def test_no_reader_hangs_or_breaks(runs: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = spoilt(runs, tmp_path, CASES[case])
    names = [*READERS] if case == "a state" else ["journal", "explain", "extend"]
    codes = {}
    for name in names:
        codes[name] = READERS[name](run)
        err = capsys.readouterr().err
        assert codes[name] in (0, 2), (name, err)
        assert err.count("\n") <= 1, (name, err)
        assert "Traceback" not in err
    assert 2 in codes.values()  # one of them needs it
    assert doctor.main([str(run)]) in (0, 1, 2)


@pytest.mark.parametrize("number", [2**63 - 1, 2**62, 10**15])
def test_a_step_near_the_limit_is_damage(runs: Path, tmp_path: Path, number: int) -> None:
    run = spoilt(runs, tmp_path, f"UPDATE generations SET step = {number} WHERE number = 2")
    for name in ("journal", "explain", "report", "resume", "extend"):
        assert READERS[name](run) in (0, 2), name
    assert doctor.main([str(run)]) == 1


def test_a_result_with_such_a_number_is_damaged(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(runs / "run", tmp_path / "run"))
    told = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**told, "steps": 2**64}))
    assert READERS["resume"](run) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "result.json is damaged: it holds an integer of 20 digits" in err


def test_what_is_read(tmp_path: Path) -> None:
    assert integer(str(2**63 - 1)) == 2**63 - 1
    assert integer(str(-(2**63))) == -(2**63)
    for text in (str(2**63), str(-(2**63) - 1), LONG, f"-{LONG}"):
        with pytest.raises(ValueError, match="at most 64 bits"):
            integer(text)
    (tmp_path / "x.yaml").write_text(f"schedule:\n- {{from: 0, to: {2**64}}}\n")
    with pytest.raises(ValueError, match="more than 64 bits"):
        untrusted.read_yaml(tmp_path / "x.yaml")


def test_a_person_s_steps_have_a_limit_too(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"population": [2], "evaluators": 0, "eval_interval": 2**61, "ready_interval": 2**61}
    for steps in (2**70, 10**5000):
        with pytest.raises(SettingError, match="steps="):
            firerl.run("quadratic", steps=steps, engine="inline", run_dir=tmp_path / "r", progress=False, **settings)
    assert launch.main(["learner=quadratic", f"learner.dimensions={LONG}", f"run_dir={tmp_path / 'r'}"]) == 2
    assert not (tmp_path / "r").exists()
