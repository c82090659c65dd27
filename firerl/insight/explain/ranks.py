"""Ranks at one evaluation point, recomputed from the journal: why it was this member that copied, and that donor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

from firerl.evolution import evaluators
from firerl.evolution.evaluators import EvaluatorSettings
from firerl.evolution.exploit import Workers, objective_fitness, ranking
from firerl.evolution.population import Copy, Setup, Worker
from firerl.summary import in_words


class Ranks:
    """The ranks at one evaluation point, as far as they can be had from the journal.

    A fitness is recomputed for all members of a sub-population in the ways that are known (the objective; improvement,
    as evaluators see it), and a rank is told only where that gives the journalled fitness back. ``heard`` are the
    workers after the reports and failures, ``now`` gives them as they stand when it is asked.
    """

    def __init__(
        self, setup: Setup, settings: EvaluatorSettings, window: int, heard: Workers, now: Callable[[], Workers]
    ):
        self.setup, self.settings, self.window, self.heard, self.now = setup, settings, window, heard, now

    def of_copy(self, copy: Copy) -> tuple[str, str]:
        """What to say of the loser and of the donor: ``8th of 8 (objective 210)``; "" without a fitness."""
        fitness = {copy.worker: copy.fitness, copy.donor: copy.donor_fitness}
        given = {id: value for id, value in fitness.items() if value is not None}
        mine, other = copy.fitness, copy.donor_fitness
        both = in_words.apart(mine, other) if mine is not None and other is not None else ()
        texts = dict(zip(given, both, strict=False))
        said = {id: self._place(id, given, texts.get(id, in_words.number(value))) for id, value in given.items()}
        return said.get(copy.worker, ""), said.get(copy.donor, "")

    def _place(self, worker: int, fitness: Mapping[int, float], text: str) -> str:
        """The rank of one of these, by the kind of fitness that gives those of its sub-population back."""
        population = self.before[worker].population
        group = [w for w in self.before.values() if w.population == population and not w.is_evaluator]
        ours = {id: value for id, value in fitness.items() if self.before[id].population == population}
        kinds = ["objective", "improvement"] if population == 1 else ["improvement", "objective"]
        for kind in kinds:
            known = self.objective if kind == "objective" else self.improvement
            ranked = [w.id for w in ranking(self.setup, group, known)]
            if worker in ranked and all(known.get(id) == value for id, value in ours.items()):
                return f"{_rank(worker, ranked, len(group))} ({kind} {text})"
        return f"fitness {text}"

    def of_child(self, child: int) -> str:
        """The rank and the objective of a member of P1, as it stands; "" for others and before its first objective."""
        workers = self.now()
        group = [w for w in workers.values() if w.population == 1 and not w.is_evaluator]
        fitness = {w.id: objective_fitness(w, self.window) for w in group}
        ranked = [w.id for w in ranking(self.setup, group, fitness)]
        own = fitness.get(child)
        return (
            ""
            if child not in ranked or own is None
            else f"{_rank(child, ranked, len(group))}, objective {in_words.number(own)}"
        )

    @cached_property
    def before(self) -> Workers:
        """The workers when the first copy is told: after the verdicts, before exploit."""
        return self.now()

    @cached_property
    def objective(self) -> Mapping[int, float | None]:
        """The fitness of whoever ranks by its own curve."""
        return {id: objective_fitness(w, self.window) for id, w in self.before.items()}

    @cached_property
    def improvement(self) -> Mapping[int, float | None]:
        """The fitness of parents by their evaluators' curves, before the verdicts."""
        made = evaluators.smoothed([w for w in self.heard.values() if w.evaluation], self.settings.smoothing)
        return evaluators.improvement_fitness(self.heard, made, self.settings.min_points)


def after_failures(workers: Workers, failed: set[int]) -> Workers:
    """A failed evaluator measures nobody any more, a failed member is ranked no more."""
    gone: dict[int, Worker] = {id: replace(workers[id], failed=True, evaluation=None) for id in failed}
    return {**workers, **gone}


def _rank(worker: int, ranked: list[int], size: int) -> str:
    return f"{in_words.ordinal(1 + ranked.index(worker))} of {len(ranked)}{' ranked' if len(ranked) < size else ''}"
