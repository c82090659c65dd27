"""What a command that only reads works on: a local folder as it is, of an address a copy in a temporary folder.

The journal and the results come down at once, a checkpoint when somebody reads it. The copy goes when the process ends.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from firerl.base.disk import durable, files, untrusted
from firerl.base.paths import expanded
from firerl.errors import RunFolderError
from firerl.storage.journal.journal_db import fetchers
from firerl.storage.journal.journal_file import opened_copy
from firerl.storage.remote.address import Remote, is_remote, name_of
from firerl.storage.remote.download import fetch_states
from firerl.storage.remote.snapshot import LIMITS, contents, newest, snapshots
from firerl.storage.run_folder import COPY, RESULTS

_copies: dict[str, tuple[Path, Remote]] = {}  # by address
_kept: list[tempfile.TemporaryDirectory[str]] = []  # removed at exit


def local(run_dir: str | Path, weights: bool = False, states: bool = False) -> Path:
    """A folder to read the run from; called again, it is brought up to date.

    ``weights``: with those of the results; ``states``: with all checkpoints, as far as they are whole. Raises
    RunFolderError where there is no run, or it is damaged.
    """
    if not is_remote(run_dir):
        return Path(expanded(run_dir))
    address = str(run_dir).rstrip("/")
    if address not in _copies:
        _copies[address] = _new_copy(Remote(address))
    folder, remote = _copies[address]
    names, mark = remote.sizes(), folder.parent / "snapshot"  # the name of the one that lies there
    if not mark.exists() or [mark.read_text(encoding="ascii")] != snapshots(names)[:1]:
        found = newest(remote)
        if found is None:
            raise RunFolderError(f"{address} holds no run: there is no snapshot of a journal")
        for name in ("journal.sqlite", COPY):
            files.write(folder / name, found[1])
        files.write(mark, found[0].encode())
        names = remote.sizes()
    for name in RESULTS:
        wanted = weights or states or not name.endswith(".pt")
        if wanted and name in names:
            files.write(folder / name, remote.get(name, LIMITS[name]))
        elif name not in names:
            durable.remove(folder / name)
    if states:
        _fetch_states(remote, folder, "init.pt" in names)
    return folder


def _new_copy(remote: Remote) -> tuple[Path, Remote]:
    _kept.append(tempfile.TemporaryDirectory(prefix="firerl-", ignore_cleanup_errors=True))
    folder = Path(_kept[-1].name) / name_of(remote.address)
    durable.make_folder(folder / "checkpoints")
    fetchers[folder] = partial(_fetch, remote, folder)
    return folder, remote


def _fetch(remote: Remote, folder: Path, name: str, sha256: str) -> None:
    """One checkpoint, as it lies there: whoever reads it compares its digest."""
    with suppress(FileNotFoundError):
        files.write(folder / "checkpoints" / name, remote.get(f"checkpoints/{sha256}.pt", untrusted.CHECKPOINT))


def _fetch_states(remote: Remote, folder: Path, initial: bool) -> None:
    with opened_copy(folder) as db:
        listed = contents(db, folder, f"the journal of {remote.address}")
    fetch_states(remote, folder, replace(listed, needed=frozenset()))
    if initial:
        files.write(folder / "init.pt", remote.get("init.pt", LIMITS["init.pt"]))
