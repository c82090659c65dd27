"""What is killed at every durable action, and what must come of it: for tests/stress/crash_points.py and its test.

A scenario is a folder to begin with, an action that is killed, and what a person does next. All of them must end like
one run that nobody disturbed: the same reports, decisions and hashes, the same results byte for byte, and no file that
nothing refers to.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from firerl.agents.quadratic.learner import Quadratic
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.config.run_config import RunConfig
from firerl.insight.check.states import place
from firerl.insight.health.health import examine
from firerl.insight.health.repair import repair
from firerl.session import start as starting
from firerl.storage import checkpoint, store
from firerl.storage.journal.journal_db import Journal
from firerl.storage.run_folder import RESULTS


class Shaky(Quadratic):
    """A quadratic that fails now and then, so that failures.log is written, too."""

    def evaluate(self, seed: int) -> float:
        return math.nan if seed % 50 == 0 else super().evaluate(seed)


@dataclass(frozen=True)
class Scenario:
    """``action(run_dir)`` is killed, then ``recover(run_dir)`` goes on to the end."""

    name: str
    base: Path | None  # the folder to begin with; None: nothing is there
    action: Callable[[Path], object]
    recover: Callable[[Path], object]
    generations_count: bool = True  # no committed generation may be lost


def config_of(run_dir: Path, steps: int, init: Path | None = None, sync: bool = True) -> RunConfig:
    """A population of 3 + 3 members and 2 evaluators, a ready every 20 steps."""
    given = None if init is None else str(init)
    return replace(_config(), run_dir=str(run_dir), steps=steps, init=given, sync=sync)


@cache
def _config() -> RunConfig:
    wanted: dict[str, Any] = {
        "learner": {"name": Shaky, "dimensions": 10},
        "engine": "inline",
        "population": {"sizes": [3, 3], "evaluators": 2},
        "steps": 20,
        "ready_interval": 20,
        "seed": 4,
    }
    return resolve(compose(settings=wanted), Shaky)


@dataclass(frozen=True)
class Bench:
    """Everything that the scenarios share."""

    folder: Path
    steps: int
    sync: bool = True  # false: in one process the order of the reports is always the same, so all holds there too

    @property
    def init(self) -> Path:
        """The best.pt of a short run, which all others start from."""
        return self.folder / "before" / "best.pt"

    def begin(self, run_dir: Path, steps: int | None = None) -> None:
        """Start the run."""
        starting.start(config_of(run_dir, steps or self.steps, init=self.init, sync=self.sync), Shaky)

    def go_on(self, run_dir: Path, **changes: Any) -> None:
        """What a person types after a crash: the first line again, or resume."""
        if (run_dir / "journal.sqlite").exists():
            starting.resume_run(run_dir, changes, Shaky)
        else:
            self.begin(run_dir)

    def tight(self, run_dir: Path) -> None:
        """Go on as a run whose states are large: the older generation goes before the next is saved."""
        store.ROOM = 0
        self.go_on(run_dir)

    def mend(self, run_dir: Path) -> None:
        """``firerl.doctor --repair`` and, after it, resume."""
        if not examine(run_dir).whole:
            repair(run_dir)
        self.go_on(run_dir)

    def scenarios(self) -> list[Scenario]:
        """All, once ``prepare`` has made their folders."""
        longer = {"steps": self.steps}
        return [
            Scenario("run", None, self.begin, self.go_on),
            Scenario("resume", self.folder / "killed", self.go_on, self.go_on),
            Scenario(
                "extend",
                self.folder / "short",
                lambda run_dir: self.go_on(run_dir, **longer),
                lambda run_dir: self.go_on(run_dir, **longer),
            ),
            Scenario("repair", self.folder / "damaged", repair, self.mend, generations_count=False),
            Scenario("large states", self.folder / "killed", self.tight, self.tight),
        ]


def damage(run_dir: Path) -> None:
    """A journal that cannot be read, and a last generation with a file gone."""
    with closing(Journal.open(run_dir)) as journal:
        files = journal.last().files
    (run_dir / "checkpoints" / files[min(files)].name).unlink()
    path = run_dir / "journal.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3] + bytes(len(data) // 3) + data[2 * (len(data) // 3) :])
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)


def fresh(base: Path | None, run_dir: Path) -> None:
    """The folder as a scenario begins with it."""
    shutil.rmtree(run_dir, ignore_errors=True)
    if base is not None:
        shutil.copytree(base, run_dir)


def committed(run_dir: Path) -> int:
    """The last committed generation; -1: there is no journal."""
    if not (run_dir / "journal.sqlite").exists():
        return -1
    with closing(Journal.open(run_dir)) as journal:
        return journal.hashes()[-1][0]


def outcome(run_dir: Path) -> dict[str, Any]:
    """All that must be the same as after an undisturbed run."""
    with closing(Journal.open(run_dir)) as journal:
        rows, synchronous = journal.rows(), journal.synchronous()
    # Which older states are kept depends on when the journal was last copied, where nobody waits.
    kept = (
        rows.generations
        if synchronous
        else [row if row == rows.generations[-1] else row[:3] for row in rows.generations]
    )
    listed = sorted(row[0] for row in rows.checkpoints)
    top = sorted(p.name for p in run_dir.iterdir() if p.name != "tensorboard")
    return {
        "generations": kept,
        "rows": (rows.reports, rows.decisions),
        "files": {name: (run_dir / name).read_bytes() for name in RESULTS},
        "promised files": listed if synchronous else [],
        "listed": listed,
        "lying": sorted(p.name for p in (run_dir / "checkpoints").iterdir()),
        "top": top,
        "whole": examine(run_dir).whole,
    }


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(what is not as in an undisturbed run, files that nothing refers to)."""
    wrong = [name for name in ("generations", "rows", "promised files") if expected[name] != found[name]]
    for name in RESULTS:
        one, other = expected["files"][name], found["files"][name]
        where = ""
        if name.endswith(".pt"):
            where = place(checkpoint.loads(one), checkpoint.loads(other), name)
        if where or one != other:
            wrong.append(where or name)
    if not found["whole"]:
        wrong.append("the doctor finds damage")
    extra = [name for name in found["lying"] if name not in found["listed"]]
    extra += [name for name in found["top"] if name not in expected["top"]]
    return wrong, extra
