"""The picture that stays in place: on a real terminal of 80 columns, with names that are long, in a notebook."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import termios
import types
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of
from rich.console import Console

from firerl.config.run_config import RunConfig
from firerl.evolution.population import Copy, Fail, Promote, Report, Set, StartEvaluator, StopEvaluator
from firerl.session.watching import live, view
from firerl.session.watching.progress import Round
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal
from firerl.summary.last_event import in_a_sentence

pytestmark = pytest.mark.unverified("journals made by hand")

LONG = [f"a_hyperparameter_with_a_long_name_{i}" for i in range(4)]
PARTS = {"train": 0.9, "evaluate": 0.06, "decide": 0.01, "copy": 0.01, "save": 0.01, "idle": 0.01}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    made = config_for(tmp_path / "r")
    make_run(made, fire_points())
    return made


def on_a_terminal(command: list[str], columns: int) -> list[str]:
    """What a command leaves on a terminal of so many columns, line by line as it was sent, without colours."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover, another process
        termios.tcsetwinsize(0, (40, columns))
        os.environ.update(TERM="xterm")
        os.environ.pop("COLUMNS", None)
        os.execv(command[0], command)
    sent = bytearray()
    try:
        while read := os.read(terminal, 65536):
            sent += read
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, sent.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent.decode())
    return [line.rsplit("\r", 1)[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]


def test_a_terminal_of_80_columns(tmp_path: Path) -> None:
    settings = ["learner=quadratic", "preset=smoke", "engine=inline", f"run_dir={tmp_path / 'r'}"]
    lines = on_a_terminal([sys.executable, "-m", "firerl.launch", *settings], 80)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert re.search(r"^━+  100%  elapsed 0:\d\d, left 0:00$", text, re.MULTILINE), text
    assert re.search(r"^  last event  step 24: worker \d copied worker \d's network$", text, re.MULTILINE), text
    assert re.search(r"^  lr +\S+ \[\S+\.\.\S+\] +\S+ \[\S+\]$", text, re.MULTILINE), text


@pytest.mark.parametrize(
    ("sizes", "columns"), [((4,), 80), ((4, 4), 80), ((4, 4, 4), 80), ((2, 2, 2, 2), 80), ((4, 4), 40)]
)
def test_no_name_is_cut(sizes: tuple[int, ...], columns: int, tmp_path: Path) -> None:
    config = config_for(tmp_path, sizes=sizes, steps=1_234_567_890)
    state = members_of(config, dict.fromkeys(LONG, 1.2345e-5))
    console = Console(file=io.StringIO(), force_terminal=True, width=columns, color_system=None)
    picture = live.TerminalView(config, console)
    point = Point([Report(i, 10, -12345.678) for i in range(sum(sizes))], [])
    picture.round_done(Round(1_000_000_000, state, point, True, 10, 0.1, PARTS, 86_400.0))
    console.print(picture.picture())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns
    assert "1.2e-5" in text or columns < 80
    if columns == 80 and len(sizes) < 4:
        assert all(name in text for name in LONG)


def test_the_bar_goes_on_within_a_round(config: RunConfig) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    picture = live.TerminalView(config, console)
    picture.started(config, Journal.open(Path(config.run_dir)), 20, 2)
    picture.worker_done(1, 2)
    picture.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    share = (20 + config.eval_interval / 2) / config.steps
    assert f"{share:.0%}  elapsed 0:00, left known after the first evaluation" in text
    assert "20 of 40   1 of 2 workers done" in text
    assert "resumed     at step 20 of 40" in text


def test_a_notebook_has_one_picture(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shown:
        pictures: list[str] = []  # noqa: RUF012

        def update(self, html: str) -> None:
            self.pictures.append(html)

    displayed: list[str] = []

    def display(html: str, display_id: bool) -> Shown:
        displayed.append(html)
        return Shown()

    fake: Any = types.ModuleType("IPython.display")
    fake.HTML, fake.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    picture = view.make_view(config)
    assert isinstance(picture, live.NotebookView)
    picture.started(config, Journal.open(Path(config.run_dir)), 0, 2)
    state = members_of(config)
    for point, step in zip(fire_points(), (10, 20), strict=True):
        picture.round_done(Round(step, state, point, True, 40, 0.5, PARTS, 61.0))
    picture.finished({}, Path(config.run_dir))
    picture.close()
    assert len(displayed) == 1
    assert displayed[0].startswith("<pre")
    assert "50%" in Shown.pictures[-1]
    assert "last event  step 20" in Shown.pictures[-1]


def test_the_last_event_in_words() -> None:
    copy = Copy(1, 2, 10, 10, {}, {}, 0.1, 0.2)
    start, stop = StartEvaluator(9, 5, 3, 10, 10, {}), StopEvaluator(9, 5, 3, 10, "timeout", 4, None, None)
    promote = Promote(17, 5, 3, 10, 10, 4, 0.1, 0.001)
    assert in_a_sentence([]) == ""
    assert in_a_sentence([start]) == "evaluator 9 began with worker 5's network"
    assert in_a_sentence([start, stop]) == "evaluator 9 left worker 5's network: timeout"
    assert in_a_sentence([copy, copy, copy, stop]) == "worker 1 copied worker 2's network (2 more copies)"
    assert in_a_sentence([Fail(4, 10, "NaN"), copy]) == "worker 4 failed: NaN"
    assert in_a_sentence([copy, promote]) == "worker 3 took over evaluator 17's network"
    assert in_a_sentence([Set(4, 10, 10, {})]) == "worker 4 goes on with other hyperparameters"
