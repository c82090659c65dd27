"""A run in Weights & Biases (``logger=wandb``, the extra ``firerl[wandb]``): one W&B run a worker, in one group.

W&B lives in a process of its own (``firerl.loggers.wandb_process``), which is sent one JSON line for everything there
is to tell: the library puts itself into ``sys.exit``, signals and what Python does at its end, and waits there for a
network that may not come. A process can be left alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from firerl.engine.host.descendants import unmarked
from firerl.errors import FirerlError
from firerl.evolution import plain
from firerl.logger import About, Logger


class WandB(Logger):
    """Sends on what it is told. Raises FirerlError with W&B's own words where that has failed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self, about: About) -> str | None:
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "firerl.loggers.wandb_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=unmarked(),  # it does not end with the engine: there is the result to tell
            start_new_session=True,  # Ctrl-C is for the run, which then says so here
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._messages, self._answers = process.stdin, process.stdout
        self._send(
            {"run_dir": str(about.run_dir.resolve()), "folder": str(about.folder.resolve()), "config": about.config}
        )
        line = self._answers.readline()
        answer: dict[str, str] = json.loads(line or "{}")
        if "told" not in answer:
            self._end(line)
        return answer["told"]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._send({"step": step, "values": values})

    def finish(self, result: Mapping[str, Any]) -> None:
        self._send({"result": result})

    def close(self) -> None:
        if self._process is not None:
            self._end()

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._messages.write(json.dumps(plain.encode(message)) + "\n")
            self._messages.flush()
        except BrokenPipeError:
            self._end()

    def _end(self, answers: str = "") -> None:
        """Wait for the process, which has given these ``answers``. Raises FirerlError where it has failed."""
        assert self._process is not None, "start() comes first"
        process, self._process = self._process, None
        with suppress(OSError):  # it has gone already, and says why below
            self._messages.close()
        answers += self._answers.read()
        self._answers.close()
        failed = json.loads(answers.splitlines()[-1]).get("failed") if answers else None
        if process.wait() != 0 or failed:
            raise FirerlError(failed or f"its process ended with {process.returncode}")
