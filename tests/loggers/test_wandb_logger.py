"""Weights & Biases in its offline mode: what a real run wrote, read back. Nothing here goes on line."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import firerl
from firerl.errors import FirerlError
from firerl.logger import About
from firerl.loggers.by_worker import ByWorker
from firerl.loggers.wandb_process import known
from firerl.session.watching import guarded_logger
from firerl.session.watching.progress import Silent
from firerl.session.watching.scalars import Replay
from firerl.storage.journal.journal_db import Journal

has_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="the extra firerl[wandb] is not installed"
)
RUN = {"population": [2, 2], "evaluators": 2, "steps": 240, "ready_interval": 40, "seed": 2, "engine": "inline"}


class Segment(NamedTuple):
    """One offline folder, as W&B wrote it."""

    folder: Path
    head: Any  # its run record
    history: dict[int, dict[str, Any]]  # by step
    artifacts: dict[str, Any]
    exit_code: int | None
    config: dict[str, Any]


def records(path: Path) -> Iterator[Any]:
    """W&B's own records out of its file: after a head of 7 bytes a log of LevelDB's format, blocks of 32 KiB of
    fragments with a checksum, a size and a kind (1: whole, 4: last)."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def read(folder: Path) -> Segment:
    (path,) = folder.glob("*.wandb")
    head, exit_code = None, None
    history: dict[int, dict[str, Any]] = {}
    artifacts: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            head = record.run
            config.update({item.key: json.loads(item.value_json) for item in head.config.update})
        elif kind == "history":
            items = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            assert record.history.step.num not in history
            history[record.history.step.num] = items
        elif kind == "artifact":
            artifacts[record.artifact.name] = record.artifact
        elif kind == "exit":
            exit_code = record.exit.exit_code
    return Segment(folder, head, history, artifacts, exit_code, config)


def segments(run_dir: Path, who: int | str = "population") -> list[Segment]:
    """Those of one W&B run."""
    found = [read(folder) for folder in sorted((run_dir / "wandb").glob("offline-run-*"))]
    return [segment for segment in found if segment.config.get("worker", "population") == who]


@pytest.fixture(scope="module", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "HOME"):
            patch.setenv(name, str(home))
        yield


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and its extension by a resume."""
    where = tmp_path_factory.mktemp("wandb") / "r"
    firerl.run("quadratic", run_dir=where, logger=["wandb"], progress=False, **RUN)
    time.sleep(1.0)  # W&B names folders by the second
    firerl.resume(where, steps=320, progress=False, logger="wandb")
    return where


def table(segment: Segment, name: str, step: int) -> list[dict[str, Any]]:
    """A table as rows of its columns, from the file that the history refers to."""
    entry = {key.partition(".")[2]: value for key, value in segment.history[step].items() if key.startswith(name)}
    path = entry.get("path") or segment.history[step][name]["path"]
    data = json.loads((segment.folder / "files" / path).read_text())
    return [dict(zip(data["columns"], row, strict=True)) for row in data["data"]]


@has_wandb
def test_a_group_holds_the_curves_of_all_workers(run_dir: Path) -> None:
    first, second = segments(run_dir)
    with closing(Journal.open(run_dir)) as journal:
        replay, by_worker = Replay(journal.initial_state()), ByWorker({"space": {"lr": {}}})
        points = {
            max(r.step for r in point.reports): by_worker.parts(dict(replay.scalars(point)))
            for point in journal.points()
        }
    told = {**first.history, **second.history}
    assert sorted(told) == sorted(points)
    assert not first.history.keys() & second.history.keys()  # no point twice
    assert max(first.history) == 240
    for step, values in points.items():
        assert {name: told[step][name] for name in values["population"]} == values["population"]
    assert {"speed/steps_per_second", "time/train"} <= set(told[240])
    for worker in (1, 5):  # a member, an evaluator
        of_worker = {step: values for part in segments(run_dir, worker) for step, values in part.history.items()}
        expected = {step: values[f"worker-{worker:02}"] for step, values in points.items()
                    if f"worker-{worker:02}" in values}  # fmt: skip
        assert {step: {name: row[name] for name in ("objective", "lr")} for step, row in of_worker.items()} == expected


@has_wandb
def test_a_resume_goes_on_with_the_same_runs(run_dir: Path) -> None:
    first, second = segments(run_dir)
    kept = json.loads((run_dir / "wandb" / "firerl.json").read_text())
    assert first.head.run_id == second.head.run_id == kept["id"]
    assert kept["step"] == 320
    group = f"r-{kept['id']}"
    assert (first.head.project, first.head.display_name, first.head.run_group) == ("firerl", "r", group)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert (first.config["seed"], first.config["sizes"]) == (2, [2, 2])
    before, after = segments(run_dir, 1)
    assert before.head.run_id == after.head.run_id == f"{kept['id']}-worker-01"
    assert (before.head.display_name, before.head.run_group, before.head.job_type) == ("r worker-01", group, "worker")
    assert (before.exit_code, after.exit_code) == (0, 0)


@has_wandb
def test_the_end_has_lineage_evolution_and_the_report(run_dir: Path) -> None:
    last = segments(run_dir)[-1]
    result = json.loads((run_dir / "result.json").read_text())
    rows = table(last, "lineage", 320)
    told = [{**{k: s[k] for k in ("worker", "origin", "start", "end")}, **s["hyperparameters"]}
            for s in result["lineage"]]  # fmt: skip
    assert len(rows) > 1
    assert rows == told
    decisions = [row for row in firerl.Result(run_dir, {}).journal if row["event"] != "report"]
    shown = table(last, "evolution", 320)
    assert [(row["event"], row["worker"], row["step"]) for row in shown] == [
        (row["event"], row["worker"], row["step"]) for row in decisions
    ]
    (name,) = [name for name in last.artifacts if name.startswith("report-")]
    (content,) = last.artifacts[name].manifest.contents
    assert (content.path, last.artifacts[name].type) == ("report.html", "report")
    assert Path(content.local_path).read_bytes() == (run_dir / "wandb" / "report.html").read_bytes()
    assert content.size > 100_000


@has_wandb
def test_wandb_itself_would_upload_it(run_dir: Path) -> None:
    folders = [str(part.folder) for who in ("population", 1) for part in segments(run_dir, who)]
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "No such option" in done.stderr:
        pytest.skip("this version of wandb has no dry run")
    assert done.returncode == 0, done.stderr
    assert "Would sync 4 run(s)" in done.stdout + done.stderr


@has_wandb
def test_a_run_without_a_login_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On line, but for a server that is not there: W&B stops before it, as nobody has logged in."""
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(guarded_logger, "PATIENCE", 120.0)
    firerl.run("quadratic", run_dir=tmp_path / "r", logger="wandb", progress=False, **RUN)
    with closing(Journal.open(tmp_path / "r")) as journal:
        (note,) = [note for note in journal.notes() if note.startswith("logger")]
    assert note.startswith("logger wandb failed: ")
    assert "wandb login" in note or "api_key not configured" in note  # as newer and older versions say it
    assert (tmp_path / "r" / "result.json").exists()


