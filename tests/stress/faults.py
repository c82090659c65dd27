"""Disturb runs at random, in every way that we can think of, and compare with runs that nobody disturbed.

    python tests/stress/faults.py --faults 200   some 40 minutes on 2 cores
    python tests/stress/faults.py --quick        20 faults, kept nowhere

A case is one command line with ``resume=auto`` in a folder of its own. It is started; faults drawn from the seed
befall it, one after the other, at drawn moments; where one ends it the same line is typed again, until the run has
finished. It must end with the same journal and the same results, byte for byte, as an undisturbed run with
``engine=inline``. Half of the faults befall V-MPO on InvertedPendulum, half the quadratic. As root each run has a small
file system of its own, which can be full or read-only; else limits and permissions stand for that.

Progress is kept in ``--out``: the same line goes on where it was broken off. The last line is a JSON object:
``faults``; ``lost_generations`` (committed, and gone after a resume), ``orphans`` (processes that outlive their command
by 10 s), ``shared_memory`` (files left in /dev/shm), ``journals_differ`` (another journal or result, or a command that
did not go on).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

import results_file
from faults_kinds import KINDS, Case, session

from firerl.commands.journal import lines
from firerl.errors import FirerlError
from firerl.storage.journal.journal_db import Journal
from firerl.storage.run_folder import RESULTS

HERE = Path(__file__).parent
A_CASE = 5  # faults
PATIENCE = 10.0  # seconds, before a process that outlives its command counts as an orphan
FIGURES = ("lost_generations", "orphans", "shared_memory", "journals_differ")
TASKS = {
    "quadratic": [
        "learner=quadratic", "learner.dimensions=20000", "population.sizes=[4,4]", "population.evaluators=2",
        "steps=1200", "ready_interval=60", "seed=11",
    ],
    "InvertedPendulum": [
        "env=InvertedPendulum", "learner.num_envs=4", "learner.unroll=10", "learner.hidden=[16,16]",
        "learner.epochs=2", "learner.minibatches=2", "population.sizes=[2,2]", "population.evaluators=2",
        "eval_interval=80", "ready_interval=160", "steps=2400", "seed=11",
    ],
}  # fmt: skip
# A hang must be told from a busy machine.
ENGINE = ["engine=local", "engine.processes=2", "engine.timeout=15", "resume=auto"]


@dataclass
class Found:
    """What one case has shown."""

    faults: list[str] = field(default_factory=list)
    lost_generations: int = 0
    orphans: int = 0
    shared_memory: int = 0
    journals_differ: int = 0
    commands: int = 0
    wrong: list[str] = field(default_factory=list)


class Runner:
    """One case: its folder, its commands, what is found."""

    def __init__(self, task: str, seed: int, count: int, expected: Mapping[str, Any], space: Path):
        self.task, self.count, self.expected, self.space = task, count, expected, space
        self.draw = random.Random(f"{task} {seed}")
        self.found = Found()
        self.own_disk = False
        self.committed: tuple[int, str] = (-1, "")

    def run(self) -> Found:
        """All faults of the case; a run that has finished before they are through is followed by another."""
        memory = shared()
        while len(self.found.faults) < self.count:
            self.space.mkdir()
            self.own_disk = mounted(self.space)
            try:
                self.one_run()
            finally:
                if self.own_disk:
                    subprocess.run(["umount", "--lazy", self.space], check=True)
                subprocess.run(["rm", "-rf", self.space], check=True)
        time.sleep(0.2)
        left = [name for name in shared() - memory if not in_use(name)]
        self.note("shared_memory", len(left), f"left in /dev/shm: {sorted(left)}")
        return self.found

    def note(self, figure: str, count: int, text: str) -> None:
        """Count what must be nought."""
        if count:
            setattr(self.found, figure, getattr(self.found, figure) + count)
            self.found.wrong.append(f"{self.task}, after {self.found.faults}: {figure}: {text}")

    def one_run(self) -> None:
        """One run to its end."""
        self.committed = (-1, "")
        in_vain = 0
        while in_vain < 3:
            before = len(self.found.faults)
            process = self.start()
            code = self.disturb(process)
            self.look_after(process.pid)
            if code == 0:
                break
            in_vain = 0 if len(self.found.faults) > before else in_vain + 1
        else:
            log = (self.space / "log").read_text()[-600:]
            self.note("journals_differ", 1, f"it does not go on: {log}")
            return
        wrong = differences(self.expected, outcome(self.space / "run"))
        self.note("journals_differ", bool(wrong), f"another {', '.join(wrong)}")

    def start(self) -> subprocess.Popen[bytes]:
        """The command line, always the same."""
        self.found.commands += 1
        return launch([*TASKS[self.task], *ENGINE], self.space)

    def disturb(self, process: subprocess.Popen[bytes]) -> int:
        """Faults, until the command has ended; its exit code."""
        case = Case(process, self.space, self.own_disk, self.draw)
        while True:
            left = self.count - len(self.found.faults)
            if left <= 0 or not self.moment(process):
                return self.wait(process)
            kind = self.draw.choice(list(KINDS))
            act, ends = KINDS[kind]
            if not act(case):
                if process.poll() is None and ends and kind not in ("the run folder is read-only",):
                    self.note("journals_differ", 1, f"{kind}: it went on")
                continue
            self.found.faults.append(kind)
            if ends:
                return self.wait(process)

    def moment(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a drawn moment; False where the command has ended before."""
        early = self.draw.random() < 0.15  # while it starts
        goal = self.generation() + self.draw.randint(1, 3)
        delay = self.draw.uniform(0.0, 3.0 if early else 0.3)
        while not early and process.poll() is None and self.generation() < goal:
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        return process.poll() is None

    def generation(self) -> int:
        """The last generation that has a checkpoint: about where the run is."""
        with suppress(OSError):
            return max((int(path.name[1:7]) for path in (self.space / "run/checkpoints").glob("g*-w*.pt")), default=0)
        return 0

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code; a command that does not end by itself is killed."""
        try:
            return process.wait(300)
        except subprocess.TimeoutExpired:
            self.note("journals_differ", 1, "it stands still for 300 s")
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def look_after(self, leader: int) -> None:
        """Who outlives the command, and which generation is gone."""
        deadline = time.monotonic() + PATIENCE
        while (left := session(leader)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.note("orphans", len(left), f"processes {left} outlive their command")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        number, digest = self.committed
        there = hashes(self.space / "run")
        if number >= 0 and there.get(number) != digest:
            self.note("lost_generations", 1, f"generation {number} was committed, {max(there, default=-1)} is there")
        last = max(there, default=-1)
        self.committed = (last, there.get(last, ""))


def launch(arguments: Sequence[str], space: Path) -> subprocess.Popen[bytes]:
    """``python -m firerl.launch`` with its run folder in ``space``, in a session of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE / "faults_clock"), os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        ),
        "FIRERL_FAULTS_CLOCK": str(space / "clock"),
    }
    line = [sys.executable, "-m", "firerl.launch", *arguments, f"run_dir={space / 'run'}"]
    with open(space / "log", "ab") as log:
        return subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
        )


