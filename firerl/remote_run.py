"""A run whose folder is kept at an address: what goes up after each commit, and how it comes down again.

The run itself works in a local folder, by the ordinary Store. At the address lie

``journal-<number>-<sha256>.sqlite``
    a snapshot of the journal (its copy ``journal.bak``, byte for byte). Its arrival is the moment of truth: the newest
    one that is whole is the run.
``checkpoints/<sha256>.pt``
    the files that it refers to, there before it is.
``lock``, ``config.yaml``, ``init.pt``, ``failures.log``, the results
    as in a local run folder; ``result.json`` comes last.

What the newest snapshot does not refer to is garbage, and goes after it has arrived.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from firerl import durable, files, untrusted
from firerl.errors import FirerlError, RunFolderError, SettingError
from firerl.files import digest
from firerl.journal_db import File, Generation, Journal, check_name, is_whole, reading
from firerl.journal_file import check_is_run, connect, connect_copy, foreign, pages
from firerl.lock import refuse_if_held
from firerl.remote import PATIENCE, Remote, is_remote, name_of
from firerl.remote_lock import NAME as LOCK
from firerl.remote_lock import RemoteLock
from firerl.run_folder import COPY, TEMPORARY, check_files
from firerl.seal import broken

SNAPSHOT = re.compile(r"journal-(\d{8})-([0-9a-f]{64})\.sqlite")
GARBAGE = re.compile(rf"(({SNAPSHOT.pattern}|[0-9a-f]{{64}}\.pt)(\.\d+\.tmp)?)")  # where nothing refers to it
RESULTS = ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")  # in the order in which they go
LIMITS = {  # bytes
    "config.yaml": untrusted.YAML,
    "init.pt": untrusted.CHECKPOINT,
    "failures.log": 64 << 20,  # its end
    "best.pt": untrusted.CHECKPOINT,
    "best_ever.pt": untrusted.CHECKPOINT,
    "schedule.yaml": untrusted.YAML,
    "result.json": untrusted.JSON,
}
TRIES = 5  # to read a snapshot that the run under way may replace meanwhile


@dataclass(frozen=True)
class Home:
    """Where a run works, and what takes its commits elsewhere."""

    folder: Path
    address: str | None = None  # None: the folder is all there is
    mirror: Callable[[], None] | None = None


@contextmanager
def home(run_dir: str | Path, local_dir: str | None = None, begin: bool = False, mend: bool = False) -> Iterator[Home]:
    """The local folder of a run, which is held at its address meanwhile; ``begin``: there must be no run yet;
    ``mend``: take down what is whole, whether it is enough or not.

    Raises RunFolderError where it is in use, missing, damaged, or another run than the one in its local folder.
    """
    if not is_remote(run_dir):
        if local_dir is not None:
            raise SettingError(f"local_dir={local_dir}: only of use where run_dir is an address (s3://bucket/runs/x)")
        yield Home(Path(run_dir))
        return
    if local_dir is not None and is_remote(local_dir):
        raise SettingError(f"local_dir={local_dir}: must be a folder of this machine")
    remote = Remote(str(run_dir))
    remote.say = _say
    folder = folder_of(remote.address, local_dir)
    (_check_free if begin else _check_there)(remote)
    refuse_if_held(folder)
    lock = RemoteLock(remote, _say)
    try:
        if begin:
            _check_free(remote)
            _clear(remote, folder)
        known = {} if begin else take_down(remote, folder, mend)
        remote.patience = PATIENCE
        yield Home(folder, remote.address, Mirror(remote, lock, folder, known, local_dir).push)
    finally:
        lock.close()


def resume_line(run_dir: str | Path, local_dir: str | None) -> str:
    """The command that goes on with a run, from the same folder of this machine."""
    where = "" if local_dir is None else f" local_dir={shlex.quote(local_dir)}"
    return f"python -m firerl.launch resume={shlex.quote(str(run_dir))}{where}"


def folder_of(run_dir: str | Path, local_dir: str | None = None) -> Path:
    """Where the run at an address works on this machine: below ``local_dir``, else below the user's cache folder."""
    if not is_remote(run_dir):
        return Path(run_dir)
    address = str(run_dir).rstrip("/")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = Path(cache).expanduser() / "firerl" / "runs" if local_dir is None else Path(local_dir).expanduser()
    return base / hashlib.sha256(address.encode()).hexdigest()[:12] / name_of(address)


