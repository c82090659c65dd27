"""What goes up to the address of a run after each commit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from firerl.base.disk import untrusted
from firerl.base.disk.files import digest
from firerl.config.learners import is_homeless
from firerl.config.named_code import call_line, settings_line, to_type_again
from firerl.config.run_config import RunConfig
from firerl.errors import RunFolderError
from firerl.storage.generation import File
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.journal_file import opened_copy
from firerl.storage.remote.address import Remote
from firerl.storage.remote.lease import RemoteLock
from firerl.storage.remote.snapshot import GARBAGE, LIMITS, SNAPSHOT, needed_by, snapshots
from firerl.storage.run_folder import COPY, RESULTS, TEMPORARY


def resume_line(run_dir: str | Path, local_dir: str | None, config: RunConfig | None = None, steps: int = 0) -> str:
    """What to type to go on with a run, from the same folder of this machine, to so many ``steps``, if any are given.

    With what the run, of this ``config``, must be given again; a class that is in no file only a program can.
    """
    again = {} if config is None else to_type_again(config)
    more = {"local_dir": local_dir, "steps": steps or None}
    given = {name: value for name, value in more.items() if value is not None}
    if config is not None and is_homeless(config.learner):
        arguments = "".join(f", {name}={value!r}" for name, value in given.items())
        call = f"firerl.resume({str(run_dir)!r}, learner=<class>{arguments})"
        return call_line(call)({"learner": config.learner, **again})
    line = settings_line(f"python -m firerl.launch resume={shlex.quote(str(run_dir))}")
    return line({name: str(value) for name, value in {**given, **again}.items()})


class Mirror:
    """Takes what a Store has committed to an address."""

    def __init__(
        self, remote: Remote, lock: RemoteLock, folder: Path, known: Mapping[str, str], local_dir: str | None = None
    ):
        """``known`` are the digests of the files there that have a name and no digest in it."""
        self._remote, self._lock, self._folder, self._local_dir = remote, lock, folder, local_dir
        self._known = dict(known)
        self._there = set(remote.sizes())
        self._states = remote.sizes("checkpoints")

    def push(self) -> None:
        """Make the address hold what the local folder holds: first the files, then the snapshot, then what is left.

        Raises OSError, RunFolderError where it cannot be done; nothing local is lost.
        """
        try:
            self._push()
        except (OSError, RunFolderError) as error:
            if not str(error).startswith(self._remote.address):
                raise
            line = resume_line(self._remote.address, self._local_dir)
            raise type(error)(f"{error}; nothing is lost: {self._folder} has all. Go on with: {line}") from error

    def _push(self) -> None:
        self._lock.check()
        try:
            data = untrusted.read_bytes(self._folder / COPY, untrusted.SNAPSHOT)
        except ValueError as error:
            raise RunFolderError(f"{self._remote.address}: the journal is too large for an address: {error}") from error
        with opened_copy(self._folder) as db:
            listed = [File(w, g, n, size, sha) for n, w, g, size, sha in db.execute("SELECT * FROM checkpoints")]
            needed = needed_by(Journal(db, self._folder).last(), listed)
        for name in RESULTS:  # of a shorter run
            if name in self._there and not (self._folder / name).exists():
                self._remove(name)
        missing = {f.sha256: f for f in listed if self._states.get(f"{f.sha256}.pt") != f.size}
        self._remote.at_once([partial(self._put_state, f, f.sha256 in needed) for f in missing.values()])
        for name in LIMITS:
            if name != "result.json":
                self._put_beside(name)
        self._put_snapshot(data)
        self._collect_garbage({f"{f.sha256}.pt" for f in listed})
        self._put_beside("result.json")

    def _put_snapshot(self, data: bytes) -> None:
        before, ending = snapshots(self._there), f"-{digest(data)}.sqlite"
        if before and before[0].endswith(ending):
            return
        name = f"journal-{1 + (int(before[0].split('-')[1]) if before else 0):08}{ending}"
        self._lock.check()
        self._remote.put(name, data)
        self._there.add(name)

    def _put_state(self, file: File, needed: bool) -> None:
        path = self._folder / "checkpoints" / file.name
        try:
            data = untrusted.read_bytes(path, untrusted.CHECKPOINT)
            whole = digest(data) == file.sha256
        except (OSError, ValueError):
            whole = False
        if whole:
            self._remote.put(f"checkpoints/{file.sha256}.pt", data)
            self._states[f"{file.sha256}.pt"] = len(data)
        elif needed:
            raise RunFolderError(f"{path} is missing or damaged")

    def _put_beside(self, name: str) -> None:
        path = self._folder / name
        if path.exists():
            data = path.read_bytes()[-LIMITS[name] :]
            if self._known.get(name) != digest(data):
                self._remote.put(name, data)
                self._known[name] = digest(data)
                self._there.add(name)

    def _collect_garbage(self, kept: set[str]) -> None:
        """Remove what the snapshot that has just arrived does not refer to."""
        for name in snapshots(self._there)[1:]:
            self._remove(name)
        for name in sorted(self._there):
            if TEMPORARY.fullmatch(name) or (GARBAGE.fullmatch(name) and not SNAPSHOT.fullmatch(name)):
                self._remove(name)
        gone = [name for name in self._states if name not in kept and GARBAGE.fullmatch(name)]
        self._remote.at_once([partial(self._remote.remove, f"checkpoints/{name}") for name in gone])
        for name in gone:
            del self._states[name]

    def _remove(self, name: str) -> None:
        self._remote.remove(name)
        self._there.discard(name)
        self._known.pop(name, None)
