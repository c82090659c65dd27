"""firerl as a library: what a run gives back, and where learners come from."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.commands import launch, play, replay
from firerl.commands.journal import lines
from firerl.config.learners import find_again, name_of
from firerl.errors import RunFolderError, SettingError
from firerl.evolution import lineage
from firerl.insight.history import history, winner_curve
from firerl.storage.journal.journal_db import Journal

SMALL: dict[str, Any] = {"population": [4, 4], "evaluators": 3, "steps": 400, "ready_interval": 40, "progress": False}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> firerl.Result:
    """A finished run in which evaluators succeed."""
    folder = tmp_path_factory.mktemp("api") / "run"
    return firerl.run(Quadratic, run_dir=folder, engine="inline", seed=1, **SMALL)


def test_the_best(result: firerl.Result) -> None:
    best = result.best
    assert (best.objective, best.hyperparameters) == (result.objective, result.hyperparameters)
    assert best.network_step == result.schedule[-1]["to"] == 400
    assert best.worker < 4
    learner = Quadratic(Quadratic.resolve({}), best.hyperparameters, 0, "cpu")
    learner.load(weights=result.weights())
    last = [row for row in result.journal if row["event"] == "report" and row["worker"] == best.worker][-1]
    assert learner.evaluate(0) == last["objective"]


def test_the_journal_as_rows(result: firerl.Result) -> None:
    rows = result.journal
    assert {row["event"] for row in rows} >= {"report", "copy", "start_evaluator", "stop_evaluator"}
    counted = result.figures["evolution"]
    assert sum(row["event"] == "copy" for row in rows) == counted["copies"]
    assert sum(row["event"] == "promote" for row in rows) == counted["evaluator_successes"] > 0
    first = rows[0]
    assert (first["event"], first["worker"], first["step"], first["metrics"]) == ("report", 0, 10, {})


def test_the_winners_curve_is_stitched_from_those_who_trained_its_network(result: firerl.Result) -> None:
    journal = Journal.open(result.run_dir)
    _, life = history.read(journal)
    curve = winner_curve.stitched(life, result.best.worker)
    assert [point.step for point in curve] == list(range(10, 401, 10))
    # Independently: who trained it is in the lineage of result.json; in lockstep its steps are the run's.
    objective = {(row["worker"], row["step"]): row["objective"] for row in result.journal if row["event"] == "report"}
    segments = lineage.segments(journal.initial_state(), journal.decisions(), result.best.worker, 400)
    journal.close()
    assert len({segment.worker for segment in segments}) > 1
    trainer = {s: g.worker for g in segments for s in range(g.start + 10, g.end + 1, 10)}
    assert [point.worker for point in curve] == [trainer[point.step] for point in curve]
    members = [point for point in curve if point.worker < 8]
    assert [point.objective for point in members] == [objective[point.worker, point.step] for point in members]
    assert curve[-1].objective == result.objective or result.figures["lineage"][-1]["origin"] != "initial"


def test_the_picture(result: firerl.Result, tmp_path: Path) -> None:
    figure = result.plot(tmp_path / "winner.png")
    top, below = figure.axes
    assert list(top.lines[0].get_xdata()) == list(range(10, 401, 10))
    assert (below.get_ylabel(), below.get_yscale()) == ("lr", "log")
    changes = dict(zip(*below.lines[0].get_data(), strict=True))
    assert all(changes[row["to"]] == row["hyperparameters"]["lr"] for row in result.schedule)
    picture = matplotlib.image.imread(tmp_path / "winner.png")
    assert picture.shape[0] > 300
    assert np.ptp(picture) > 0.5
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=r"winner\.bad"):
        result.plot(tmp_path / "winner.bad")


def test_a_class_of_ours_has_its_short_name(result: firerl.Result, tmp_path: Path) -> None:
    assert name_of(Quadratic) == result.figures["learner"] == "quadratic"
    by_name = firerl.run("quadratic", run_dir=tmp_path / "b", engine="inline", seed=1, **SMALL)
    assert by_name.figures == result.figures


SCRIPT = """
import numpy as np
import firerl

print("starts", flush=True)
TARGET = np.arange(3.0)

class Own(firerl.Learner):
    space = {"lr": {"log_uniform": [1e-3, 0.5]}}
    eval_interval = 5
    def __init__(self, settings, hyperparameters, seed, device):
        self.w, self.rng = np.zeros(3), np.random.default_rng(seed)
        self.set_hyperparameters(hyperparameters)
    def set_hyperparameters(self, values):
        self.lr = values["lr"]
    def train(self, steps):
        for _ in range(steps):
            self.w -= self.lr * (self.w - TARGET + self.rng.normal(size=3))
        return {}
    def evaluate(self, seed):
        return -float(np.sum((self.w - TARGET) ** 2))
    def state(self):
        return {"weights": {"w": self.w}, "stream": self.rng.bit_generator.state}
    def load(self, weights=None, stream=None):
        if weights is not None:
            self.w = weights["w"].copy()
        if stream is not None:
            self.rng.bit_generator.state = stream

