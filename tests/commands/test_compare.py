"""The command on real runs: what it says, what it writes, what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firerl
from firerl.base.disk import files
from firerl.commands import compare as command
from firerl.commands import launch
from firerl.errors import RunFolderError
from firerl.evolution.winner import winner
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/<algo>/seed-<n>, as ``seed=[0,1,2]`` makes them: 22 workers, 36 evaluations."""
    folder = tmp_path_factory.mktemp("compare")
    for algo in ("fire", "pbt"):
        for seed in SEEDS:
            make(folder / algo / f"seed-{seed}", algo, seed=seed)
    return folder


def make(run_dir: Path, algo: str = "pbt", steps: int = 360, **more: Any) -> Path:
    more = {"population": [8, 8], "evaluators": 6, "ready_interval": 120, **more}
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(os, "fsync", lambda _: None)  # most of the time of so short a run
        firerl.run("quadratic", algo=algo, steps=steps, engine="inline", run_dir=run_dir, progress=False, **more)
    return run_dir


def call(*arguments: object) -> int:
    return command.main([str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a call that must be refused and leave nothing behind."""
    before = sorted(Path().rglob("*"))
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("firerl: ")
    assert captured.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return captured.err


def test_the_figures_are_those_of_the_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(runs / "pbt", runs / "fire", "--json", "-", "--no-plot") == 0
    data = json.loads(capsys.readouterr().out)
    results = {
        algo: [json.loads((runs / algo / f"seed-{seed}" / "result.json").read_text()) for seed in SEEDS]
        for algo in ("pbt", "fire")
    }
    fire = data["groups"][1]
    assert [(g["name"], g["sizes"], g["evaluators"]) for g in data["groups"]] == [
        ("pbt", [22], 0),
        ("fire", [8, 8], 6),
    ]
    # FIRE trains least: its evaluators wait at the very first interval. So it sets the budget, and ends there.
    assert data["budget"] == min(run["total_steps"] for run in fire["runs"]) < 22 * 360
    assert [run["total_steps"] for run in data["groups"][0]["runs"]] == [22 * 360] * 3
    for run, result in zip(fire["runs"], results["fire"], strict=True):
        if run["total_steps"] == data["budget"]:
            assert run["figures"]["best"] == result["objective"]
            assert run["figures"]["copies"] == result["evolution"]["copies"]
            assert run["figures"]["evaluator_successes"] == result["evolution"]["evaluator_successes"]
    best = [run["figures"]["best"] for run in fire["runs"]]
    assert fire["medians"]["best"]["value"] == np.median(best)
    differences = np.subtract(*([run["figures"]["best"] for run in group["runs"]] for group in data["groups"]))
    pair = next(pair for pair in data["pairs"] if pair["figure"] == "best")
    assert pair["paired"]["mean"]["value"] == pytest.approx(differences.mean())


def test_the_last_best_is_the_winner_of_every_finished_run(runs: Path) -> None:
    for algo in ("fire", "pbt"):
        for seed in SEEDS:
            run = command.read_run(runs / algo / f"seed-{seed}")
            journal = Journal.open(runs / algo / f"seed-{seed}")
            last = journal.last()
            leader = winner(last.state, last.decisions, 1)
            assert leader is not None
            assert run.trajectory.best[-1] == leader.objective
            assert run.result is not None
            assert run.result["objective"] == leader.objective
            reports = [report for point in journal.points() for report in point.reports]
            assert run.total == 10 * len(reports)
            journal.close()


def test_tables_picture_and_files(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(runs / "fire", runs / "pbt", "--csv", "all.csv", "--json", "all.json", "--plot", "p.svg") == 0
    out = capsys.readouterr().out
    assert out.startswith("Quadratic: 6 runs in 2 groups, compared at ")
    assert out.endswith("wrote all.json\nwrote all.csv\nwrote p.svg\n")
    assert "says little" in out
    rows = list(csv.DictReader(io.StringIO(Path("all.csv").read_text())))
    assert [(row["algo"], row["seed"], row["finished"]) for row in rows] == [
        (algo, str(seed), "True") for algo in ("fire", "pbt") for seed in SEEDS
    ]
    assert len(json.loads(Path("all.json").read_text())["groups"]) == 2
    assert "fire" in Path("p.svg").read_text()
    assert sorted(os.listdir()) == ["all.csv", "all.json", "p.svg"]


def test_the_picture_comes_without_being_asked_for(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(runs / "fire/seed-0", runs / "pbt/seed-0") == 0
    assert capsys.readouterr().out.endswith("wrote compare.png\n")
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")
    assert call(runs / "fire/seed-0", runs / "pbt/seed-0", "--no-plot", "--csv", "-") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("run,group,algo,")
    assert captured.err == ""


def test_the_same_runs_say_the_same(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        assert call(runs / "fire", runs / "pbt", "--json", "-", "--no-plot") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_a_population_of_half_the_workers_is_seen_at_its_true_cost(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = make(tmp_path / "small", population=[4, 4], evaluators=3)
    assert call(runs / "pbt", small, "--json", "-", "--no-plot") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["budget"] == 11 * 360
    assert [group["name"] for group in data["groups"]] == ["pbt 22", "pbt 11"]
    # 22 workers have done as many steps after half of their evaluations.
    with Journal.open(runs / "pbt/seed-0")._db as db:
        told = db.execute("SELECT max(CAST(objective AS REAL)) FROM reports WHERE step = 180").fetchone()[0]
    assert data["groups"][0]["runs"][0]["figures"]["best"] == told


@pytest.mark.unverified("a journal cut by hand")
def test_an_unfinished_run_is_compared_at_what_it_has_reached(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shorter = tmp_path / "interrupted"
    shutil.copytree(runs / "pbt/seed-0", shorter)
    (shorter / "result.json").unlink()
    db = sqlite3.connect(shorter / "journal.sqlite")
    state = db.execute("SELECT state FROM generations ORDER BY number DESC LIMIT 1").fetchone()[0]
    for table in ("reports", "decisions"):
        db.execute(f"DELETE FROM {table} WHERE generation > 1")
    db.execute("DELETE FROM generations WHERE number > 1")
    db.execute("UPDATE generations SET state = ? WHERE number = 1", (state,))
    db.commit()
    db.close()
    assert call(shorter, runs / "fire", "--no-plot") == 0
    out = capsys.readouterr().out
    assert f"{shorter} is unfinished: it has reached step 120 of 360." in out
    assert "compared at 2,640 steps" in out


def test_runs_of_different_lengths_are_refused_unless_allowed(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = make(tmp_path / "short", steps=120)
    said = refusal(capsys, runs / "pbt/seed-0", short)
    assert f"{runs / 'pbt/seed-0'} has steps=360, {short} has 120; --allow steps compares" in said
    assert call(runs / "pbt/seed-0", short, "--allow", "steps", "--no-plot") == 0
    assert "differ in steps, which --allow accepts" in capsys.readouterr().out


@pytest.mark.unverified("a database that is no journal")
def test_what_is_no_run_is_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = runs / "fire/seed-0"
    assert "does not exist" in refusal(capsys, good, "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no journal.sqlite in it" in refusal(capsys, good, "empty")
    (tmp_path / "foreign").mkdir()
    db = sqlite3.connect("foreign/journal.sqlite")
    db.execute("CREATE TABLE notes (text TEXT)")
    db.commit()
    db.close()
    assert "is not a journal of firerl" in refusal(capsys, good, "foreign")
    assert "one run alone" in refusal(capsys, good)
    assert "are the same run" in refusal(capsys, good, f"{runs}/pbt/../fire/seed-0")
    assert "run_dir" in refusal(capsys)
    assert "not allowed with" in refusal(capsys, good, good, "--plot", "p.png", "--no-plot")
    assert "unrecognized arguments" in refusal(capsys, good, good, "--jsno")


@pytest.mark.unverified("damaged on purpose")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE reports SET objective = 'x' WHERE point = 3 AND worker = 2",
        "UPDATE reports SET metrics = '7' WHERE point = 3",
        "UPDATE decisions SET kind = 'Magic'",
        "UPDATE decisions SET data = '{}'",
        "UPDATE reports SET worker = worker + 90 WHERE point = 5",
        "UPDATE meta SET value = '{}' WHERE key = 'config'",
        "UPDATE meta SET value = '[' WHERE key = 'initial_state'",
        "DELETE FROM meta WHERE key = 'initial_state'",
        "DROP TABLE decisions",
    ],
)
def test_a_damaged_journal_is_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    shutil.copytree(runs / "fire/seed-0", tmp_path / "broken")
    db = sqlite3.connect("broken/journal.sqlite")
    db.execute(damage)
    db.commit()
    db.close()
    said = refusal(capsys, "broken", runs / "pbt/seed-0")
    assert "broken/journal.sqlite is damaged: " in said or "broken was made by another version of firerl: " in said


@pytest.mark.unverified("damaged on purpose")
def test_bytes_that_are_overwritten_and_a_torn_result_are_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "fire/seed-0", tmp_path / "broken")
    (tmp_path / "broken/result.json").write_text('{"hash": ')
    assert "result.json is damaged" in refusal(capsys, "broken", runs / "pbt/seed-0")
    (tmp_path / "broken/result.json").unlink()
    data = bytearray((tmp_path / "broken/journal.sqlite").read_bytes())
    data[4096 : len(data) // 2] = pickle.dumps("noise") * ((len(data) // 2 - 4096) // len(pickle.dumps("noise")))
    (tmp_path / "broken/journal.sqlite").write_bytes(data)
    for rest in ("-wal", "-shm"):
        (tmp_path / f"broken/journal.sqlite{rest}").unlink(missing_ok=True)
    assert "broken/journal.sqlite is damaged" in refusal(capsys, "broken", runs / "pbt/seed-0")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--plot", "p.bmp"), "must end with one of .png, .svg, .pdf"),
        (("--json", "no/such/x.json"), "there is no folder no/such"),
        (("--csv", "."), "is a folder"),
        (("--json", "-", "--csv", "-"), "cannot both print"),
        (("--json", "x", "--csv", "x"), "must be different files"),
    ],
)
def test_an_output_that_cannot_work_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert said in refusal(capsys, runs / "fire", runs / "pbt", *options)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("x.json").write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    said = refusal(capsys, runs / "fire/seed-0", runs / "pbt/seed-0", "--json", "x.json", "--no-plot")
    assert "cannot write x.json: No space left on device" in said
    assert Path("x.json").read_text() == "old"


@pytest.mark.unverified("results changed on purpose")
def test_a_result_of_an_older_generation_does_not_count(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "pbt/seed-0", tmp_path / "again")
    path = tmp_path / "again/result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hash": "of before"}))
    assert command.read_run(tmp_path / "again").result is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "fresh": {"a": "b"}}))
    with pytest.raises(RunFolderError, match="no numbers"):
        command.read_run(tmp_path / "again")


@pytest.mark.unverified("empty files")
def test_a_folder_of_runs_stands_for_them_in_order(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        (tmp_path / f"all/seed-{seed}").mkdir(parents=True)
        (tmp_path / f"all/seed-{seed}/journal.sqlite").touch()
    (tmp_path / "all/notes").mkdir()
    found = list(command.run_folders(["all", "none"]))
    assert found == [Path(name) for name in ("all/seed-1", "all/seed-9", "all/seed-10", "none")]


def test_a_run_that_goes_on_can_be_compared(runs: Path) -> None:
    with Store.open(runs / "fire/seed-1"):  # as a running run holds its folder
        assert call(runs / "fire/seed-1", runs / "pbt/seed-1", "--no-plot") == 0


def test_help_and_tables_load_nothing_heavy(runs: Path) -> None:
    heavy = "print([m for m in ('torch', 'matplotlib', 'scipy.stats', 'sklearn') if m in sys.modules])"
    for arguments in (["--help"], [f"{runs}/fire", f"{runs}/pbt", "--no-plot"]):
        code = f"import atexit, sys; from firerl import compare; atexit.register(lambda: {heavy})"
        script = f"{code}; sys.exit(compare.main({arguments}))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("\n[]\n")


def test_the_page_has_every_option_and_commands_that_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/compare.md").read_text(encoding="utf-8")
    lines = page.partition("```sh\n")[2].partition("```")[0].strip().splitlines()
    for line in lines:
        _, _, module, *arguments = shlex.split(line)
        if module == "firerl.launch":
            assert launch.main([*arguments, "--cfg"]) == 0
        else:
            assert command._parser().parse_args(arguments).plot == Path("compare.svg")
    with pytest.raises(SystemExit):
        call("--help")
    named = set(re.findall(r"--[a-z][\w-]+", capsys.readouterr().out.partition("usage: ")[2])) - {"--help"}
    assert named <= set(re.findall(r"--[a-z][\w-]+", page))


def test_one_seed_each_decides_nothing_and_the_lines_that_would_are_printed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--allow", "steps", runs / "fire/seed-0", runs / "pbt/seed-0", "--no-plot") == 0
    out = capsys.readouterr().out
    assert "- One seed each decides nothing: another seed may give the opposite order.\n" in out
    fire, pbt = (f"{runs}/{algo}/seed-0" for algo in ("fire", "pbt"))
    assert out.rstrip("\n").split("\n")[-3:] == [
        f"python -m firerl.launch config={fire} 'seed=[1,2,3,4,5]' run_dir={fire}-seeds",
        f"python -m firerl.launch config={pbt} 'seed=[1,2,3,4,5]' run_dir={pbt}-seeds",
        f"python -m firerl.compare --allow steps {fire} {pbt} {fire}-seeds {pbt}-seeds --no-plot",
    ]
    # Of a folder with three seeds the others come beside them; the comparison is the same line.
    assert call(runs / "fire", runs / "pbt", "--no-plot") == 0
    assert capsys.readouterr().out.rstrip("\n").split("\n")[-3:] == [
        f"python -m firerl.launch config={runs}/fire/seed-0 'seed=[3,4,5]' run_dir={runs}/fire",
        f"python -m firerl.launch config={runs}/pbt/seed-0 'seed=[3,4,5]' run_dir={runs}/pbt",
        f"python -m firerl.compare {runs}/fire {runs}/pbt --no-plot",
    ]


def test_the_lines_of_more_seeds_do_what_they_say(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    few: dict[str, Any] = {"steps": 40, "population": [2], "evaluators": 0, "ready_interval": 20}
    make(tmp_path / "a", "pbt", **few, seed=3)
    make(tmp_path / "b", "random", **few, seed=4)
    assert call("a", "b", "--no-plot") == 0
    *launches, compare = capsys.readouterr().out.rstrip("\n").split("\n")[-3:]
    for line in launches:
        assert launch.main(shlex.split(line)[3:]) == 0
    capsys.readouterr()
    assert call(*shlex.split(compare)[3:]) == 0
    out = capsys.readouterr().out
    assert "12 runs in 2 groups" in out
    assert "These lines train" not in out
