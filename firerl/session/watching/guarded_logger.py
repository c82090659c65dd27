"""A logger in a thread of its own: one that fails, hangs or is slow costs a run a note and some seconds at most.

The controller's thread only puts what there is to tell into a queue. It waits for a logger that is slower than the
run ``PATIENCE`` seconds in all, and lets go of it then; at the end of the run it waits as long for what is still in
the queue. The thread is a daemon: the command ends without it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firerl.base.disk import durable
from firerl.config.run_config import RunConfig, to_plain
from firerl.errors import FirerlError, reason
from firerl.evolution.population import State
from firerl.logger import About, Logger
from firerl.session.watching.progress import Round, Silent
from firerl.session.watching.scalars import Replay
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal

QUEUE_POINTS = 1000  # that may wait for a slow logger
PATIENCE = 60.0  # seconds that a run waits for a logger in all, its end included
INTERRUPTED_PATIENCE = 5.0  # seconds that a run waits which did not come to its end: Ctrl-C, say
SILENT_SECONDS = 30.0  # in one call, after which a person is told
SAY_SECONDS = 2.0  # of waiting at the end, after which a person is told for whom


@dataclass
class _Talk:
    """What the two threads share: one start of a logger."""

    inbox: queue.Queue[Any] = field(default_factory=lambda: queue.Queue(QUEUE_POINTS))  # None: no more will come
    said: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)  # for the person
    failed: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)  # why it is out
    calling: float | None = None  # since when a call of the logger's goes on, by time.monotonic

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around everything that is the logger's."""
        self.calling = time.monotonic()
        try:
            yield
        finally:
            self.calling = None


class GuardedLogger(Silent):
    """An observer that tells one logger. ``say`` is one line for the person, ``note`` one for the journal."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Logger],
        folder: Path,
        say: Callable[[str], None],
        note: Callable[[str], None],
    ):
        self.name = name
        self._make = make
        self.folder = folder
        self._say = say
        self._note = note
        self._out = False
        self._patience = PATIENCE
        self._warned = False
        self._finished = False
        self._thread: threading.Thread | None = None
        self._talk = _Talk()

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        self._end(self._patience)
        if self._out:
            return
        try:
            if getattr(self._make, "rewrites", False):
                durable.clear_folder(self.folder)
        except OSError as error:
            return self._give_up(f"failed: {self.folder}: {reason(error)}")
        about = About(Path(config.run_dir), self.folder, to_plain(config), step)
        self._talk = _Talk()
        # A connection to the journal belongs to one thread; an iterator lets the list go once it is told.
        points = iter(list(journal.points()))
        arguments = (self._talk, self._make, about, journal.initial_state(), points)
        self._thread = threading.Thread(target=_serve, args=arguments, name=f"firerl-{self.name}", daemon=True)
        self._thread.start()

    def round_done(self, round: Round) -> None:
        more = {f"time/{part}": share for part, share in round.parts.items()}
        if round.seconds > 0:
            more["speed/steps_per_second"] = round.trained_steps / round.seconds
        self._put((round.step, round.point, more))
        self._hear()

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        self._put(dict(result))
        self._finished = True

    def close(self) -> None:
        self._end(self._patience if self._finished else INTERRUPTED_PATIENCE)

    def _put(self, event: Any) -> None:
        """Hand it over, at the price of the patience that is left."""
        if self._thread is None:
            return
        begun = time.monotonic()
        try:
            while self._thread.is_alive():
                left = self._patience - (time.monotonic() - begun)
                try:
                    return self._talk.inbox.put(event, timeout=min(max(left, 0.0), 0.1))
                except queue.Full:
                    if left <= 0:
                        return self._give_up(f"does not keep up: the run waited {PATIENCE:.0f} s for it and goes on")
        finally:
            self._patience -= time.monotonic() - begun

    def _hear(self) -> None:
        """Pass on what the logger had to say, and look whether it still answers."""
        talk = self._talk
        with suppress(queue.Empty):
            while True:
                self._say(f"{self.name}: {talk.said.get_nowait()}")
        with suppress(queue.Empty):
            self._give_up(f"failed: {talk.failed.get_nowait()}")
        since = talk.calling
        if self._thread and not self._warned and since is not None and time.monotonic() - since > SILENT_SECONDS:
            self._warned = True
            self._tell(f"has not answered for {SILENT_SECONDS:.0f} s; the run goes on meanwhile")

    def _end(self, patience: float) -> None:
        """No more will come: wait for what is in the queue, as long as that."""
        if self._thread is None:
            return
        begun = time.monotonic()
        until = begun + patience
        with suppress(queue.Full):
            self._talk.inbox.put(None, timeout=patience)
        self._thread.join(min(SAY_SECONDS, max(0.0, until - time.monotonic())))
        self._hear()
        if self._thread is not None and self._thread.is_alive():
            self._say(f"waiting for logger {self.name}, up to {max(0.0, until - time.monotonic()):.0f} s")
            self._thread.join(max(0.0, until - time.monotonic()))
            self._hear()
        if self._thread is not None and self._thread.is_alive():
            self._give_up(f"has not ended after {patience:.0f} s and is left to itself")
        self._thread = None
        self._patience = max(SAY_SECONDS, self._patience - (time.monotonic() - begun))

    def _give_up(self, why: str) -> None:
        self._out = True
        self._thread = None
        self._tell(f"{why}; it is told no more")

    def _tell(self, text: str) -> None:
        self._say(f"logger {self.name} {text}")
        with suppress(OSError):  # a full disk says so itself, at the next commit
            self._note(f"logger {self.name} {text}")


def _serve(talk: _Talk, make: Callable[[], Logger], about: About, state: State, points: Iterable[Point]) -> None:
    """The thread: what was before, then what comes, until there is no more or the logger fails."""
    logger: Logger | None = None
    try:
        with talk.call():
            logger = make()
            if text := logger.start(about):
                talk.said.put(str(text))
        replay = Replay(state, sync=about.config.get("sync", True))
        for point in points:
            with talk.call():
                scalars = dict(replay.scalars(point))
                logger.log(replay.step(point), scalars)
        while (event := talk.inbox.get()) is not None:
            with talk.call():
                if isinstance(event, dict):
                    logger.finish(event)
                else:
                    step, point, more = event
                    logger.log(step, {**dict(replay.scalars(point)), **more})
        with talk.call():
            logger.close()
    except BaseException as error:  # anybody's code; sys.exit() in a thread would end it without a word
        kind = "" if isinstance(error, FirerlError) else f"{type(error).__name__}: "
        talk.failed.put(" ".join(f"{kind}{error}".split())[:300])
        with suppress(BaseException):
            if logger is not None:
                logger.close()
