"""Runs whose journals are written by hand, without a learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firerl.config.run_config import AlgoConfig, RunConfig, to_plain
from firerl.evolution.population import (
    Copy,
    Evaluation,
    Fail,
    Promote,
    Report,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)
from firerl.storage.generation import Point
from firerl.storage.store import Store

SPACE = {"lr": {"log_uniform": [1e-3, 1.0]}}


def config_for(run_dir: Path, algo: str = "fire", **changes: Any) -> RunConfig:
    """P1 and P2 of two members, one evaluator (pbt, random: five members); four evaluations, two a ready."""
    fire = algo == "fire"
    config = RunConfig(
        task="Quadratic",
        learner="quadratic",
        settings={"dimensions": 4, "kappa": 1.5, "noise": 0.3},
        space=SPACE,
        algo=AlgoConfig(algo, {}),
        sizes=(2, 2) if fire else (5,),
        evaluators=1 if fire else 0,
        steps=40,
        eval_interval=10,
        ready_interval=20,
        run_dir=str(run_dir),
    )
    return dataclasses.replace(config, **changes)


def members_of(config: RunConfig, values: dict[str, Any] | None = None) -> State:
    """The first population of a config; worker i has lr (i + 1) / 10, or all have ``values``."""
    populations = [p for p, size in enumerate(config.sizes, start=1) for _ in range(size)]
    workers = [
        Worker(i, p, False, {"lr": (i + 1) / 10} if values is None else values) for i, p in enumerate(populations)
    ]
    return State((*workers, *(Worker(len(workers) + i, 2, True) for i in range(config.evaluators))))


def fire_points() -> list[Point]:
    """Two evaluation points: a start, then a copy, a success and a stop, each told as the core would."""
    begin = StartEvaluator(worker=4, parent=2, child=0, step=10, network_step=10, hyperparameters={"lr": 0.1})
    first = Point([Report(i, 10, float(i), {"loss": 0.5, "a": 1.0}) for i in range(4)], [begin])
    second = Point(
        [*(Report(i, 20, i + 0.25) for i in range(3)), Report(3, 20, failure="NaN"), Report(4, 20, None)],
        [
            Fail(3, 20, "NaN"),
            Promote(4, 2, 0, 20, 20, 7, 0.5, 0.0078125),
            Copy(3, 2, 20, 20, {"lr": 0.3}, {"lr": 0.6}, None, 1.5, fresh=True),
            StartEvaluator(4, 3, 1, 20, 20, {"lr": 0.2}),
            StopEvaluator(4, 3, 1, 20, "no-improvement", 5, -0.1, 0.5),
        ],
    )
    return [first, second]


def state_after(state: State) -> State:
    """Worker 3 as after its copy, the evaluator at work."""
    workers = [dataclasses.replace(w, step=20) for w in state.workers]
    workers[3] = dataclasses.replace(workers[3], hyperparameters={"lr": 0.6})
    if len(workers) > 4 and workers[4].is_evaluator:
        workers[4] = dataclasses.replace(workers[4], evaluation=Evaluation(2, 0, 20), hyperparameters={"lr": 0.1})
    return State(tuple(workers))


def make_run(config: RunConfig, points: Sequence[Point]) -> str:
    """A run folder with one generation; returns its hash."""
    state = members_of(config)
    store = Store.create(Path(config.run_dir), to_plain(config), {"seed": 0}, state)
    generation = store.commit(store.last(), 20, points, state_after(state), [], None, {})
    store.close()
    return generation.hash
