"""Whose failure it is, and how it is told.

What the machine is to blame for, such as a lack of memory, is no part of a run's result. All else that a learner's code
raises is its own failure: an exception of any kind, however badly it behaves.
"""

from __future__ import annotations

import sysconfig
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

from firerl.base.terminal import clean, clean_lines
from firerl.engine import devices
from firerl.engine.interface import MachineFailure
from firerl.errors import MachineError

MOST_TEXT = 20_000  # characters of a traceback that are kept
MOST_MESSAGE = 1_000  # of an exception's own text
MOST_LINE = 300  # of that in the line that tells of a failure
MOST_KIND = 100  # of the name of an exception's class
_PYTHON = str(Path(sysconfig.get_path("stdlib")) / "")


@dataclass(frozen=True)
class Failure:
    """A learner's own failure, as its Outcome tells it."""

    kind: str  # the exception's type, "NaN", "infinity" or "died"
    text: str  # the traceback
    message: str = ""  # of the exception, in one line
    place: str = ""  # of the learner's code: " (file.py:12)"

    @property
    def line(self) -> str:
        """What happened and where, in one line."""
        what = f"{self.kind}: {self.message}" if self.message else self.kind
        return (what if len(what) <= MOST_LINE else what[: MOST_LINE - 3] + "...") + self.place


def failure_of(error: BaseException) -> Failure:
    """What is told of an exception. Raises nothing but KeyboardInterrupt."""
    kind = kind_of(error)
    said = message_of(error)
    try:
        text = "".join(traceback.format_exception(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # its own code, again
        text = "".join(traceback.format_tb(error.__traceback__)) + f"{kind}: {said}"
    return Failure(kind, clean_lines(_middle_out(text, MOST_TEXT)), said, _place(error))


def kind_of(error: BaseException) -> str:
    """The name of its class, as a journal has it."""
    return clean(str.__getitem__(type(error).__name__, slice(MOST_KIND)))


def message_of(error: BaseException) -> str:
    """Its text in one line of at most so many characters; "" where it has none that can be told. Raises nothing but
    KeyboardInterrupt."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # anybody's __str__
        return ""
    text = str.__getitem__(text, slice(4 * MOST_MESSAGE))  # never a method of a subclass's
    line = clean(" ".join(str.split(text)))
    return line if len(line) <= MOST_MESSAGE else line[: MOST_MESSAGE - 3] + "..."


def cause_of(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """The error itself, or the first of those that it came of, of this kind; None: there is none."""
    for _ in range(100):  # a chain may be a ring
        if error is None or isinstance(error, kind):
            return error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _place(error: BaseException) -> str:
    """The file and the line of the learner's own code, in brackets: the innermost that is neither ours nor a library's;
    where there is none, the one that raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [(frame, line) for frame, line in frames if not _is_a_librarys(frame)]
    for frame, line in (own or frames)[-1:]:
        return clean(f" ({Path(frame.f_code.co_filename).name[-MOST_KIND:]}:{line})")
    return ""


def _is_a_librarys(frame: types.FrameType) -> bool:
    """Ours, Python's, an installed one's, or made at run time."""
    file = frame.f_code.co_filename
    if str(frame.f_globals.get("__name__", "")).startswith("firerl.") or file.startswith(("<frozen", "<string>")):
        return True
    return file.startswith(_PYTHON) or bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _middle_out(text: str, most: int) -> str:
    """A long text without its middle: where it began and how it ended say most."""
    if len(text) <= most:
        return text
    return f"{text[: most // 4]}\n... {len(text) - most:,} characters left out ...\n{text[-(most - most // 4) :]}"


def raise_if_the_machine_failed(error: BaseException, who: str, device: str = "cpu", advice: str = "") -> None:
    """Raise MachineFailure if ``error``, met by ``who``, is the machine's. ``advice``: what to do on a full device."""
    said = message_of(error)
    if isinstance(error, MachineError):
        raise MachineFailure(f"{who}: {said}") from error
    if devices.is_out_of_memory(error, said):
        told = f"{advice} ({said})" if advice else said
        raise MachineFailure(f"{who} ran out of memory of {device}: {told}") from error
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in said
    if on_cpu or isinstance(error, MemoryError):
        raise MachineFailure(f"{who} ran out of memory: {said}", memory=True) from error
    if devices.is_broken(error, said):
        raise MachineFailure(f"{device} failed under {who}: {said}") from error
