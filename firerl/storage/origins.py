"""What each worker's next interval starts from in asynchronous mode, as the journal tells it.

There a generation is one report, and its file is the state of the worker that has reported. A copy takes the weights
of the donor's latest report; a worker whose interval was thrown away begins again from its own latest report, with the
weights and hyperparameters that it has been given since. So two files make a worker: one for its learner and its
stream, one for its weights. Which they are follows from the reports and decisions in their order alone: a resume does
what the run itself would have done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from firerl.evolution.population import Copy, Decision, Promote, Report, Set, StartEvaluator, State


class Place(NamedTuple):
    """The state of ``worker`` that was saved at ``generation``; at 0: as it was built."""

    worker: int
    generation: int

    @property
    def name(self) -> str:
        """Of the file in the checkpoint folder."""
        return f"g{self.generation:06d}-w{self.worker}.pt"


@dataclass(frozen=True)
class Origin:
    """Where a worker begins its next interval."""

    own: Place | None  # its latest report; None: a new learner, with the seed of ``built``
    built: int = 0  # the worker's step at which that learner is new
    weights: Place | None = None  # that it takes over; None: its own
    changed: bool = False  # decisions have given it weights or hyperparameters since its latest report

    @property
    def network(self) -> Place | None:
        """The file of the weights that it goes on with; None: those of its new learner."""
        return self.weights or self.own


Origins = dict[int, Origin]  # of the workers that have a learner


def first(initial: State) -> Origins:
    """At the start of a run: every member has its new learner."""
    return {w.id: Origin(Place(w.id, 0)) for w in initial.workers if not w.is_evaluator}


def follow(origins: Mapping[int, Origin], generation: int, report: Report, decisions: Iterable[Decision]) -> Origins:
    """The origins after ``generation``: one report and what was decided on it."""
    after = dict(origins)
    if report.failure is None:
        after[report.worker] = Origin(Place(report.worker, generation))
    else:
        after.pop(report.worker, None)
    for d in decisions:
        if isinstance(d, Promote):
            after[d.child] = replace(after[d.child], weights=after[d.worker].network, changed=True)
        elif isinstance(d, Copy | StartEvaluator):
            source = after.get(d.donor if isinstance(d, Copy) else d.parent)
            network = source.network if source else None
            old = None if d.fresh or network is None else after.get(d.worker)  # of new weights: a new learner's
            own, built = (None, d.step) if old is None else (old.own, old.built)
            after[d.worker] = Origin(own, built, network, changed=True)
        elif isinstance(d, Set) and d.worker in after:
            after[d.worker] = replace(after[d.worker], changed=True)
    return after


def needed(origins: Mapping[int, Origin]) -> frozenset[str]:
    """The names of the files that these workers begin from."""
    return frozenset(place.name for o in origins.values() for place in (o.own, o.weights) if place)


def touched(decisions: Iterable[Decision]) -> set[int]:
    """The workers that a running interval is of no use to any more: these decisions change what they are."""
    return {worker for d in decisions for worker in (d.worker, *((d.child,) if isinstance(d, Promote) else ()))}
