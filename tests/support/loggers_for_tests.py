"""Loggers as a user might write them, most of them badly."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from firerl.logger import About, Logger

forever = threading.Event()  # never set: a daemon thread may wait for it


class Told(Logger):
    """Keeps all that it is told, of all its starts."""

    calls: ClassVar[list[tuple[Any, ...]]] = []

    def start(self, about: About) -> str | None:
        self.calls.append(("start", about))
        return "all is kept"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.calls.append(("log", step, dict(values)))

    def finish(self, result: Mapping[str, Any]) -> None:
        self.calls.append(("finish", dict(result)))

    def close(self) -> None:
        self.calls.append(("close",))


class FailsToBegin(Logger):
    def __init__(self) -> None:
        raise ValueError("no\ndisk")


class FailsAtStart(Logger):
    def start(self, about: About) -> str | None:
        raise ValueError("no disk")


class FailsLater(Logger):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step >= 40:
            raise ValueError("no disk")


class FailsAtTheEnd(Logger):
    def finish(self, result: Mapping[str, Any]) -> None:
        raise ValueError("no disk")


class FailsToClose(Logger):
    def close(self) -> None:
        raise ValueError("no disk")


class Leaves(Logger):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        sys.exit(3)


class HangsAtStart(Logger):
    def start(self, about: About) -> str | None:
        forever.wait()
        return None


class HangsLater(Logger):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step >= 40:
            forever.wait()


class HangsAtTheEnd(Logger):
    def close(self) -> None:
        forever.wait()


class Slow(Told):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        time.sleep(0.02)
        super().log(step, values)
