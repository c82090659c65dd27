"""The runs below a folder, for whoever looks again and again: one is read anew only where its files have grown."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from firerl.base.terminal import clean
from firerl.commands.running.ls import as_plain
from firerl.errors import RunFolderError
from firerl.insight.history.runs_below import Glance, below, glance, mark
from firerl.insight.report.run import Run, read
from firerl.insight.watch import importance, told
from firerl.insight.watch.late_pieces import Pieces, late_pieces, together
from firerl.insight.watch.parallel import COLOURS, parallel
from firerl.storage.journal.journal_db import reading

WHOLE = 4  # runs that are kept as they were read; of all others only what is drawn


@dataclass(frozen=True)
class Drawn:
    """What the figures of many runs need of one."""

    mark: str
    curve: Mapping[str, Any]
    pieces: Pieces


class WatchedRuns:
    """All runs below ``folder``. Threads may share it. Nothing is written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._looking, self._reading = Lock(), Lock()
        self._glances: dict[Path, tuple[str, Glance]] = {}
        self._folders: dict[str, Path] = {}  # by the names that the page knows runs by
        self._drawn: dict[str, Drawn] = {}
        self._whole: OrderedDict[str, tuple[str, Run]] = OrderedDict()

    def rows(self) -> list[dict[str, Any]]:
        """The list: a row a run as ``firerl.ls --json`` has it, with ``id``, ``name`` and ``mark``, which changes when
        the run does."""
        with self._looking:
            known, self._glances, self._folders = self._glances, {}, {}
            rows = []
            for run_dir in below(self.folder):
                now = mark(run_dir)
                old = known.get(run_dir)
                seen = old[1] if old and old[0] == now else glance(run_dir)
                self._glances[run_dir] = now, seen
                name = self.name(run_dir)
                identity = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
                self._folders[identity] = run_dir
                texts = {key: clean(str(value)) for key, value in as_plain(seen).items() if isinstance(value, str)}
                rows.append({**as_plain(seen), **texts, "id": identity, "name": clean(name), "mark": now})
            return rows

    def name(self, run_dir: Path) -> str:
        """A run's path below the folder."""
        return str(run_dir.relative_to(self.folder)) if run_dir != self.folder else self.folder.absolute().name

    def folder_of(self, identity: str) -> Path:
        """Raises RunFolderError where the list has no such run: what a client sends is never part of a path."""
        if identity not in self._folders:
            self.rows()
        if identity not in self._folders:
            raise RunFolderError("this run is no longer there")
        return self._folders[identity]

    def drawn(self, identity: str) -> Drawn:
        """Its curve and its late pieces. Raises RunFolderError where the run is damaged."""
        run_dir = self.folder_of(identity)
        with self._reading, reading(run_dir):
            known = self._drawn.get(identity)
            now = mark(run_dir)  # before it is read: what is added meanwhile is seen the next time
            if known is None or known.mark != now:
                run = self._read(identity, run_dir, now)
                known = Drawn(now, told.curve(run), late_pieces(run, clean(self.name(run_dir))))
                self._drawn[identity] = known
            return known

    def run(self, identity: str) -> tuple[str, Run]:
        """(mark, all of it)."""
        run_dir = self.folder_of(identity)
        with self._reading:
            now = mark(run_dir)
            return now, self._read(identity, run_dir, now)

    def _read(self, identity: str, run_dir: Path, now: str) -> Run:
        known = self._whole.pop(identity, None)
        run = known[1] if known and known[0] == now else read(run_dir)
        self._whole[identity] = now, run
        while len(self._whole) > WHOLE:
            self._whole.popitem(last=False)
        return run

    def hyperparameters(self, identities: Sequence[str]) -> dict[str, Any]:
        """Parallel coordinates and importance over these runs: those whose task is that of the first."""
        found = [self.drawn(identity).pieces for identity in identities]
        runs = [pieces for pieces in found if pieces.task == found[0].task]
        dimensions, pieces = together(runs)
        forest = importance.forest(dimensions, pieces)
        ranked = [] if forest is None else forest.importance
        return {
            "task": runs[0].task if runs else "",
            "runs": len(runs),
            "others": len(found) - len(runs),
            "pieces": len(pieces),
            "names": [dimension.name for dimension in dimensions],
            "explained": None if forest is None else forest.explained,
            "importance": [{**dataclasses.asdict(one), "name": clean(one.name)} for one in ranked],
            "figure": parallel(dimensions, pieces) if dimensions and pieces else None,
            "colours": COLOURS,
        }
