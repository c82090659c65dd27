"""What is proven of a run folder before anything in it is deleted, copied over or gone on with.

The journal and its copy may each have come from elsewhere: out of a backup, out of another run's folder. Their hashes
are chains, so one is an earlier state of the other exactly where the last hash of the shorter stands in the longer. And
the folder is this run's where the files of its last generation are those that the journal says.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firerl.errors import RunFolderError
from firerl.storage.generation import Generation
from firerl.storage.journal import seal
from firerl.storage.journal.journal_db import Journal, is_whole, whole_result
from firerl.storage.journal.journal_file import check_is_run, foreign, opened_copy, opened_still, pages
from firerl.storage.lock import refuse_if_held
from firerl.storage.run_folder import COPY, check_files, mending

Chain = Sequence[tuple[int, int, str]]  # generation, step, hash; from generation 0 on


@dataclass(frozen=True)
class Proof:
    """Of a run folder that can be opened."""

    hash: str  # of the last generation
    copy: bool  # the copy is whole, and this run's or an earlier state of it
    lacking: str  # what the last generation lacks, so that the run cannot go on; "": nothing


@contextmanager
def looked_at(run_dir: Path) -> Iterator[tuple[Journal, Proof]]:
    """The journal of a run that nobody runs, for reading, and what is proven; no byte of the folder changes.

    Raises RunFolderError as ``prove``, and where the run can neither go on nor has results.
    """
    check_files(run_dir, write=True)
    refuse_if_held(run_dir)
    check_is_run(run_dir, still=True)
    proof = prove(run_dir)
    with opened_still(run_dir / "journal.sqlite") as db:
        journal = Journal(db, run_dir)
        if proof.lacking and whole_result(journal) is None:
            raise RunFolderError(proof.lacking)
        yield journal, proof


def prove(run_dir: Path) -> Proof:
    """Changes nothing. Raises RunFolderError where the journal is damaged, or the copy is another run's or longer."""
    path = run_dir / "journal.sqlite"
    with opened_still(path) as db:
        try:
            wrong = seal.broken(db)
            chain = _chain(db)
        except (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            wrong, chain = str(error), []
        if wrong:
            raise RunFolderError(f"{path} is damaged: {wrong}; {mending(run_dir)}")
        copied = copied_chain(run_dir)
        if copied is not None:
            _compare(run_dir, chain, copied)
        journal = Journal(db, run_dir)
        last = journal.last()
        if not last.number:
            _check_beginning(run_dir)
        return Proof(last.hash, copied is not None, lacking(journal, last))


def _compare(run_dir: Path, chain: Chain, copied: Chain) -> None:
    if (at := parted(chain, copied)) is not None:
        raise RunFolderError(
            f"{run_dir / 'journal.sqlite'} and its copy {COPY} are of different runs, which part at generation {at}; "
            f"nothing is changed; {mending(run_dir)}"
        )
    if len(copied) > len(chain):
        ends = f"ends with generation {chain[-1][0]}, its copy {COPY} with {copied[-1][0]}: it lost its end"
        raise RunFolderError(f"{run_dir / 'journal.sqlite'} {ends}; {mending(run_dir)}")


def parted(one: Chain, other: Chain) -> int | None:
    """The first generation that is not the same in both; None: one is an earlier state of the other, or both equal."""
    shorter = min(len(one), len(other))
    if one[shorter - 1] == other[shorter - 1]:
        return None
    return next(a[0] for a, b in zip(one, other, strict=False) if a != b)


def copied_chain(run_dir: Path) -> Chain | None:
    """The chain of ``journal.bak``; None where it is missing or not as it was committed."""
    try:
        with opened_copy(run_dir) as db:
            foreign(db)
            return None if pages(db) or seal.broken(db) else _chain(db)
    except (RunFolderError, sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _chain(db: sqlite3.Connection) -> Chain:
    found: Chain = db.execute("SELECT number, step, hash FROM generations ORDER BY number").fetchall()
    if not found:
        raise ValueError("it holds no generation")
    return found


def lacking(journal: Journal, generation: Generation) -> str:
    """What is missing, unlisted or damaged of the checkpoints of the last generation; "": nothing."""
    run_dir = journal.run_dir
    expected = journal.holders() if generation.number and journal.synchronous() else set()
    for worker in sorted(expected - generation.files.keys()):
        which = f"worker {worker} at generation {generation.number}"
        return f"{run_dir / 'journal.sqlite'} is damaged: it lists no checkpoint of {which}"
    for file in {f.name: f for f in (*generation.files.values(), *generation.networks.values())}.values():
        path = run_dir / "checkpoints" / file.name
        if not is_whole(path, file.sha256):
            return f"{path} is missing or damaged; {mending(run_dir)}"
    return ""


def _check_beginning(run_dir: Path) -> None:
    """Raise RunFolderError where a journal without a generation lies beside checkpoints of later ones: nothing proves
    that they are its own, and whoever goes on would remove them."""
    folder = run_dir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    later = sorted(name for name in names if (found := re.match(r"g(\d+)-", name)) and int(found[1]) > 1)
    if later:
        raise RunFolderError(
            f"{run_dir / 'journal.sqlite'} holds no generation yet, and beside it lies checkpoints/{later[0]}: the "
            f"journal may be another run's. Nothing is changed; to begin this run anew remove {folder}"
        )
