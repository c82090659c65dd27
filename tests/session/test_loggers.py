"""Loggers by name, by dotted path, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from documents_for_tests import blocks, run_commands

import firerl
from firerl.config.find_loggers import NEEDS, SHORT_NAMES, check_loggers, find_loggers, folder_of
from firerl.engine.inline import InlineEngine
from firerl.errors import RunFolderError, SettingError
from firerl.loggers.tensorboard import TensorBoard


def test_names_lists_and_none() -> None:
    assert check_loggers(["none"]) == check_loggers([]) == ()
    assert check_loggers(["tensorboard", "loggers_for_tests.Told"]) == ("tensorboard", "loggers_for_tests.Told")
    found = find_loggers(["tensorboard", "loggers_for_tests.Told"])
    assert found["tensorboard"] is TensorBoard
    assert found["loggers_for_tests.Told"].__name__ == "Told"
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


def test_a_run_folder_names_no_class_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    (tmp_path / "own_logger.py").write_text(code + "from firerl.logger import Logger\nclass Own(Logger): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run_dir = tmp_path / "r"
    firerl.run("quadratic", preset="smoke", engine="inline", logger="own_logger.Own", progress=False, run_dir=run_dir)
    monkeypatch.delitem(sys.modules, "own_logger")  # as in another process
    ran.unlink()
    with pytest.raises(SettingError) as caught:
        firerl.resume(run_dir, steps=48, progress=False)
    again = f"firerl.resume({str(run_dir)!r}, logger=['own_logger.Own'])"
    assert str(caught.value).endswith(f"give it again: {again}; else logger=none")
    assert len(firerl.Result(run_dir, {}).journal) > 100  # it can be read
    again = firerl.retrace(run_dir, progress=False)  # other loggers than TensorBoard are the run's alone
    assert not ran.exists()
    assert (again.run_dir / "tensorboard").exists() is False
    assert firerl.resume(run_dir, steps=28, logger="none", progress=False).figures["steps"] == 28
    assert not ran.exists()
    assert firerl.resume(run_dir, steps=32, logger="own_logger.Own", progress=False).figures["steps"] == 32
    assert ran.exists()
    assert firerl.resume(run_dir, steps=36, progress=False).figures["steps"] == 36  # it is in memory
    monkeypatch.delitem(sys.modules, "own_logger")


@pytest.mark.unverified("a link in the folder, on purpose")
@pytest.mark.parametrize("name", ["wandb", "loggers", "loggers/own.Own"])
def test_no_logger_writes_where_a_link_leads(name: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    firerl.run("quadratic", preset="smoke", engine="inline", logger="none", progress=False, run_dir=run_dir)
    (run_dir / name).parent.mkdir(exist_ok=True)
    (run_dir / name).symlink_to(tmp_path)
    with pytest.raises(RunFolderError, match="is a link"):
        firerl.resume(run_dir, steps=48, progress=False)


def test_your_own_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's code, as pasted."""
    (code,) = blocks("docs/how-to/loggers.md", "python")
    (tmp_path / "trackers.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("firerl.engine.local.local.LocalEngine", lambda spec, *_: InlineEngine(spec))
    run_commands(blocks("docs/how-to/loggers.md", "sh")[1])
    told = capsys.readouterr().out.replace("\n", " ")
    assert f"! trackers.Folder: metrics are in {tmp_path}/runs/told/loggers/trackers.Folder" in told
    folder = tmp_path / "runs" / "told" / "loggers" / "trackers.Folder"
    lines = [line.split() for line in (folder / "metrics" / "P1" / "best").read_text().splitlines()]
    result = json.loads((tmp_path / "runs" / "told" / "result.json").read_text())
    assert [int(step) for step, _ in lines] == list(range(2, 50, 2))
    assert float(lines[-1][1]) >= result["objective"]  # fitness is a mean
    assert json.loads((folder / "params.json").read_text())["learner"] == "quadratic"
    assert json.loads((folder / "lineage.json").read_text()) == result["lineage"]
    monkeypatch.delitem(sys.modules, "trackers")
