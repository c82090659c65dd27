"""The contract of a learner, tried on one: ``python -m firerl.check``.

Every check trains a few learners a little way, in this process and once in a new one, and compares their states to
the bit. A check that would only repeat what an earlier one has found is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from firerl.engine.failures import failure_of
from firerl.engine.threads import one_thread
from firerl.errors import SettingError
from firerl.insight.check import contract_texts
from firerl.insight.check.elsewhere import Elsewhere, tried_elsewhere
from firerl.insight.check.global_random import Watched, scrambled
from firerl.insight.check.hyperparameters import hyperparameters
from firerl.insight.check.states import (
    EVALUATE_SEED,
    Snapshot,
    arrays,
    difference,
    numbers,
    objectives_differ,
    place,
    snapshot,
    spoilt,
)  # fmt: skip
from firerl.insight.check.subject import Broken, Costs, NotTried, Subject


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    passed: bool | None  # None: not tried; the text says why
    text: str
    why: str = ""  # it matters
    mend: str = ""


def examine(subject: Subject) -> Iterator[Finding]:
    """All checks, one after the other."""
    one_thread()
    failed: set[str] = set()
    for name, (check, needs) in CHECKS.items():
        if missing := [need for need in needs if need in failed]:
            failed.add(name)
            yield Finding(name, None, f"not tried: needs {', '.join(missing)}")
            continue
        finding = _tried(name, check, subject)
        if not finding.passed:
            failed.add(name)
        yield finding


def _tried(name: str, check: Callable[[Subject], str], subject: Subject) -> Finding:
    why, mend = contract_texts.TEXTS[name]
    try:
        with scrambled(0):
            return Finding(name, True, check(subject))
    except Broken as broken:
        return Finding(name, False, str(broken), why, broken.mend or mend)
    except NotTried as error:
        return Finding(name, None, f"not tried: {error}")
    except SettingError as error:
        return Finding(name, False, str(error), why, mend)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anybody's code
        return Finding(name, False, failure_of(error).line, why, contract_texts.RAISED)


# The checks, in their order. Each returns what it found right, or raises Broken.


def builds(subject: Subject) -> str:
    """The constructor takes every corner of the space, and the calls return what they must."""
    for u in (0.0, 0.999, 0.5):
        learner = subject.build(values={d.name: d.draw(u) for d in subject.space.dimensions})
    metrics = learner.train(subject.first)
    if not isinstance(metrics, Mapping) or not all(_is_number(value) for value in metrics.values()):
        raise Broken(f"train() returned {metrics!r:.80}: it must return a dict of numbers, {{}} if there are none")
    objective = learner.evaluate(EVALUATE_SEED)
    if objective is not None and not _is_number(objective):
        raise Broken(f"evaluate() returned {objective!r:.80}: it must return a number or None")
    shown = "None (nothing to report yet)" if objective is None else f"{float(objective):.6g}"
    return f"with the low, the high and the middle values of its space; objective {shown} after {subject.first} steps"


def _is_number(value: Any) -> bool:
    number = value.item() if getattr(value, "shape", None) == () else value
    return isinstance(number, int | float)


def continuation(subject: Subject) -> str:
    """The learner knows of nothing that its state cannot hold."""
    found = subject.learner.continuation_of(subject.settings)
    subject.known["lost"] = found.lost
    if found.lost:
        raise Broken(f"{found.lost}; its workers stay where they are")
    how = found.how or "nothing is known to be lost when a worker is saved; the check resume tries it"
    return how + (f"; its workers stay where they are: {found.stays}" if found.stays else "")


def plain_state(subject: Subject) -> str:
    """The state is plain data, is complete after load, and is not shared with training."""
    learner = subject.build()
    learner.train(subject.first)
    saved = snapshot(learner.state())
    if found := difference(saved, snapshot(learner.state())):
        raise Broken(f"state() called twice gives two states: {found}")
    given = saved.whole()
    other = subject.build(1)
    other.load(**given)
    halves = ("weights",) if subject.known.get("lost") else ()
    if found := difference(saved, snapshot(other.state()), *halves):
        raise Broken(f"after load(weights, stream), state() is another: {found}")
    other.train(subject.first)
    if found := difference(saved, snapshot(given)):
        raise Broken(f"training changes what load() was given: {found}")
    sizes = f"weights {len(saved.weights):,} bytes, stream {len(saved.stream):,} bytes"
    return f"tensors, arrays, numbers and strings only; {sizes}"


def same_seed(subject: Subject) -> str:
    """Two learners of one seed agree, whatever else happens in the process."""
    began = time.perf_counter()
    with scrambled(1):
        watched = learner = subject.build(kind=Watched)
        built = time.perf_counter()
        metrics = [learner.train(subject.first)]
        first = snapshot(learner.state())
        metrics.append(learner.train(subject.second))
        trained = time.perf_counter()
        second = snapshot(learner.state())
        saved = time.perf_counter()
        objective = learner.evaluate(EVALUATE_SEED)
        evaluated = time.perf_counter()
        third = snapshot(learner.state())
    learner = subject.build(2)
    loading = time.perf_counter()
    learner.load(**first.whole())
    costs = (built - began, trained - built, subject.first + subject.second, evaluated - saved, saved - trained)
    subject.known["costs"] = Costs(*costs, time.perf_counter() - loading, len(second.weights), len(second.stream))
    subject.known.update(first=first, second=second, third=third, metrics=metrics, objective=objective)
    for neighbour in (False, True):
        if found := _again(subject, neighbour):
            mend = ""
            if neighbour:
                found += ", once another learner has been built and trained in the same process"
                mend = contract_texts.SHARED
            raise Broken(f"the same seed gives another result: {found}", mend)
    other = subject.build(1)
    other.train(subject.first)
    alike = "" if difference(first, snapshot(other.state()), "weights", "stream") else contract_texts.ALIKE
    used = watched.used() if isinstance(watched, Watched) else ""
    leans = contract_texts.LEANS.format(used) if used else ""
    return f"equal to the bit, whatever the global generators and other learners of the process do{alike}{leans}"


def _again(subject: Subject, neighbour: bool) -> str:
    """The story of ``same_seed`` once more; where it differs."""
    known = subject.known
    with scrambled(2):
        learner = subject.build()
        metrics = [learner.train(subject.first)]
        if found := difference(known["first"], snapshot(learner.state())):
            return f"{found} after {subject.first} steps"
    with scrambled(3):
        if neighbour:
            other = subject.build(1)
            other.train(subject.first)
            other.evaluate(EVALUATE_SEED)
        metrics.append(learner.train(subject.second))
        if found := difference(known["second"], snapshot(learner.state())):
            return f"{found} after {subject.first} + {subject.second} steps"
        if found := place(numbers(known["metrics"]), numbers(metrics), "metrics"):
            return found
        objective = learner.evaluate(EVALUATE_SEED)
    return objectives_differ(known["objective"], objective)


def split(subject: Subject) -> str:
    """train(a), train(b) equals train(a + b)."""
    learner = subject.build()
    learner.train(subject.first + subject.second)
    whole = f"train({subject.first + subject.second})"
    parts = f"train({subject.first}), train({subject.second})"
    if found := difference(subject.known["second"], snapshot(learner.state())):
        raise Broken(f"{whole} is not {parts}: {found}")
    return f"{whole} equals {parts}"


def resume(subject: Subject) -> str:
    """train(a), save, load in a new process, train(b): as if nothing had happened."""
    third = subject.known["third"]
    what = f"train({subject.first}), save, load in a new process, train({subject.second})"
    found = subject.known["elsewhere"] = tried_elsewhere(subject)
    if found.trouble:
        raise Broken(found.trouble)
    differs = difference(third, found.resumed) if found.resumed else ""
    if differs := differs or objectives_differ(subject.known["objective"], found.objectives[0]):
        raise Broken(f"{what} goes on differently: {differs}")
    return f"{what}: equal to the bit"


def processes(subject: Subject) -> str:
    """Two workers, each in a process of its own: as in one; and one that moves goes on as if it had stayed."""
    found: Elsewhere = subject.known["elsewhere"]
    if found.neighbour is None:
        raise NotTried("evaluate() raises, as it does here")
    with scrambled(4):
        learner = subject.build(1)
        learner.train(subject.second)
        objective = learner.evaluate(EVALUATE_SEED)
        here = snapshot(learner.state())
    if differs := difference(here, found.neighbour) or objectives_differ(objective, found.objectives[1]):
        raise Broken(f"built and trained in a process of its own, a learner comes out differently: {differs}")
    if found.moving:
        raise Broken(found.moving)
    assert found.stayed is not None
    assert found.moved is not None
    if differs := difference(found.stayed, found.moved):
        raise Broken(f"a worker that moves from one process to another goes on differently: {differs}")
    return "two workers in two processes, and one that moves to the other: equal to the bit"


def evaluate(subject: Subject) -> str:
    """Training goes on the same whether evaluate was called or not."""
    learner, quiet = subject.build(), subject.build()
    for one in (learner, quiet):
        one.train(subject.first)
    before = snapshot(learner.state())
    for seed in (EVALUATE_SEED, EVALUATE_SEED + 1):
        learner.evaluate(seed)
    if found := difference(before, snapshot(learner.state()), "weights"):
        raise Broken(f"evaluate() changes {found}")
    for one in (learner, quiet):
        one.train(subject.second)
    for steps in (0, subject.first):  # a stream that differs may show a little later
        if steps:
            learner.train(steps)
            quiet.train(steps)
        if found := difference(snapshot(quiet.state()), snapshot(learner.state()), "weights"):
            raise Broken(f"after evaluate(), training goes on differently: {found}")
    return "training goes on the same with and without it"


def weights(subject: Subject) -> str:
    """The weights half alone makes another learner go on as its donor would."""
    first: Snapshot = subject.known["first"]
    used, fresh = subject.build(1), subject.build(1)
    used.train(subject.first)
    for one in (used, fresh):
        one.load(weights=first.half("weights"))
        if found := difference(first, snapshot(one.state()), "weights"):
            raise Broken(f"load(weights=...) without the stream does not bring {found}")
    for one in (used, fresh):
        one.load(stream=first.half("stream"), globals=first.half("globals"))
        one.load(weights=first.half("weights"))
        one.train(subject.second)
    if found := difference(snapshot(used.state()), snapshot(fresh.state()), "weights"):
        raise Broken(f"after load() a learner's own past still shows: {found} after {subject.second} more steps")
    note = _optimiser_in_stream(first)
    return f"they carry over without the stream, on a fresh learner and on a used one{note}"


def _optimiser_in_stream(state: Snapshot) -> str:
    """A word of doubt where the stream holds arrays like most of the weights, as an optimiser does."""
    shapes = {content.shape for content in arrays(state.half("weights")).values() if content.size > 1}
    twins = {content.shape: path for path, content in arrays(state.half("stream")).items() if content.shape in shapes}
    if not twins or 2 * len(twins) < len(shapes):
        return ""
    where = next(iter(twins.values()))
    return f"; stream{where} is shaped like a weight: if it is an optimiser's, it belongs to the weights"


def nan(subject: Subject) -> str:
    """A network that has diverged is a failure, not an objective."""
    learner = subject.build()
    learner.train(subject.first)
    first = snapshot(learner.state())
    if not arrays(first.half("weights")):
        raise NotTried("the weights hold no arrays of floats that could be NaN")
    try:
        learner.load(weights=spoilt(first.half("weights")))
        direct = learner.evaluate(EVALUATE_SEED)
        learner.train(subject.first + subject.second)
        value = learner.evaluate(EVALUATE_SEED)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # that is one way to report it
        return f"weights of NaN are a failure: {failure_of(error).kind}"
    if value is None and subject.known.get("objective") is None:
        raise NotTried("nothing to report yet, with sound weights neither: check longer with eval_interval=<more>")
    if value is None:
        raise Broken("with weights of NaN, evaluate() has nothing to report after training")
    if abs(float(value)) < float("inf"):
        raise Broken(f"with weights of NaN, evaluate() still says {float(value):.6g}")
    late = "" if direct is None or not abs(float(direct)) < float("inf") else " once it has trained with them"
    return f"weights of NaN are reported{late}: {float(value)}"


CHECKS: dict[str, tuple[Callable[[Subject], str], tuple[str, ...]]] = {
    "calls": (builds, ()),
    "continuation": (continuation, ()),
    "state": (plain_state, ("calls",)),
    "same seed": (same_seed, ("state",)),
    "split": (split, ("same seed",)),
    "resume": (resume, ("same seed", "continuation")),
    "processes": (processes, ("resume",)),
    "evaluate": (evaluate, ("same seed",)),
    "weights": (weights, ("resume",)),
    "hyperparameters": (hyperparameters, ("resume",)),
    "NaN": (nan, ("state",)),
}
