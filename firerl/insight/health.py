"""What of a run folder is whole: the journal, its copy, the kept generations, the results. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firerl import origins
from firerl.config import config_of
from firerl.errors import FirerlError, RunFolderError
from firerl.evolution import plain
from firerl.insight.chain import chain, points_of
from firerl.storage import seal
from firerl.storage.journal_db import Journal, check_name, is_whole, reading, spare
from firerl.storage.journal_file import FORMAT, connect, connect_copy, foreign, of_another_format, pages
from firerl.storage.run_folder import COPY, check_files


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
    number: int = -1  # the last generation
    step: int = 0


@dataclass(frozen=True)
class Health:
    """What was found in a run folder."""

    run_dir: Path
    journal: Ledger
    copy: Ledger
    kept: tuple[Kept, ...]  # newest first, generation 0 last; of the journal that counts
    twins: tuple[tuple[str, str], ...]  # (whole, damaged): files that lie there twice, of which one is damaged
    results: tuple[str, ...]  # damaged files of a finished run

    @property
    def use_copy(self) -> bool:
        """Whether the journal has to come back from its copy: it is damaged, or it has lost its end."""
        return not self.copy.problem and (bool(self.journal.problem) or self.copy.number > self.journal.number)

    @property
    def back_to(self) -> Kept | None:
        """The last generation that is whole; None: nothing is."""
        return next((kept for kept in self.kept if not kept.problem), None)

    @property
    def whole(self) -> bool:
        """Whether nothing has to be repaired."""
        fine = not (self.journal.problem or self.copy.problem or self.twins or self.results or self.use_copy)
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
        return lines

    def _behind(self) -> str:
        return f"damaged: it ends with generation {self.journal.number}, its copy with {self.copy.number}"


def examine(run_dir: Path) -> Health:
    """Look at a run folder that nobody runs in. Raises RunFolderError where there is no run."""
    if not (run_dir / "journal.sqlite").exists() and not (run_dir / COPY).exists():
        raise RunFolderError(f"{run_dir} holds no run: there is neither journal.sqlite nor {COPY} in it")
    check_files(run_dir)
    journal, copy = (_ledger(run_dir, copied) for copied in (False, True))
    health = Health(run_dir, journal, copy, (), (), ())
    if journal.problem and copy.problem:
        return health
    with closing(_open(run_dir, copied=health.use_copy)) as db, reading(run_dir):
        reader = Journal(db, run_dir)
        kept, twins = _generations(db, run_dir, reader)
        return Health(run_dir, journal, copy, kept, twins, tuple(_results(reader, run_dir)))


def _open(run_dir: Path, copied: bool) -> sqlite3.Connection:
    return connect_copy(run_dir) if copied else connect(run_dir, read_only=True)


def _ledger(run_dir: Path, copied: bool) -> Ledger:
    """Read all of it: its pages, its seal, its chain of hashes."""
    if not (run_dir / (COPY if copied else "journal.sqlite")).is_file():
        return Ledger("missing")
    try:
        with closing(_open(run_dir, copied)) as db:
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
            return Ledger(f"damaged: {wrong}" if wrong else "", last[0], last[1])
    except (FirerlError, sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Ledger(f"damaged: {' '.join(str(error).split()) or type(error).__name__}")


def _generations(
    db: sqlite3.Connection, run_dir: Path, journal: Journal
) -> tuple[tuple[Kept, ...], tuple[tuple[str, str], ...]]:
    """The kept generations with what their files lack, and the twins of which one is damaged."""
    folder = run_dir / "checkpoints"
    whole: dict[str, bool] = {}
    owner: dict[str, int] = {}
    for name, generation, sha256 in db.execute("SELECT name, generation, sha256 FROM checkpoints ORDER BY name"):
        check_name(name)
        whole[name], owner[name] = is_whole(folder / name, sha256), generation
    twins = []
    for name in [name for name in whole if spare(name) in whole]:
        if whole[name] != whole[spare(name)]:
            twins.append((name, spare(name)) if whole[name] else (spare(name), name))
            whole[name] = True  # it can be had
    kept = []
    query = "SELECT number, step, best_ever FROM generations WHERE state NOT NULL AND number > 0 ORDER BY number DESC"
    generations = db.execute(query).fetchall()
    if journal.synchronous():
        own = [name for name in whole if not name.startswith(spare(""))]
        files = {number: [name for name in own if owner[name] == number] for number, *_ in generations}
    else:
        found = journal.origins_at(row[0] for row in generations)
        files = {number: sorted(origins.needed(at) - _never_built(whole, at)) for number, at in found.items()}
    for number, step, best in generations:
        needed = [*files[number]]
        needed += [plain.loads(best)["file"]] if best else []
        lacking = [name for name in dict.fromkeys(needed) if not whole.get(name)]
        kept.append(Kept(number, step, f"damaged: {_few(lacking)}" if lacking else ""))
    start = _initial_problem(journal.config(), run_dir)
    return (*kept, Kept(0, 0, start)), tuple(twins)


def _never_built(listed: Mapping[str, bool], at: origins.Origins) -> set[str]:
    """The first states of workers that have none: their learners could not be built, which they are to report."""
    places = {place for origin in at.values() for place in (origin.own, origin.weights) if place}
    return {place.name for place in places if not place.generation and place.name not in listed}


def _initial_problem(config: dict[str, Any], run_dir: Path) -> str:
    """What a run from its very start would lack."""
    sha256 = config.get("init_sha256")
    return "" if sha256 is None or is_whole(run_dir / "init.pt", sha256) else "damaged: init.pt"


def _results(journal: Journal, run_dir: Path) -> list[str]:
    if not (run_dir / "result.json").exists():
        return []
    try:
        return [] if journal.result() is None else journal.damaged_results()
    except RunFolderError:
        return ["result.json"]


def _said(ledger: Ledger) -> str:
    return ledger.problem or f"whole (generation {ledger.number}, step {ledger.step:,})"


def _line(what: str, said: str) -> str:
    return f"  {what:<18} {said}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
