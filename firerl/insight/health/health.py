"""What of a run folder is whole: the journal, its copy, the kept generations, the results. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firerl.errors import FirerlError, RunFolderError
from firerl.evolution import plain
from firerl.insight.health.chain import chain, points_of
from firerl.storage import origins
from firerl.storage.journal import seal
from firerl.storage.journal.journal_db import Journal, check_name, is_whole, reading, spare
from firerl.storage.journal.journal_file import FORMAT, foreign, of_another_format, opened_still, pages
from firerl.storage.journal.proof import Chain, parted
from firerl.storage.journal.recorded_config import config_of
from firerl.storage.run_folder import CHECKPOINT, COPY, check_files

JOURNAL = "journal.sqlite"


@dataclass(frozen=True)
class Kept:
    """A generation that a resume could start from."""

    number: int
    step: int
    problem: str  # "": whole


@dataclass(frozen=True)
class Ledger:
    """``journal.sqlite`` or its copy."""

    problem: str  # "": whole
    chain: Chain = ()

    @property
    def number(self) -> int:
        """The last generation; -1: none can be read."""
        return self.chain[-1][0] if self.chain else -1

    @property
    def step(self) -> int:
        """The step of the last generation."""
        return self.chain[-1][1] if self.chain else 0


@dataclass(frozen=True)
class Health:
    """What was found in a run folder."""

    run_dir: Path
    journal: Ledger
    copy: Ledger
    kept: tuple[Kept, ...]  # newest first, generation 0 last; of the journal that counts
    twins: tuple[tuple[str, str], ...]  # (whole, damaged): files that lie there twice, of which one is damaged
    results: tuple[str, ...]  # damaged files of a finished run
    finished: bool = False  # and all of its results are whole
    use_copy: bool = False  # the journal has to come back from its copy: it is damaged, or has lost its end
    fitting: bool = False  # a file lies there that it lists
    strange: str = ""  # journal.sqlite or its copy, where that is of another run
    unproven: str = ""  # why nothing may be changed here; "": what is damaged is known

    @property
    def ledger(self) -> Ledger:
        """The one that counts."""
        return self.copy if self.use_copy else self.journal

    @property
    def back_to(self) -> Kept | None:
        """The last generation that is whole; None: nothing is."""
        return next((kept for kept in self.kept if not kept.problem), None)

    @property
    def refusal(self) -> str:
        """Why a repair would change nothing; "": it can do something."""
        if self.unproven or (self.journal.problem and self.copy.problem):
            return self.unproven or f"{JOURNAL} is {self.journal.problem}; {COPY} is {self.copy.problem}"
        if self.back_to is None:
            return f"{self.kept[-1].problem}, and no generation is whole"
        if self.finished and self.back_to.number == 0 < self.kept[0].number:
            return (
                "it has ended and its results are whole, but no generation is: it cannot go on. To compute it once "
                "more from its start remove result.json"
            )
        return ""

    @property
    def whole(self) -> bool:
        """Whether nothing has to be repaired."""
        wrong = self.journal.problem or self.copy.problem or self.twins or self.results or self.use_copy
        fine = not (wrong or self.unproven)
        return fine and bool(self.kept) and not self.kept[0].problem

    def lines(self) -> list[str]:
        """The findings, one a line."""
        lines = [
            _line(
                "journal.sqlite", _said(self.journal) if not self.use_copy or self.journal.problem else self._behind()
            ),
            _line(COPY, _said(self.copy)),
        ]
        lines += [_line(f"generation {k.number}", f"{k.problem or 'whole'} (step {k.step:,})") for k in self.kept]
        lines += [_line(name, f"damaged; {twin} holds the same and is whole") for twin, name in self.twins]
        lines += [_line(name, "damaged; a resume writes it anew") for name in self.results]
        if self.finished and self.kept and self.kept[0].problem:
            lines.append(_line("results", "whole"))
        return [*lines, *([f"  {self.unproven}"] if self.unproven else [])]

    def _behind(self) -> str:
        return f"damaged: it ends with generation {self.journal.number}, its copy with {self.copy.number}"


def examine(run_dir: Path) -> Health:
    """Look at a run folder that nobody runs in. Raises RunFolderError where there is no run."""
    if not (run_dir / "journal.sqlite").exists() and not (run_dir / COPY).exists():
        raise RunFolderError(f"{run_dir} holds no run: there is neither journal.sqlite nor {COPY} in it")
    check_files(run_dir)
    journal, copy = (_ledger(run_dir / name) for name in (JOURNAL, COPY))
    if journal.problem or copy.problem:
        if journal.problem and copy.problem:
            return Health(run_dir, journal, copy, (), (), ())
        return _proven(_told(run_dir, journal, copy, use_copy=bool(journal.problem)))
    one, other = (_told(run_dir, journal, copy, use_copy) for use_copy in (False, True))
    if (at := parted(journal.chain, copy.chain)) is not None:
        return _of_two(one, other, at)
    # Of one history: the one that a run can go on from furthest, and of equals the longer.
    return _proven(max(one, other, key=lambda found: (_reach(found), found.finished, found.ledger.number)))


def _told(run_dir: Path, journal: Ledger, copy: Ledger, use_copy: bool) -> Health:
    """What the one of the two says of the folder."""
    with opened_still(run_dir / (COPY if use_copy else JOURNAL)) as db, reading(run_dir):
        reader = Journal(db, run_dir)
        kept, twins, fitting = _generations(db, run_dir, reader)
        finished, results = _results(reader, run_dir)
        return Health(run_dir, journal, copy, kept, twins, results, finished, use_copy, fitting)


def _reach(health: Health) -> int:
    """The last generation whose files are whole; 0: none, for the first has no files."""
    return health.back_to.number if health.back_to else 0


def _of_two(one: Health, other: Health, at: int) -> Health:
    """Journal and copy are of different runs: the folder's is that whose files lie there, or whose results."""
    fits = [bool(_reach(health)) or health.finished for health in (one, other)]
    if fits[0] == fits[1]:
        which = "both" if fits[0] else "neither"
        told = f"{JOURNAL} and {COPY} are of different runs, which part at generation {at}; the files here fit {which}"
        return replace(one, unproven=f"{told}: remove the one that is not this run's")
    problem = Ledger(f"of another run: they part at generation {at}, and the files here are not those that it lists")
    if fits[0]:
        return replace(one, copy=problem, strange=COPY)
    return replace(other, journal=problem, strange=JOURNAL)


