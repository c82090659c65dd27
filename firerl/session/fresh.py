"""What a learner says of finished weights on data that the search did not see: its ``report``.

It is anybody's code, and what it does must not cost a run its results. Where the run has processes it is asked in one
of its own, for a limited time. With ``engine=inline`` it is asked in this process: what it raises is caught, and the
results are written before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firerl.base.seeding import Purpose, integer_seed
from firerl.config.run_config import RunConfig
from firerl.engine import devices
from firerl.engine.failures import Failure
from firerl.engine.interface import LearnerSpec, MachineFailure
from firerl.errors import FirerlError
from firerl.learner import Learner
from firerl.session.watching.progress import Observer
from firerl.storage.store import Store

APART = ("local", "ray")  # engines that have processes
LEAST_SECONDS = 180.0  # that a report may take; as long as the whole run took, if that was longer


class Reporter:
    """Asks a run's learner for its figures."""

    def __init__(self, config: RunConfig, learner: type[Learner], store: Store, observer: Observer | None = None):
        """``observer`` hears where there are none."""
        self._config, self._learner, self._store, self._observer = config, learner, store, observer
        self.silent = learner.report is Learner.report  # it has none to tell
        self.apart = config.engine.name in APART
        self._engine: Any = None

    def figures(self, hyperparameters: Mapping[str, Any], weights: Any) -> dict[str, float]:
        """What it says of these weights; {} if nothing. A learner that fails here costs its figures, not the run: the
        traceback goes to ``failures.log``."""
        from firerl.storage import checkpoint

        if self.silent:
            return {}
        seed = integer_seed(self._config.seed, Purpose.REPORT)
        try:
            answer = self._started().report(hyperparameters, seed, checkpoint.dumps(weights))
            if not isinstance(answer, Failure):
                return dict(answer)
            told, text = answer.line, answer.text
        except (MachineFailure, FirerlError, OSError, RuntimeError) as error:  # its process has ended, or hangs
            self.close()
            told = text = str(error)
        self._store.log_failure(f"report() of the winner: {text}")
        if self._observer is not None:
            log = self._store.run_dir / "failures.log"
            self._observer.note(f"no figures on fresh data, since report() failed: {told}; see {log}")
        return {}

    def _started(self) -> Any:
        from firerl.engine.inline import InlineEngine
        from firerl.engine.local.local import LocalEngine

        if self._engine is None:
            config = self._config
            device = devices.of_run(config, self._learner)[:1]
            spec = LearnerSpec(self._learner, config.settings, device, deterministic=config.engine.deterministic)
            self._engine = LocalEngine(spec, 1, self._limit()) if self.apart else InlineEngine(spec)
        return self._engine

    def _limit(self) -> float:
        """Seconds."""
        if self._config.engine.timeout is not None:
            return self._config.engine.timeout
        return max(LEAST_SECONDS, sum(timing["seconds"] for timing in self._store.journal().timings()))

    def close(self) -> None:
        """End its process."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
