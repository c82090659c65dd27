"""Algorithms by name and by dotted path."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulate import make_setup

from firerl.errors import SettingError
from firerl.evolution import find
from firerl.evolution.algorithms import fire, pbt, random
from firerl.evolution.population import State, initial_state


def test_algorithms_are_found_by_the_name_of_their_file() -> None:
    assert set(find.names()) >= {"fire", "pbt", "random"}
    assert (find.algorithm("fire"), find.algorithm("pbt"), find.algorithm("random")) == (fire, pbt, random)
    assert find.algorithm("firerl.evolution.algorithms.pbt") is pbt


@pytest.mark.parametrize("name", find.names())
def test_every_algorithm_says_what_it_is_on_one_line(name: str) -> None:
    assert 10 < len(find.summary(name)) <= 90
    assert "(" not in find.summary(name)


def test_an_algorithm_may_have_an_initial_state_of_its_own() -> None:
    setup = make_setup((3,))
    assert find.initial_state(fire, setup, fire.Settings()) == initial_state(setup)
    own = SimpleNamespace(initial=lambda setup, settings: State((), settings))
    assert find.initial_state(own, setup, 7) == State((), 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["exploit", "population", "evaluators", "find", "winner", "plain", "lineage"])
def test_helpers_are_no_algorithms(name: str) -> None:
    assert name not in find.names()
    with pytest.raises(SettingError, match=name):
        find.algorithm(name)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"'fires'.*did you mean 'fire'.*pbt"):
        find.algorithm("fires")


@pytest.mark.parametrize("name", ["", "no.such.module", ".pbt", "..", "fire.", "Fire"])
def test_what_cannot_be_found_is_a_setting_error(name: str) -> None:
    with pytest.raises(SettingError):
        find.algorithm(name)


def test_a_rival_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "rival.py").write_text(
        "from firerl.evolution.algorithms.pbt import *\nfrom firerl.evolution.algorithms.pbt import Settings\n"
    )
    (tmp_path / "outside" / "half.py").write_text("from firerl.evolution.algorithms.pbt import Settings, arrange\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find.algorithm("outside.rival").Settings is pbt.Settings
    with pytest.raises(SettingError, match=r"outside\.half.*validate.*decide"):
        find.algorithm("outside.half")
    with pytest.raises(SettingError, match=r"outside\.none"):
        find.algorithm("outside.none")
    for name in ("outside", "outside.rival", "outside.half"):
        sys.modules.pop(name, None)