def mounted(space: Path) -> bool:
    """Whether ``space`` is a file system of its own now: root may make one."""
    if os.geteuid():
        return False
    line = ["mount", "-t", "tmpfs", "-o", "size=24m", "firerl-faults", str(space)]
    return subprocess.run(line, capture_output=True).returncode == 0


def shared() -> set[str]:
    """What lies in shared memory."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def in_use(name: str) -> bool:
    """Whether a living process has that file of /dev/shm open or mapped: then it is somebody else's."""
    path = Path("/dev/shm") / name
    if path.is_dir() or not path.exists():
        return True  # a folder for scratch files of another program; or it is gone by now
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if f"/dev/shm/{name}" in maps.read_text():
                return True
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == str(path):
                return True
    return False


def hashes(run_dir: Path) -> dict[int, str]:
    """The hash of every committed generation; {}: there is no journal yet."""
    if not (run_dir / "journal.sqlite").exists():
        return {}
    with closing(Journal.open(run_dir)) as journal:
        return {number: digest for number, _, digest in journal.hashes()}


def outcome(run_dir: Path) -> dict[str, Any]:
    """All that must be as in an undisturbed run."""
    try:
        with closing(Journal.open(run_dir)) as journal:
            told = list(lines(journal, reports=True))
        return {"journal": told, **{name: (run_dir / name).read_bytes() for name in RESULTS}}
    except (FirerlError, OSError) as error:
        return {"journal": str(error)}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The names of what is not the same."""
    return [name for name in expected if expected[name] != found.get(name)]


def undisturbed(task: str, folder: Path) -> dict[str, Any]:
    """The run of this task that nobody disturbs, in one process."""
    space = folder / f"undisturbed-{task}"
    space.mkdir()
    if launch([*TASKS[task], "engine=inline"], space).wait():
        raise RuntimeError((space / "log").read_text())
    return outcome(space / "run")


def plan(faults: int) -> list[tuple[int, str, int]]:
    """(number, task, faults) of every case; the tasks take turns."""
    sizes = [A_CASE] * (faults // A_CASE) + [faults % A_CASE] * bool(faults % A_CASE)
    return [(number, list(TASKS)[number % 2], size) for number, size in enumerate(sizes)]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often what befell whom, and what came of it in all."""
    counts = {task: Counter(kind for row in rows if row["task"] == task for kind in row["faults"]) for task in TASKS}
    text = ["| fault | " + " | ".join(TASKS) + " |", "|---|" + "---|" * len(TASKS)]
    text += [f"| {kind} | " + " | ".join(str(counts[task][kind]) for task in TASKS) + " |" for kind in KINDS]
    text += ["| all | " + " | ".join(str(sum(counts[task].values())) for task in TASKS) + " |"]
    return "\n".join(text)


