"""Loggers by name, by dotted path, and what is refused."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from test_docs import blocks, run_commands

import firerl
from firerl.engine.inline import InlineEngine
from firerl.errors import SettingError
from firerl.loggers import NEEDS, SHORT_NAMES, check_loggers, find_logger, folder_of
from firerl.tensorboard import TensorBoard


def test_names_lists_and_none() -> None:
    assert check_loggers(["none"]) == check_loggers([]) == ()
    assert check_loggers(["tensorboard", "loggers_for_tests.Told"]) == ("tensorboard", "loggers_for_tests.Told")
    assert find_logger("tensorboard") is TensorBoard
    assert find_logger("loggers_for_tests.Told").__name__ == "Told"
    assert folder_of(Path("r"), "wandb") == Path("r/wandb")
    assert folder_of(Path("r"), "own.Own") == Path("r/loggers/own.Own")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], "unknown logger 'tensorbord': did you mean 'tensorboard'?"),
        (["none", "tensorboard"], r"logger=\[none, tensorboard\]: must be different loggers, or none alone"),
        (["tensorboard", "tensorboard"], "must be different loggers"),
        (["loggers_for_tests.Nobody"], "logger=loggers_for_tests.Nobody: must be a subclass of firerl.logger.Logger"),
        (["loggers_for_tests.forever"], "must be a subclass"),
        (["not.a-name"], "must be one of tensorboard, wandb or <package>.<module>.<Class>"),
        (["fails_at_import.Own"], "cannot import 'fails_at_import': ValueError: never"),
    ],
)
def test_what_cannot_work_is_refused(
    names: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_at_import.py").write_text("raise ValueError('never')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=message):
        check_loggers(names)


def test_a_missing_library_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHORT_NAMES, "lacking", "firerl.lacking.Lacking")
    monkeypatch.setitem(NEEDS, "lacking", "a_library_that_nobody_has")
    with pytest.raises(SettingError) as caught:
        firerl.run("quadratic", logger="lacking", run_dir=tmp_path / "r")
    assert str(caught.value) == (
        "logger=lacking: the library a_library_that_nobody_has is not installed: pip install 'firerl[lacking]', or "
        "logger=tensorboard"
    )
    assert not (tmp_path / "r").exists()
    # A folder of that name, such as the one that W&B makes, is no library.
    (tmp_path / "a_library_that_nobody_has").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError):
        check_loggers(["lacking"])


def test_the_folders_of_loggers_are_ours(tmp_path: Path) -> None:
    """A run that was killed before its journal appeared is started anew by the same line."""
    for name in ("tensorboard", "wandb", "loggers"):
        (tmp_path / "r" / name).mkdir(parents=True)
    firerl.run("quadratic", preset="smoke", engine="inline", logger="none", progress=False, run_dir=tmp_path / "r")


def test_a_resume_without_the_class_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone_tomorrow.py").write_text("from firerl.logger import Logger\nclass Own(Logger): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    run_dir = tmp_path / "r"
    firerl.run("quadratic", preset="smoke", engine="inline", logger="gone_tomorrow.Own", progress=False,
               run_dir=run_dir)  # fmt: skip
    (tmp_path / "gone_tomorrow.py").unlink()
    monkeypatch.delitem(sys.modules, "gone_tomorrow")
    importlib.invalidate_caches()
    with pytest.raises(SettingError, match=r"logger=gone_tomorrow.Own: cannot import"):
        firerl.resume(run_dir, steps=48, progress=False)
    assert len(firerl.Result(run_dir, {}).journal) > 100  # it can be read
    assert firerl.resume(run_dir, steps=48, logger="none", progress=False).figures["steps"] == 48


def test_your_own_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's code, as pasted."""
    (code,) = blocks("docs/loggers.md", "python")
    (tmp_path / "trackers.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("firerl.engine.local.LocalEngine", lambda spec, processes, timeout: InlineEngine(spec))
    run_commands(blocks("docs/loggers.md", "sh")[1])
    assert "! trackers.Folder: metrics are in runs/told/loggers/trackers.Folder" in capsys.readouterr().out
    folder = tmp_path / "runs" / "told" / "loggers" / "trackers.Folder"
    lines = [line.split() for line in (folder / "metrics" / "P1" / "best").read_text().splitlines()]
    result = json.loads((tmp_path / "runs" / "told" / "result.json").read_text())
    assert [int(step) for step, _ in lines] == list(range(2, 50, 2))
    assert float(lines[-1][1]) >= result["objective"]  # fitness is a mean
    assert json.loads((folder / "params.json").read_text())["learner"] == "quadratic"
    assert json.loads((folder / "lineage.json").read_text()) == result["lineage"]
    monkeypatch.delitem(sys.modules, "trackers")
