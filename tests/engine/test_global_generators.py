"""Learners that draw from the process's generators: as good as any, in every engine and after every resume."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.engine.host.global_generators import Generators, Isolated
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, Load, Outcome, Saved
from firerl.storage import checkpoint


def draw() -> list[float]:
    """One normal draw of each: the second that was made with it waits in some of them."""
    return [random.gauss(0, 1), float(np.random.normal()), float(torch.randn(1))]  # noqa: NPY002


class Leans(Quadratic):
    """Draws everywhere; ``state`` and ``evaluate``, too."""

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.theta += 0.01 * sum(draw())

    def train(self, steps: int) -> dict[str, float]:
        for _ in range(steps):
            super().train(1)
            self.theta += 0.01 * sum(draw())
        return {"drawn": sum(draw())}

    def evaluate(self, seed: int) -> float:
        return super().evaluate(seed) + 0.1 * sum(draw())

    def state(self) -> dict[str, Any]:
        draw()
        return super().state()

    def load(self, **halves: Any) -> None:
        draw()
        super().load(**halves)


class Seeds(Leans):
    """As many libraries do: the same for everybody who comes after."""

    def train(self, steps: int) -> dict[str, float]:
        random.seed(1)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        return super().train(steps)


SMALL: dict[str, Any] = {
    "settings": {"dimensions": 3}, "population": [3, 2], "evaluators": 2, "steps": 120, "ready_interval": 20,
    "algo_settings": {"max_eval_steps": 60, "significance": 0.3}, "logger": "none", "progress": False,
}  # fmt: skip


def run(folder: Path, learner: type[Leans] = Leans, **more: Any) -> str:
    return str(firerl.run(learner, run_dir=folder, **{"engine": "inline", **SMALL, **more}).figures["hash"])


def test_the_same_line_gives_the_same_run_and_the_callers_generators_stay(tmp_path: Path) -> None:
    random.seed(3)
    torch.manual_seed(3)
    expected = [random.random(), torch.rand(1)]
    random.seed(3)
    torch.manual_seed(3)
    first = run(tmp_path / "a")
    assert [random.random(), torch.rand(1)] == expected
    assert run(tmp_path / "b") == first
    assert run(tmp_path / "c", seed=1) != first


def test_a_resume_at_any_generation_goes_on_with_them(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    for steps in (20, 60):
        run(tmp_path / f"{steps}", steps=steps)
        result = firerl.resume(tmp_path / f"{steps}", Leans, steps=120, progress=False)
        assert result.figures["hash"] == whole, steps


def test_the_number_of_processes_makes_no_difference(tmp_path: Path) -> None:
    short = {"steps": 60}
    whole = run(tmp_path / "whole", **short)
    assert run(tmp_path / "two", engine="local", processes=2, **short) == whole


@pytest.mark.parametrize("learner", [Leans, Seeds])
def test_neighbours_and_learners_that_wait_make_no_difference(learner: type[Leans]) -> None:
    spec = LearnerSpec(learner, {**Quadratic.settings, "dimensions": 3})
    together, waiting = (Host(replace(spec, workers_per_device=room), durable=False) for room in (None, 1))
    alone = [Host(spec, durable=False) for _ in range(3)]
    for worker in range(3):
        for one in (together, waiting, alone[worker]):
            one.create([Create(worker, {"lr": 0.1}, worker)])
    for seed in range(3):
        for worker in (2, 0, 1):
            expected = told(advance(alone[worker], worker, seed))
            assert told(advance(together, worker, seed)) == told(advance(waiting, worker, seed)) == expected


def host() -> Host:
    return Host(LearnerSpec(Leans, {**Quadratic.settings, "dimensions": 3}, chunk=5), durable=False)


def advance(host: Host, worker: int, seed: int) -> Outcome:
    return next(host.advance([Advance(worker, 10, seed)]))


def told(outcome: Outcome) -> tuple[Any, Any]:
    return outcome.objective, outcome.metrics


def test_a_worker_that_goes_to_another_process_takes_them_along(tmp_path: Path) -> None:
    here, there = host(), host()
    here.create([Create(0, {"lr": 0.1}, 5), Create(1, {"lr": 0.1}, 6)])
    there.create([Create(7, {"lr": 0.1}, 7)])
    alone = host()
    alone.create([Create(0, {"lr": 0.1}, 5)])
    assert told(advance(here, 0, 1)) == told(advance(alone, 0, 1))
    advance(here, 1, 1)
    begun = here.begin(Advance(0, 10, 2), 1)  # in the middle of an interval
    advance(there, 7, 2)
    [moved] = there.finish(Advance(0, 10, 2), begun)
    assert told(moved) == told(advance(alone, 0, 2))
    there.take(there.give([0]))
    [saved] = there.save(tmp_path, "g", [0])
    assert isinstance(saved, Saved)
    again = host()
    again.load([Load(0, {"lr": 0.1}, 99, tmp_path / saved.name)])
    assert told(advance(again, 0, 3)) == told(advance(alone, 0, 3))


class Stacked(Leans):
    """A group whose members share a draw."""

    settings: ClassVar[Mapping[str, Any]] = {**Leans.settings, "stacked": None}

    @classmethod
    def stack(cls, settings: Mapping[str, Any], slots: int, device: str) -> Any:
        class Group:
            def train(self, members: Sequence[Any], steps: int) -> list[Any]:
                drawn = sum(sum(draw()) for _ in range(steps))
                for member in members:
                    if member is not None:
                        member.theta += 0.01 * drawn
                return [None if member is None else {"drawn": drawn} for member in members]

        return Group()


def test_a_group_goes_on_with_them(tmp_path: Path) -> None:
    spec = LearnerSpec(Stacked, {**Stacked.settings, "dimensions": 3}, stacked=2)
    orders = [[Advance(worker, 10, seed) for worker in range(4)] for seed in range(3)]
    whole, first, second = (Host(spec, durable=False) for _ in range(3))
    for one in (whole, first):
        one.create([Create(worker, {"lr": 0.1}, worker) for worker in range(4)])
        np.random.rand()  # noqa: NPY002
    expected = [[told(outcome) for outcome in whole.advance(each)] for each in orders]
    assert [told(outcome) for outcome in first.advance(orders[0])] == expected[0]
    saved = [answer for answer in first.save(tmp_path, "g", range(4)) if isinstance(answer, Saved)]
    second.load([Load(one.worker, {"lr": 0.1}, 9, tmp_path / one.name) for one in saved])
    assert [[told(outcome) for outcome in second.advance(each)] for each in orders[1:]] == expected[1:]


def test_evaluating_moves_nothing_and_is_a_function_of_its_seed() -> None:
    one, other = (Isolated(Leans, {**Quadratic.settings, "dimensions": 3}, {"lr": 0.1}, 5) for _ in range(2))
    objective = one.evaluate(3)
    assert one.evaluate(4) != objective == one.evaluate(3) == other.evaluate(3)
    assert one.train(3) == other.train(3)
    one.state()
    assert checkpoint.dumps(one.state()) == checkpoint.dumps(other.state())


def test_what_nobody_draws_from_takes_no_room() -> None:
    quiet = Isolated(Quadratic, {**Quadratic.settings, "dimensions": 3}, {"lr": 0.1}, 5)
    quiet.train(4)
    assert quiet.state()["globals"] == {"seed": 5}
    generators = Generators(5)
    with generators.live():
        np.random.rand()  # noqa: NPY002
    assert set(generators.state()) == {"seed", "numpy.random"}


@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_their_state_comes_back(count: int) -> None:
    generators = Generators(2**32 - 1)
    with generators.live():
        drawn = [draw() for _ in range(count)]
    again = Generators.of_state(checkpoint.loads(checkpoint.dumps(generators.state())), "cpu")
    for one in (generators, again):
        with one.live():
            drawn.append(draw())
    assert drawn[-1] == drawn[-2]


def test_what_raises_leaves_the_callers_generators_alone() -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    with suppress(GeneratorExit), Generators(0).live():
        draw()
        raise GeneratorExit
    assert random.random() == expected
