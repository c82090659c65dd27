"""One run of ``vs_ray_tune.py``, in a process of its own: Ray Tune or firerl, the same learner.

    python benchmarks/speed/vs_ray_tune_run.py '{"side": "tune", "seed": 0, ...}'

Prints one line of JSON: seconds of the run itself, the best last objective. Called again with ``"resume": true`` it
goes on with what was killed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # a cluster of one machine listens on loopback

import numpy as np

from firerl.agents.quadratic.learner import Quadratic

FACTORS = (1.2, 0.8)  # Tune's usual ones, for both
LOW, HIGH = 1e-5, 1.0  # explored rates stay in these
NOTES = "FIRERL_BENCHMARK_NOTES"  # the file that tells what was trained; no setting, since those enter the journal
FIRST = (1e-3, 1.0)  # first rates are drawn from these, log-uniformly


class Counted(Quadratic):
    """The noisy quadratic, with weights as heavy as asked for; it notes every interval that it trains."""

    settings: ClassVar = {**Quadratic.settings, "megabytes": 0.0}

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.ballast = np.random.default_rng(seed).random(round(settings["megabytes"] * 250_000), dtype=np.float32)

    def train(self, steps: int) -> dict[str, float]:
        self.ballast *= np.float32(0.999)
        if NOTES in os.environ:
            with open(os.environ[NOTES], "ab", buffering=0) as file:  # appended at once: others' lines never mix in
                file.write(b"%.3f\n" % time.time())
        return super().train(steps)

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {**state, "weights": {**state["weights"], "ballast": self.ballast}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights, stream)
        if weights is not None:
            self.ballast = weights["ballast"].copy()


def settings_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The learner's, the same on both sides."""
    return {**Quadratic.settings, "megabytes": cell["megabytes"]}


def run_firerl(cell: Mapping[str, Any]) -> dict[str, Any]:
    """``algo=pbt``, on Ray or in processes."""
    import firerl

    folder = Path(cell["folder"]) / "run"
    if cell.get("resume"):
        result = firerl.resume(folder, Counted, progress=False)
    else:
        result = firerl.run(
            Counted, settings=settings_of(cell), population=[cell["workers"]], evaluators=0, algo="pbt",
            algo_settings={  # a window of 1: members rank by their last objective, as Tune's trials do
                "truncation": cell["copied"] / cell["workers"], "explore_factors": list(FACTORS), "fitness_window": 1,
            },
            space={"lr": {"log_uniform": list(FIRST), "bounds": [LOW, HIGH]}},
            eval_interval=cell["interval"], ready_interval=cell["interval"] * cell["ready"],
            steps=cell["interval"] * cell["rounds"], seed=cell["seed"], engine=cell["side"], processes=cell["cpus"],
            run_dir=folder, progress=False, logger="none", devices="cpu",
        )  # fmt: skip
    return {"objective": result.objective, "hash": result.figures["hash"]}


def run_tune(cell: Mapping[str, Any]) -> dict[str, Any]:
    """``PopulationBasedTraining(synch=True)``."""
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    class Trial(tune.Trainable):
        """The learner, as Tune wants it."""

        def setup(self, config: dict[str, Any]) -> None:
            """Fresh weights, also where the actor has had another trial before."""
            self.learner = Counted(config["settings"], {"lr": config["lr"]}, self.own_seed(), "cpu")

        def own_seed(self) -> int:
            return zlib.crc32(f"{self.trial_id} {self.iteration}".encode())

        def step(self) -> dict[str, float]:
            self.learner.train(cell["interval"])
            return {"objective": self.learner.evaluate(0)}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            np.savez(Path(checkpoint_dir) / "weights.npz", **self.learner.state()["weights"])

        def load_checkpoint(self, checkpoint: Any) -> None:
            with np.load(Path(checkpoint) / "weights.npz") as weights:
                self.learner.load(weights=dict(weights))
            self.learner.rng = np.random.default_rng(self.own_seed())  # who copies draws noise of its own

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

    def clipped(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "lr": min(HIGH, max(LOW, config["lr"]))}

    random.seed(cell["seed"])
    np.random.seed(cell["seed"])  # noqa: NPY002 (Tune draws from it)
    trainable = tune.with_resources(Trial, {"cpu": cell["cpus"] / cell["at_once"]})
    folder = Path(cell["folder"]) / "tune"
    if cell.get("resume"):
        tuner = tune.Tuner.restore(str(folder / "pbt"), trainable, resume_unfinished=True, resume_errored=True)
    else:
        scheduler = PopulationBasedTraining(
            time_attr="training_iteration", perturbation_interval=cell["ready"], synch=True,
            quantile_fraction=cell["copied"] / cell["workers"], resample_probability=0.0, perturbation_factors=FACTORS,
            hyperparam_mutations={"lr": tune.loguniform(*FIRST)}, custom_explore_fn=clipped,
        )  # fmt: skip
        tuner = tune.Tuner(
            trainable,
            param_space={"settings": settings_of(cell)},
            tune_config=tune.TuneConfig(
                metric="objective", mode="max", scheduler=scheduler, num_samples=cell["workers"], reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="pbt", storage_path=str(folder), verbose=0, stop={"training_iteration": cell["rounds"]},
                checkpoint_config=tune.CheckpointConfig(num_to_keep=4, checkpoint_at_end=True),
            ),
        )  # fmt: skip
    found = tuner.fit()
    iterations = [result.metrics["training_iteration"] for result in found if result.metrics]
    return {"objective": found.get_best_result().metrics["objective"], "iterations": sorted(iterations)}


def main() -> None:
    """Run the cell that the command line holds."""
    cell = json.loads(sys.argv[1])
    sys.path.insert(0, str(Path(__file__).parent))
    if cell["side"] in ("tune", "ray"):  # before the clock starts: a cluster of this machine alone
        import ray

        ray.init("local", num_cpus=cell["cpus"], include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    began = time.perf_counter()
    found = run_tune(cell) if cell["side"] == "tune" else run_firerl(cell)
    print(json.dumps({**found, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
