"""Reading files that nobody vouches for: how large and how deep they may be, and that they are ordinary files.

All limits stand here. Whoever reads a file of a run folder, or one that a person was given, passes it through these
functions, ``firerl.storage.checkpoint`` or ``firerl.storage.journal.journal_db``. ``docs/explanation/security.md`` says
what for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from firerl.base.integers import LEAST, MOST, integer

CHECKPOINT = 4 << 30  # bytes of a checkpoint; dumps writes none that is larger
HEADER = 8 << 20  # bytes of what a checkpoint holds besides tensors and arrays, likewise; read in some 2 seconds
JOURNAL = 8 << 30  # bytes of a journal: 1,000 workers write one GiB in some 2,400 rounds; nobody reads it whole
SNAPSHOT = 1 << 30  # bytes of a journal at an address, which is read whole
CELL = 64 << 20  # bytes of one value in a journal: the state of a population, with all its curves
JSON = 16 << 20  # bytes of result.json, replay.json, a probe
YAML = 1_500_000  # bytes of a schedule: PyYAML reads some 500 kB a second
EVENTS = 300_000  # words of a YAML file, before and after its aliases are followed
SCALAR = 1_000  # characters of one word in it: "1:1:1:..." is a number in base 60, computed in quadratic time
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")
DEPTH = 50  # of a YAML file; libyaml itself has no limit but the stack


@contextmanager
def opened(path: Path, most: int) -> Iterator[BufferedReader]:
    """An ordinary file of at most ``most`` bytes, never a pipe or a device, for reading.

    Raises OSError (FileNotFoundError where there is none), ValueError on what is no such file.
    """
    check_ordinary(path.stat(), most)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe that came meanwhile: no waiting
    with os.fdopen(descriptor, "rb") as file:
        check_ordinary(os.fstat(descriptor), most)
        yield file


def check_ordinary(found: os.stat_result, most: int) -> None:
    """Raise ValueError unless this is a file of at most ``most`` bytes."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "Is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no ordinary file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size:,} bytes, at most {most:,} are read")


def read_bytes(path: Path, most: int) -> bytes:
    """All of it, as long as it was when it was opened. Raises as ``opened``."""
    with opened(path, most) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # read(most) asks for so much memory, whatever is there


def read_text(path: Path, most: int = JSON) -> str:
    """All of it as UTF-8. Raises as ``opened``; UnicodeDecodeError is a ValueError."""
    return read_bytes(path, most).decode("utf-8")


def digest(path: Path) -> str:
    """SHA-256 of a checkpoint's file, without having it in memory. Raises as ``opened``."""
    with opened(path, CHECKPOINT) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises as ``opened``, ValueError on what is none."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: plain data, without tags, merges or aliases that multiply. Raises as ``opened``,
    ValueError on what is none."""
    return parse_yaml(read_text(path, YAML))


def parse_yaml(text: str, exponents: bool = False) -> Any:
    """The same of a text; ``exponents``: 1e6 is a number, as in YAML 1.2 and on a command line. Raises ValueError."""
    import yaml

    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, fast))
        content = yaml.load(text, _loader(fast, exponents))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (ArithmeticError, RecursionError, TypeError) as error:  # 2001-99-99, .inf as a key, and the like
        raise ValueError(f"{type(error).__name__}: {error}") from error
    _check_size(content)
    return content


def _loader(base: Any, exponents: bool) -> Any:
    """A safe loader that refuses merges (``<<``): they multiply while they are read."""

    class Loader(base):
        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise ValueError("it merges entries (<<): write them out")

    if exponents:
        Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    return Loader


def _check_events(events: Iterator[Any]) -> None:
    """Raise ValueError on what would take the loader's time or stack."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > SCALAR:
            raise ValueError(f"it has a word of {len(event.value):,} characters, at most {SCALAR:,} are read")
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} deep")
        if count > EVENTS:
            raise ValueError(f"it has more than {EVENTS:,} entries")


def _check_size(content: Any) -> None:
    """Raise ValueError where aliases make more of a small file than it may hold, or lead in a circle."""
    count, todo = 0, [content]
    while todo:
        value = todo.pop()
        if isinstance(value, dict | list):
            inside = list(value.values()) if isinstance(value, dict) else value
            count += len(inside)
            if count > EVENTS:
                raise ValueError(f"its aliases make more than {EVENTS:,} entries")
            todo += inside
        elif type(value) is int and not LEAST <= value <= MOST:
            raise ValueError("it holds an integer of more than 64 bits")
