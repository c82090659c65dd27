"""Spoil files in every way that comes to mind, and let firerl read them: nothing may happen but an error in one line.

    python benchmarks/mutated_files.py             10,000 files through the readers, 50 through every command
    python benchmarks/mutated_files.py --quick     300 files, no commands: about a minute

A file is spoilt in a copy of a small run (``mutations.py``), then two of the functions that read it do so, in turn
(``mutated_readers.py``), in a child forked from this process, which has imported everything. Good is what reads the
file rightly, or refuses it with one of firerl's errors. Bad is: code of a file runs (a canary file appears), a signal,
more than 5 seconds of the processor, more than 1 GB of memory above the warmed process, anything outside the run's
folder that is opened for writing, moved or removed (audit events of the interpreter; a tree of canary files compared
after each reading), and any other exception. Commands are real processes, judged by their exit code and by what they
print. Progress is kept in ``--out``; the same line goes on. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import results_file
from mutated_cases import CHANGES, RUN_READERS, Case, Plan, cases, plans
from mutated_readers import READERS, prepare, quiet

SECONDS = 5  # of the processor, for one reader
WALL = 60  # by the clock: other work may go on; who waits for ever takes no processor
MEMORY = 1 << 30  # above the warmed process
ADDRESSES = 6 << 30  # above the warmed process: what the machine is protected by
BATCH = 25  # cases of one child
BAD = ("code_ran", "crashes", "hangs", "over_memory", "outside_touched", "unclear")


def spoil(case: Case, folder: Path) -> Path:
    """The spoilt run in a fresh folder."""
    run = folder / "case" / "inner" / case.plan.run
    shutil.rmtree(folder / "case", ignore_errors=True)
    run.parent.mkdir(parents=True)
    shutil.copytree(folder / "base" / case.plan.run, run)
    rng = random.Random(f"{case.plan.name} {case.seed}")
    name = case.plan.file
    if name.endswith("*"):
        name = str(rng.choice(sorted(run.glob(name))).relative_to(run))
    case.plan.mutate(run, name, rng)
    return run


class Guard:
    """What the interpreter is told to do outside a folder, noted by its audit events."""

    WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
              "os.utime", "os.chown", "shutil.rmtree")  # fmt: skip
    RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")

    def __init__(self) -> None:
        self.allowed: str | None = None
        self.found: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in self.RUNS:
            self.found.append(f"{event}{arguments!r:.80}")
        elif event == "open" and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._look(event, arguments[0])
        elif event in self.WRITES:
            paths = arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]
            inside = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            for path in paths:
                if isinstance(inside, int) and inside >= 0 and isinstance(path, str):  # in an open folder
                    path = os.path.join(os.readlink(f"/proc/self/fd/{inside}"), path)
                self._look(event, path)
        elif event == "sqlite3.connect" and "mode=ro" not in str(arguments[0]):
            self._look(event, str(arguments[0]).removeprefix("file://").partition("?")[0])

    def _look(self, event: str, path: Any) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike):
            return
        text = os.fspath(path)
        # Where a name leads, but for a last link, which rename and remove take itself.
        real = os.path.realpath(text) if event in ("open", "os.truncate", "os.chmod", "sqlite3.connect") else (
            os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text)))  # fmt: skip
        if not real.startswith(self.allowed or "") and real not in ("/dev/null", "/dev/tty", ":memory:", ""):
            self.found.append(f"{event} {real[:120]}")


GUARD = Guard()


def canary(folder: Path) -> dict[str, Any]:
    """The canary tree as it is: names, times, contents."""
    found = {}
    for path in sorted((folder / "canary").rglob("*")):
        told = path.lstat()
        found[str(path)] = (told.st_mtime_ns, told.st_size, path.read_bytes() if path.is_file() else b"")
    return found


def peak() -> int:
    """The most memory since it was last forgotten, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def judge_one(case: Case, folder: Path, say: Any) -> None:
    """Spoil, read with each reader, say how each went."""
    from firerl.errors import FirerlError

    before = canary(folder)
    for number, reader in enumerate(case.readers):
        if number == 0 or case.readers[0] in CHANGES:
            run = spoil(case, folder)
        forget_peak()
        base, started = peak(), time.process_time()
        say({"case": str(case), "reader": reader, "begins": True})
        text, bad = "", ""
        GUARD.allowed, GUARD.found = str(folder / "case") + "/", []
        try:
            quiet(partial(READERS[reader], run))
            outcome = "read"
        except FirerlError as error:
            outcome, text = "refused", str(error)
            if not text or len(text) > 3000 or text.count("\n") > 3:
                bad = "unclear"
        except BaseException as error:
            outcome, text, bad = "error", f"{type(error).__name__}: {error}"[:300] + where(error), "unclear"
        GUARD.allowed = None
        used = peak() - base
        if time.process_time() - started > SECONDS:
            bad, text = "hangs", f"{time.process_time() - started:.1f} s of the processor; {text}"
        if used > MEMORY:
            bad, text = "over_memory", f"{used >> 20} MB; {text}"
        if GUARD.found or canary(folder) != before:
            changed = [name for name, told in canary(folder).items() if before.get(name) != told]
            bad, text = "outside_touched", f"{GUARD.found[:3]} {changed}; {text}"
        if (folder / "canary/ran").exists():
            bad = "code_ran"
        say({"case": str(case), "reader": reader, "outcome": outcome, "bad": bad, "text": text[:400]})
        if bad in ("code_ran", "outside_touched"):
            os._exit(7)  # the canary tree is made again


