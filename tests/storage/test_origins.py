"""What a worker's next interval starts from, decision by decision."""

from __future__ import annotations

from simulate import make_setup

from firerl.evolution.population import Copy, Fail, Promote, Report, Set, StartEvaluator, StopEvaluator, initial_state
from firerl.storage.origins import Origin, Origins, Place, first, follow, needed, touched

# Members 0 and 1 of P1, 2 and 3 of P2, evaluator 4.
START = first(initial_state(make_setup((2, 2), 1)))
VALUES = {"lr": 0.1}


def copy(worker: int, donor: int, step: int = 20, fresh: bool = False) -> Copy:
    return Copy(worker, donor, step, 20, VALUES, VALUES, 0.0, 1.0, fresh)


def begin(worker: int, parent: int, child: int = 0, step: int = 20, fresh: bool = False) -> StartEvaluator:
    return StartEvaluator(worker, parent, child, step, 20, VALUES, fresh)


def after(*reports: tuple[int, list[object]], start: Origins = START, number: int = 1) -> Origins:
    """The origins after these reports, (worker, decisions), the first of which is generation ``number``."""
    found = start
    for generation, (worker, decisions) in enumerate(reports, start=number):
        failed = any(isinstance(d, Fail) for d in decisions)
        found = follow(found, generation, Report(worker, 10, failure="NaN" if failed else None), decisions)  # type: ignore[arg-type]
    return found


def test_a_run_begins_with_the_members_as_they_were_built() -> None:
    assert {w: Origin(Place(w, 0)) for w in range(4)} == START
    assert needed(START) == {f"g000000-w{w}.pt" for w in range(4)}


def test_who_has_reported_goes_on_from_that() -> None:
    assert after((1, []), (0, []), (1, []))[1] == Origin(Place(1, 3))


def test_a_copy_takes_the_donors_latest_report_and_keeps_its_own_stream() -> None:
    found = after((1, []), (0, [copy(0, 1)]), (1, []))
    assert found[0] == Origin(Place(0, 2), 0, Place(1, 1), True)
    assert needed(found) >= {"g000002-w0.pt", "g000001-w1.pt", "g000003-w1.pt"}
    assert after((1, []), (0, [copy(0, 1)]), (0, []))[0] == Origin(Place(0, 3))


def test_a_copy_of_who_has_just_copied_takes_what_that_one_took() -> None:
    found = after((1, []), (0, [copy(0, 1)]), (3, [copy(3, 0)]))
    assert found[3].weights == Place(1, 1)


def test_who_has_failed_begins_with_a_new_learner() -> None:
    found = after((1, []), (0, [Fail(0, 10, "NaN")]))
    assert 0 not in found
    found = after((1, [copy(0, 1, 30, fresh=True)]), start=found, number=3)
    assert found[0] == Origin(None, 30, Place(1, 3), True)


def test_an_evaluator_keeps_its_stream_from_one_evaluation_to_the_next() -> None:
    begun = after((2, [begin(4, 2, step=10)]))
    assert begun[4] == Origin(None, 10, Place(2, 1), True)
    assert after((0, [begin(4, 3, step=15)]), start=begun, number=2)[4] == Origin(None, 10, Place(3, 0), True)
    reported = after((4, []), (0, [begin(4, 3)]), start=begun, number=2)
    assert reported[4] == Origin(Place(4, 2), 0, Place(3, 0), True)


def test_a_promoted_child_takes_its_evaluators_report_and_keeps_its_own_stream() -> None:
    begun = after((2, [begin(4, 2, step=10)]), (0, []))
    promoted = after((4, [Promote(4, 2, 0, 20, 20, 7, 1.0, 0.001), begin(4, 3)]), start=begun, number=3)
    assert promoted[0] == Origin(Place(0, 2), 0, Place(4, 3), True)
    assert promoted[4] == Origin(Place(4, 3), 0, Place(3, 0), True)


def test_new_hyperparameters_leave_the_weights() -> None:
    assert after((0, [Set(0, 10, 10, VALUES)]))[0] == Origin(Place(0, 1), changed=True)


def test_a_running_interval_is_of_no_use_to_whom_a_decision_is_about() -> None:
    stop = StopEvaluator(4, 2, 1, 20, "replaced", 3, None, None)
    assert touched([copy(2, 3), stop, begin(4, 3)]) == {2, 4}
    assert touched([Promote(4, 2, 0, 20, 20, 7, 1.0, 0.001)]) == {0, 4}
