"""Spoilt files do nothing but give an error: a part of ``tests/stress/mutated_files.py``, and its judge."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EVERY = 2  # of the plans, one case each: half a minute on a busy machine


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The benchmark's module and a folder that is ready."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        module = importlib.import_module("mutated_files")
        with module.scratch() as folder:
            module.ready(Path(folder))
            yield module, Path(folder)
    finally:
        if home is None:
            os.environ.pop("XDG_CACHE_HOME", None)


def outcomes(study: tuple[Any, Path], chosen: list[Any]) -> list[dict[str, Any]]:
    module, folder = study
    return list(module.in_children(chosen, folder))


def outcome_of(study: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, does: Any) -> list[str]:
    """What is said of a reader that ``does`` something to a whole run."""
    module, _ = study
    monkeypatch.setitem(module.READERS, "checkpoint", does)
    plan = importlib.import_module("mutated_cases").Plan
    case = module.Case(plan("whole file", 1, lambda *_: None, "whole", "best.pt", ["checkpoint"]), 0)
    return [row["bad"] for row in outcomes(study, [case])]


@pytest.mark.unverified("its journals are spoilt on purpose")
def test_spoilt_files_are_read_or_refused_and_do_nothing_else(study: tuple[Any, Path]) -> None:
    module, _ = study
    some = [case for case in module.cases(1) if case.seed == 0][::EVERY]
    rows = outcomes(study, some)
    wrong = [f"{r['bad']}: {r['case']}, {r['reader']}: {r['text']}" for r in rows if r["bad"]]
    assert not wrong, "\n".join(wrong)
    counts = Counter(row["outcome"] for row in rows)
    assert counts["refused"] > 30
    assert counts["read"] > 20


@pytest.mark.unverified("its journals are spoilt on purpose")
@pytest.mark.parametrize(
    ("does", "bad"),
    [
        (lambda run: None, ""),
        (lambda run: 1 / 0, "unclear"),
        (lambda run: os.kill(os.getpid(), 9), "crashes"),
        (lambda run: (run.parents[2] / "canary/ran").touch(), "code_ran"),
        (lambda run: (run.parents[2] / "canary/file.txt").write_text("x"), "outside_touched"),
        (lambda run: os.rename(run, run.parents[2] / "gone"), "outside_touched"),
        (lambda run: os.system("true"), "outside_touched"),
        (lambda run: len(b"x" * (5 << 28)), "over_memory"),
    ],
)
def test_a_defect_is_found(study: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, does: Any, bad: str) -> None:
    assert outcome_of(study, monkeypatch, does) == [bad]


@pytest.mark.unverified("its journals are spoilt on purpose")
def test_who_never_ends_is_stopped(study: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("mutated_children"), "WALL", 1)
    assert outcome_of(study, monkeypatch, lambda run: time.sleep(100)) == ["hangs"]


def test_every_file_of_a_run_is_spoilt_and_every_reader_reads(study: tuple[Any, Path]) -> None:
    module, folder = study
    made = importlib.import_module("mutated_cases").plans()
    assert {reader for plan in made for reader in plan.readers} == set(module.READERS)
    files = {plan.file for plan in made}
    left = {path.name for path in (folder / "base/whole").iterdir()}
    assert left - files <= {"checkpoints", "tensorboard", "best_ever.pt", "failures.log"}
    from firerl.commands import COMMANDS

    assert {words[0] for words, _ in module.COMMANDS.values()} == set(COMMANDS) - {
        "check",  # which reads no file
        "watch",  # which does not end: a reader asks what its page asks
    }
    assert len(module.cases(10_000)) >= 10_000
    shutil.rmtree(folder / "case", ignore_errors=True)
