"""Runs with LightningModules: the same anywhere, resumed, by name on the command line, and from a page's lines."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs_for_tests import StopAt

import firerl
from firerl import api
from firerl.commands import check, launch
from firerl.config import named_code
from firerl.storage.journal.journal_db import Journal

pytest.importorskip("lightning", reason="the extra firerl[lightning] is not installed")
ROOT = Path(__file__).parents[2]
RUN: dict[str, Any] = {
    "population": [2], "evaluators": 0, "algo": "pbt", "steps": 28, "eval_interval": 7, "ready_interval": 14,
    "progress": False, "seed": 2, "engine": "inline", "logger": "none",
}  # fmt: skip


def digest(run_dir: Path) -> str:
    with closing(Journal.open(run_dir)) as journal:
        return journal.last().hash


def test_two_processes_a_break_and_the_command_line_give_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the middle of an epoch; resumed by its names alone."""
    from lightning_for_tests import Rich, Rows

    made = firerl.adapters.lightning(Rich, Rows)
    firerl.run(made, **RUN, run_dir=tmp_path / "whole")
    firerl.run(made, **{**RUN, "engine": "local"}, processes=2, run_dir=tmp_path / "local")
    with pytest.raises(KeyboardInterrupt):
        firerl.run(made, **RUN, observer=StopAt(3), run_dir=tmp_path / "broken")
    firerl.resume(tmp_path / "broken", progress=False)
    typed = ["learner=lightning", "learner.module=lightning_for_tests:Rich", "learner.data=lightning_for_tests.Rows"]
    typed += ["population.sizes=[2]", "population.evaluators=0", "algo=pbt", "steps=28", "eval_interval=7"]
    typed += ["ready_interval=14", "seed=2", "engine=inline", "logger=none", f"run_dir={tmp_path / 'typed'}"]
    assert launch.main(typed) == 0
    assert len({digest(tmp_path / name) for name in ("whole", "local", "broken", "typed")}) == 1

    policy = firerl.load_policy(tmp_path / "whole")
    assert policy(np.zeros((4, 10), dtype=np.float32)).shape == (4, 3)
    monkeypatch.setattr(named_code, "may_import", lambda module: not module.startswith("lightning_for"))
    again = ["learner.module=lightning_for_tests:Rich", "data=lightning_for_tests:Rows"]
    assert launch.main([f"resume={tmp_path / 'typed'}", "steps=42"]) == 2
    monkeypatch.undo()
    assert launch.main([f"resume={tmp_path / 'typed'}", "steps=42", *again]) == 0


def test_it_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    named = ["learner.module=lightning_for_tests:Rich", "learner.data=lightning_for_tests:Rows"]
    assert check.main(["lightning", *named]) == 0
    assert capsys.readouterr().out.endswith("all checks passed\n")


def test_the_example_is_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes are in no module: they are sent to other processes, and handed in again at a resume."""
    monkeypatch.chdir(tmp_path)
    short = {**RUN, "engine": "local", "processes": 2}
    monkeypatch.setattr(firerl, "run", lambda made, preset, run_dir: api.run(made, **short, run_dir=run_dir))
    names: dict[str, Any] = {"__name__": "__main__"}
    exec((ROOT / "examples/lightning_digits.py").read_text(encoding="utf-8"), names)
    firerl.resume("runs/lightning", learner=names["learner"], steps=42, progress=False)
    assert (tmp_path / "runs/lightning/result.json").exists()


def test_importing_it_imports_no_library() -> None:
    code = (
        "import sys, firerl; firerl.adapters.lightning; import firerl.agents.adapters.lightning_learner; "
        "assert not {'lightning', 'torchmetrics'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