class Ear(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def stand_in(monkeypatch: pytest.MonkeyPatch, script: str) -> list[Any]:
    """Another program in place of W&B's process; the processes that were started."""
    begun: list[Any] = []
    popen = subprocess.Popen

    def start(command: list[str], **more: Any) -> Any:
        begun.append(popen([sys.executable, "-u", "-c", script], **more))
        return begun[-1]

    monkeypatch.setattr("firerl.loggers.wandb_logger.subprocess.Popen", start)
    return begun


READS = "import sys, json\nsys.stdin.readline()\nprint(json.dumps({'told': 'a page'}))\n"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import json; print(json.dumps({'failed': 'CommError: no network'}))", "failed: CommError: no network"),
        ("raise SystemExit(7)", "failed: its process ended with 7"),
        (READS + "sys.stdin.readline(); raise SystemExit(7)", "failed: its process ended with 7"),
        (READS + "print(json.dumps({'failed': 'late'})); raise SystemExit(1)", "failed: late"),
    ],
)
def test_a_process_that_fails_is_told_of(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firerl.loggers.wandb_logger import WandB
    from firerl.session.watching.guarded_logger import GuardedLogger

    stand_in(monkeypatch, script)
    ear = Ear()
    run = {**RUN, "logger": "none", "run_dir": tmp_path / "r", "progress": False}
    observer = GuardedLogger("wandb", WandB, tmp_path / "r" / "wandb", ear.note, lambda _: None)
    firerl.run("quadratic", observer=observer, **run)
    assert ear.notes[-1] == f"logger wandb {why}; it is told no more"


def test_a_process_that_stands_still_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from firerl.loggers.wandb_logger import WandB
    from firerl.session.watching.guarded_logger import GuardedLogger

    monkeypatch.setattr(guarded_logger, "PATIENCE", 1.4)
    begun = stand_in(monkeypatch, READS + "import time; time.sleep(600)")
    ear = Ear()
    observer = GuardedLogger("wandb", WandB, tmp_path / "r" / "wandb", ear.note, lambda _: None)
    firerl.run("quadratic", run_dir=tmp_path / "r", logger="none", observer=observer, progress=False, **RUN)
    assert ear.notes[-1] == "logger wandb has not ended after 1 s and is left to itself; it is told no more"
    begun[0].send_signal(signal.SIGKILL)
    begun[0].wait()


@has_wandb
def test_a_run_that_was_killed_is_marked_as_failed(tmp_path: Path) -> None:
    """What was told until then is in its folder; nothing is left behind."""
    from firerl.loggers.wandb_logger import WandB

    logger = WandB()
    config: Mapping[str, Any] = {"task": "T", "seed": 1}
    said = logger.start(About(tmp_path / "r", tmp_path / "r" / "wandb", config, 0))
    assert said == f"off line; upload it with: wandb sync {tmp_path}/r/wandb/offline-run-*"
    logger.log(10, {"P1/best": 0.5})
    logger.close()
    (segment,) = segments(tmp_path / "r")
    assert segment.exit_code == 1
    assert segment.history[10]["P1/best"] == 0.5


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "../x", "step": 1}', '{"id": "a"}'])
def test_a_damaged_id_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "firerl.json").write_text(text)
    with pytest.raises(FirerlError, match=r"firerl.json is damaged: .*begins a new one in W&B"):
        known(tmp_path / "firerl.json")
