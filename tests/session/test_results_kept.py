"""A command that fails takes nothing from a run that has ended: results go only when others take their place."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.disk import durable
from firerl.errors import FirerlError
from firerl.insight.health.health import examine
from firerl.insight.health.verify import verify_folder
from firerl.session.controller import Controller
from firerl.storage.journal.journal_db import Journal
from firerl.storage.run_folder import RESULTS


class Mine(Quadratic):
    """A quadratic that can be told to fail."""

    broken = ""

    def __init__(self, *arguments: Any):
        if Mine.broken == "build":
            raise FileNotFoundError("its data are away")
        super().__init__(*arguments)

    def train(self, steps: int) -> dict[str, float]:
        if Mine.broken == "train":
            raise ValueError("it cannot train")
        return super().train(steps)

    def load(self, **state: Any) -> None:
        if Mine.broken == "load":
            raise FileNotFoundError("its data are away")
        super().load(**state)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("ended") / "r"
    firerl.run(Mine, population=[2], evaluators=0, algo="pbt", steps=60, eval_interval=10, ready_interval=30,
               engine="inline", logger="none", progress=False, run_dir=run_dir)  # fmt: skip
    return run_dir


@pytest.fixture
def run_dir(ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Mine, "broken", "")
    return Path(shutil.copytree(ended, tmp_path / "r"))


def results(run_dir: Path) -> dict[str, bytes | None]:
    return {name: (run_dir / name).read_bytes() if (run_dir / name).exists() else None for name in RESULTS}


def broken(what: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(Mine, "broken", what)


def ctrl_c(patch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    patch.setattr(Controller, "_advance", stop)


def full_disk(patch: pytest.MonkeyPatch) -> None:
    """When the first state of the extension is saved."""

    def watch(moment: str, action: str, path: Path) -> None:
        if moment == "before" and action == "write" and path.name.startswith("g000003"):
            raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(durable, "watcher", watch)


FAILURES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], dict[str, Any]]] = {
    "a learner that cannot be built": (broken("build"), {}),
    "a learner that cannot be loaded": (broken("load"), {}),
    "a learner that cannot train": (broken("train"), {}),
    "Ctrl-C": (ctrl_c, {}),
    "a full disk": (full_disk, {}),
    "settings that cannot be": (lambda patch: None, {"engine": {"processes": 0}}),
    "a device that is not there": (lambda patch: None, {"engine": {"devices": ["cuda:77"]}}),
    "steps that are none": (lambda patch: None, {"steps": 0}),
}


@pytest.mark.unverified("runs fail on purpose")
@pytest.mark.parametrize("how", FAILURES)
def test_an_extension_that_fails_costs_no_result(run_dir: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    before, settings = results(run_dir), (run_dir / "config.yaml").read_bytes()
    with monkeypatch.context() as patch:
        FAILURES[how][0](patch)
        with pytest.raises((FirerlError, OSError, KeyboardInterrupt)):
            firerl.resume(run_dir, Mine, progress=False, **{"steps": 120, **FAILURES[how][1]})
    assert results(run_dir) == before
    with closing(Journal.open(run_dir)) as journal:
        reached = journal.hashes()[-1][0]
        kept = journal.result() is not None
    if reached == 2:  # no generation came: it is the run that has ended, as if nothing had been typed
        assert kept
        assert (run_dir / "config.yaml").read_bytes() == settings
        assert firerl.resume(run_dir, Mine, progress=False).figures["steps"] == 60
        assert firerl.resume(run_dir, Mine, steps=120, progress=False).figures["steps"] == 120
        assert examine(run_dir).whole


def test_the_results_of_the_shorter_run_lie_there_until_the_longer_has_its_own(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = results(run_dir)
    advance, done = Controller._advance, 0

    def broken_off(self: Controller, *more: Any) -> Any:
        nonlocal done
        done += 1
        if done > 4:
            raise KeyboardInterrupt
        return advance(self, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_advance", broken_off)
        with pytest.raises(KeyboardInterrupt):
            firerl.resume(run_dir, Mine, steps=120, progress=False)
    assert results(run_dir) == before
    with closing(Journal.open(run_dir)) as journal:
        assert journal.result() is None  # it has not ended: they are of another generation
        assert journal.config()["steps"] == 120  # kept with the first new generation
    assert verify_folder(run_dir).differences == []
    assert examine(run_dir).whole
    assert firerl.resume(run_dir, Mine, progress=False).figures["steps"] == 120
    assert results(run_dir) != before
