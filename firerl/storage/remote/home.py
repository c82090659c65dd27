"""A run that is kept at an address: it works in a local folder, by the ordinary Store, and is held at the address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from firerl.base.disk import durable
from firerl.base.paths import absolute, expanded
from firerl.errors import RunFolderError, SettingError
from firerl.storage.journal.journal_db import Journal
from firerl.storage.lock import refuse_if_held
from firerl.storage.remote.address import PATIENCE, Remote, is_remote, name_of
from firerl.storage.remote.download import say, take_down
from firerl.storage.remote.lease import NAME as LOCK
from firerl.storage.remote.lease import RemoteLock
from firerl.storage.remote.snapshot import GARBAGE, LIMITS, snapshots
from firerl.storage.remote.upload import Mirror
from firerl.storage.run_folder import TEMPORARY


@dataclass(frozen=True)
class Home:
    """Where a run works, and what takes its commits elsewhere."""

    folder: Path  # absolute: a learner may change the current directory
    typed: str  # what a person calls it; its address where it has one
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
        yield Home(absolute(run_dir, "run_dir"), str(run_dir))
        return
    if local_dir is not None and is_remote(local_dir):
        raise SettingError(f"local_dir={local_dir}: must be a folder of this machine")
    remote = Remote(str(run_dir))
    remote.say = say
    folder = folder_of(remote.address, local_dir)
    (_check_free if begin else _check_there)(remote)
    refuse_if_held(folder)
    lock = RemoteLock(remote, say)
    try:
        if begin:
            _check_free(remote)
            _clear(remote, folder)
        known = {} if begin else take_down(remote, folder, mend)
        remote.patience = PATIENCE
        yield Home(folder, remote.address, Mirror(remote, lock, folder, known, local_dir).push)
    finally:
        lock.close()


def folder_of(run_dir: str | Path, local_dir: str | None = None) -> Path:
    """Where the run at an address works on this machine: below ``local_dir``, else below the user's cache folder."""
    if not is_remote(run_dir):
        return Path(expanded(run_dir, "run_dir"))
    address = str(run_dir).rstrip("/")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = absolute(cache) / "firerl" / "runs" if local_dir is None else absolute(local_dir, "local_dir")
    return base / hashlib.sha256(address.encode()).hexdigest()[:12] / name_of(address)


def is_begun(run_dir: str | Path) -> bool:
    """Whether a run lies there."""
    if not is_remote(run_dir):
        return (Path(expanded(run_dir, "run_dir")) / "journal.sqlite").exists()
    return bool(snapshots(Remote(str(run_dir)).sizes()))


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
        raise RunFolderError(
            f"run_dir={remote.address} is not empty and is not the folder of a run (found {other[0][:60]})"
        )


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
