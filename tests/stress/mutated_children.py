"""The readers of a spoilt file in a forked child: ``mutated_files.py`` goes on when one crashes or hangs."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import results_file
from mutated_cases import CHANGES, Case
from mutated_readers import READERS, quiet
from mutated_spoilt import GUARD, MEMORY, SECONDS, WALL, canary, forget_peak, peak, repair_canary, spoil

from firerl.errors import FirerlError

ADDRESSES = 6 << 30  # above the warmed process: what the machine is protected by
IN_TIME = (-signal.SIGALRM, -signal.SIGXCPU)  # exit codes of who was stopped
Row = dict[str, Any]


def in_children(chosen: Sequence[Case], folder: Path) -> Iterator[Row]:
    """The outcome of each reader of each case; a child that dies costs the rest of its case only."""
    for case in chosen:
        yield from of_child(case, folder)
        if not (folder / "canary/file.txt").exists() or (folder / "canary/ran").exists():
            repair_canary(folder)


def of_child(case: Case, folder: Path) -> list[Row]:
    """What a child says of this case; a reader that did not end is told by the child's end."""
    told = folder / "told.jsonl"
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os._exit(_child(case, folder, os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it may have left
    rows = results_file.read(told)
    if rows and "outcome" not in rows[-1]:
        rows[-1] |= {"outcome": "died", "bad": "hangs" if code in IN_TIME else "crashes", "text": f"exit code {code}"}
    return [row for row in rows if "outcome" in row]


def _child(case: Case, folder: Path, told: int) -> int:
    with suppress(OSError):
        os.setsid()
    os.chdir(folder / "here")
    tempfile.tempdir = str(folder / "case")  # where a journal and the logs beside it are put together
    sys.path.insert(0, str(folder / "here"))  # as python -m has it
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESSES, now + ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CPU, (8 * SECONDS, 9 * SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.addaudithook(GUARD)

    def say(row: Row) -> None:
        os.write(told, json.dumps({"case": str(case), **row}).encode() + b"\n")

    try:
        judge(case, folder, say)
    except BaseException as error:
        say({"reader": "spoil", "outcome": "error", "bad": "unclear", "text": f"{error!r}{where(error)}"})
    return 0


def judge(case: Case, folder: Path, say: Callable[[Row], object]) -> None:
    """Spoil, read with each reader, say how each went; nobody reads on where a canary was touched."""
    before = canary(folder)
    for number, reader in enumerate(case.readers):
        say({"reader": reader})
        signal.alarm(WALL)
        if number == 0 or case.readers[0] in CHANGES:
            run = spoil(case, folder)
        row = read(READERS[reader], run, folder, before)
        say({"reader": reader, **row, "text": row["text"][:400]})
        if row["bad"] in ("code_ran", "outside_touched"):
            return


def read(reader: Callable[[Path], Any], run: Path, folder: Path, before: Mapping[str, Any]) -> Row:
    """How one reading went: ``outcome``, what is ``bad`` about it, the ``text`` of an error."""
    forget_peak()
    base, started = peak(), time.process_time()
    text, bad = "", ""
    GUARD.allowed, GUARD.found = str(folder / "case") + "/", []
    try:
        quiet(partial(reader, run))
        outcome = "read"
    except FirerlError as error:
        outcome, text = "refused", str(error)
        if not text or len(text) > 3000 or text.count("\n") > 3:
            bad = "unclear"
    except BaseException as error:
        outcome, text, bad = "error", f"{type(error).__name__}: {error}"[:300] + where(error), "unclear"
    GUARD.allowed = None
    used, seconds = peak() - base, time.process_time() - started
    if seconds > SECONDS:
        bad, text = "hangs", f"{seconds:.1f} s of the processor; {text}"
    if used > MEMORY:
        bad, text = "over_memory", f"{used >> 20} MB; {text}"
    after = canary(folder)
    if GUARD.found or after != before:
        changed = [name for name, told in after.items() if before.get(name) != told]
        bad, text = "outside_touched", f"{GUARD.found[:3]} {changed}; {text}"
    if (folder / "canary/ran").exists():
        bad = "code_ran"
    return {"outcome": outcome, "bad": bad, "text": text}


def where(error: BaseException) -> str:
    """The last three places of firerl in a traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/stress/" not in f.filename]
    return "; " + " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[:-4:-1])
