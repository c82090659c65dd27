"""Readers of spoilt files in forked children: ``mutated_files.py`` goes on when one crashes or hangs."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mutated_cases import CHANGES, Case
from mutated_readers import READERS, quiet
from mutated_spoilt import GUARD, MEMORY, SECONDS, WALL, canary, forget_peak, peak, repair_canary, spoil

ADDRESSES = 6 << 30  # above the warmed process: what the machine is protected by
BATCH = 25  # cases of one child


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

    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/stress/" not in f.filename]
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
        text = f"{error!r}{where(error)}"
        say({"case": str(case), "reader": "spoil", "outcome": "error", "bad": "unclear", "text": text})
        say({"case": str(case), "finished": str(case), "outcome": "", "bad": "", "reader": ""})
        return 9
    return 0
