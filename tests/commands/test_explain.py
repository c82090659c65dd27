"""The command: what it prints, what it refuses, and that it leaves nothing half-written."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from journals_by_hand import config_for, fire_points, make_run

from firerl.base.disk.files import digest
from firerl.base.settings import plain
from firerl.commands import explain, report
from firerl.config.promised import NOT_PROMISED
from firerl.config.run_config import AlgoConfig, from_plain, setup_of, to_plain
from firerl.evolution.algorithms import fire
from firerl.evolution.plain import dumps, loads
from firerl.evolution.population import Promote, Report
from firerl.insight.health.verify import verify_folder
from firerl.session import start as starting
from firerl.storage.generation import File, Point, better
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store


def test_it_tells_the_run(told_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main([str(told_run)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Told with algo=fire, seed 3. P1 has members 0 to 3, P2 has members 4 to 7 and evaluators 8 to 10 measure "
    )
    assert "takes its weights" in out
    assert "the end, step 600: member" in out
    assert str(told_run) not in out


def test_it_narrows(told_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promoted = next(d for d in Journal.open(told_run).decisions() if isinstance(d, Promote))
    assert explain.main([str(told_run), f"worker={promoted.child}", f"step={promoted.step}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"step {promoted.step}\n")
    assert f"evaluator {promoted.worker} had trained member {promoted.parent}'s weights" in out
    assert explain.main([str(told_run), "step=0_000"]) == 0
    assert capsys.readouterr().out.startswith("step 0: the first hyperparameters\n  member 0: lr ")


@pytest.mark.unverified("journals made by hand")
def test_an_unfinished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    assert explain.main([str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert "The run has not finished: it is told up to its last generation, at step 20." in out
    assert "so far, step 20: member 1 of P1 leads. It is ranked by its last evaluation, 1.25." in out
    assert "evaluator 4 had trained member 2's weights with member 0's hyperparameters for 10 steps. " in out


@pytest.mark.unverified("journals made by hand")
def test_a_run_without_evaluators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(config_for(tmp_path / "r", "pbt"), [Point([Report(i, 20, float(i)) for i in range(5)], [])])
    assert explain.main([str(tmp_path / "r")]) == 0
    assert "evaluator" not in capsys.readouterr().out.replace("are evaluated", "")
    assert explain.main([str(tmp_path / "r"), "--plot", str(tmp_path / "x.png")]) == 2
    assert capsys.readouterr().err == "firerl: --plot: the run has no evaluators, there is no verdict to draw\n"
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{}/none"], "does not exist"),
        (["{}"], "holds no run"),
        ([], "run_dir"),
        (["{run}", "--verfy"], "--verfy"),
        (["{run}", "workr=2"], "did you mean 'worker'"),
        (["{run}", "worker=two"], "whole number"),
        (["{run}", "worker=99"], "0 to 10"),
        (["{run}", "step=1__0"], "whole number"),
        (["{run}", "step=_1"], "whole number"),
        (["{run}", "step=1,"], "whole number"),
        (["{run}", "worker=1", "worker=2"], "worker= is given twice"),
        (["{run}", "step=15"], "the nearest steps are 10 and 20"),
        (["{run}", "worker=2", "--verify"], "takes no worker="),
        (["{run}", "--plot", "{}/x.jpg"], ".png, .svg, .pdf"),
        (["{run}", "--plot", "{}/none/x.png"], "there is no folder"),
        (["{run}", "--plot", "{}"], "must end with"),
        (["{run}", "worker=99", "--plot", "{}/x.png"], "0 to 10"),
        (["{run}", "step=10", "--plot", "{}/x.png"], "the nearest steps at which one ends"),
        (["{run}", "--plot"], "--plot"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    tmp_path: Path, told_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert explain.main([argument.format(tmp_path, run=told_run) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("firerl: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.unverified("journals damaged on purpose")
@pytest.mark.parametrize("content", ["text", "foreign", "truncated", "format"])
def test_a_corrupt_or_foreign_journal_is_one_line(
    tmp_path: Path, told_run: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "journal.sqlite"
    if content == "text":
        path.write_bytes(b"no database at all" * 100)
    elif content == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE cookies (name TEXT)")
    else:
        shutil.copy(told_run / "journal.sqlite", path)
        if content == "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            with sqlite3.connect(path) as db:
                db.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    for arguments in ([], ["--verify"], ["--plot", str(tmp_path / "x.png")]):
        assert explain.main([str(tmp_path), *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("firerl: ")
        assert captured.err.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


@pytest.mark.unverified("journals damaged on purpose")
@pytest.mark.parametrize("field", ["p_value", "best_score_diff"])
def test_damage_that_only_the_telling_meets_is_one_line(
    tmp_path: Path, told_run: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    shutil.copy(told_run / "journal.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE decisions SET data = json_set(data, ?, 'x') WHERE kind = 'promote'", (f"$.{field}",))
    db.close()
    assert explain.main([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "journal.sqlite is damaged: " in err
    assert err.count("\n") == 1


@pytest.mark.unverified("a torn result")
def test_a_torn_result_is_one_line_for_every_command(
    tmp_path: Path, told_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(told_run / "journal.sqlite", tmp_path)
    path = tmp_path / "result.json"
    for command in (explain, report):
        for text in ('{"hash": ', "[1]", "{}"):
            path.write_text(text)
            assert command.main([str(tmp_path)]) == 2
            assert capsys.readouterr().err.startswith(f"firerl: {path} is damaged: ")
        path.unlink()
        path.mkdir()
        assert command.main([str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"firerl: {path} must be an ordinary file\n"
        path.rmdir()


def test_a_reader_that_leaves_early_sees_no_traceback(told_run: Path) -> None:
    command = f"{sys.executable} -m firerl.explain {told_run} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_help_is_quick() -> None:
    code = "import sys, firerl.explain; print([m for m in ('numpy', 'torch', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_22_workers_and_200_points_take_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the decision core alone, which makes the journal that 22 real learners would."""
    run_dir = big_run(tmp_path / "r")
    started = time.process_time()
    assert explain.main([str(run_dir)]) == 0
    told = time.process_time() - started
    assert capsys.readouterr().out.count("\n") > 400
    found = verify_folder(run_dir)
    assert (found.differences, found.reports > 4000) == ([], True)
    assert told < 4  # 0.7 s where nothing else runs


