from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learners_for_tests import Quiet, Walk

from firerl.base.disk import files
from firerl.engine import make_engine
from firerl.engine.copy_order import independent
from firerl.engine.interface import Advance, Create, Engine, LearnerSpec, Load, MachineFailure, Outcome, Saved, Transfer
from firerl.engine.local.local import LocalEngine
from firerl.engine.placement import Placement
from firerl.errors import RunFolderError, SettingError
from firerl.storage import checkpoint

SPEC = LearnerSpec(Walk, {"folder": "."})


ENGINES = ["inline", "local-1", "local-2", "ray-1", "ray-2"]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name, _, processes = request.param.partition("-")
    if name == "ray":
        pytest.importorskip("ray")
    engine = make_engine(name, SPEC, int(processes or 1), 60.0)
    yield engine
    engine.close()


def create(engine: Engine, *acts: dict[str, Any]) -> None:
    """A new learner for each worker 0, 1, ..., with what it does on demand."""
    engine.create([Create(worker, {"lr": 0.1 * (worker + 1), **act}, 100 + worker) for worker, act in enumerate(acts)])


def advance(engine: Engine, *workers: int, steps: int = 10) -> list[Outcome]:
    return engine.advance([Advance(worker, steps, 7 + worker) for worker in workers], lambda _: None)


def script(engine: Engine, folder: Path) -> list[Any]:
    """A little of everything; what comes of it is the same on every engine."""
    create(engine, {}, {}, {})
    seen: list[Any] = []
    heard: list[int] = []
    orders = [Advance(worker, 10, worker) for worker in (2, 0, 1)]
    outcomes = engine.advance(orders, lambda outcome: heard.append(outcome.worker))
    assert sorted(heard) == [outcome.worker for outcome in outcomes] == [0, 1, 2]
    # 1 takes from 0, then 2 takes from the new 1, then 0 from the new 2: all end with 0's weights.
    engine.transfer([Transfer(0, 1, {"lr": 1.0}), Transfer(1, 2, {"lr": 2.0}, seed=5), Transfer(2, 0, {"lr": 3.0})])
    seen += [outcome.objective for outcome in outcomes]
    seen += [files.digest(checkpoint.dumps(engine.weights(worker))) for worker in range(3)]
    assert len(set(seen[-3:])) == 1
    saved = engine.save(folder, "g1", [2, 1, 0, 9])
    assert [(entry.worker, entry.name) for entry in saved] == [(w, f"g1-w{w}.pt") for w in range(3)]
    for entry in saved:
        data = (folder / entry.name).read_bytes()
        assert (entry.size, entry.sha256) == (len(data), files.digest(data))
    seen += [entry.sha256 for entry in saved]
    after = [outcome.objective for outcome in advance(engine, 0, 1, 2)]
    engine.load([Load(w, {"lr": {0: 3.0, 1: 1.0, 2: 2.0}[w]}, 9, folder / f"g1-w{w}.pt") for w in range(3)])
    assert [outcome.objective for outcome in advance(engine, 0, 1, 2)] == after
    return seen + after


@pytest.mark.parametrize("name", ["local", "ray", "simulated"])
def test_workers_that_move_go_on_as_they_would_have(name: str) -> None:
    """One trains on, one has a failure to tell, one has no learner yet."""
    if name == "ray":
        pytest.importorskip("ray")
    seen = []
    for moving in (False, True):
        with contextlib.closing(make_engine(name if moving else "inline", SPEC, 2, 60.0)) as engine:
            create(engine, {}, {}, {}, {}, {"init": "raise"})
            advance(engine, 0, 1, 2, 3)
            if moving:
                engine._balance.after = lambda _: Placement(2, moved={0: 1, 3: 0, 4: 1, 6: 1})  # type: ignore
                assert engine.balance() == (4 if name == "simulated" else 3)
                assert engine.balance() == 0
            outcomes = advance(engine, 0, 1, 2, 3, 4)
            weights = [files.digest(checkpoint.dumps(engine.weights(worker))) for worker in range(4)]
            seen.append([(outcome.worker, outcome.objective, outcome.failure) for outcome in outcomes] + weights)
    assert seen[0] == seen[1]
    assert seen[0][4] == (4, None, "ZeroDivisionError")


reference: list[Any] = []


def test_every_engine_gives_the_same(engine: Engine, tmp_path: Path) -> None:
    result = script(engine, tmp_path)
    reference.extend([] if reference else result)
    assert result == reference


def test_numbers_become_plain_floats(engine: Engine) -> None:
    create(engine, {})
    (outcome,) = advance(engine, 0)
    assert type(outcome.objective) is float
    assert outcome.metrics["steps"] == 10.0
    assert type(outcome.metrics["steps"]) is float
    assert math.isnan(outcome.metrics["loss"])
    assert outcome.train_seconds > 0
    assert outcome.failure is None


