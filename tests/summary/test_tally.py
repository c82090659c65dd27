"""What a population is in a few numbers."""

from __future__ import annotations

from pathlib import Path

from journals_by_hand import config_for, members_of

from firerl.evolution.population import Report, State
from firerl.summary.tally import summaries


def test_summaries_rank_what_was_reported_not_what_a_copy_emptied() -> None:
    state = members_of(config_for(Path()))
    reports = [Report(0, 10, 1.0), Report(1, 10, 3.0), Report(2, 10, 9.0, failure="X"), Report(4, 10, 99.0)]
    first, second = summaries(state, reports)
    assert (first.best, first.median, first.members) == (3.0, 2.0, 2)
    assert (second.best, second.median) == (None, None)
    assert summaries(State(()), []) == []