def big_run(run_dir: Path) -> Path:
    """8 + 8 + 6 workers, 200 points, 50 generations."""
    settings = fire.Settings(max_eval_steps=180)
    config = config_for(run_dir, sizes=(8, 8), evaluators=6, steps=2000, ready_interval=40)
    config = dataclasses.replace(config, algo=AlgoConfig("fire", plain(settings)))
    whole = loads(dumps(to_plain(config)))
    config = from_plain(whole)
    promised = {key: value for key, value in whole.items() if key not in NOT_PROMISED}
    setup, rng = setup_of(config), np.random.default_rng(0)
    state = starting.initial_state_of(config)
    levels = dict.fromkeys(range(22), 0.0)
    with Store.create(run_dir, whole, promised, state, usual={"aside": []}) as store:
        generation, points, best, begun = store.last(), list[Point](), None, set[int]()
        for index in range(1, 201):
            active = [w for w in state.workers if w.evaluation or not w.is_evaluator]
            for w in active:
                levels[w.id] += float(rng.normal(0.5, 1.0))
            reports = [Report(w.id, w.step + 10, levels[w.id] + float(rng.normal())) for w in active]
            state, decisions = fire.decide(setup, settings, state, reports)
            points.append(Point(reports, decisions))
            if index % 4 == 0:
                best = better(best, state, decisions, lambda w, n=index // 4: f"g{n:06d}-w{w}.pt")
                begun |= {w.id for w in active}  # who has a learner, and so a state
                files = [File(w, index // 4, f"g{index // 4:06d}-w{w}.pt", 0, digest(b"")) for w in begun]
                for file in files:
                    (store.checkpoints / file.name).touch()
                generation = store.commit(generation, index * 10, points, state, files, best, {"seconds": 0.0})
                points = []
    return run_dir