FAILURES = [
    ({"train": "raise"}, "ZeroDivisionError", "as the test wanted"),
    ({"evaluate": "raise"}, "ZeroDivisionError", "in evaluate"),
    ({"train": "exit"}, "SystemExit", "SystemExit: 3"),
    ({"init": "raise"}, "ZeroDivisionError", "in __init__"),
    ({"evaluate": float("nan")}, "NaN", "evaluate() returned nan"),
    ({"evaluate": torch.tensor(float("inf"))}, "infinity", "evaluate() returned inf"),
    ({"evaluate": -np.float32("inf")}, "infinity", "evaluate() returned -inf"),
    ({"evaluate": "good"}, "TypeError", "'good' of type str; it must be a real number"),
    ({"evaluate": np.ones(2)}, "TypeError", "of type ndarray; it must be a real number"),
    ({"evaluate": 1j}, "TypeError", "of type complex"),
    ({"train": {"loss": "low"}}, "TypeError", "the metric 'loss' of train() is 'low'"),
    ({"train": 5}, "TypeError", "train() returned 5 of type int"),
]


@pytest.mark.parametrize(("act", "failure", "text"), FAILURES, ids=[f"{act}" for act, _, _ in FAILURES])
def test_a_learners_failure_is_an_outcome(engine: Engine, act: dict[str, Any], failure: str, text: str) -> None:
    create(engine, act, {})
    failed, healthy = advance(engine, 0, 1)
    assert (failed.failure, failed.objective) == (failure, None)
    assert failed.traceback is not None
    assert text in failed.traceback
    assert healthy.failure is None
    # A transfer with a seed revives it.
    engine.transfer([Transfer(1, 0, {"lr": 0.1}, seed=3)])
    assert advance(engine, 0)[0].failure is None


def test_failures_of_a_transfer_wait_for_the_next_advance(engine: Engine, tmp_path: Path) -> None:
    create(engine, {}, {}, {}, {})
    # 1 fails in set_hyperparameters; 2 and 3 copy from what is none.
    engine.transfer(
        [Transfer(0, 1, {"set": "raise"}), Transfer(1, 2, {"lr": 1.0}), Transfer(2, 3, {"lr": 1.0}, seed=1)]
    )
    assert [saved.worker for saved in engine.save(tmp_path, "g1", range(4))] == [0]
    with pytest.raises(RuntimeError, match="worker 2 has no weights"):
        engine.weights(2)
    outcomes = advance(engine, 0, 1, 2, 3)
    assert [outcome.failure for outcome in outcomes] == [None] + ["ZeroDivisionError"] * 3


def test_a_worker_that_is_its_own_source_keeps_its_weights(engine: Engine) -> None:
    """The next interval trains with the new rate, on the weights and the stream that it had."""
    objectives = []
    for orders in ([], [Transfer(0, 0, {"lr": 0.1})], [Transfer(0, 0, {"lr": 0.4})]):
        create(engine, {}, {})
        advance(engine, 0)
        before = files.digest(checkpoint.dumps(engine.weights(0)))
        engine.transfer(orders)
        assert files.digest(checkpoint.dumps(engine.weights(0))) == before
        objectives.append(advance(engine, 0)[0].objective)
    assert objectives[0] == objectives[1] != objectives[2]


def test_a_worker_that_is_its_own_source_sends_no_weights(engine: Engine) -> None:
    create(engine, {"state": "raise"}, {})  # its state cannot be asked for: nobody may
    advance(engine, 0)
    engine.transfer([Transfer(0, 0, {"lr": 0.4}), Transfer(1, 1, {"lr": 0.1, "train": "raise"})])
    assert [outcome.failure for outcome in advance(engine, 0, 1)] == [None, "ZeroDivisionError"]


def test_nothing_to_report_is_no_failure() -> None:
    with make_engine("inline", LearnerSpec(Quiet, {"folder": "."})) as engine:  # type: ignore[attr-defined]
        create(engine, {})
        assert (advance(engine, 0)[0].objective, advance(engine, 0)[0].failure) == (None, None)


UNSAVABLE = [
    ({"state": {1, 2}}, "SettingError", r"state\(\)\['weights'\]\['odd'\]: .* type set"),
    ({"state": "raise"}, "ZeroDivisionError", r"as the test .*\(learners_for_tests\.py:\d+\)$"),
]


@pytest.mark.parametrize(("odd", "kind", "words"), UNSAVABLE)
def test_a_state_that_cannot_be_saved_is_the_failure_of_its_worker(
    engine: Engine, tmp_path: Path, odd: dict[str, Any], kind: str, words: str
) -> None:
    create(engine, odd, {})
    failed, saved = engine.save(tmp_path, "g1", [0, 1])
    assert isinstance(failed, Outcome)
    assert (failed.worker, failed.failure) == (0, kind)
    assert re.search(words, failed.told)
    assert isinstance(saved, Saved)
    assert [path.name for path in tmp_path.iterdir()] == [saved.name] == ["g1-w1.pt"]
    assert advance(engine, 1)[0].failure is None


