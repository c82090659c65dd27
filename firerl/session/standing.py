"""What of a run is kept at this moment, in words: for whoever interrupts it, and for whoever goes on."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from firerl.errors import FirerlError
from firerl.storage.generation import Generation
from firerl.storage.journal.journal_db import Journal, whole_result
from firerl.summary.in_words import duration_text


def kept(run_dir: Path, begun: float) -> str:
    """Of a run that was interrupted just now: what is kept, how much will be computed again.

    ``begun``: when this process started or resumed it, by time.time.
    """
    if not (run_dir / "journal.sqlite").exists():
        return "interrupted before the run began; nothing is kept"
    try:
        with closing(Journal.open(run_dir)) as journal:
            last, finished = journal.last(), whole_result(journal) is not None
            ready = int(journal.config()["ready_interval"])
            synchronous = journal.synchronous()
        saved = [(run_dir / "checkpoints" / file.name).stat().st_mtime for file in last.files.values()]
    except (FirerlError, OSError, LookupError, TypeError, ValueError):  # said when somebody goes on
        return "interrupted"
    if finished:
        return f"interrupted; kept: the run as it has ended, {where(last, synchronous)}, with its results"
    lost = duration_text(time.time() - max([begun, *saved]))
    if not last.number:
        until = f"the first generation is saved at step {ready:,}" if synchronous else "no report had come"
        return (
            f"interrupted; kept: its settings and first population, for {until}. All is computed again, {lost} of work"
        )
    return f"interrupted; kept: {where(last, synchronous)}. What came after it is computed again, {lost} of work"


def where(generation: Generation, synchronous: bool) -> str:
    """Where a run stands: ``generation 5 (step 150)``."""
    if synchronous:
        return f"generation {generation.number} (step {generation.step:,})"
    return f"report {generation.number:,} of all workers"