def is_begun(run_dir: str | Path) -> bool:
    """Whether a run lies there."""
    if not is_remote(run_dir):
        return (Path(run_dir) / "journal.sqlite").exists()
    return bool(snapshots(Remote(str(run_dir)).sizes()))


def snapshots(names: Iterable[str]) -> list[str]:
    """Those of them that are snapshots, the newest first."""
    return sorted((name for name in names if SNAPSHOT.fullmatch(name)), reverse=True)


def newest(remote: Remote) -> tuple[str, bytes] | None:
    """The newest snapshot that is whole, by name; None: there is none. Raises RunFolderError: all are damaged."""
    for _ in range(TRIES):
        found = snapshots(remote.sizes())
        if not found:
            return None
        for name in found:
            try:
                data = remote.get(name, untrusted.SNAPSHOT)
            except FileNotFoundError:  # replaced by a newer one
                break
            if digest(data) == name.split("-")[2].removesuffix(".sqlite"):
                return name, data
        else:
            raise RunFolderError(f"{remote.address}/{found[0]} is damaged, and there is no other snapshot")
    raise RunFolderError(f"{remote.address} changes faster than it can be read")


@dataclass(frozen=True)
class Contents:
    """What a journal says of its run."""

    chain: Sequence[tuple[int, int, str]]  # generation, step, hash
    config: str
    init: str | None  # digest of init.pt
    files: Sequence[File]
    needed: frozenset[str]  # digests of the files without which it cannot go on


def contents(db: sqlite3.Connection, folder: Path, called: str) -> Contents:
    """Of an open journal of ours. Raises RunFolderError, with what it is ``called``, where it is none or damaged."""
    try:
        foreign(db)
        if wrong := pages(db) or broken(db):
            raise ValueError(wrong)
        journal = Journal(db, folder)
        with reading(folder):
            last, config = journal.last(), journal.config()
            rows = [File(w, g, n, size, sha) for n, w, g, size, sha in db.execute("SELECT * FROM checkpoints")]
            for row in rows:
                check_name(row.name)
                if not re.fullmatch(r"[0-9a-f]{64}", row.sha256):
                    raise ValueError(f"{row.sha256:.70} is no digest")
            init = config.get("init_sha256")
            text = str(db.execute("SELECT value FROM meta WHERE key = 'config'").fetchone()[0])
            return Contents(journal.hashes(), text, None if init is None else str(init), rows, _needed(last, rows))
    except (FirerlError, sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"{called} is damaged or no journal of ours: {error}") from error


def _needed(last: Generation, listed: Sequence[File]) -> frozenset[str]:
    """The digests of the files without which a run cannot go on from its last generation."""
    best = None if last.best_ever is None else last.best_ever.file
    goes_on = {f.sha256 for f in (*last.files.values(), *last.networks.values())}
    return frozenset(goes_on | {f.sha256 for f in listed if f.name == best})


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
        with closing(connect_copy(self._folder)) as db:
            listed = [File(w, g, n, size, sha) for n, w, g, size, sha in db.execute("SELECT * FROM checkpoints")]
            needed = _needed(Journal(db, self._folder).last(), listed)
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


def take_down(remote: Remote, folder: Path, mend: bool = False) -> dict[str, str]:
    """Make a local folder hold the run at an address, or leave it as it is where it is that run and ahead of it.
    ``mend``: objects of the address that are damaged go, and what is missing is no error.

    Returns the digests of the files that have no digest in their name and are the same in both places. Raises
    RunFolderError where something is missing or damaged there, or where the two hold different runs.
    """
    durable.make_folder(folder)
    check_files(folder, write=True)
    refuse_if_held(folder)
    found = newest(remote)
    if found is None:
        raise RunFolderError(f"{remote.address} holds no run")
    name, data = found
    own = _own(folder)  # before its copy goes
    files.write(folder / COPY, data)
    with closing(connect_copy(folder)) as db:
        there = contents(db, folder, f"{remote.address}/{name}")
    if own is not None and _extends(own, there, remote.address, folder):
        _say(f"{folder} is ahead of {remote.address}, up to generation {own.chain[-1][0]}: going on with it")
        if mend:
            _remove_damaged(remote)
        return {}
    names = remote.sizes()
    for result in RESULTS:
        durable.remove(folder / result)
    fetch_states(remote, folder, there, mend)
    beside = ["init.pt"] if there.init and not is_whole(folder / "init.pt", there.init) else []
    known = {}
    for other in [*beside, "failures.log", "best.pt", "best_ever.pt", "schedule.yaml", "result.json"]:
        if other in names:
            content = remote.get(other, LIMITS[other])
            files.write(folder / other, content)
            known[other] = digest(content)
    for rest in ("-wal", "-shm", "-journal"):  # SQLite would replay them into the new file
        durable.remove(folder / f"journal.sqlite{rest}")
    files.write(folder / "journal.sqlite", data)
    return known


