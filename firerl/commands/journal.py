"""Print what happened in a run: ``python -m firerl.journal <run_dir> [--reports]``.

Deterministic text, one event a line, without times or paths, so that ``diff`` compares two runs. The first word says
what happened, ``name=value`` follow, hyperparameters (of reports: metrics) last; floats are printed with repr. The
last line is ``hash <step> <sha256>`` of the last committed generation. Works while the run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument

if TYPE_CHECKING:
    from firerl.evolution.population import Copy, Decision, Report, StartEvaluator
    from firerl.storage.journal.journal_db import Journal

Values = dict[int, Mapping[str, Any]]  # worker -> its hyperparameters
VERDICT = ("step", "worker", "parent", "child", "points", "best_score_diff", "p_value")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the journal of the run folder that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.journal",
        description="Print the journal of a run, finished or not: one event a line, and the final hash. Two runs of "
        "the same settings and seed print the same text.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument("--reports", action="store_true", help="print every worker's report as well")
    arguments = parser.parse_args(argv)

    from contextlib import closing  # after the parser: --help should not wait for what follows

    from firerl.storage.journal.journal_db import Journal, reading
    from firerl.storage.remote.reading import local

    folder = local(arguments.run_dir)
    with closing(Journal.open(folder)) as journal, reading(folder):
        for line in lines(journal, arguments.reports):
            say(line)
    return 0


def lines(journal: Journal, reports: bool = False) -> Iterator[str]:
    """The journal as text: first draws, then every evaluation point's events in order, then the hash.

    With ``reports`` those of a point stand before its events.
    """
    values: Values = {}
    for worker in journal.initial_state().workers:
        if not worker.is_evaluator:
            values[worker.id] = worker.hyperparameters
            head = {"step": 0, "worker": worker.id, "population": f"P{worker.population}"}
            yield _line("sample", head, worker.hyperparameters)
    # The hash before the points: what a run that goes on commits meanwhile is left out as a whole.
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
    head: dict[str, Any] = {"step": report.step, "worker": report.worker, "objective": report.objective}
    if report.failure is not None:
        head["failure"] = report.failure
    return _line("report", head, report.metrics)


def _events(decision: Decision, values: Values) -> Iterator[str]:
    """The lines of one decision; ``values`` keeps what every member trains with."""
    from firerl.evolution.population import Copy, Fail, Promote, Set, StartEvaluator

    if isinstance(decision, Copy):
        yield from _copy(decision)
        values[decision.worker] = decision.hyperparameters
    elif isinstance(decision, Fail):
        yield _line("failure", _pick(decision, "step", "worker", "failure"))
    elif isinstance(decision, StartEvaluator):
        head = _pick(decision, "step", "worker", "parent", "child", "network_step")
        yield _line("evaluator start", head | _fresh(decision), decision.hyperparameters)
    elif isinstance(decision, Promote):
        yield _line("evaluator success", _pick(decision, *VERDICT))
        head = _pick(decision, "step", "child", "worker", "parent", "network_step")
        yield _line("promotion", head, values[decision.child])
    elif isinstance(decision, Set):
        yield _line("set", _pick(decision, "step", "worker", "network_step"), decision.hyperparameters)
        values[decision.worker] = decision.hyperparameters
    else:
        yield _line("evaluator stop", _pick(decision, "step", "reason", *VERDICT[1:]))


def _copy(decision: Copy) -> Iterator[str]:
    """What was taken over, and what became of it."""
    old, new = decision.donor_hyperparameters, decision.hyperparameters
    head = _pick(decision, "step", "worker", "donor", "network_step", "fitness", "donor_fitness")
    yield _line("copy", head | _fresh(decision), old)
    moves = [f"{name}={_show(old.get(name))}->{_show(new[name])}" for name in sorted(new)]
    yield " ".join([_line("explore", _pick(decision, "step", "worker")), *moves])


def _fresh(decision: Copy | StartEvaluator) -> dict[str, Any]:
    return {"fresh": True} if decision.fresh else {}


def _pick(decision: Decision, *names: str) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in names}


def _line(event: str, head: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> str:
    """``values`` by name, since hyperparameters that come back from the journal have lost their order."""
    pairs = [*head.items(), *sorted((values or {}).items())]
    return " ".join([event, *(f"{name}={_show(value)}" for name, value in pairs)])


def _show(value: Any) -> str:
    """repr, but for words that need no quotes."""
    if value is None:
        return "none"
    if isinstance(value, str) and re.fullmatch(r"[\w.+-]+", value):
        return value
    return repr(value)