def _proven(health: Health) -> Health:
    """With ``unproven`` where none of the checkpoints that lie there is one of those that the journal lists."""
    folder = health.run_dir / "checkpoints"
    lying = [p.name for p in folder.iterdir() if CHECKPOINT.fullmatch(p.name)] if folder.is_dir() else []
    ours = [name for name in lying if not name.startswith(("next", "g000000-", "g000001-"))]
    if not ours or health.fitting or _reach(health):
        return health
    told = f"none of the files in {folder} is one of those that {COPY if health.use_copy else JOURNAL} lists"
    return replace(health, unproven=f"{told}: put back what belongs there, or remove that folder to begin anew")


def _ledger(path: Path) -> Ledger:
    """Read all of it: its pages, its seal, its chain of hashes."""
    if not path.is_file():
        return Ledger("missing")
    run_dir = path.parent
    try:
        with opened_still(path) as db:
            foreign(db)
            broken = pages(db)
            found = None if broken else db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if found is None:
                return Ledger(f"damaged: {broken or 'it is no journal'}")
            if found[0] != str(FORMAT):
                writer = db.execute("SELECT value FROM meta WHERE key = 'firerl'").fetchone()
                return Ledger(of_another_format(found[0], writer))
            rows = Journal(db, run_dir).rows()
            wrong = seal.broken(db) or next(chain(rows, points_of(rows)[0], plain.loads(rows.meta["promised"])), "")
            last = rows.generations[-1]
            wrong = wrong or ("" if last[3] else "its last generation has no state")
            if not wrong:
                Journal(db, run_dir).last()
                config_of(Journal(db, run_dir))
            return Ledger(f"damaged: {wrong}" if wrong else "", [row[:3] for row in rows.generations])
    except (FirerlError, sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Ledger(f"damaged: {' '.join(str(error).split()) or type(error).__name__}")


def _generations(
    db: sqlite3.Connection, run_dir: Path, journal: Journal
) -> tuple[tuple[Kept, ...], tuple[tuple[str, str], ...], bool]:
    """The kept generations with what their files lack, the twins of which one is damaged, whether a file is whole."""
    folder = run_dir / "checkpoints"
    whole: dict[str, bool] = {}
    owner: dict[str, int] = {}
    for name, generation, sha256 in db.execute("SELECT name, generation, sha256 FROM checkpoints ORDER BY name"):
        check_name(name)
        whole[name], owner[name] = is_whole(folder / name, sha256), generation
    twins, fitting = [], any(whole.values())
    for name in [name for name in whole if spare(name) in whole]:
        if whole[name] != whole[spare(name)]:
            twins.append((name, spare(name)) if whole[name] else (spare(name), name))
            whole[name] = True  # it can be had
    kept = []
    query = "SELECT number, step, best_ever FROM generations WHERE state NOT NULL AND number > 0 ORDER BY number DESC"
    generations = db.execute(query).fetchall()
    if journal.synchronous():
        own: dict[int, list[str]] = {}
        for name in whole:
            if not name.startswith(spare("")):
                own.setdefault(owner[name], []).append(name)
        files = {number: own.get(number, []) for number, *_ in generations}
    else:
        found = journal.origins_at(row[0] for row in generations)
        files = {number: sorted(origins.needed(at) - _never_built(whole, at)) for number, at in found.items()}
    for number, step, best in generations:
        needed = [*files[number]]
        needed += [plain.loads(best)["file"]] if best else []
        lacking = [name for name in dict.fromkeys(needed) if not whole.get(name)]
        kept.append(Kept(number, step, f"damaged: {_few(lacking)}" if lacking else ""))
    start = _initial_problem(journal.config(), run_dir)
    return (*kept, Kept(0, 0, start)), tuple(twins), fitting


def _never_built(listed: Mapping[str, bool], at: origins.Origins) -> set[str]:
    """The first states of workers that have none: their learners could not be built, which they are to report."""
    places = {place for origin in at.values() for place in (origin.own, origin.weights) if place}
    return {place.name for place in places if not place.generation and place.name not in listed}


def _initial_problem(config: dict[str, Any], run_dir: Path) -> str:
    """What a run from its very start would lack."""
    sha256 = config.get("init_sha256")
    return "" if sha256 is None or is_whole(run_dir / "init.pt", sha256) else "damaged: init.pt"


def _results(journal: Journal, run_dir: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the run has ended and all of its results are whole, and those that are damaged."""
    if not (run_dir / "result.json").exists():
        return False, ()
    try:
        if journal.result() is None:
            return False, ()
    except RunFolderError:
        return False, ("result.json",)
    damaged = journal.damaged_results()
    return not damaged and None not in journal.digests().values(), tuple(damaged)


def _said(ledger: Ledger) -> str:
    return ledger.problem or f"whole (generation {ledger.number}, step {ledger.step:,})"


def _line(what: str, said: str) -> str:
    return f"  {what:<18} {said}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
