"""The help texts and the page of settings: from the declarations, complete."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firerl.agents.quadratic.learner import Quadratic
from firerl.agents.vmpo import VMPO
from firerl.base.settings import setting
from firerl.commands.launch import main
from firerl.config.usage import learner_lines, reference
from firerl.errors import SettingError
from firerl.learner import Learner

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@dataclass(frozen=True)
class Settings:
    """Of a learner of one's own."""

    width: int = setting(16, "units of the hidden layer", "units", minimum=1)
    decay: float = setting(0.1, "pull to zero", minimum=0, below=1, tunable=True)


class Own(Learner):
    """Declares its settings."""

    Settings = Settings
    space = {"decay": {"uniform": [0.0, 0.5]}, "rate": {"log_uniform": [0.1, 1.0]}}  # noqa: RUF012


def test_the_page_of_settings_is_what_the_code_says() -> None:
    pytest.importorskip("stable_baselines3")  # whose algorithms say what their settings are
    assert PAGE.read_text() == reference() + "\n", "python -m firerl.config.usage > docs/reference/settings.md"


def test_the_help_of_a_learner_has_its_values_on_a_task_and_what_is_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learner=vmpo", "env=HalfCheetah", "--help"]) == 0
    told = capsys.readouterr().out
    for name, value in VMPO.resolve({"env": "HalfCheetah"}).items():
        assert f"learner.{name}=" in told
        if isinstance(value, int) and not isinstance(value, bool):
            assert f"learner.{name}={value} " in told
    assert "space.discount= tunes it" in told
    assert "tuned: {log_uniform: [" in told
    assert main(["learner=vmpo", "learner.num_envs=3", "--help"]) == 0
    assert "learner.num_envs=3 " in capsys.readouterr().out
    assert main(["learner=quadratik", "--help"]) == 2
    assert "did you mean 'quadratic'" in capsys.readouterr().err


def test_declared_settings_are_completed_checked_and_listed() -> None:
    assert Own.settings == {"width": 16, "decay": 0.1}
    assert Own.tunable == ("decay",)
    assert Own.resolve({"width": 8.0}) == {"width": 8, "decay": 0.1}
    lines = {line.name: line for line in learner_lines(Own, Own.resolve({}))}
    assert lines["learner.decay"].help == "pull to zero; tuned: {uniform: [0.0, 0.5]}"
    assert lines["learner.rate"].help == "tuned: {log_uniform: [0.1, 1.0]}"
    assert Own.checked({"decay": 0}) == {"decay": 0.0}
    refused: list[tuple[Any, str]] = [
        (lambda: Own.resolve({"widht": 3}), r"setting of learner Own 'learner\.widht': did you mean 'learner\.width'"),
        (lambda: Own.resolve({"width": 0}), r"learner\.width=0: must be an integer >= 1"),
        (lambda: Own.check_hyperparameter("decay", 1.0), r"space\.decay=1\.0: must be a finite number >= 0 and < 1"),
        (lambda: Own.checked({"width": 3}), "hyperparameter of learner Own 'width'"),
        (lambda: Own.checked({"decay": -1}), r"hyperparameters\.decay=-1: must be a finite number >= 0"),
    ]
    for call, words in refused:
        with pytest.raises(SettingError, match=words):
            call()


def test_a_subclass_keeps_its_parents_settings() -> None:
    class Steeper(Quadratic):
        """The same settings."""

    assert Steeper.settings == Quadratic.settings == {"dimensions": 100, "kappa": 1.5, "noise": 0.3}
