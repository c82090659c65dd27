"""Those who read images: threads of this process, or processes of their own, one for each core it may use.

A reader process decodes into memory that it shares with this process, so no pixel goes through a pipe. It lives as long
as its pipe: where this process ends, killed or not, the reader's next ``recv`` or ``send`` fails and it ends too.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NamedTuple, TypeVar

import numpy as np

from firerl.envs.images.files.decoding import Look, Piece, Pixels, read
from firerl.envs.images.files.listing import shown
from firerl.errors import MachineError

T = TypeVar("T")

PIECE = 16  # images that a reader is given at once
LANES = 2  # pieces that a reader process has at once: one to read, one to go on with
# Memory is kept from image to image: given back and taken again for each, it costs a third of the time in page faults.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "PILLOW_BLOCKS_MAX": "4",
}
DEATHS = 3  # of readers over one piece, after which it is no accident


class Readers:
    """So many reader ``processes``, or with 0 of them so many ``threads``; started when they are first needed."""

    def __init__(self, processes: int, threads: int, size: int):
        self.lanes = LANES * processes or threads  # pieces that can be under way at once
        self._size = size
        self._pool = ThreadPoolExecutor(self.lanes, "firerl-reader")  # with processes, a thread waits for each lane
        self._idle: queue.SimpleQueue[_Lane | None] = queue.SimpleQueue()  # None: a process to start
        self._started: list[_Process] = []
        self._by_threads = processes == 0
        for _ in range(processes):
            self._idle.put(None)
        self._closed = threading.Event()
        self._end = weakref.finalize(self, _end, self._pool, self._started, self._closed)

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run ``task``, which calls ``read``, on a thread of its own."""
        return self._pool.submit(task)

    def read(self, piece: Piece | Look, out: Pixels) -> list[str]:
        """As ``reading.read``, by a reader that is free. Raises MachineError on trouble that is not the images'."""
        try:
            if self._by_threads:
                return read(piece, out)
            try:
                return self._by_process(piece, out)
            except _Died as died:
                if len(piece.paths) == 1:
                    raise MachineError(f"{died}: {shown(piece.paths[0])}") from died
                return [reason for i in range(len(piece.paths)) for reason in self.read(piece.one(i), out[i : i + 1])]
        except OSError as error:
            raise MachineError(f"images cannot be read: {shown(str(error))}") from error
        except MemoryError as error:
            raise MachineError("images cannot be read: this machine is out of memory") from error

    def close(self) -> None:
        """End all readers."""
        self._end()

    def _by_process(self, piece: Piece | Look, out: Pixels) -> list[str]:
        deaths = 0
        while True:
            lane = self._idle.get() or self._start()
            try:
                answer = lane.read(piece, out)
            except EOFError:  # what it did is done again: reading is a function of the piece
                if self._closed.is_set():
                    raise MachineError("the readers of these images were closed") from None
                if (code := lane.process.end()) is not None:
                    self._started.remove(lane.process)
                    self._idle.put(None)
                    deaths += 1
                if deaths == DEATHS:
                    hint = ", as the kernel does when memory runs out" if code == -signal.SIGKILL else ""
                    raise _Died(
                        f"{DEATHS} processes that read images have died, the last with exit code {code}{hint}"
                    ) from None
            else:
                self._idle.put(lane)
                if isinstance(answer, Exception):
                    raise answer
                return answer

    def _start(self) -> _Lane:
        """A lane of a new process; the others are idle."""
        try:
            process = _Process(self._size)
        except BaseException:
            self._idle.put(None)
            raise
        self._started.append(process)
        for lane in process.lanes[1:]:
            self._idle.put(lane)
        return process.lanes[0]


class _Died(Exception):
    """Readers have died over a piece, again and again: one of its files may kill them."""


class _Lane(NamedTuple):
    """A way to a reader process. It has several, so that it never waits between two pieces."""

    process: _Process
    pipe: Any
    pixels: Pixels  # [PIECE, size, size, 3], shared with the process

    def read(self, piece: Piece | Look, out: Pixels) -> list[str] | Exception:
        """As ``reading.read``; what it raised comes back. Raises EOFError where the process has died."""
        try:
            self.pipe.send(piece)
            answer: list[str] | Exception = self.pipe.recv()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error
        out[:] = self.pixels[: len(out)]
        return answer


class _Process:
    """A reader process, seen from here."""

    def __init__(self, size: int):
        pipes = [Pipe() for _ in range(LANES)]
        theirs = [end.fileno() for _, end in pipes]
        with _shared_file(LANES * PIECE * size * size * 3) as memory:
            pixels = _pixels(memory.fileno(), size)
            call = f"serve({theirs}, {memory.fileno()}, {size})"
            with _no_interrupt():
                self._child = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; {call}",
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[*theirs, memory.fileno()],
                    env={**os.environ, **ENVIRONMENT},
                )
        for _, end in pipes:
            end.close()
        self.lanes = [_Lane(self, ours, pixels[i]) for i, (ours, _) in enumerate(pipes)]
        self._ending = threading.Lock()

    def end(self) -> int | None:
        """Kill it, if it still lives; returns its exit code, the first time."""
        if not self._ending.acquire(blocking=False):
            return None
        self._child.kill()
        return self._child.wait()


def _pixels(memory: int, size: int) -> Pixels:
    """The shared memory, [LANES, PIECE, size, size, 3]."""
    return np.frombuffer(mmap.mmap(memory, 0), np.uint8).reshape(LANES, PIECE, size, size, 3)


def serve(pipes: list[int], memory: int, size: int) -> None:
    """The life of a reader process: read pieces into the shared memory until the pipes end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the controller decides
    warnings.simplefilter("ignore")  # Pillow's, about files that are told of by name where they cannot be read
    pixels = _pixels(memory, size)
    lanes: dict[Connection[Any, Any], Pixels] = {Connection(pipe): pixels[i] for i, pipe in enumerate(pipes)}
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            for ready in wait(list(lanes)):
                pipe: Any = ready
                piece = pipe.recv()
                answer: Any
                try:
                    answer = read(piece, lanes[pipe])
                except (OSError, MemoryError) as error:
                    answer = error
                pipe.send(answer)


def _end(pool: ThreadPoolExecutor, started: list[_Process], closed: threading.Event) -> None:
    closed.set()
    pool.shutdown(wait=False, cancel_futures=True)
    for reader in list(started):
        reader.end()


def _shared_file(size: int) -> Any:
    """A file without a name, in memory where the system can; it goes when the last process that has it ends."""
    if hasattr(os, "memfd_create"):  # not /dev/shm, which is small in many containers
        file = os.fdopen(os.memfd_create("firerl-images"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.truncate(size)
    return file


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """While a child starts: it inherits that Ctrl-C waits, until it ignores it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
