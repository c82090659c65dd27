"""Who holds a run folder at an address: an object ``lock``, put there only where there is none.

It names process, host and since when, and its holder renews it every ``BEAT`` seconds. A holder whose process has
ended on this machine is taken over at once; one on another machine when it has not renewed its lock for ``SILENCE``
seconds, as the one who waits counts them: no two clocks are compared. Before every snapshot the holder looks whether
the lock still names it, and stops where it does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from firerl.errors import RunFolderError
from firerl.storage.remote.address import Remote

NAME = "lock"
BEAT = 15.0  # seconds between two renewals
SILENCE = 90.0  # seconds without one, after which a holder elsewhere counts as dead
POLL = 1.0  # seconds between two looks at another's lock
_LENGTH = 2_000  # bytes of the object
_held: set[str] = set()  # words of this process's own locks


class RemoteLock:
    """An address, held until ``close``. Raises RunFolderError, with its holder, if that lives."""

    def __init__(self, remote: Remote, say: Callable[[str], None]):
        self._remote = remote
        self._word = secrets.token_hex(8)
        self._since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        self._beats = 0
        self._mutex = threading.Lock()  # of the object: this process reads no half of what it writes
        self._ended = threading.Event()
        self._take(say)
        _held.add(self._word)
        self._beater = threading.Thread(target=self._beat, name="firerl-lock", daemon=True)
        self._beater.start()

    def check(self) -> None:
        """Raise RunFolderError where another process has taken the address over; take a lock again that is gone."""
        with self._mutex:
            text = _read(self._remote)
            if text is None:
                if not self._remote.sizes():
                    raise RunFolderError(f"{self._remote.address} is empty: its lock and all else are gone")
                self._remote.create(NAME, self._text())  # somebody removed it; whoever was faster is seen below
                text = _read(self._remote)
            if _told(text).get("word") != self._word:
                raise RunFolderError(
                    f"{self._remote.address} was given to {_name(text)}; this process stops before it writes again"
                )

    def close(self) -> None:
        """Let go of the address."""
        self._ended.set()
        self._beater.join()
        _held.discard(self._word)
        with suppress(Exception):  # the place does not answer: the lock falls silent
            if _told(self._remote.once(lambda place: place.get(NAME, _LENGTH))).get("word") == self._word:
                self._remote.once(lambda place: place.remove(NAME))

    def _take(self, say: Callable[[str], None]) -> None:
        known: bytes | None = None  # another's lock, and until when it may stay as it is
        deadline = 0.0
        while not self._remote.create(NAME, self._text()):
            text = _read(self._remote)
            if text is None:
                continue  # let go of just now
            alive = _alive_here(_told(text))
            if alive or (alive is None and known not in (None, text)):
                raise RunFolderError(f"{self._remote.address} is in use by another firerl ({_name(text)})")
            if alive is None and known is None:
                known, deadline = text, time.monotonic() + SILENCE
                say(f"{self._remote.address} is held by {_name(text)}: waiting {SILENCE:.0f} s for a sign of life")
            if alive is False or time.monotonic() > deadline:
                if _read(self._remote) == text:
                    self._remote.remove(NAME)
                known = None
                continue
            time.sleep(POLL)

    def _text(self) -> bytes:
        told = {"process": os.getpid(), "host": socket.gethostname(), "since": self._since, "renewed": self._beats}
        return json.dumps(
            {**told, "word": self._word, "machine": _machine(), "started": _started(os.getpid())}
        ).encode()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with self._mutex, suppress(Exception):  # anything may fail on the way: the next one may arrive
                if _told(self._remote.once(lambda place: place.get(NAME, _LENGTH))).get("word") == self._word:
                    self._beats += 1
                    self._remote.once(lambda place: place.put(NAME, self._text()))


def holder(remote: Remote) -> str | None:
    """Who holds this address, for people; None: nobody. Whether they live is not known."""
    text = _read(remote)
    return None if text is None else _name(text)


def _read(remote: Remote) -> bytes | None:
    try:
        return remote.get(NAME, _LENGTH)
    except FileNotFoundError:
        return None


def _told(text: bytes | None) -> dict[str, Any]:
    """What a lock says; {} where it is none of ours."""
    try:
        told = json.loads(text or b"")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _name(text: bytes | None) -> str:
    """``process 17 on node-3 since 2026-11-29 15:38:12 +0000``."""
    told = _told(text)
    words = [f"{told.get(what, 'unknown')!s:.60}" for what in ("process", "host", "since")]
    return f"process {words[0]} on {words[1]} since {words[2]}"


def _alive_here(told: dict[str, Any]) -> bool | None:
    """Whether the holder lives; None: it is not on this machine, or cannot be told."""
    if told.get("word") in _held:
        return True
    process = told.get("process")
    if told.get("machine") != _machine() or told.get("host") != socket.gethostname() or type(process) is not int:
        return None
    if process <= 0 or process >= 2**31 or process == os.getpid():  # a number that this process has after another
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return told.get("started") == _started(process)


def _machine() -> str:
    """This boot of this machine, and who its process ids belong to: containers may share a host's name, or a kernel."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _started(process: int) -> str:
    """When a process began, in the system's count; "": unknown."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
