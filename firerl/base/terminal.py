"""What a person reads: every line that firerl prints is said here.

Names and texts come from files, learners and environments that may be a stranger's: whatever would steer a terminal is
shown as an escape and never sent. What a terminal's encoding lacks is shown as an escape, too. A stream that is closed,
full or read by nobody ends no run: ``lasting``.
"""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

# Control characters of ASCII and Latin-1 but for the tab, line and paragraph ends, what turns the direction of writing,
# what is not seen, and halves of characters, which no encoding has.
_STEERS = re.compile("[\0-\x08\n-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_CLOSED = (OSError, ValueError)  # ValueError: "I/O operation on closed file"


def clean(text: str) -> str:
    """One line without anything that steers a terminal: such characters, line ends among them, become ``\\x1b``."""
    return _STEERS.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def clean_lines(text: str) -> str:
    """The same line by line: its line ends stay."""
    return "\n".join(map(clean, text.split("\n")))


def say(*lines: str, error: bool = False, end: str = "\n", out: TextIO | Lasting | None = None) -> None:
    """Print lines, cleaned, at once. Raises OSError where stdout cannot be written; on stderr that is no matter."""
    stream = out or (sys.stderr if error else sys.stdout)
    if stream is None:  # a program without any
        return
    try:
        stream.write(_fitting("\n".join(map(clean, lines)) + end, stream))
        stream.flush()
    except _CLOSED:
        if not error:
            raise


def overwrite(text: str) -> None:
    """Show one line on stderr in the place of the last one; an empty text clears it."""
    with suppress(*_CLOSED, AttributeError):  # AttributeError: there is no stderr
        sys.stderr.write("\r" + _fitting(f"{clean(text):<78}", sys.stderr) + ("" if text else "\r"))
        sys.stderr.flush()


def _fitting(text: str, stream: Any) -> str:
    """``text`` with what the stream's encoding lacks as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class Lasting:
    """A stream that takes whatever is written, and drops it once the one behind it cannot."""

    def __init__(self, stream: Any, name: str):
        self.stream, self.name = stream, name
        self.lost = stream is None

    def write(self, text: str) -> int:
        """As a stream's; never raises for the stream's sake."""
        try:
            if not self.lost:
                self.stream.write(_fitting(text, self.stream))
        except _CLOSED as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            if not self.lost:
                self.stream.flush()
        except _CLOSED as error:
            self._lose(error)

    def isatty(self) -> bool:
        """Whether a person sees it."""
        with suppress(*_CLOSED):
            return not self.lost and self.stream.isatty()
        return False

    def _lose(self, error: Exception) -> None:
        self.lost = True
        if self.name == "standard output":
            why = "nobody reads it" if isinstance(error, BrokenPipeError) else getattr(error, "strerror", None) or error
            say(f"firerl: standard output cannot be written ({why}); the run goes on without it", error=True)

    def __getattr__(self, name: str) -> Any:
        if self.stream is None:
            raise AttributeError(f"there is no {self.name}: it has no {name}")
        return getattr(self.stream, name)


@contextmanager
def lasting() -> Iterator[None]:
    """For the time of a run, also a learner's: whatever is printed, a stream that cannot take it ends nothing."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, Lasting) else Lasting(stream, name)
        for stream, name in zip(before, ("standard output", "standard error"), strict=True)
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def stand() -> None:
    """Let descriptors 0 to 2 lead somewhere in this process, as files that are opened later would take their place,
    and what is printed would go into them."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
        if getattr(sys, name) is None:
            stream = open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def reader_left() -> bool:
    """Whether it is stdout's pipe that is broken, and no other."""
    poll = select.poll()
    with suppress(*_CLOSED):  # it is no file of the system's
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))  # POLLERR: nobody holds the reading end
    return False


def settle() -> None:
    """Write what stdout still holds; where it cannot, drop it: the interpreter would try, and complain, once more."""
    try:
        sys.stdout.flush()
    except _CLOSED:
        drop_stdout()


def drop_stdout() -> None:
    """Send what is still to come, the interpreter's own flush at exit included, nowhere."""
    with suppress(*_CLOSED):  # it is no file of the system's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
