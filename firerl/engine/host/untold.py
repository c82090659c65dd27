"""What becomes of what a learner raises: its failure, until an Outcome tells it, or the machine's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from firerl.engine.failures import Failure, cause_of, failure_of, raise_if_the_machine_failed
from firerl.engine.interface import MachineFailure, Outcome
from firerl.engine.suspects import DIED
from firerl.errors import SettingError


class Untold(dict[int, Failure]):
    """Failures by worker that no Outcome has told yet. ``drop`` forgets a worker's learner; ``advice`` says what helps
    where there is no memory left."""

    def __init__(self, device: str, drop: Callable[[int], None], advice: Callable[[], str]):
        super().__init__()
        self._device, self._drop, self._advice = device, drop, advice

    def fail(self, worker: int, failure: Failure) -> None:
        """The worker has no learner any more, and its next Outcome tells why."""
        self._drop(worker)
        self[worker] = failure

    def died(self, worker: int, text: str) -> None:
        """The same of a learner whose process died, again and again."""
        self.fail(worker, Failure(DIED, text, text))

    def outcome(self, worker: int) -> Outcome:
        """What tells the worker's failure."""
        failure = self.pop(worker)
        return Outcome(worker, failure=failure.kind, traceback=failure.text, told=failure.line)

    @contextmanager
    def own_call(self, worker: int, building: bool = False) -> Iterator[None]:
        """Make what a learner raises inside its failure; while it is ``building`` itself the system's errors are the
        machine's."""
        try:
            yield
        except BaseException as error:  # anybody's code
            if isinstance(error, KeyboardInterrupt):
                raise
            self.raise_if_the_machine_failed(error, worker)
            if building and (cause := cause_of(error, OSError)):
                raise MachineFailure(f"worker {worker} cannot be built: {failure_of(cause).line}") from error
            self.fail(worker, failure_of(error))

    def raise_if_the_machine_failed(self, error: BaseException, worker: int) -> None:
        """Raise MachineFailure where it is to blame for what the learner of ``worker`` raised."""
        raise_if_the_machine_failed(error, f"worker {worker}", self._device, self._advice())

    def check_loaded(self, worker: int) -> None:
        """Raise MachineFailure where a learner did not take its own state back, SettingError where it says why."""
        if failure := self.pop(worker, None):
            if failure.kind == SettingError.__name__:  # data that is not here, say: a person can mend that
                raise SettingError(failure.message)
            # It was healthy when it was saved, and a run without a crash never loads: no part of the result.
            raise MachineFailure(f"worker {worker} cannot be loaded again: {failure.line}")