def where(error: BaseException) -> str:
    """The last two places of firerl in a traceback."""
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/benchmarks/" not in f.filename]
    return "; " + " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[:-4:-1])


def in_children(chosen: Sequence[Case], folder: Path) -> Iterator[dict[str, Any]]:
    """The outcome of each reader of each case; a child that dies, or goes on too long, costs its reader only."""
    todo = list(chosen)
    while todo:
        batch, left = todo[:BATCH], todo[BATCH:]
        if not (folder / "canary/file.txt").exists() or (folder / "canary/ran").exists():
            repair_canary(folder)
        done, last, death = set(), None, ""
        for row in watch(batch, folder):
            if row.get("begins"):
                last = row
            elif "died" in row:
                death = row["died"]
            else:
                last = None
                yield row
                if row["bad"] in ("code_ran", "outside_touched"):
                    repair_canary(folder)
            if "finished" in row:
                done.add(row["finished"])
        if last is not None:
            bad = "hangs" if "time" in death else "crashes"
            yield {**last, "outcome": "died", "bad": bad, "text": death}
            done.add(last["case"])
        elif death:
            done |= {str(case) for case in batch[:1]} if not done else set()
        finished_up_to = max((i for i, case in enumerate(batch) if str(case) in done), default=-1)
        todo = batch[finished_up_to + 1 :] + left if death else left


def repair_canary(folder: Path) -> None:
    shutil.rmtree(folder / "canary")
    shutil.copytree(folder / "spare", folder / "canary")


