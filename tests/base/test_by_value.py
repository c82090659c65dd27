"""Classes that are in no file, made again of their bytes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

import firerl
from firerl.base import by_value

SAY = "import sys, dill; made = dill.loads(sys.stdin.buffer.read())\n"
SAY += "print(made.settings, made.tunable, made.Settings and made.Settings.__name__, made.resolve({}))"


def learner(late: bool) -> type[firerl.Learner]:
    """A class of no module; ``late``: its settings are set once it is there, as an adapter does it."""

    @dataclass(frozen=True)
    class Settings:
        lr: float = firerl.setting(0.1, "learning rate", tunable=True, above=0)
        epochs: int = firerl.setting(2, "epochs", minimum=1)

    class Parent(firerl.Learner):
        pass

    class Late(Parent):
        pass

    Parent.Settings = Late.Settings = Settings
    Late.settings = {"lr": 0.5, "epochs": 3}
    Late.tunable = ("lr",)

    class Early(firerl.Learner):
        settings = {"lr": 0.5}  # noqa: RUF012

    return Late if late else Early


@pytest.mark.parametrize("late", [True, False])
def test_settings_go_along_with_a_learner(late: bool) -> None:
    own = learner(late)
    told = f"{own.settings} {own.tunable} {own.Settings and own.Settings.__name__} {own.resolve({})}\n"
    done = subprocess.run([sys.executable, "-c", SAY], input=by_value.dumps(own), capture_output=True, check=True)
    assert done.stdout.decode() == told
    if late:
        assert "Settings" in told


def test_a_subclass_whose_settings_are_set_late_keeps_its_fields() -> None:
    class Parent(firerl.Learner):
        @dataclass(frozen=True)
        class Settings:
            lr: float = firerl.setting(0.1, "learning rate", tunable=True, above=0)

    class Child(Parent):
        pass

    Child.settings = {"lr": 0.5}
    told = f"{Child.settings} {Child.tunable} Settings {Child.resolve({})}\n"
    done = subprocess.run([sys.executable, "-c", SAY], input=by_value.dumps(Child), capture_output=True, check=True)
    assert done.stdout.decode() == told
