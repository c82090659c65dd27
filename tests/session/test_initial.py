"""A population that starts from the weights of a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from runs_for_tests import SMALL, tiny_run

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.commands import launch
from firerl.errors import FirerlError, RunFolderError, SettingError
from firerl.evolution.plain import loads
from firerl.session.watching.progress import Silent
from firerl.storage import checkpoint
from firerl.storage.journal.journal_db import Journal


class Told(Quadratic):
    """Another learner."""


def quadratic(run_dir: Path, **more: Any) -> Path:
    wanted = {"population": [3], "evaluators": 0, "algo": "pbt", "steps": 40, "ready_interval": 20}
    firerl.run("quadratic", **{**wanted, "engine": "inline", "progress": False, "run_dir": run_dir, **more})
    return run_dir


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quadratic(tmp_path_factory.mktemp("donor") / "run", steps=200)


def journal(run_dir: Path) -> tuple[str, list[Any]]:
    found = Journal.open(run_dir)
    try:
        return found.last().hash, found.rows().reports
    finally:
        found.close()


def first_objectives(run_dir: Path) -> list[float]:
    return [float(row[4]) for row in journal(run_dir)[1] if row[0] == 1]


def test_every_member_starts_from_the_weights(donor: Path, tmp_path: Path) -> None:
    before = checkpoint.read(donor / "best.pt")["objective"]
    new = first_objectives(quadratic(tmp_path / "new"))
    warm = first_objectives(quadratic(tmp_path / "warm", init=donor, space={"lr": {"log_uniform": [1e-5, 1e-4]}}))
    assert max(new) < before - 0.3
    assert warm == pytest.approx([before] * 3, abs=0.1)  # tiny rates leave it where it was
    assert len(set(warm)) == 3  # with streams and hyperparameters of their own


def test_network_steps_count_from_0(donor: Path, tmp_path: Path) -> None:
    run_dir = quadratic(tmp_path / "warm", init=donor / "best.pt")
    assert checkpoint.read(run_dir / "best.pt")["network_step"] == 40


def test_the_journal_is_a_function_of_the_weights_not_of_the_path(donor: Path, tmp_path: Path) -> None:
    shutil.copy(donor / "best.pt", tmp_path / "copy.pt")
    by_folder, by_copy = quadratic(tmp_path / "a", init=donor), quadratic(tmp_path / "b", init=tmp_path / "copy.pt")
    assert journal(by_folder) == journal(by_copy)
    best = checkpoint.read(donor / "best.pt")
    best["weights"]["theta"] = best["weights"]["theta"] * 1.0000001
    (tmp_path / "other.pt").write_bytes(checkpoint.dumps(best))
    assert journal(quadratic(tmp_path / "c", init=tmp_path / "other.pt"))[0] != journal(by_folder)[0]


def test_processes_give_the_same_journal(donor: Path, tmp_path: Path) -> None:
    inline = quadratic(tmp_path / "a", init=donor)
    local = quadratic(tmp_path / "b", init=donor, engine="local", processes=2)
    assert journal(inline) == journal(local)


class Interrupt(Silent):
    def started(self, *_: Any) -> None:
        raise KeyboardInterrupt


def test_a_resume_before_the_first_generation_needs_no_file(donor: Path, tmp_path: Path) -> None:
    whole = quadratic(tmp_path / "whole", init=donor)
    shutil.copytree(donor, tmp_path / "donor")
    with pytest.raises(KeyboardInterrupt):
        quadratic(tmp_path / "broken", init=tmp_path / "donor", observer=Interrupt())
    shutil.rmtree(tmp_path / "donor")
    firerl.resume(tmp_path / "broken", progress=False)
    assert journal(whole) == journal(tmp_path / "broken")


def test_damaged_first_weights_are_one_line(donor: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        quadratic(tmp_path / "broken", init=donor, observer=Interrupt())
    (tmp_path / "broken" / "init.pt").write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"init\.pt is missing or damaged"):
        firerl.resume(tmp_path / "broken", progress=False)


def test_a_run_from_new_weights_is_what_it_was(tmp_path: Path) -> None:
    run_dir = quadratic(tmp_path / "r")
    assert not (run_dir / "init.pt").exists()
    assert "init" not in (run_dir / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"settings": {"dimensions": 50}}, r"do not fit this run's learner \(dimensions=100 there, 50 here\)"),
        ({"learner": "Told"}, r"these are weights of learner=quadratic, not test_initial\.Told"),
    ],
)
def test_weights_that_do_not_fit_leave_nothing(donor: Path, tmp_path: Path, more: Any, error: str) -> None:
    learner = Told if more.pop("learner", None) else "quadratic"
    with pytest.raises(SettingError, match=error) as caught:
        firerl.run(learner, init=donor, steps=120, run_dir=tmp_path / "r", engine="inline", progress=False, **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_files_that_are_none_leave_nothing(donor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["learner=quadratic", f"run_dir={tmp_path / 'r'}"]
    for init in (tmp_path / "none.pt", tmp_path, donor / "result.json"):
        assert launch.main([*common, f"init={init}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "r").exists()
    assert launch.main([f"resume={donor}", f"init={donor}"]) == 2
    assert "init cannot change" in capsys.readouterr().err


def test_an_agent_goes_on_with_other_settings_that_fit(tmp_path: Path) -> None:
    donor = tiny_run(tmp_path / "donor", steps=80)
    run_dir = tiny_run(tmp_path / "warm", init=donor, settings={**SMALL, "num_envs": 2, "unroll": 20}, steps=80)
    first, then = (checkpoint.read(folder / "best.pt")["weights"] for folder in (donor, run_dir))
    seen = [float(weights["networks"]["normaliser.count"]) for weights in (first, then)]
    assert seen == [80.0, 160.0]  # the normaliser went on from where it was
    with pytest.raises(FirerlError, match=r"do not fit .*hidden=\[16, 16\] there, \[8\] here"):
        tiny_run(tmp_path / "other", init=donor, settings={**SMALL, "hidden": [8]})


def test_the_promise_holds_the_digest_and_not_the_path(donor: Path, tmp_path: Path) -> None:
    found = Journal.open(quadratic(tmp_path / "r", init=donor))
    try:
        promised = loads(found.rows().meta["promised"])
    finally:
        found.close()
    assert "init" not in promised
    assert len(promised["init_sha256"]) == 64