def watch(batch: Sequence[Case], folder: Path) -> Iterator[dict[str, Any]]:
    """A child that does these cases, line by line of what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_child(batch, folder, writing))
    os.close(writing)
    buffer, since, used = b"", time.monotonic(), cpu(child)
    timed_out = ""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], 0.5)
            if ready:
                data = pipe.read(65536)
                if not data:
                    break
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                since, used = time.monotonic(), cpu(child)
                for line in lines:
                    yield json.loads(line)
            elif time.monotonic() - since > WALL or cpu(child) - used > 4 * SECONDS:
                timed_out = (
                    f"no end in time: {time.monotonic() - since:.0f} s, {cpu(child) - used:.0f} s of the processor"
                )
                break
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL) if timed_out else None
        if timed_out:
            os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status or timed_out:
        yield {"died": timed_out or f"exit status {status}", "case": ""}


def cpu(pid: int) -> float:
    """Seconds of the processor that a child has used."""
    with suppress(OSError, IndexError):
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _child(batch: Sequence[Case], folder: Path, pipe: int) -> int:
    with suppress(OSError):
        os.setsid()
    os.chdir(folder / "here")
    sys.path.insert(0, str(folder / "here"))  # as python -m has it
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESSES, now + ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)

    def say(row: dict[str, Any]) -> None:
        os.write(pipe, json.dumps(row).encode() + b"\n")

    sys.addaudithook(GUARD)
    try:
        for case in batch:
            judge_one(case, folder, say)
            say({"case": str(case), "finished": str(case), "outcome": "", "bad": "", "reader": ""})
    except BaseException as error:
        say(
            {
                "case": str(case),
                "reader": "spoil",
                "outcome": "error",
                "bad": "unclear",
                "text": f"{error!r}{where(error)}",
            }
        )
        say({"case": str(case), "finished": str(case), "outcome": "", "bad": "", "reader": ""})
        return 9
    return 0


# -- commands ------------------------------------------------------------------------------------------------------

COMMANDS: dict[str, tuple[list[str], str]] = {  # arguments, the runs that they fit
    "launch resume": (["launch", "resume={run}", "engine=inline"], "open whole"),
    "launch init": (
        ["launch", "learner=quadratic", "init={run}", "run_dir={run}-new", "preset=smoke", "engine=inline"],
        "whole",
    ),
    "replay": (["replay", "{run}", "seed=9", "engine=inline", "out={run}-again"], "whole"),
    "report": (["report", "{run}"], "open whole"),
    "explain": (["explain", "{run}"], "open whole"),
    "explain --verify": (["explain", "{run}", "--verify"], "open whole"),
    "journal": (["journal", "{run}", "--reports"], "open whole"),
    "play": (["play", "{run}", "--episodes", "1"], "open whole agent"),
    "compare": (["compare", "{run}", "{base}/rival", "--allow", "steps", "--no-plot"], "open whole"),
    "export": (["export", "{run}", "--onnx", "{run}/x.onnx"], "agent"),
    "doctor": (["doctor", "{run}"], "open whole"),
    "doctor --repair": (["doctor", "{run}", "--repair"], "open whole"),
    "plan --probe": (["plan", "learner=quadratic", "preset=smoke", "--probe", "{run}/probe.json"], "texts"),
}


WHOLE = {run: Plan(f"{run} whole", 0, lambda *_: None, run, "lock", []) for run in ("open", "whole", "agent", "texts")}


def command_cases(each: int) -> Iterator[tuple[str, Case]]:
    """``each`` cases for every command, one of each command after another."""
    for seed in range(each):
        for command, (_, runs) in COMMANDS.items():
            fit = [plan for plan in plans() if plan.run in runs.split()]
            if command == "launch init":
                fit = [plan for plan in fit if plan.file == "best.pt"]
            elif command == "plan --probe":
                fit = [plan for plan in fit if plan.file == "probe.json"]
            rng = random.Random(f"{command} {seed}")
            yield command, Case(rng.choices(fit, [plan.share for plan in fit])[0], 10_000 + seed)


def as_a_command(command: str, case: Case, folder: Path, bare: tuple[float, int]) -> dict[str, Any]:
    """A real process in the directory of evil modules; ``bare`` is what it takes with a whole file: seconds, bytes."""
    run, before = spoil(case, folder), canary(folder)
    words = [word.format(run=run, base=folder / "base") for word in COMMANDS[command][0]]
    line = [sys.executable, "-m", f"firerl.{words[0]}", *words[1:]]
    bad, text = "", ""
    with open(folder / "out.txt", "w+") as out_file, open(folder / "err.txt", "w+") as err_file:
        process = subprocess.Popen(line, cwd=folder / "here", stdout=out_file, stderr=err_file, start_new_session=True)
        until = time.monotonic() + 3 * WALL
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.02)
        if ended[0] == 0:
            os.killpg(process.pid, signal.SIGKILL)
            ended, bad = os.wait4(process.pid, 0), "hangs"
    out, err = ((folder / name).read_text(errors="replace") for name in ("out.txt", "err.txt"))
    code, usage = os.waitstatus_to_exitcode(ended[1]), ended[2]
    process.returncode = code
    seconds, largest = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
    lines = [row for row in err.splitlines() if row.strip() and not row.startswith("note:")]
    if not bad and seconds - bare[0] > SECONDS:
        bad = "hangs"
    if not bad and largest - bare[1] > MEMORY:
        bad = "over_memory"
    if not bad and code < 0:
        bad = "crashes"
    if not bad and ("Traceback" in out + err or code not in (0, 1, 2) or (code == 2 and len(lines) != 1)):
        bad = "unclear"
    if not bad and code == 1 and not (command.startswith(("doctor", "explain --verify")) or lines):
        bad = "unclear"
    if canary(folder) != before or set(os.listdir(folder / "here")) - {"evil_module.py", "evil_package", "__pycache__"}:
        bad = "outside_touched"
    if (folder / "canary/ran").exists():
        bad = "code_ran"
    text = f"exit code {code}, {seconds:.1f} s: {(lines or [''])[-1][:300]}"
    outcome = "read" if code == 0 else "refused"
    row = {"case": str(case), "reader": f"command {command}", "outcome": outcome, "bad": bad, "text": text}
    return {**row, "seconds": seconds, "bytes": largest}


# -- all of it -----------------------------------------------------------------------------------------------------


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="firerl-mutated-", dir=memory if os.access(memory, os.W_OK) else None)


def ready(folder: Path) -> None:
    """All that the cases need, and everything imported."""
    from firerl.engine.threads import one_thread

    one_thread()
    quiet(lambda: prepare(folder))
    shutil.copytree(folder / "canary", folder / "spare")
    others = [("play", "agent"), ("policy", "agent"), ("probe", "texts")]
    for name, run in (*others, *((n, "whole") for n in (*RUN_READERS, "retrace", "init", "schedule"))):
        shutil.rmtree(folder / "case", ignore_errors=True)
        (folder / "case/inner").mkdir(parents=True)
        shutil.copytree(folder / "base" / run, folder / "case/inner" / run)
        quiet(partial(READERS[name], folder / "case/inner" / run))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a kind of file, or a command."""

    def kind(row: dict[str, Any]) -> str:
        return row["reader"] if row["reader"].startswith("command") else row["case"].partition(" ")[0]

    lines = [
        f"{'file or command':28}{'files':>7}{'readings':>10}{'read':>8}{'refused':>9}"
        + "".join(f"{b:>17}" for b in BAD)
    ]
    for name in [*dict.fromkeys(map(kind, rows)), "all"]:
        own = [row for row in rows if name in (kind(row), "all")]
        counts, good = Counter(row["bad"] for row in own), Counter(row["outcome"] for row in own)
        cells = "".join(f"{counts[b]:17,}" for b in BAD)
        lines.append(
            f"{name:28}{len({r['case'] for r in own}):7,}{len(own):10,}{good['read']:8,}{good['refused']:9,}{cells}"
        )
    return "\n".join(lines)


