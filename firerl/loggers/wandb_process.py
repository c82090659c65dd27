"""The process that speaks with Weights & Biases, for ``firerl.loggers.wandb_logger``; it reads JSON lines from stdin.

First comes the run, then a line for every evaluation point, at the end the result. A W&B run is one worker, all with
the same names of values, and one more is the population; they are one group. Its id is kept in ``wandb/firerl.json`` of
the run folder, with which a run that goes on goes on there, too. Where stdin ends without a
result, the run was interrupted or killed; what was told until then is sent all the same, as long as ``LINGER`` allows.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from firerl.base.disk import durable, files, untrusted
from firerl.errors import FirerlError
from firerl.evolution import plain
from firerl.loggers.by_worker import POPULATION, ByWorker

KEPT = "firerl.json"  # in the logger's folder: {"id": ..., "step": the last that was told}
KEEP_SECONDS = 5.0  # between two writes of it
LINGER = 600.0  # seconds that an upload may take once there is no more to come
PROJECT = "firerl"  # unless WANDB_PROJECT says another


def main() -> int:
    """Until stdin ends; returns the exit code."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever W&B prints is no answer
    try:
        serve(sys.stdin, answers)
        return 0
    except Exception as error:
        kind = "" if isinstance(error, FirerlError) else f"{type(error).__name__}: "
        _answer(answers, "failed", " ".join(f"{kind}{error}".split())[:300])
        return 1


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Pass on what the lines say. Raises what W&B raises."""
    about = plain.loads(lines.readline())
    run_dir, folder = Path(about["run_dir"]), Path(about["folder"])
    durable.make_folder(folder)
    id, step = known(folder / KEPT)
    group = Group(run_dir, folder, about["config"], id or secrets.token_hex(4))
    run = group.run(POPULATION)
    step = max(step, run.step - 1)  # on line W&B knows better
    kept = keep(folder / KEPT, run.id, step)
    _answer(answers, "told", run.url or f"off line; upload it with: wandb sync {folder}/offline-run-*")
    ended = False
    for message in map(plain.loads, lines):
        if "result" in message:
            tell_result(run, run_dir, folder, message["result"])
            ended = True
        elif message["step"] > step:
            step = message["step"]
            group.log(step, message["values"])
            if time.monotonic() - kept >= KEEP_SECONDS:  # a point told twice does no harm, it has the same values
                kept = keep(folder / KEPT, run.id, step)
    keep(folder / KEPT, run.id, step)
    threading.Thread(target=_leave_late, daemon=True).start()
    group.finish(exit_code=0 if ended else 1)


def known(path: Path) -> tuple[str | None, int]:
    """The id of the W&B run that goes on, and the last step that it was told. Raises FirerlError on a damaged file."""
    if not path.exists():
        return None, -1
    try:
        kept = untrusted.read_json(path)
        if not re.fullmatch(r"[\w-]{1,64}", kept["id"]):
            raise ValueError("its id is none")
        return kept["id"], int(kept["step"])
    except (LookupError, TypeError, ValueError) as error:
        raise FirerlError(f"{path} is damaged: {error}; without it the run begins a new one in W&B") from error


def keep(path: Path, id: str, step: int) -> float:
    """Keep what the next process must know; returns when that was."""
    files.write(path, json.dumps({"id": id, "step": step}).encode())
    return time.monotonic()


class Group:
    """The W&B runs of one run, new or gone on with. What ``WANDB_*`` variables say comes first."""

    def __init__(self, run_dir: Path, folder: Path, config: Mapping[str, Any], id: str):
        """``id`` is that of the population's run."""
        self._folder, self._config, self._by_worker = folder, dict(config), ByWorker(config)
        self._id = os.environ.get("WANDB_RUN_ID") or id
        self._name = os.environ.get("WANDB_NAME") or run_dir.name
        self._group = os.environ.get("WANDB_RUN_GROUP") or f"{self._name}-{self._id}"
        self._runs: dict[str, Any] = {}

    def run(self, who: str) -> Any:
        """The W&B run of a worker, or of the population."""
        if who not in self._runs:
            self._runs[who] = self._begin(who)
        return self._runs[who]

    def _begin(self, who: str) -> Any:
        import wandb

        all_workers = who == POPULATION
        return wandb.init(
            dir=self._folder.parent,  # it adds wandb/ itself
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            group=self._group,
            job_type=who.partition("-")[0],
            id=self._id if all_workers else f"{self._id}-{who}",
            name=self._name if all_workers else f"{self._name} {who}",
            config=self._config if all_workers else {**self._config, "worker": int(who.partition("-")[2])},
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One evaluation point."""
        for who, tags in self._by_worker.parts(values).items():
            self.run(who).log(tags, step=step)

    def finish(self, exit_code: int) -> None:
        """No more will come. Each waits for its own upload."""
        with ThreadPoolExecutor(len(self._runs)) as pool:
            list(pool.map(lambda run: run.finish(exit_code=exit_code), self._runs.values()))


def tell_result(run: Any, run_dir: Path, folder: Path, result: Mapping[str, Any]) -> None:
    """The winner's lineage and all of evolution as tables, the report as an artefact, the result as the summary."""
    import wandb

    from firerl.insight.report import page_file

    tables = {"lineage": lineage(result), "evolution": evolution(run_dir)}
    shown = {name: wandb.Table(columns=list(columns), data=rows) for name, (columns, rows) in tables.items()}
    run.log(shown, step=result["steps"])
    run.summary.update({key: result[key] for key in ("worker", "objective", "steps", "hash", "stopped", "fresh")})
    page = folder / page_file.NAME
    page_file.write(run_dir, page)
    artifact = wandb.Artifact(f"report-{run.id}", type="report", description="the run as one page, for any browser")
    artifact.add_file(str(page), name=page_file.NAME)
    run.log_artifact(artifact)


def lineage(result: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: where the winner's network comes from, oldest first, in the network's own steps."""
    names = sorted({name for segment in result["lineage"] for name in segment["hyperparameters"]})
    head = ["worker", "origin", "start", "end"]
    rows = [[s[key] for key in head] + [_cell(s["hyperparameters"].get(n)) for n in names] for s in result["lineage"]]
    return [*head, *names], rows


def evolution(run_dir: Path) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: every decision of the run, what it is not about left empty."""
    from firerl.run_result import Result

    decisions = [row for row in Result(run_dir, {}).journal if row["event"] != "report"]
    columns = list(dict.fromkeys(name for row in decisions for name in row)) or ["event"]
    return columns, [[_cell(row.get(name)) for name in columns] for row in decisions]


def _cell(value: Any) -> Any:
    """A value as a table holds it."""
    return json.dumps(plain.encode(value)) if isinstance(value, Mapping | list | tuple) else value


def _leave_late() -> None:
    """A network that does not come back must not keep this process for ever; ``wandb sync`` sends what is left."""
    time.sleep(LINGER)
    os._exit(1)


def _answer(answers: IO[str], kind: str, text: str) -> None:
    with suppress(BrokenPipeError):  # the run has gone: nobody reads it
        answers.write(json.dumps({kind: text}) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.exit(main())
