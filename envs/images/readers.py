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
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

import numpy as np

from firerl.envs.images.reading import Piece, Pixels, read
from firerl.errors import MachineError

T = TypeVar("T")

PIECE = 16  # images that a reader is given at once
DEATHS = 3  # of readers over one piece, after which it is no accident


class Readers:
    """So many reader ``processes``, or with 0 of them so many ``threads``; started when they are first needed."""

    def __init__(self, processes: int, threads: int, size: int):
        self.count = processes or threads
        self._size = size
        self._pool = ThreadPoolExecutor(self.count, "firerl-reader")  # one thread waits for each process
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()  # None: not started yet
        self._started: list[_Process] = []
        self._processes = processes > 0
        for _ in range(self.count):
            self._idle.put(None)
        self._end = weakref.finalize(self, _end, self._pool, self._started)

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run ``task``, which calls ``read``, on a thread of its own."""
        return self._pool.submit(task)

    def read(self, piece: Piece, out: Pixels) -> list[str]:
        """As ``reading.read``, by a reader that is free. Raises MachineError on trouble that is not the images'."""
        try:
            return self._by_process(piece, out) if self._processes else read(piece, out)
        except OSError as error:
            raise MachineError(f"images cannot be read: {error}") from error

    def close(self) -> None:
        """End all readers."""
        self._end()

    def _by_process(self, piece: Piece, out: Pixels) -> list[str]:
        code = None
        for _ in range(DEATHS):
            reader = self._idle.get()
            try:
                if reader is None:
                    reader = _Process(self._size)
                    self._started.append(reader)
                return reader.read(piece, out)
            except EOFError:  # what it did is done again: reading is a function of the piece
                assert reader is not None
                code = reader.end()
                self._started.remove(reader)
                reader = None
            finally:
                self._idle.put(reader)
        hint = ", as the kernel does when memory runs out" if code == -signal.SIGKILL else ""
        raise MachineError(f"{DEATHS} processes that read images have died, the last with exit code {code}{hint}")


class _Process:
    """One reader process, seen from here."""

    def __init__(self, size: int):
        shape = (PIECE, size, size, 3)
        memory = _shared_file(int(np.prod(shape)))
        with memory:
            self._pixels: Pixels = np.frombuffer(mmap.mmap(memory.fileno(), 0), np.uint8).reshape(shape)
            self._pipe, theirs = Pipe()
            fds = (theirs.fileno(), memory.fileno())
            code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve{(*fds, size)}"
            with _no_interrupt():
                self._child = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.DEVNULL,
                    pass_fds=fds,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                )
            theirs.close()

    def read(self, piece: Piece, out: Pixels) -> list[str]:
        """As ``reading.read``. Raises EOFError where the process has died."""
        try:
            self._pipe.send(piece)
            answer = self._pipe.recv()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error
        if isinstance(answer, OSError):
            raise answer
        out[:] = self._pixels[: len(out)]
        return list(answer)

    def end(self) -> int:
        """Kill it, if it still lives; returns its exit code."""
        self._pipe.close()
        self._child.kill()
        return self._child.wait()


def serve(pipe: int, memory: int, size: int) -> None:
    """The life of a reader process: read pieces into the shared memory until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the controller decides
    pixels = np.frombuffer(mmap.mmap(memory, 0), np.uint8).reshape(PIECE, size, size, 3)
    connection: Connection[Any, Any] = Connection(pipe)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            piece = connection.recv()
            answer: Any
            try:
                answer = read(piece, pixels)
            except OSError as error:
                answer = error
            connection.send(answer)


def _end(pool: ThreadPoolExecutor, started: list[_Process]) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for reader in started:
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