def figures(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row a kind of file and mutation, or a command: what ``benchmarks/results`` keeps."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = row["reader"] if row["reader"].startswith("command") else row["case"].rpartition(" ")[0]
        kinds.setdefault(name, []).append(row)
    for name, own in sorted(kinds.items()):
        counts = {b: sum(row["bad"] == b for row in own) for b in BAD}
        good = Counter(row["outcome"] for row in own)
        told = {"files": len({row["case"] for row in own}), "readings": len(own)}
        yield {"kind": name, **told, "read": good["read"], "refused": good["refused"], **counts}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the last line."""
    commands = [row for row in rows if row["reader"].startswith("command")]
    read = [row for row in rows if not row["reader"].startswith("command")]

    def of(own: Sequence[dict[str, Any]]) -> dict[str, int]:
        files = {(row["case"], row["reader"] if row["reader"].startswith("command") else "") for row in own}
        return {"files": len(files), **{b: sum(row["bad"] == b for row in own) for b in BAD}}

    return {**of(read), "readings": len(read), "commands": of(commands)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 files, no commands")
    parser.add_argument("--files", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--commands", type=int, default=50, help="files for every command (50)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("mutated_files.jsonl"), help="progress (mutated_files.jsonl)")
    parser.add_argument("--figures", type=Path, help="write the figures there, one line a kind of file and mutation")
    options = parser.parse_args()
    count, each = (300, 0) if options.quick else (options.files, options.commands)
    rows = results_file.read(options.out)
    known = {(row["case"], row["reader"]) for row in rows}
    chosen = [c for c in cases(count) if options.only in str(c) and any((str(c), r) not in known for r in c.readers)]
    again = {str(case) for case in chosen}  # a case that was broken off is done as a whole
    rows = [row for row in rows if row["case"] not in again or row["reader"].startswith("command")]
    begun = time.monotonic()
    with scratch() as name, open(options.out, "a") as out:
        folder = Path(name)
        ready(folder)
        done = 0

        def keep(row: dict[str, Any]) -> None:
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            if row["bad"]:
                print(f"{row['bad']}: {row['case']}, {row['reader']}: {row['text']}", flush=True)

        for row in in_children(chosen, folder):
            if "finished" not in row:
                keep(row)
                continue
            done += 1
            if done % 200 == 0:
                out.flush()
                left = (time.monotonic() - begun) / done * (len(chosen) - done)
                print(f"{done} of {len(chosen)} files, {left:.0f} s left", file=sys.stderr, flush=True)
        bare: dict[str, tuple[float, int]] = {}
        for command, case in command_cases(each):
            if options.only in str(case) and (str(case), f"command {command}") not in known:
                if not (folder / "canary/file.txt").exists() or (folder / "canary/ran").exists():
                    repair_canary(folder)
                if command not in bare:
                    runs = COMMANDS[command][1].split()
                    whole = [as_a_command(command, Case(WHOLE[run], 0), folder, (1e9, 1 << 40)) for run in runs]
                    bare[command] = (max(row["seconds"] for row in whole), max(row["bytes"] for row in whole))
                keep(as_a_command(command, case, folder, bare[command]))
                out.flush()
    if options.figures:
        options.figures.unlink(missing_ok=True)
        for row in figures(rows):
            results_file.append(options.figures, row)
    print(f"\n{table(rows)}\n")
    print(json.dumps(summary(rows)))
    return 1 if any(row["bad"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
