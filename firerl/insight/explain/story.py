"""A run told in sentences: who copied whom and why, what every evaluator saw, who won and by which path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firerl.config.run_config import RunConfig, setup_of, window_of
from firerl.errors import SettingError
from firerl.evolution import lineage
from firerl.evolution.population import (
    Copy,
    Decision,
    Fail,
    Promote,
    Set,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)
from firerl.evolution.winner import winner
from firerl.insight.explain.ranks import Ranks, after_failures
from firerl.insight.explain.verdict import evaluator_settings, outcome, seen, trained
from firerl.insight.history.history import RUNNING, History, Teller
from firerl.storage.generation import Point
from firerl.summary import figure_names, in_words

FAILURES = {  # all other names are those of exceptions
    "NaN": "its objective was NaN",
    "infinity": "its objective was infinite",
    "died": "it killed or hung its process, alone in it, again and again",
}


@dataclass(frozen=True)
class Sentence:
    """What happened, and to whom."""

    text: str
    concerns: frozenset[int]


def tell(
    config: RunConfig,
    history: History,
    *,
    result: Mapping[str, Any] | None,
    worker: int | None = None,
    step: int | None = None,
) -> Iterator[str]:
    """The lines of the story, narrowed to what concerns one worker, to one evaluation point, or to both.

    ``result`` is what ``result.json`` holds; None: the run has not finished.

    Raises SettingError on a worker or a step that the run does not have.
    """
    _check(config, history, worker, step)
    finished = result is not None
    story = _Story(config, history)
    if step is None and worker is None:
        yield from _head(config, history, finished)
    if step in (None, 0):
        yield from _section("step 0: the first hyperparameters", story.draws(), worker)
    for point in history.points:
        at = max(report.step for report in point.reports)
        sentences = story.point(point, apart=worker is not None)
        if step is None or step == at:
            where = f"step {at:,}" if config.sync else f"step {at:,} of worker {point.reports[0].worker}"
            heading = f"{where}: {_counts(point.decisions) or 'nothing was decided'}"
            lines = list(_section(heading if worker is None else where, sentences, worker))
            if step is not None and not lines:
                lines = [heading if worker is None else f"{where}: nothing was decided on worker {worker}"]
            yield from lines
    if step in (None, history.step):
        yield from story.end(result, worker)


def _check(config: RunConfig, history: History, worker: int | None, step: int | None) -> None:
    workers = len(history.initial.workers)
    if worker is not None and not 0 <= worker < workers:
        raise SettingError(f"worker={worker}: must be one of the run's workers, 0 to {workers - 1}")
    steps = [0, *(max(report.step for report in point.reports) for point in history.points)]
    if step is not None and step not in steps:
        near = sorted(sorted(steps, key=lambda known: abs(known - step))[:2])
        every = f"workers are evaluated every {config.eval_interval:,} steps, up to {steps[-1]:,}"
        nearest = f"the nearest steps are {in_words.together(map(str, near))}"
        raise SettingError(f"step={step}: nothing happens there; {every}; {nearest}")


def _head(config: RunConfig, history: History, finished: bool) -> Iterator[str]:
    first, groups = 0, []
    for population, size in enumerate(config.sizes, start=1):
        groups.append(f"P{population} has {in_words.workers(range(first, first + size))}")
        first += size
    if config.evaluators:
        evaluators = in_words.workers(range(first, first + config.evaluators), "evaluator")
        groups.append(f"{evaluators} measure{'s' * (config.evaluators == 1)} the parents")
    yield f"{config.task} with algo={config.algo.name}, seed {config.seed}. {in_words.together(groups)}."
    yield (
        f"Workers are evaluated every {config.eval_interval:,} steps; "
        f"members exploit and explore every {config.ready_interval:,} steps."
    )
    if not config.sync:
        yield (
            "No worker waits for the others (sync=false). Reports are told in the order in which they came, with the "
            "worker's own steps."
        )
    if history.died:
        yield f"The run has ended at step {history.step:,}: no healthy member of P1 is left."
    elif not finished:
        yield f"The run has not finished: it is told up to its last generation, at step {history.step:,}."
    yield ""


def _section(heading: str, sentences: Iterable[Sentence], worker: int | None) -> Iterator[str]:
    """A heading and its sentences; nothing where none is left."""
    kept = [s.text for s in sentences if worker is None or worker in s.concerns]
    if kept:
        yield heading
        yield from (f"  {text}" for text in kept)


def _counts(decisions: Sequence[Decision]) -> str:
    """What happened at a point, in the order of decisions."""
    names = {
        Fail: ("failure", ""),
        Promote: ("promotion", ""),
        Copy: ("copy", "copies"),
        StopEvaluator: ("evaluator stop", ""),
        StartEvaluator: ("evaluator start", ""),
        Set: ("change of hyperparameters", "changes of hyperparameters"),
    }
    counts = Counter(type(decision) for decision in decisions)
    return ", ".join(in_words.plural(counts[kind], *name) for kind, name in names.items() if counts[kind])


class _Story:
    """The teller's way through a run; every decision is told with what was known at that moment."""

    def __init__(self, config: RunConfig, history: History):
        self.config, self.history = config, history
        self.setup = setup_of(config)
        self.settings = evaluator_settings(config.algo.settings)
        self.window = window_of(config)
        self.dimensions = {d.name: d for d in self.setup.space.dimensions}
        self.teller = Teller(history.initial)
        self.population = {w.id: w.population for w in history.initial.workers}
        self.measured: dict[int, int] = {}  # parent -> its step when an evaluator last ended on it

    def draws(self) -> Iterator[Sentence]:
        """Whom the run began with; members that began alike together."""
        alike: dict[str, list[int]] = {}
        for w in self.history.initial.workers:
            if not w.is_evaluator:
                alike.setdefault(in_words.hyperparameters(w.hyperparameters), []).append(w.id)
        for values, ids in alike.items():
            yield Sentence(f"{in_words.workers(ids)}: {values}", frozenset(ids))

    def point(self, point: Point, apart: bool = False) -> list[Sentence]:
        """One evaluation point's sentences; evaluators that begin together share one unless they are told ``apart``."""
        for report in point.reports:
            self.teller.hear(report)
        judged = dict(self.teller.curves)
        failed = {d.worker for d in point.decisions if isinstance(d, Fail)}
        heard = after_failures(self.teller.workers(), failed)
        ranks = Ranks(self.setup, self.settings, self.window, heard, self.teller.workers)
        sentences: list[Sentence] = []
        sets: dict[str, list[int]] = {}
        starts: dict[tuple[int, str], list[StartEvaluator]] = {}
        for d in point.decisions:
            if isinstance(d, Set):
                old = self.teller.stretches[d.worker][-1].settings[-1][1]
                sets.setdefault(in_words.changes(old, d.hyperparameters, self.dimensions), []).append(d.worker)
            elif isinstance(d, Fail):
                sentences.append(self._failure(d))
            elif isinstance(d, Copy):
                sentences.append(self._copy(d, ranks))
            elif isinstance(d, StartEvaluator):
                starts.setdefault((d.child, ranks.of_child(d.child)), []).append(d)
            self.teller.apply(d, judged)
            if isinstance(d, Promote | StopEvaluator):
                sentences.append(self._ended(d, point.decisions))
                self.measured[d.parent] = self.teller.steps[d.parent]
        for moves, ids in sets.items():
            sentences.append(Sentence(f"{in_words.workers(ids)}, weights kept: {moves}", frozenset(ids)))
        for (_, child), begun in starts.items():
            groups = [[d] for d in begun] if apart else [begun]
            sentences += [self._start(group, child) for group in groups]
        return sentences

    def _failure(self, d: Fail) -> Sentence:
        what = FAILURES.get(d.failure, f"its learner raised {d.failure}")
        rest = "" if self._is_evaluator(d.worker) else "; it rests until the next ready"
        return Sentence(f"{self._name(d.worker)} failed: {what}{rest}", frozenset([d.worker]))

    def _copy(self, d: Copy, ranks: Ranks) -> Sentence:
        """Whose weights, why, and what became of the hyperparameters."""
        loser, donor = ranks.of_copy(d)
        group = f"P{self.population[d.worker]}"
        did = ", which had failed, comes back with" if d.fresh else f", {loser}, takes" if loser else " takes"
        foreign = "" if self.population[d.donor] == self.population[d.worker] else f" of P{self.population[d.donor]}"
        whose = f"the weights of member {d.donor}{foreign}{f', {donor}' if donor else ''}"
        moves = in_words.changes(d.donor_hyperparameters, d.hyperparameters, self.dimensions)
        return Sentence(f"{group}: member {d.worker}{did} {whose}: {moves}", frozenset([d.worker, d.donor]))

    def _start(self, begun: Sequence[StartEvaluator], child: str) -> Sentence:
        """Evaluators that begin together with one child's hyperparameters."""
        of = f"member {begun[0].child}'s hyperparameters{f' ({child})' if child else ''}"
        concerns = frozenset(id for d in begun for id in (d.worker, d.parent, d.child))
        if len(begun) > 1:
            pairs = in_words.together([f"evaluator {d.worker} with member {d.parent}'s weights" for d in begun])
            return Sentence(f"evaluators begin with {of}: {pairs}", concerns)
        d = begun[0]
        before = self.measured.get(d.parent)
        parent = "never measured before" if before is None else f"last measured until step {before:,}"
        text = f"evaluator {d.worker} begins with {of} and member {d.parent}'s weights ({parent})"
        return Sentence(f"{text}: {in_words.hyperparameters(d.hyperparameters)}", concerns)

    def _ended(self, d: Promote | StopEvaluator, decisions: Sequence[Decision]) -> Sentence:
        """A success or a stop, with what the evaluator saw."""
        m = next(m for m in reversed(self.teller.measurements) if m.evaluator == d.worker)
        concerns = frozenset([m.evaluator, m.parent, m.child])
        if m.outcome == "replaced":
            gone = [id for id in (m.parent, m.child) if any(isinstance(c, Copy) and c.worker == id for c in decisions)]
            who = " and ".join("its parent" if id == m.parent else "its child" for id in gone) or "one of the two"
            what = f"It ends, because exploit has replaced {who}{', ' + in_words.workers(sorted(gone)) if gone else ''}"
            return Sentence(f"{trained(m)}. {what}.", concerns)
        if m.best_score_diff is None:
            return Sentence(f"{trained(m)}. {outcome(m, self.settings)}.", concerns)
        end = outcome(m, self.settings)
        if isinstance(d, Promote):
            stopping = {c.worker for c in decisions if isinstance(c, StopEvaluator | Promote)}
            others = [
                w.id
                for w in self.teller.workers().values()
                if w.evaluation and w.evaluation.child == d.child and w.id not in stopping
            ]
            if others:
                go = "goes" if len(others) == 1 else "go"
                end += f". {in_words.workers(others, 'Evaluator')} {go} on against its new curve"
            concerns |= set(others)
        return Sentence(f"{trained(m)}. {seen(m, self.settings)}. {end}.", concerns)

    def end(self, result: Mapping[str, Any] | None, worker: int | None) -> Iterator[str]:
        """Who is ahead at the end, and where that network comes from; or what became of one worker."""
        finished = result is not None
        workers = self.teller.workers()
        state = State(tuple(workers.values()))
        last = self.history.points[-1].decisions if self.history.points else []
        best = winner(state, last, self.window)
        heading = f"{'the end' if finished or best is None else 'so far'}, step {self.history.step:,}"
        if worker is not None:
            yield f"{heading}: {self._state_of(workers[worker])}"
        elif best is None:
            yield f"{heading}: no healthy member of P1 is left"
            return
        else:
            score = f"{figure_names.ranked_by(self.window)}, {in_words.number(best.objective or 0.0)}"
            told = f"It is ranked by its {score}." if best.objective is not None else "It has no evaluation yet."
            worth = figure_names.headline((result or {}).get("fresh"), bool(self.config.settings.get("env")))
            told = told if worth is None else f"Its {worth[0]} is {in_words.number(worth[1])}. {told}"
            verb = "wins" if finished else "leads"
            yield f"{heading}: member {best.worker} of P{self.population[best.worker]} {verb}. {told}"
        who = worker if worker is not None else best.worker if best else 0
        if self.history.points and not (workers[who].is_evaluator and not workers[who].evaluation):
            yield from self._path(who, workers[who].network_step)

    def _state_of(self, w: Worker) -> str:
        if w.evaluation:
            running = next(m for m in self.history.measurements if m.evaluator == w.id and m.outcome == RUNNING)
            return f"{trained(running, w.step)} and goes on"
        if w.is_evaluator:
            return f"evaluator {w.id} is idle"
        if w.failed:
            return f"member {w.id} has failed and rests"
        if not w.curve:
            return f"member {w.id} of P{w.population} has no evaluation yet since its weights were replaced"
        return f"member {w.id} of P{w.population} has {in_words.number(w.curve[-1])} as its {figure_names.LAST}"

    def _path(self, worker: int, network_step: int) -> Iterator[str]:
        """The lineage: who trained this network when, with what."""
        origins = {
            "initial": "from the start",
            "copy": "which copied it",
            "evaluator": "which measured it",
            "promotion": "promoted",
            "set": "on",
        }
        yield "  where its network comes from, step by step:"
        for s in lineage.segments(self.history.initial, self.history.decisions, worker, network_step):
            values = in_words.hyperparameters(s.hyperparameters)
            yield f"  {s.start:>11,} to {s.end:>11,}  {f'{self._name(s.worker)}, {origins[s.origin]}':33}  {values}"

    def _is_evaluator(self, worker: int) -> bool:
        return self.history.initial.workers[worker].is_evaluator

    def _name(self, worker: int) -> str:
        return f"{'evaluator' if self._is_evaluator(worker) else 'member'} {worker}"