def _remove_damaged(remote: Remote) -> None:
    """Remove the states that are not what their names say: they go up again from here."""
    for name in remote.sizes("checkpoints"):
        ours = re.fullmatch(r"[0-9a-f]{64}\.pt", name)
        if ours and digest(remote.get(f"checkpoints/{name}", untrusted.CHECKPOINT)) != name.removesuffix(".pt"):
            remote.remove(f"checkpoints/{name}")


def fetch_states(remote: Remote, folder: Path, wanted: Contents, mend: bool = False) -> None:
    """The checkpoints that a journal refers to, where the folder lacks them; ``mend``: look at all there, remove
    those that are damaged, and miss none.

    Raises RunFolderError where one is missing or damaged without which the run cannot go on.
    """
    durable.make_folder(folder / "checkpoints")
    lacking: dict[str, list[Path]] = {}
    for file in wanted.files:
        path = folder / "checkpoints" / file.name
        whole = is_whole(path, file.sha256)
        if mend or not whole:
            lacking.setdefault(file.sha256, []).extend([] if whole else [path])
    remote.at_once([partial(_fetch, remote, *item, item[0] in wanted.needed, mend) for item in lacking.items()])


def _fetch(remote: Remote, sha256: str, paths: Sequence[Path], needed: bool, mend: bool) -> None:
    name = f"checkpoints/{sha256}.pt"
    try:
        data = remote.get(name, untrusted.CHECKPOINT)
    except FileNotFoundError:
        data = None
    if data is not None and digest(data) == sha256:
        for path in paths:
            files.write(path, data)
    elif mend:
        remote.remove(name)
    elif needed:
        what = "missing" if data is None else "damaged"
        line = f"python -m firerl.doctor {shlex.quote(remote.address)} --repair mends what can be mended"
        raise RunFolderError(f"{remote.address}/{name} is {what}; {line}")


def _own(folder: Path) -> Contents | None:
    """What lies in the local folder already; None: nothing that could be gone on with."""
    try:
        check_is_run(folder)
        with closing(connect(folder, read_only=True)) as db:
            own = contents(db, folder, str(folder))
    except (RunFolderError, sqlite3.Error):
        return None
    whole = all(is_whole(folder / "checkpoints" / f.name, f.sha256) for f in own.files if f.sha256 in own.needed)
    return own if whole else None


def _extends(own: Contents, there: Contents, address: str, folder: Path) -> bool:
    """Whether the local run goes on where the one at the address ends. Raises RunFolderError: they part."""
    pairs = zip(own.chain, there.chain, strict=False)
    parted = next((a[0] for a, b in pairs if a != b), None)
    if parted is not None:
        raise RunFolderError(
            f"{address} and its working folder {folder} hold different runs, which part at generation {parted}: remove "
            "the folder to go on with the one at the address, or give local_dir=<another folder>"
        )
    return len(own.chain) > len(there.chain) and own.config == there.config


def _check_there(remote: Remote) -> None:
    if not snapshots(remote.sizes()):
        raise RunFolderError(f"{remote.address} holds no run: there is no snapshot of a journal")


def _check_free(remote: Remote) -> None:
    names = remote.sizes()
    if snapshots(names):
        where = remote.address
        raise RunFolderError(f"run_dir={where} already holds a run; to go on with it type: resume={where}")
    ours = {LOCK, *LIMITS}
    left = [name for name in names if TEMPORARY.fullmatch(name) or GARBAGE.fullmatch(name)]
    if other := sorted(names.keys() - ours - set(left)):
        raise RunFolderError(f"run_dir={remote.address} is not empty and holds no run of ours (found {other[0][:60]})")


def _clear(remote: Remote, folder: Path) -> None:
    """What a run that was killed before its first snapshot arrived has left in the local folder."""
    if (folder / "journal.sqlite").exists():
        with closing(Journal.open(folder)) as journal:
            number = journal.hashes()[-1][0]
        if number:
            raise RunFolderError(
                f"{remote.address} holds no run, but its working folder {folder} does, up to generation {number}: go "
                f"on there with resume={folder}, or remove the folder to start anew"
            )
    if folder.exists():
        durable.clear_folder(folder)


def _say(text: str) -> None:
    print(f"! {text}", file=sys.stderr, flush=True)
