"""How a run comes down from its address into the folder that it works in."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from firerl.base import terminal
from firerl.base.disk import durable, files, untrusted
from firerl.base.disk.files import digest
from firerl.errors import RunFolderError
from firerl.storage.journal.journal_db import is_whole
from firerl.storage.journal.journal_file import check_is_run, opened_bytes, opened_still
from firerl.storage.lock import refuse_if_held
from firerl.storage.remote.address import Remote
from firerl.storage.remote.snapshot import LIMITS, Contents, contents, newest
from firerl.storage.run_folder import CHECKPOINT, COPY, RESULTS, check_files, mending


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
    own, whole = _own(folder)
    with opened_bytes(data) as db:
        there = contents(db, folder, f"{remote.address}/{name}")
    ahead = own is not None and _extends(own, there, remote.address, folder)  # before anything there is changed
    if own is not None and ahead and whole:
        say(f"{folder} is ahead of {remote.address}, up to generation {own.chain[-1][0]}: going on with it")
        if mend:
            _remove_damaged(remote)
        return {}
    names = remote.sizes()
    durable.remove(folder / f"{COPY}-journal")
    files.write(folder / COPY, data)
    for result in RESULTS:
        durable.remove(folder / result)
    if ahead:  # and not whole: what is of its later generations goes
        for path in sorted((folder / "checkpoints").glob("*")):
            if CHECKPOINT.fullmatch(path.name) and path.name not in {file.name for file in there.files}:
                durable.remove(path)
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
        raise RunFolderError(f"{remote.address}/{name} is {what}; {mending(remote.address)}")


def _own(folder: Path) -> tuple[Contents | None, bool]:
    """What lies in the local folder already (None: no run that can be read), and whether one could go on with it."""
    try:
        check_is_run(folder, still=True)
        with opened_still(folder / "journal.sqlite") as db:
            own = contents(db, folder, str(folder))
    except (RunFolderError, sqlite3.Error):
        return None, False
    return own, all(is_whole(folder / "checkpoints" / f.name, f.sha256) for f in own.files if f.sha256 in own.needed)


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


def say(text: str) -> None:
    """To the person at the terminal."""
    terminal.say(f"! {text}", error=True)
