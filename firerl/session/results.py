"""What a finished run says: the winner, its schedule, what evolution did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from firerl.config.run_config import RunConfig, window_of
from firerl.engine.failures import failure_of
from firerl.errors import RunFolderError
from firerl.evolution import lineage, plain
from firerl.evolution.population import Decision, State, counts, member_steps
from firerl.evolution.winner import Leader, winner
from firerl.learner import Learner
from firerl.session.fresh import Reporter
from firerl.session.watching.progress import Observer
from firerl.storage.generation import Generation
from firerl.storage.store import Store
from firerl.summary import figure_names

NOT_TOLD = ("fresh", "headline", "names", "stopped")  # of result.json: what is no function of the journal


@dataclass(frozen=True)
class Told:
    """What a journal alone gives of a run's result."""

    leader: Leader
    schedule: dict[str, Any]  # what schedule.yaml holds
    result: dict[str, Any]  # what result.json holds, but for NOT_TOLD


def told(config: RunConfig, initial: State, decisions: Sequence[Decision], generation: Generation) -> Told | None:
    """The result of a run that ends with ``generation``, the last; None: nobody in P1 is healthy."""
    leader = winner(generation.state, generation.decisions, window_of(config))
    if leader is None:
        return None
    path = lineage.segments(initial, decisions, leader.worker, leader.network_step)
    schedule = lineage.schedule(path)
    values = generation.state.workers[leader.worker].hyperparameters
    if path:  # what it has trained with; a decision at the end may have changed what would come next
        values = path[-1].hyperparameters
    head = {"task": config.task, "learner": config.learner, "worker": leader.worker}
    best_ever = None
    if generation.best_ever is not None:
        best_ever = {key: value for key, value in plain.encode(generation.best_ever).items() if key != "file"}
    result = {
        **head,
        "algo": config.algo.name,
        "seed": config.seed,
        "steps": generation.step if config.sync else max(member_steps(generation.state)),
        "hash": generation.hash,
        "objective": leader.objective,
        "hyperparameters": dict(values),
        "lineage": [plain.encode(segment) for segment in path],
        "best_ever": best_ever,
        "evolution": counts(decisions),
    }
    return Told(leader, {**head, "schedule": schedule}, result)


def write(
    config: RunConfig,
    learner: type[Learner],
    store: Store,
    generation: Generation,
    stopped: str,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Write ``best.pt``, ``best_ever.pt``, ``schedule.yaml`` and last ``result.json``; returns what the last holds.

    A function of the journal and the checkpoints alone: it holds no times and no paths. ``observer`` hears where the
    learner has failed to tell its figures.
    """
    from firerl.storage import checkpoint  # loads torch, which whoever verifies a journal does not need

    journal = store.journal()
    found = told(config, journal.initial_state(), journal.decisions(), generation)
    assert found is not None, "the controller ends a run whose P1 is dead before it gets here"
    best = {**_network(config, store, generation, found), **_facts(config, learner, store)}
    contents = {"best.pt": checkpoint.dumps(best)}
    if generation.best_ever is not None:
        ever = {**best, "weights": store.journal().read_file(generation.best_ever.file)["weights"]}
        ever.update(
            objective=generation.best_ever.objective,
            network_step=generation.best_ever.step,
            hyperparameters=dict(generation.best_ever.hyperparameters),
        )
        contents["best_ever.pt"] = checkpoint.dumps(ever)
    contents["schedule.yaml"] = yaml.safe_dump(found.schedule, sort_keys=False).encode()
    result = {**found.result, "stopped": stopped, "fresh": {}}

    def written(fresh: Mapping[str, float]) -> dict[str, Any]:
        plays, window = bool(config.settings.get("env")), window_of(config)
        best = figure_names.headline(fresh, plays)
        result["fresh"] = dict(fresh)
        result["headline"] = {"name": figure_names.ranked_by(window), "value": found.leader.objective}
        if best is not None:
            result["headline"] = {"name": best[0], "value": best[1]}
        result["names"] = figure_names.of_result(window, plays, fresh)
        store.write_results({**contents, "result.json": json.dumps(plain.encode(result), indent=1).encode()})
        return result

    with Reporter(config, learner, store, observer) as reporter:
        if not reporter.apart and not reporter.silent:
            written({})  # in this process it may do what it likes, such as end it
        fresh = reporter.figures(best["hyperparameters"], best["weights"])
    return written(fresh)


def _facts(config: RunConfig, learner: type[Learner], store: Store) -> dict[str, Any]:
    """What a policy needs besides settings and weights; a learner that fails here costs its policy, not the run."""
    from firerl.storage import checkpoint

    try:
        facts = learner.facts_of(config.settings)
        checkpoint.dumps(facts, "facts_of()")
        return {"facts": facts}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anybody's code
        store.log_failure(f"facts_of() for the winner's policy: {failure_of(error).text}")
        return {}


def _network(config: RunConfig, store: Store, generation: Generation, found: Told) -> dict[str, Any]:
    file = generation.network_of(found.leader)
    if file is None:
        raise RunFolderError(f"{store.run_dir / 'journal.sqlite'} is damaged: it has no checkpoint of the winner's")
    return {
        "task": config.task,
        "learner": config.learner,
        "settings": dict(config.settings),
        "hyperparameters": found.result["hyperparameters"],
        "objective": found.leader.objective,
        "network_step": found.leader.network_step,
        "weights": store.journal().read_file(file.name)["weights"],
    }
