"""A run folder names no code but firerl's and that of installed packages; what else it needs is given again."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import firerl
from firerl import named_code
from firerl.errors import SettingError

OWN = """
from pathlib import Path
Path({ran!r}).touch()
from firerl.agents.quadratic.learner import Quadratic

class Own(Quadratic):
    pass
"""
RUN = ["learner=own_module.Own", "population.sizes=[2,2]", "population.evaluators=2", "steps=20", "eval_interval=5",
       "ready_interval=20", "algo.max_eval_steps=40", "engine=inline", "logger=[]", "run_dir=run"]  # fmt: skip


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"firerl.{words[0]}", *words[1:]]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_a_learner_of_the_working_folder_is_given_again(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "own_module.py").write_text(OWN.format(ran=str(ran)))
    begun = command(tmp_path, "launch", *RUN)
    assert begun.returncode == 0, begun.stderr
    ran.unlink()

    refused = command(tmp_path, "launch", "resume=run", "steps=40")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    line = "python -m firerl.launch resume=run learner=own_module.Own"
    assert refused.stderr.rstrip().endswith(f"give it again: {line}")
    assert not ran.exists()
    for words in (["play", "run"], ["replay", "run", "engine=inline"]):
        also = command(tmp_path, *words)
        assert (also.returncode, also.stderr.count("\n")) == (2, 1), also.stderr
        assert "own_module.Own" in also.stderr.partition("give it again: ")[2]
        assert not ran.exists()
    told = command(tmp_path, "journal", "run")  # what only reads needs nothing
    assert (told.returncode, ran.exists()) == (0, False)

    other = command(tmp_path, "launch", "resume=run", "learner=quadratic", "steps=40")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "learner=quadratic: this run has learner=own_module.Own, which cannot change" in other.stderr
    again = command(tmp_path, *shlex.split(line.removeprefix("python -m firerl.")), "steps=40")
    assert again.returncode == 0, again.stderr
    assert ran.exists()
    played = command(tmp_path, "play", "run", "--learner", "own_module.Own")
    assert played.returncode == 0, played.stderr


def test_the_run_s_own_learner_may_be_named_where_it_needs_not(tmp_path: Path) -> None:
    from firerl.launch import main

    where = tmp_path / "run"
    own = ["learner=quadratic", *[word for word in RUN[1:] if not word.startswith("run_dir")], f"run_dir={where}"]
    assert main(own) == 0
    assert main([f"resume={where}", "learner=quadratic", "algo=fire", "steps=40"]) == 0
    assert main([f"resume={where}", "algo=pbt"]) == 2
    assert main([f"resume={where}", "learner.noise=3"]) == 2


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("firerl.agents.quadratic.learner", True),
        ("firerl.no.such", True),  # where it is looked for is firerl's own folder
        ("numpy.random", True),
        ("sklearn.no_such", True),
        ("antigravity", False),  # Python's own, which opens a browser
        ("idlelib.help", False),
        ("evil", False),
        ("evil.numpy", False),
        ("__main__", False),
        ("tensorboard.__main__", False),
        ("..evil", False),
        ("", False),
    ],
)
def test_what_a_file_may_name(module: str, may: bool) -> None:
    assert named_code.may_import(module) is may


def test_the_current_directory_does_not_stand_in_for_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "rich.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert not named_code.may_import("evil")
    with named_code.without_here():
        assert str(tmp_path) not in sys.path
        assert "" not in sys.path
    assert sys.path[0] == str(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path[1:], str(tmp_path)])  # as PYTHONPATH has it: a person's word
    with named_code.without_here():
        assert str(tmp_path) in sys.path


def test_names_are_told_with_the_line_to_type() -> None:
    names = {"learner": "my.own.Own", "algo": "my.algo", "env": "my_env:X-v0"}
    with pytest.raises(SettingError) as told:
        named_code.check(names, named_code.settings_line("python -m firerl.launch resume=r"))
    line = "python -m firerl.launch resume=r learner=my.own.Own algo=my.algo env=my_env:X-v0"
    assert str(told.value).endswith(line)
    with pytest.raises(SettingError, match=re.escape("import my.algo; import my_env; f(learner=Own)")):
        named_code.check(names, named_code.call_line("f(learner=<class>)"))
    named_code.check({"learner": "quadratic", "algo": "fire", "env": "CartPole-v1"}, lambda names: "")


def test_an_environment_s_module_is_no_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a best.pt: its settings name a module that the current directory holds."""
    from firerl.storage import checkpoint

    (tmp_path / "sly.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    best = {"task": "t", "learner": "vmpo", "settings": {"env": {"name": "sly:X-v0", "kwargs": {}}}, "weights": {}}
    best |= {"network_step": 0, "objective": 0.0, "facts": {}}
    (tmp_path / "best.pt").write_bytes(checkpoint.dumps(best))
    with pytest.raises(SettingError, match="env=sly:X-v0: the run names code"):
        firerl.load_policy(tmp_path / "best.pt")
    assert not os.path.exists("ran")


def test_no_setting_of_a_run_is_a_target_of_hydra() -> None:
    """Nothing of firerl instantiates: a _target_ in a file is an unknown setting."""
    from firerl.config import from_plain

    for path in Path(firerl.__file__).parent.rglob("*.py"):
        assert "instantiate" not in path.read_text(), path
    with pytest.raises(SettingError, match="unknown setting"):
        from_plain({"_target_": "os.system"})
