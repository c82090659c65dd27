"""Workers that do not go on as they were once they are loaded: said before the run, never moved, noted afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import envs_for_tests  # registers its environments
import pytest
from learners_for_tests import Walk
from runs_for_tests import tiny_run

import firerl
from firerl.commands import check
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.engine.balance.balance import Balance
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, Load, Outcome
from firerl.engine.placement import Placement
from firerl.errors import SettingError
from firerl.learner import Continuation
from firerl.session import start as starting
from firerl.session.watching.progress import Silent
from firerl.storage.journal.journal_db import Journal

assert envs_for_tests
TINY = ["learner.num_envs=2", "learner.unroll=20", "learner.hidden=[8]", "learner.minibatches=2", "eval_interval=80"]


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        if not text.startswith("fixed, not searched"):
            self.told.append(text)

    def started(self, *_: Any) -> None:
        self.told.append("the run starts")


def hash_and_notes(run_dir: Path) -> tuple[str, list[str]]:
    with closing(Journal.open(run_dir)) as journal:
        return journal.last().hash, [note for note in journal.notes() if note.startswith("not as if")]


def twice(tmp_path: Path, env: str, **more: Any) -> tuple[bool, list[str], list[str], list[str]]:
    """Whether a run that was extended is equal to one without a break; what was said at its start and at its resume,
    and what its journal has noted."""
    first, second = Notes(), Notes()
    whole = tiny_run(tmp_path / "whole", "ppo", env, steps=240, **more)
    parts = tiny_run(tmp_path / "parts", "ppo", env, steps=80, observer=first, **more)
    firerl.resume(parts, steps=240, progress=False, observer=second)
    (one, none), (two, noted) = hash_and_notes(whole), hash_and_notes(parts)
    assert none == []
    return one == two, first.told, second.told, noted


@pytest.mark.parametrize("sync", [True, False])
def test_what_can_be_saved_is_resumed_without_a_word(sync: bool, tmp_path: Path) -> None:
    assert twice(tmp_path, "FirerlZooOdd", sync=sync) == (True, ["the run starts"], ["the run starts"], [])


@pytest.mark.parametrize("sync", [True, False])
def test_what_cannot_is_said_before_the_run_and_noted_after_a_resume(sync: bool, tmp_path: Path) -> None:
    same, first, second, noted = twice(tmp_path, "FirerlZooGlobal", sync=sync)
    line = (
        "the state of FirerlZooGlobal cannot be saved (it draws from np.random, which all that is in a process shares)"
        ": new episodes begin after a resume; its workers stay where they are"
    )
    assert not same
    assert first == [line, "the run starts"]
    assert second[:2] == [line, "the run starts"]
    assert noted == second[2:]
    assert "4 of 4 episodes of FirerlZooGlobal could not be repeated as they were: new ones have begun" in noted[0]
    assert noted[0].startswith("not as if nothing had happened, workers 0, 1: " if sync else "not as if nothing")


def test_learners_that_wait_would_begin_new_episodes_again_and_again(tmp_path: Path) -> None:
    def waiting(env: str, run_dir: Path, *settings: str) -> None:
        line = [*TINY, "learner=ppo", f"env={env}", "population.sizes=[2]", "population.evaluators=0", "algo=pbt"]
        line += ["steps=160", "ready_interval=80", "engine=inline", "engine.workers_per_device=1", "logger=none"]
        starting.start(resolve(compose([*line, f"run_dir={run_dir}", *settings])))

    waiting("FirerlZooOdd", tmp_path / "odd")
    with pytest.raises(SettingError, match=r"engine.workers_per_device=1: must be null, since the state of Firerl"):
        waiting("FirerlZooGlobal", tmp_path / "global")
    with pytest.raises(SettingError, match=r"null, since an episode of .* give it max_episode_steps up to 10,000"):
        waiting("FirerlZooUsual", tmp_path / "long", "env.kwargs.max_episode_steps=20000")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd"]


def test_nobody_who_must_stay_is_moved_or_shared() -> None:
    for moves in (True, False):
        balance, placement = Balance(10, moves), Placement(2)
        for _ in range(4):
            balance.asked([Advance(worker, 40, 0) for worker in range(3)])
            for worker in range(3):
                balance.hear(placement, Outcome(worker, train_seconds=10.0 if worker in (0, 2) else 1.0))
            balance.waited(20.0)
            after = balance.after(placement)
            stays = after == placement
            placement = after
            if not stays:
                break
        assert stays is not moves


def test_the_check_of_a_learner_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["ppo", "env=FirerlZooCurriculum", "engine=inline", *TINY]) == 1
    out = capsys.readouterr().out
    assert "FAIL  continuation     the state of FirerlZooCurriculum cannot be saved (it carries episode from one" in out
    assert "by get_state() and set_state(state)" in out
    assert "\n-     resume           not tried: needs continuation" in out
    assert out.endswith("1 of the checks failed: continuation\n")
    check.main(["ppo", "env=envs_for_tests:FirerlZooRemembers", "engine=inline", *TINY])
    out = capsys.readouterr().out
    assert "ok    continuation     envs_for_tests:FirerlZooRemembers goes on to the bit where it is saved" in out
    assert "ok    resume" in out


class Loses(Walk):
    """Says what it has lost, as a learner of anybody's may."""

    told: Any = "its\nbuffer"

    @classmethod
    def continuation_of(cls, settings: Mapping[str, Any]) -> Continuation:
        return Continuation("its buffer")

    def load(self, weights: Any = None, stream: Any = None) -> Any:
        super().load(weights, stream)
        return self.told


@pytest.mark.parametrize(("told", "heard"), [("its\nbuffer", "its buffer"), ("", ""), (["a key"], ""), (None, "")])
def test_what_a_learner_says_of_its_load_is_told_once(
    told: Any, heard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loses, "told", told)
    host = Host(LearnerSpec(Loses, {"folder": "."}), durable=False)
    host.create([Create(0, {"lr": 0.1}, 0)])
    (saved,) = host.save(tmp_path, "g", [0])
    order = Advance(0, 5, 0)
    assert [outcome.lost for outcome in host.advance([order])] == [""]
    host.load([Load(0, {"lr": 0.1}, 0, tmp_path / saved.name)])
    assert [outcome.lost for _ in range(2) for outcome in host.advance([order])] == [heard, ""]
    host.take(host.give([0]))
    assert [outcome.lost for outcome in host.advance([order])] == [heard]
