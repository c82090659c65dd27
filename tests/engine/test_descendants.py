"""What learners start ends with their engine, however it tries to leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from learners_for_tests import Walk

from firerl.engine import make_engine
from firerl.engine.host import descendants
from firerl.engine.interface import Advance, Create, LearnerSpec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# Each writes the id of a process that would run for long.
STARTS = {
    "child": "p = subprocess.Popen(['sleep', '1000']).pid",
    "session": "p = subprocess.Popen(['sh', '-c', 'trap : TERM; sleep 1000'], start_new_session=True).pid",
    "orphan": "p = int(subprocess.run('sleep 1000 >/dev/null 2>&1 & echo $!', shell=True, stdout=-1).stdout)",
    "no environment": "p = subprocess.Popen(['/bin/sleep', '1000'], env={}).pid",
    "fork": "p = os.fork() or time.sleep(1000)",
}


class Starts(Walk):
    """Starts a process at its first training."""

    def __init__(self, settings: dict, hyperparameters: dict, seed: int, device: str):  # type: ignore[type-arg]
        super().__init__(settings, {"lr": 1.0}, seed, device)
        self.own = hyperparameters

    def train(self, steps: int) -> dict[str, float]:
        names = {"subprocess": subprocess, "os": os, "time": time}
        exec(self.own["code"], names)
        Path(self.own["file"]).write_text(str(names["p"]))
        return {}


def is_gone(process: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("engine", "hows"), [("inline", ["child", "session", "orphan"]), ("local", list(STARTS))])
def test_what_learners_start_ends_with_the_engine(tmp_path: Path, engine: str, hows: list[str]) -> None:
    files = [tmp_path / how for how in hows]
    with closing(make_engine(engine, LearnerSpec(Starts, Walk.settings), 1)) as opened:
        opened.create([Create(i, {"code": STARTS[how], "file": str(files[i])}, 0) for i, how in enumerate(hows)])
        outcomes = opened.advance([Advance(i, 1, 0) for i in range(len(hows))], lambda _: None)
        assert not any(outcome.traceback for outcome in outcomes)
        processes = [int(file.read_text()) for file in files]
        assert not any(is_gone(process, 0.1) for process in processes)
    assert all(is_gone(process) for process in processes)
    assert not [name for name in os.environ if name.startswith("FIRERL_ENGINE_")]


SCRIPT = """
import os, signal, sys
from pathlib import Path
from learners_for_tests import Walk
from test_descendants import STARTS, Starts
from firerl.engine import make_engine
from firerl.engine.interface import Advance, Create, LearnerSpec

if __name__ == "__main__":
    engine = make_engine("local", LearnerSpec(Starts, Walk.settings), 1)
    engine.create([Create(0, {"code": STARTS["session"], "file": sys.argv[1]}, 0)])
    engine.advance([Advance(0, 1, 0)], lambda _: None)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_also_where_the_controller_is_killed(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent / 'support'}"}
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", str(tmp_path / "pid")], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_others_are_left_alone() -> None:
    other = subprocess.Popen(["sleep", "1000"])
    try:
        with descendants.contained():
            ours = subprocess.Popen(["sleep", "1000"])
        assert ours.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


class Waits(Walk):
    """Starts a process in its training while another thread, that is none of a learner's, starts one of the run's."""

    def train(self, steps: int) -> dict[str, float]:
        started["learner's"] = subprocess.Popen(["sleep", "1000"])
        thread = threading.Thread(target=start_for_the_run)
        thread.start()
        thread.join()
        return {}


started: dict[str, subprocess.Popen[bytes]] = {}


def start_for_the_run() -> None:
    started["run's"] = subprocess.Popen(["sleep", "1000"], env=descendants.unmarked())


def test_what_the_run_itself_starts_meanwhile_goes_on() -> None:
    started.clear()
    try:
        with closing(make_engine("inline", LearnerSpec(Waits, Walk.settings), 1)) as opened:
            opened.create([Create(0, {"lr": 1.0}, 0)])
            (outcome,) = opened.advance([Advance(0, 1, 0)], lambda _: None)
            assert not outcome.traceback
        assert started["learner's"].wait(5) == -signal.SIGKILL
        assert started["run's"].poll() is None
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def test_a_run_inside_a_learner_is_the_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process was born with stays in what it starts: all ends with the outer engine."""
    monkeypatch.setenv("FIRERL_ENGINE_outer", "1")
    with descendants.contained():
        assert [name for name in descendants.unmarked() if name.startswith("FIRERL_ENGINE_")] == ["FIRERL_ENGINE_outer"]
        assert len([name for name in os.environ if name.startswith("FIRERL_ENGINE_")]) == 2
