"""What of a run is kept at this moment, in words: for whoever interrupts it, and for whoever goes on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from firerl.errors import FirerlError
from firerl.storage.generation import Generation
from firerl.storage.journal.journal_db import Journal, whole_result


def kept(run_dir: Path) -> str:
    """Of a run that was interrupted just now: what is kept, what will be computed again."""
    if not (run_dir / "journal.sqlite").exists():
        return "interrupted before the run began; nothing is kept"
    try:
        with closing(Journal.open(run_dir)) as journal:
            last, finished = journal.last(), whole_result(journal) is not None
            ready = int(journal.config()["ready_interval"])
            synchronous = journal.synchronous()
    except (FirerlError, OSError, LookupError, TypeError, ValueError):  # said when somebody goes on
        return "interrupted"
    if finished:
        return f"interrupted; kept: the run as it has ended, {where(last, synchronous)}, with its results"
    if not last.number:
        until = f"the first generation is saved at step {ready:,}" if synchronous else "no report had come"
        return f"interrupted; kept: its settings and first population, for {until}. All is computed again"
    return f"interrupted; kept: {where(last, synchronous)}. What came after it is computed again"


def where(generation: Generation, synchronous: bool) -> str:
    """Where a run stands: ``generation 5 (step 150)``."""
    if synchronous:
        return f"generation {generation.number} (step {generation.step:,})"
    return f"report {generation.number:,} of all workers"