"""
OPTIONS = "population=[4], evaluators=0, algo='pbt', ready_interval=20, progress=False, processes=1"
RUN = f"print(firerl.run(Own, steps=60, run_dir='run', {OPTIONS}).objective)\n"


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_script_without_a_guard_and_its_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.py").write_text(SCRIPT + RUN)
    done = python(tmp_path, "first.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("starts\n")
    assert done.stdout.count("starts") == 1
    again = "firerl.resume('run', learner=Own)"
    assert done.stderr == f"firerl: Own is in no module: to resume this run, type {again}\n"

    for command, arguments in ((launch, [f"resume={tmp_path / 'run'}", "steps=80"]), (replay, [str(tmp_path / "run")])):
        assert command.main(arguments) == 2
        refused = capsys.readouterr()
        assert (refused.out, refused.err.count("\n")) == ("", 1)
        assert "hand the class in: firerl." in refused.err
    assert play.main([str(tmp_path / "run")]) == 2
    assert (
        f"hand the class in: python -m firerl.play {tmp_path / 'run'} --learner <its module>.Own"
        in capsys.readouterr().err
    )

    (tmp_path / "handed_in.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    assert play.main([str(tmp_path / "run"), "--learner", "handed_in.Own"]) == 0
    assert f": mean of the last 3 evaluations {float(done.stdout.split()[1]):.6g}" in capsys.readouterr().out
    assert replay.main([str(tmp_path / "run"), "learner=handed_in.Own", "engine=inline"]) == 0

    # Handed in, it goes on as if it had never stopped.
    (tmp_path / "again.py").write_text(SCRIPT + "firerl.resume('run', Own, steps=80, progress=False)")
    (tmp_path / "whole.py").write_text(
        SCRIPT + RUN.replace("steps=60", "steps=80").replace("'run'", "'whole', engine='inline'")
    )
    for script in ("again.py", "whole.py"):
        done = python(tmp_path, script)
        assert (done.returncode, done.stdout.count("starts")) == (0, 1), done.stderr
    journals = []
    for name in ("run", "whole"):
        with closing(Journal.open(tmp_path / name)) as opened:
            journals.append(list(lines(opened, reports=True)))
    assert journals[0] == journals[1]
    assert len(journals[0]) > 60


def test_a_module_that_starts_a_run_when_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SCRIPT + RUN.replace("'run'", "None"))
    done = python(tmp_path, "-c", "import own")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("firerl.errors.SettingError: a new process cannot import the learner: SettingError:")
    assert last.endswith('put that under if __name__ == "__main__":')
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_what_cannot_be_sent_is_one_line(tmp_path: Path) -> None:
    own = SCRIPT.replace("class Own", "import enum\nclass Kind(enum.Enum):\n    A = 1\n\nclass Own")
    own = own.replace("return {}", "return {'kind': Kind.A.value}")
    (tmp_path / "own.py").write_text(own + RUN)
    done = python(tmp_path, "own.py")
    assert done.stdout == "starts\n"
    last = done.stderr.splitlines()[-1]
    assert "Kind" in last
    assert "from the script into a module, or take engine=inline" in last


def test_a_learner_is_found_again(tmp_path: Path) -> None:
    class Own(Quadratic):
        pass

    call = "firerl.resume('a', learner=<class>)"
    assert find_again("quadratic", call) is Quadratic
    assert find_again("__main__.Own", call, Own) is Own
    expected = r"made in a script or a notebook.*: hand the class in: firerl.resume\('a', learner=Own\)"
    for name in ("__main__.Own", name_of(Own)):
        with pytest.raises(SettingError, match=expected):
            find_again(name, call)
    expected = r"neither firerl's nor an installed package's.*hand the class in: firerl.resume\('a', learner=Own\)"
    with pytest.raises(SettingError, match=expected):
        find_again("nowhere.Own", call)
    with pytest.raises(SettingError, match=r"must be a subclass of firerl\.Learner"):
        find_again("nowhere.Own", call, int)  # type: ignore[arg-type]


def test_a_class_of_a_function_runs_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Own(Quadratic):
        def evaluate(self, seed: int) -> float:
            return super().evaluate(seed) + 1

    options = {**SMALL, "engine": "inline", "run_dir": tmp_path / "run"}
    firerl.run(Own, **options)
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SettingError, match="hand the class in"):
        firerl.resume(tmp_path / "run", steps=440, progress=False)
    assert firerl.resume(tmp_path / "run", Own, steps=440, progress=False).best.network_step == 440


def test_a_result_shows_its_headline(result: firerl.Result) -> None:
    shown = repr(result)
    assert shown.startswith(
        f"<Result of Quadratic, fire, {result.figures['steps']} steps: worker {result.best.worker}, "
    )
    assert f"{result.objective:.6g}" in shown
    assert shown.endswith(f"; {result.run_dir}>")


def test_errors_leave_nothing_behind(result: firerl.Result, tmp_path: Path) -> None:
    for options, words in (({"steps": 0}, "steps=0"), ({"space": {"rl": {}}}, "space.rl")):
        with pytest.raises(SettingError, match=words):
            firerl.run("quadratic", run_dir=tmp_path / "x", **{**SMALL, **options})
    assert not (tmp_path / "x").exists()
    with pytest.raises(RunFolderError, match="already holds a run"):
        firerl.run("quadratic", run_dir=result.run_dir, **SMALL)


def test_importing_firerl_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'mujoco', 'hydra', 'gymnasium'}"
    program = f"""if True:
        import sys, time
        began = time.process_time()
        import firerl
        print(time.process_time() - began)
        print(*({heavy} & set(sys.modules)))
        firerl.run, firerl.resume, firerl.retrace, firerl.Result, firerl.Retrace"""
    done = python(tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    seconds, loaded = done.stdout.split("\n")[:2]
    assert float(seconds) < 0.3
    assert loaded == ""


def test_all_that_is_public_is_offered() -> None:
    assert {*firerl.__all__, "adapters", "errors"} <= set(dir(firerl))
    assert all(hasattr(firerl, name) for name in dir(firerl))
    assert not [name for name in dir(firerl) if name.startswith("_") and not name.startswith("__")]
    with pytest.raises(AttributeError, match="module 'firerl' has no attribute 'resum'; did you mean 'resume'"):
        firerl.resum  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'zzz'$"):
        firerl.zzz  # noqa: B018
