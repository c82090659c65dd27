"""A run in Weights & Biases (``logger=wandb``, the extra ``firerl[wandb]``): one W&B run for the whole population.

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
from typing import IO, Any

from firerl.engine.descendants import unmarked
from firerl.errors import FirerlError
from firerl.evolution import plain
from firerl.logger import About, Logger


class WandB(Logger):
    """Sends on what it is told. Raises FirerlError with W&B's own words where that has failed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self, about: About) -> str | None:
        command = [sys.executable, "-m", "firerl.loggers.wandb_process"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=unmarked(),  # it does not end with the engine: there is the result to tell
            start_new_session=True,  # Ctrl-C is for the run, which then says so here
        )
        self._send(
            {"run_dir": str(about.run_dir.resolve()), "folder": str(about.folder.resolve()), "config": about.config}
        )
        return str(self._answer()["told"])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._send({"step": step, "values": values})

    def finish(self, result: Mapping[str, Any]) -> None:
        self._send({"result": result})
        self._answer()

    def close(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        stdin, stdout = _pipes(process)
        with suppress(OSError):  # it has gone already, and says why below
            stdin.close()
        rest = stdout.read()
        stdout.close()
        if process.wait() != 0:
            raise FirerlError(_failure(rest) or f"its process ended with {process.returncode}")

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None, "start() comes first"
        try:
            stdin, _ = _pipes(self._process)
            stdin.write(json.dumps(plain.encode(message)) + "\n")
            stdin.flush()
        except BrokenPipeError:
            self._answer()

    def _answer(self) -> dict[str, Any]:
        """The next line of the process. Raises FirerlError where it has failed."""
        assert self._process is not None
        line = _pipes(self._process)[1].readline()
        answer: dict[str, Any] = json.loads(line) if line else {}
        if "told" not in answer:
            raise FirerlError(answer.get("failed") or f"its process ended with {self._process.wait()}")
        return answer


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _failure(text: str) -> str:
    """What went wrong, in the last line of a process that failed."""
    last = text.strip().rpartition("\n")[2]
    return str(json.loads(last).get("failed", "")) if last else ""
