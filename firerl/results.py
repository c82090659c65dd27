"""What a finished run says: the winner, its schedule, what evolution did."""

from __future__ import annotations

import json
import traceback
from typing import Any

import yaml

from firerl import checkpoint
from firerl.config import RunConfig, window_of
from firerl.evolution import lineage, plain
from firerl.evolution.population import counts
from firerl.evolution.winner import Leader, winner
from firerl.journal_db import Generation
from firerl.learner import Learner
from firerl.seeding import Purpose, integer_seed
from firerl.store import Store


def write(
    config: RunConfig, learner: type[Learner], store: Store, generation: Generation, stopped: str
) -> dict[str, Any]:
    """Write ``best.pt``, ``best_ever.pt``, ``schedule.yaml`` and last ``result.json``; returns what the last holds.

    A function of the journal and the checkpoints alone: it holds no times and no paths.
    """
    journal = store.journal()
    decisions = journal.decisions()
    leader = winner(generation.state, generation.decisions, window_of(config))
    assert leader is not None, "the controller ends a run whose P1 is dead before it gets here"
    path = lineage.segments(journal.initial_state(), decisions, leader.worker, leader.network_step)
    schedule = lineage.schedule(path)
    best = {**_network(config, store, generation, leader), **_facts(config, learner, store)}
    if schedule:  # what it has trained with; a decision at the end may have changed what would come next
        best["hyperparameters"] = schedule[-1]["hyperparameters"]
    store.write_result_file("best.pt", checkpoint.dumps(best))
    if generation.best_ever is not None:
        ever = {**best, "weights": store.journal().read_file(generation.best_ever.file)["weights"]}
        ever.update(
            objective=generation.best_ever.objective,
            network_step=generation.best_ever.step,
            hyperparameters=dict(generation.best_ever.hyperparameters),
        )
        store.write_result_file("best_ever.pt", checkpoint.dumps(ever))
    head = {"task": config.task, "learner": config.learner, "worker": leader.worker}
    store.write_result_file("schedule.yaml", yaml.safe_dump({**head, "schedule": schedule}, sort_keys=False).encode())
    best_ever = None
    if generation.best_ever is not None:
        best_ever = {key: value for key, value in plain.encode(generation.best_ever).items() if key != "file"}
    result = {
        **head,
        "algo": config.algo.name,
        "seed": config.seed,
        "steps": generation.step,
        "stopped": stopped,
        "hash": generation.hash,
        "objective": leader.objective,
        "hyperparameters": dict(best["hyperparameters"]),
        "fresh": fresh_figures(config, learner, best, store),
        "lineage": [plain.encode(segment) for segment in path],
        "best_ever": best_ever,
        "evolution": counts(decisions),
    }
    store.write_result_file("result.json", json.dumps(plain.encode(result), indent=1).encode())
    return result


def fresh_figures(config: RunConfig, learner: type[Learner], best: dict[str, Any], store: Store) -> dict[str, float]:
    """What the learner says of the winner's weights on data that the search did not see; {} if nothing.

    A learner that fails here costs its figures, not the run: the traceback goes to ``failures.log``.
    """
    seed = integer_seed(config.seed, Purpose.REPORT)
    try:
        network = learner(config.settings, best["hyperparameters"], seed, config.engine.device)
        network.load(weights=best["weights"])
        return {str(name): float(value) for name, value in network.report(seed).items()}
    except Exception:  # anybody's code
        store.log_failure(f"report() of the winner: {traceback.format_exc()}")
        return {}


def _facts(config: RunConfig, learner: type[Learner], store: Store) -> dict[str, Any]:
    """What a policy needs besides settings and weights; a learner that fails here costs its policy, not the run."""
    try:
        facts = learner.facts_of(config.settings)
        checkpoint.dumps(facts, "facts_of()")
        return {"facts": facts}
    except Exception:  # anybody's code
        store.log_failure(f"facts_of() for the winner's policy: {traceback.format_exc()}")
        return {}


def _network(config: RunConfig, store: Store, generation: Generation, leader: Leader) -> dict[str, Any]:
    file = generation.files[leader.holder]
    return {
        "task": config.task,
        "learner": config.learner,
        "settings": dict(config.settings),
        "hyperparameters": dict(generation.state.workers[leader.worker].hyperparameters),
        "objective": leader.objective,
        "network_step": leader.network_step,
        "weights": store.journal().read_file(file.name)["weights"],
    }
