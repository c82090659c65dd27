"""The commands in processes of their own, and what they leave."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import warm

QUADRATIC = ["learner=quadratic", "population.sizes=[4,4]", "population.evaluators=2", "steps=1200", "seed=11"]


def launch(*arguments: str) -> subprocess.Popen[str]:
    """The command, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "firerl.launch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )


def finish(*arguments: str) -> str:
    """The command's output; it must succeed."""
    done = warm.python(["-m", "firerl.launch", *arguments], Path.cwd())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def journal(run_dir: Path) -> str:
    """What ``python -m firerl.journal --reports`` prints."""
    command = [sys.executable, "-m", "firerl.journal", str(run_dir), "--reports"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def files(run_dir: Path) -> dict[str, bytes]:
    """The result files, byte for byte."""
    return {name: (run_dir / name).read_bytes() for name in ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")}


def group_members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.name))
    return found


def generations(run_dir: Path) -> int:
    """How many are committed, the one before the first step among them."""
    if not (run_dir / "journal.sqlite").exists():
        return 0
    with closing(sqlite3.connect(run_dir / "journal.sqlite", timeout=60)) as database:
        return int(database.execute("SELECT COUNT(*) FROM generations").fetchone()[0])
