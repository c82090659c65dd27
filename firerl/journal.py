"""Print what happened in a run: ``python -m firerl.journal <run_dir> [--reports]``.

Deterministic text, one event a line, without times or paths, so that ``diff`` compares two runs. The first word says
what happened, ``name=value`` follow; floats are printed with repr. The last line is ``hash <step> <sha256>`` of the
last committed generation. Works while the run goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from firerl.errors import RunFolderError, SettingError
from firerl.main import guarded

if TYPE_CHECKING:
    from firerl.evolution.population import Copy, Decision, Promote, Report, StartEvaluator, StopEvaluator
    from firerl.store import Journal

Values = dict[int, Mapping[str, Any]]  # worker -> its hyperparameters


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all of firerl's."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; {self.prog} --help says more")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the journal of the run folder that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.journal",
        description="Print the journal of a run, finished or not: one event a line, and the final hash. Two runs of "
        "the same settings and seed print the same text.",
    )
    parser.add_argument("run_dir", help="the folder of the run")
    parser.add_argument("--reports", action="store_true", help="print every worker's report as well")
    arguments = parser.parse_args(argv)

    import sqlite3  # after the parser: store imports torch, and --help should not wait for it
    from pathlib import Path

    from firerl.store import Journal

    journal = Journal.open(Path(arguments.run_dir))
    try:
        for line in lines(journal, arguments.reports):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough (| head)
        drop_stdout()
    except sqlite3.Error as error:
        raise RunFolderError(f"the journal in {arguments.run_dir} is damaged: {error}") from error
    finally:
        journal.close()
    return 0


def drop_stdout() -> None:
    """Send what is still to come, the interpreter's own flush at exit included, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def lines(journal: Journal, reports: bool = False) -> Iterator[str]:
    """The journal as text: first draws, then every evaluation point's events in order, then the hash.

    With ``reports`` those of a point stand before its events.
    """
    values: Values = {}
    for worker in journal.initial_state().workers:
        if not worker.is_evaluator:
            values[worker.id] = worker.hyperparameters
            yield _line(
                "sample", step=0, worker=worker.id, population=f"P{worker.population}", **_hyper(values[worker.id])
            )
    # The hash before the points: a run that goes on meanwhile may commit more, but is never cut short.
    *_, (_, last_step, last_hash) = journal.hashes()
    for point in journal.points():
        if point.reports[0].step > last_step:
            break
        if reports:
            yield from map(_report, point.reports)
        for decision in point.decisions:
            yield from _events(decision, values)
    yield f"hash {last_step} {last_hash}"


def _report(report: Report) -> str:
    shown: dict[str, Any] = {"objective": report.objective}
    if report.failure is not None:
        shown["failure"] = report.failure
    metrics = {f"metrics.{name}": report.metrics[name] for name in sorted(report.metrics)}
    return _line("report", step=report.step, worker=report.worker, **shown, **metrics)


def _events(decision: Decision, values: Values) -> Iterator[str]:
    """The lines of one decision; ``values`` keeps what every member trains with."""
    from firerl.evolution.population import Copy, Fail, Promote, StartEvaluator

    if isinstance(decision, Copy):
        yield from _copy(decision)
        values[decision.worker] = decision.hyperparameters
    elif isinstance(decision, Fail):
        yield _line("failure", step=decision.step, worker=decision.worker, failure=decision.failure)
    elif isinstance(decision, StartEvaluator):
        yield _start(decision)
    elif isinstance(decision, Promote):
        yield _line("evaluator success", **_verdict(decision))
        yield _line(
            "promotion",
            step=decision.step,
            worker=decision.child,
            donor=decision.worker,
            parent=decision.parent,
            network_step=decision.network_step,
            **_hyper(values[decision.child]),
        )
    else:
        yield _line("evaluator stop", reason=decision.reason, **_verdict(decision))


def _copy(d: Copy) -> Iterator[str]:
    fresh = {"fresh": True} if d.fresh else {}
    yield _line(
        "copy",
        step=d.step,
        worker=d.worker,
        donor=d.donor,
        network_step=d.network_step,
        fitness=d.fitness,
        donor_fitness=d.donor_fitness,
        **fresh,
        **_hyper(d.donor_hyperparameters),
    )
    old, new = d.donor_hyperparameters, d.hyperparameters
    moves = {name: f"{_show(old.get(name))}->{_show(new[name])}" for name in sorted(new)}
    yield " ".join([f"explore step={d.step} worker={d.worker}", *(f"{name}={move}" for name, move in moves.items())])


def _start(d: StartEvaluator) -> str:
    fresh = {"fresh": True} if d.fresh else {}
    who = {"step": d.step, "worker": d.worker, "parent": d.parent, "child": d.child, "network_step": d.network_step}
    return _line("evaluator start", **who, **fresh, **_hyper(d.hyperparameters))


def _verdict(d: Promote | StopEvaluator) -> dict[str, Any]:
    """Who was judged, and the statistics that decided."""
    return {
        "step": d.step,
        "worker": d.worker,
        "parent": d.parent,
        "child": d.child,
        "points": d.points,
        "best_score_diff": d.best_score_diff,
        "p_value": d.p_value,
    }


def _hyper(values: Mapping[str, Any]) -> dict[str, Any]:
    # The prefix keeps a hyperparameter called "step" apart; sorted, since a resume reads them back in another order.
    return {f"hyperparameters.{name}": values[name] for name in sorted(values)}


def _line(event: str, **pairs: Any) -> str:
    return " ".join([event, *(f"{name}={_show(value)}" for name, value in pairs.items())])


def _show(value: Any) -> str:
    """A value without spaces or line breaks around it to doubt: repr, but for plain words."""
    if value is None:
        return "none"
    if isinstance(value, str) and value.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return value
    return repr(value)


if __name__ == "__main__":
    sys.exit(main())
