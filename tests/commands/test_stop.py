"""``firerl stop``: a run ends at its next ready, and a resume goes on with it as if it had not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.commands import main
from firerl.insight.history.runs_below import glance
from firerl.session.watching.progress import Round, Silent
from firerl.storage.lock import Lock

SMALL: dict[str, Any] = {
    "population": [2, 2], "evaluators": 2, "steps": 120, "eval_interval": 10, "ready_interval": 30, "engine": "inline",
    "logger": "none", "progress": False,
}  # fmt: skip


class Stopper(Silent):
    """Types the command when so many rounds are over."""

    def __init__(self, run_dir: Path, rounds: int):
        self.run_dir, self.rounds = run_dir, rounds
        self.states: list[str] = []
        self.notes: list[str] = []

    def round_done(self, round: Round) -> None:
        self.rounds -= 1
        self.states.append(glance(self.run_dir).state)
        if self.rounds == 0:
            assert main(["stop", str(self.run_dir)]) == 0

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(("sync", "rounds", "steps"), [(True, 4, 60), (True, 7, 90), (False, 9, None)])
def test_a_run_ends_at_its_next_ready_and_goes_on_to_the_same_end(
    sync: bool, rounds: int, steps: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = firerl.run("quadratic", run_dir=tmp_path / "whole", sync=sync, **SMALL)
    run_dir = tmp_path / "r"
    stopper = Stopper(run_dir, rounds)
    ended = firerl.run("quadratic", run_dir=run_dir, observer=stopper, sync=sync, **SMALL)
    assert ended.figures["stopped"] == "firerl.stop"
    assert ended.figures["steps"] < 120
    assert ended.ranked
    at = "report 9 of all workers" if steps is None else f"generation {steps // 30} (step {steps})"
    assert stopper.notes[-1:] in ([f"stopped by firerl.stop at {at}; a resume goes on from there"], [])
    told = capsys.readouterr().out
    when = "at its next report" if steps is None else f"at its next ready, step {steps} of 120"
    assert f"ends it {when}. Go on with: python -m firerl.launch resume={run_dir}" in told
    assert {"running"} <= set(stopper.states) <= {"running", "stopping"}
    assert glance(run_dir).state == "stopped"
    assert not (run_dir / "stop").exists()

    on = Stopper(run_dir, 10_000)
    again = firerl.resume(run_dir, observer=on, progress=False)
    assert "running" in on.states
    assert again.figures["hash"] == whole.figures["hash"]
    assert again.figures == whole.figures
    assert glance(run_dir).state == "finished"


def test_it_says_so_on_the_screen_and_in_the_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "r"
    stopper = Stopper(run_dir, 4)
    firerl.run("quadratic", run_dir=run_dir, observer=stopper, **{**SMALL, "progress": True})
    out = capsys.readouterr().out
    assert "Quadratic: ended at step 60 by firerl.stop" in out
    assert out.rstrip().endswith(f"python -m firerl.launch resume={run_dir}")
    assert "stopping" in stopper.states
    line = "stopped by firerl.stop at generation 2 (step 60); a resume goes on from there"
    assert f"! {line}" in out
    assert stopper.notes[-1] == line
    assert main(["explain", str(run_dir), "--verify"]) == 0
    assert main(["launch", f"resume={run_dir}", "steps=150"]) == 0
    assert json.loads((run_dir / "result.json").read_text())["stopped"] == "steps"


def test_another_process_is_stopped(tmp_path: Path) -> None:
    line = "learner=quadratic preset=smoke steps=1e12 engine.processes=2 logger=none run_dir=r"
    command = [sys.executable, "-m", "firerl.launch", *line.split()]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("steps/s" in told for told in process.stdout)  # the head of the first round's line
            stop = subprocess.run(
                [sys.executable, "-m", "firerl.stop", "r"], cwd=tmp_path, capture_output=True, text=True, timeout=60
            )
            assert stop.stdout.startswith(f"r: process {process.pid} ends it at its next ready, step ")
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "by firerl.stop" in rest
    assert glance(tmp_path / "r").state == "stopped"


def test_what_does_not_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(*words: str) -> str:
        assert main(["stop", *words]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err.removeprefix("firerl: ").rstrip()

    run_dir = tmp_path / "runs" / "r"
    firerl.run("quadratic", run_dir=run_dir, **{**SMALL, "steps": 30})
    assert refusal(str(run_dir)) == f"{run_dir} does not run: it is finished"
    assert refusal(str(tmp_path)) == f"{tmp_path} holds no run"
    assert refusal(str(tmp_path / "none")) == f"{tmp_path / 'none'} holds no run"
    address = (tmp_path / "share").as_uri()
    assert refusal(address) == f"{address} does not run on this machine; nobody holds it"

    held = Lock(run_dir)
    assert refusal(str(run_dir.parent)) == f"{run_dir.parent} is no run itself; in it run {run_dir}"
    path = run_dir / "lock"
    path.write_text(path.read_text().replace(socket.gethostname(), "node-3"))
    assert refusal(str(run_dir)).endswith("on node-3: type the same line there")
    held.close()


def test_a_word_to_another_holder_is_passed_over(tmp_path: Path) -> None:
    """As one that was killed leaves it."""
    run_dir = tmp_path / "r"
    stopper = Stopper(run_dir, 4)
    firerl.run("quadratic", run_dir=run_dir, observer=stopper, **SMALL)
    (run_dir / "stop").write_text("17 here 0123456789abcdef\n")
    assert firerl.resume(run_dir, progress=False).figures["stopped"] == "steps"
    assert not (run_dir / "stop").exists()


MINE = "from firerl.agents.ppo.learner import PPO\n\nclass Mine(PPO):\n    pass\n"


def test_what_must_be_typed_again_is_said_at_the_start_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine_to_stop.py").write_text(MINE)
    line = ["env=InvertedPendulum", "learner=mine_to_stop:Mine", "population.sizes=[1]", "population.evaluators=0"]
    line += ["algo=random", "learner.num_envs=1", "learner.unroll=16", "eval_interval=16", "ready_interval=16"]
    line += ["learner.hidden=[4]", "steps=16", "engine=inline"]
    assert main(["launch", *line, "run_dir=r"]) in (0, 1)
    out = capsys.readouterr().out
    start, _, end = out.partition("ended at step")
    resume = "python -m firerl.launch resume=r learner=mine_to_stop.Mine"
    play = "python -m firerl.play r --learner mine_to_stop.Mine"
    assert f"later       {resume}\n" in start
    assert f"            {play}\n" in start
    assert play in end
    assert f"resume=r steps={32} learner=mine_to_stop.Mine" in end
    del sys.modules["mine_to_stop"]


def test_a_class_of_a_notebook_is_handed_in_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from firerl.agents.quadratic.learner import Quadratic

    class Mine(Quadratic):
        pass

    run_dir = tmp_path / "r"
    firerl.run(Mine, run_dir=run_dir, **{**SMALL, "progress": True, "steps": 30})
    told = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert told.strip() == f"firerl.resume({str(run_dir)!r}, learner=Mine, steps=60)"
