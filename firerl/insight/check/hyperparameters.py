"""Whether hyperparameters take effect between two calls."""

from __future__ import annotations

from firerl.insight.check import contract_texts
from firerl.insight.check.states import (
    EVALUATE_SEED,
    difference,
    numbers,
    objectives_differ,
    place,
    snapshot,
    trained_differently,
)  # fmt: skip
from firerl.insight.check.subject import Broken, Subject

LONGER = 3  # times the steps, before it is said that no effect was seen


def hyperparameters(subject: Subject) -> str:
    """Setting the values that it has changes nothing; every other value takes effect, without a rebuild."""
    first, second = subject.known["first"], subject.known["second"]
    learner = subject.build()
    learner.train(subject.first)
    learner.set_hyperparameters(subject.values)
    learner.train(subject.second)
    if found := difference(second, snapshot(learner.state())):
        raise Broken(f"set_hyperparameters() with the values that it has changes the training: {found}")
    idle = [d.name for d in subject.space.dimensions if not _takes_effect(subject, d.name)]
    idle = [name for name in idle if not _acts_late(subject, name)]
    if baked := [name for name in idle if _built_in(subject, name)]:
        raise Broken(
            f"a changed {', '.join(baked)} has no effect on {subject.second} steps of training or on evaluate()",
            contract_texts.IDLE.format(baked[0]),
        )
    far = {d.name: d.draw(0.9) for d in subject.space.dimensions}
    changed, rebuilt = subject.build(), subject.build(values=far)
    changed.train(subject.first)
    rebuilt.load(**first.whole())
    for one in (changed, rebuilt):
        one.set_hyperparameters(far)
        one.train(subject.second)
    if found := trained_differently(snapshot(changed.state()), snapshot(rebuilt.state())):
        raise Broken(f"set_hyperparameters() gives another result than a learner built with these values: {found}")
    names = ", ".join(name for name in subject.space.names if name not in idle) or "there are none"
    unseen = contract_texts.UNSEEN.format(", ".join(idle)) if idle else ""
    return f"each takes effect between two calls, without a rebuild: {names}{unseen}"


def _takes_effect(subject: Subject, name: str) -> bool:
    (dimension,) = (d for d in subject.space.dimensions if d.name == name)
    for value in {dimension.draw(0.95), dimension.draw(0.05)} - {subject.values[name]}:
        learner = subject.build()
        learner.load(**subject.known["first"].whole())
        learner.set_hyperparameters({**subject.values, name: value})
        metrics = learner.train(subject.second)
        if trained_differently(subject.known["second"], snapshot(learner.state())):
            return True
        if place(numbers(subject.known["metrics"][1:]), numbers([metrics]), "metrics"):
            return True
        if objectives_differ(subject.known["objective"], learner.evaluate(EVALUATE_SEED)):
            return True
    return False


def _acts_late(subject: Subject, name: str) -> bool:
    """Whether it shows in longer training with bold values of the others, as a clip does that is seldom reached."""
    (dimension,) = (d for d in subject.space.dimensions if d.name == name)
    bold = {d.name: d.draw(0.95) for d in subject.space.dimensions}
    ends = []
    for u in (0.0, 0.999):
        learner = subject.build()
        learner.load(**subject.known["first"].whole())
        learner.set_hyperparameters({**bold, name: dimension.draw(u)})
        metrics = learner.train(LONGER * subject.second)
        ends.append((snapshot(learner.state()), numbers([metrics]), learner.evaluate(EVALUATE_SEED)))
    (one, told, objective), (other, others, another) = ends
    return bool(trained_differently(one, other) or place(told, others, "") or objectives_differ(objective, another))


def _built_in(subject: Subject, name: str) -> bool:
    """Whether a learner that is built with another value trains differently."""
    (dimension,) = (d for d in subject.space.dimensions if d.name == name)
    for value in {dimension.draw(0.95), dimension.draw(0.05)} - {subject.values[name]}:
        learner = subject.build(values={**subject.values, name: value})
        learner.train(subject.first)
        if trained_differently(subject.known["first"], snapshot(learner.state())):
            return True
    return False