def study(faults: int, seed: int, jobs: int, out: Path | None) -> list[dict[str, Any]]:
    """The rows of all cases; those that ``out`` holds are not done again."""
    done = {(row["seed"], row["case"], len(row["faults"])): row for row in (results_file.read(out) if out else [])}
    cases = plan(faults)
    left = [case for case in cases if (seed, case[0], case[2]) not in done]
    with TemporaryDirectory(prefix="firerl-faults-") as folder:
        expected = {task: undisturbed(task, Path(folder)) for task in sorted({case[1] for case in left})}

        def do(case: tuple[int, str, int]) -> None:
            number, task, count = case
            began = time.monotonic()
            runner = Runner(task, seed * 1000 + number, count, expected[task], Path(folder) / f"case-{number}")
            found = runner.run()
            seconds = round(time.monotonic() - began)
            row = {"seed": seed, "case": number, "task": task, **vars(found), "seconds": seconds}
            done[seed, number, count] = row
            if out:
                results_file.append(out, row)
            for text in found.wrong:
                print(text, file=sys.stderr)
            finished = sum(len(done[key]["faults"]) for key in done if key[0] == seed)
            print(f"{finished} of {faults} faults, case {number}: {seconds} s", file=sys.stderr, flush=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(do, left))
    return [done[seed, number, count] for number, _, count in cases]


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200, help="how many (200)")
    parser.add_argument("--quick", action="store_true", help="20 faults, kept nowhere")
    parser.add_argument("--seed", type=int, default=1, help="of what befalls whom, and when (1)")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time (2)")
    parser.add_argument("--out", type=Path, default=Path("faults.jsonl"), help="progress (faults.jsonl)")
    options = parser.parse_args()
    faults = 20 if options.quick else options.faults
    if faults < 1:
        parser.error("--faults must be at least 1")
    rows = study(faults, options.seed, options.jobs, None if options.quick else options.out)
    print(table(rows))
    for row in rows:
        print(*row["wrong"], sep="\n", end="\n" if row["wrong"] else "")
    figures = {figure: sum(row[figure] for row in rows) for figure in FIGURES}
    print(json.dumps({"faults": sum(len(row["faults"]) for row in rows), **figures}))


if __name__ == "__main__":
    main()