@pytest.mark.parametrize(("odd", "kind", "words"), UNSAVABLE)
def test_who_takes_weights_that_cannot_be_packed_fails_with_its_donor(
    engine: Engine, odd: dict[str, Any], kind: str, words: str
) -> None:
    create(engine, odd, {})
    engine.transfer([Transfer(0, 1, {"lr": 1.0})])
    assert [outcome.failure for outcome in advance(engine, 0, 1)] == [kind, kind]


def test_trouble_with_files_keeps_its_type(engine: Engine, tmp_path: Path) -> None:
    create(engine, {})
    (tmp_path / "g1-w0.pt").write_bytes(b"none")
    for name in ("g1-w0.pt", "g2-w0.pt"):
        with pytest.raises(RunFolderError, match=name):
            engine.load([Load(0, {"lr": 1.0}, 0, tmp_path / name)])
    with pytest.raises(FileNotFoundError, match="cannot write"):
        engine.save(tmp_path / "none", "g1", [0])


def test_lack_of_memory_is_the_machines(engine: Engine) -> None:
    create(engine, {"lr": 1.0})
    with pytest.raises(MachineFailure, match="worker 0 ran out of memory"):
        engine.create([Create(0, {"init": "memory"}, 0)])
    if isinstance(engine, LocalEngine):  # for good: this is the module's last test of the shared engines
        with pytest.raises(RuntimeError, match="start a new one"):
            engine.weights(0)


def test_weights_are_never_shared() -> None:
    with make_engine("inline", SPEC) as engine:  # type: ignore[attr-defined]
        create(engine, {}, {})
        engine.transfer([Transfer(0, 1, {"lr": 1.0})])
        before = engine.weights(0)["position"].clone()
        advance(engine, 1)
        engine.weights(0)["position"] += 1
        assert torch.equal(engine.weights(0)["position"], before)


def test_transfers_are_cut_where_one_depends_on_another() -> None:
    orders = [Transfer(0, 1, {}), Transfer(0, 2, {}), Transfer(3, 0, {}), Transfer(1, 4, {}), Transfer(5, 4, {})]
    runs = [[(order.source, order.target) for order in run] for run in independent(orders)]
    assert runs == [[(0, 1), (0, 2), (3, 0)], [(1, 4)], [(5, 4)]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("locl", SPEC), "unknown engine 'locl': did you mean 'local'"),
        (("local", SPEC, 0), "engine.processes=0"),
        (("local", SPEC, 1, -1.0), "engine.timeout=-1.0"),
    ],
)
def test_settings_that_cannot_work(arguments: Any, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        make_engine(*arguments)


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_a_killed_process_is_a_machine_failure_and_close_leaves_none(tmp_path: Path) -> None:
    engine = LocalEngine(LearnerSpec(Walk, {"folder": str(tmp_path)}), 2)
    pids = [child.pid for child in engine._children]
    create(engine, {"train": "die"}, {"evaluate": "sleep"})
    start = time.monotonic()
    with pytest.raises(MachineFailure, match="process 0 was killed by SIGKILL"):
        advance(engine, 0, 1)
    engine.close()
    engine.close()
    assert time.monotonic() - start < 5
    assert not any(map(alive, pids))


def test_a_hang_is_a_machine_failure(tmp_path: Path) -> None:
    with LocalEngine(LearnerSpec(Walk, {"folder": str(tmp_path)}), 1, timeout=1.0) as engine:
        create(engine, {"train": "sleep"})
        with pytest.raises(MachineFailure, match="process 0 has not answered for 1 s"):
            advance(engine, 0)


def test_a_learner_that_a_process_cannot_import_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vanishing.py").write_text("from learners_for_tests import Walk\nclass Gone(Walk): pass\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        learner = importlib.import_module("vanishing").Gone
    with pytest.raises(SettingError, match=r"cannot import the learner: ModuleNotFoundError: .*vanishing"):
        LocalEngine(LearnerSpec(learner, {"folder": "."}), 1)


# Without `if __name__ == "__main__":`, and with a class that exists in no module.
MAIN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from learners_for_tests import Walk
from firerl.engine import make_engine
from firerl.engine.interface import Advance, Create, LearnerSpec
print("start", flush=True)
class Own(Walk):
    def train(self, steps):
        return super().train(steps) | {"slept": time.sleep(0) or 0.0}
engine = make_engine("local", LearnerSpec(Own, {"folder": sys.argv[2]}), 2)
engine.create([Create(w, {"lr": 1.0, "evaluate": "sleep"}, 0) for w in range(2)])
engine.advance([Advance(w, 1, 0) for w in range(2)], print)
"""


def test_a_script_without_a_guard_runs_once_and_its_processes_die_with_it(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(MAIN)
    command = [sys.executable, str(path), str(Path(__file__).parents[1] / "support"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 60)
            pids = [int(file.stem) for file in tmp_path.glob("*.pid")]
            assert all(map(alive, pids))
            for pid in pids:
                os.kill(pid, signal.SIGINT)  # Ctrl-C reaches them too, and is not theirs to obey
            time.sleep(0.2)
            assert all(map(alive, pids))
            process.kill()
            assert wait_until(lambda: not any(map(alive, [process.pid, *pids])), 5)
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == "start\n"
