"""A setting that cannot work is refused in one line: a part of ``tests/stress/settings_sweep.py``, and its judge."""

from __future__ import annotations

import importlib
import random
from collections import Counter
from typing import Any

import pytest

PARTS, CASES = 3, 80  # a part has so many, and half a minute on a busy machine


@pytest.fixture(scope="module")
def swept() -> Any:
    """The benchmark's module."""
    return importlib.import_module("settings_sweep")


@pytest.mark.parametrize("part", range(PARTS))
def test_every_setting_runs_or_is_refused_in_one_clear_line(swept: Any, part: int) -> None:
    some = random.Random(0).sample(swept.all_cases(quick=True), PARTS * CASES)
    outcomes = swept.sweep(some[part::PARTS])
    wrong = [f"{o.verdict}: {o.case}: {o.text}" for o in outcomes if o.verdict not in ("ran", "refused")]
    assert not wrong, "\n".join(wrong)
    counts = Counter(outcome.verdict for outcome in outcomes)
    assert counts["ran"] > 10
    assert counts["refused"] > 20


def test_every_group_is_swept(swept: Any) -> None:
    from firerl.config.compose import GROUPS, choices
    from firerl.config.learners import SHORT_NAMES
    from firerl.config.request import SECTIONS

    made = swept.all_cases(quick=False)
    groups, names = {case.group for case in made}, {name for case in made for name in case.names}
    assert {f"algo={name}" for name in choices("algo")} <= groups
    assert {f"learner={name}" for name in SHORT_NAMES} <= groups
    assert {f"env={name}" for name in choices("env")} <= groups
    assert {f"data={name}" for name in choices("data")} <= groups
    assert set(GROUPS) <= names
    assert set(SECTIONS) <= {name.partition(".")[0] for name in names}
    assert len(made) > 3_000


def case(swept: Any, kind: str, *arguments: str) -> Any:
    return swept.Case("group", kind, (arguments[0].partition("=")[0],), arguments)


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        ((0, "ended", "", ""), "ran"),
        ((2, "", "firerl: steps=0: must be an integer >= 1\n", ""), "refused"),
        ((None, "", "", ""), "hang"),
        ((1, "", "Traceback (most recent call last):\n  ...\nKeyError: 3\n", ""), "traceback"),
        ((0, "", "RuntimeWarning: overflow\n", ""), "unclear"),
        ((2, "", "firerl: this does not work\n", ""), "unclear"),  # names nothing
        ((2, "", "firerl: steps=0 is wrong\n", ""), "unclear"),  # does not say what is allowed
        ((2, "", "firerl: steps=0: must be >= 1\nand more\n", ""), "unclear"),
        ((1, "", "firerl: [Errno 36] File name too long\n", ""), "unclear"),
        ((0, "", "", "worker 1 after step 0: Traceback\nKeyError: 'a'"), "unclear"),  # accepted, and it cannot work
        ((0, "", "", "worker 1 after step 0: evaluate() returned nan after train() gave {}"), "ran"),
    ],
)
def test_verdicts(swept: Any, left: tuple[Any, ...], verdict: str) -> None:
    assert swept.judge(case(swept, "edge", "steps=0"), *left).verdict == verdict


def test_what_must_be_refused_may_not_run(swept: Any) -> None:
    assert swept.judge(case(swept, "type", "steps=text"), 0, "", "", "").verdict == "unclear"


def test_a_defect_is_found(swept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The children do run this process's code, and what it does wrong is seen."""
    import firerl.commands.launch

    found = [case(swept, "edge", "learner=quadratic", "steps=0")]
    assert swept.sweep(found)[0].verdict == "refused"
    monkeypatch.setattr(firerl.commands.launch, "configs_of", lambda tree: [][0])
    assert swept.sweep(found)[0].verdict == "traceback"
    monkeypatch.setattr(swept, "SECONDS", 1)
    monkeypatch.setattr(firerl.commands.launch, "configs_of", lambda tree: __import__("time").sleep(60))
    assert swept.sweep(found)[0].verdict == "hang"
