"""What lies in a run folder, and whether its files are files: no links, no pipes, nothing that leads out of it.

A folder that was given away or unpacked may hold a link called ``failures.log``: whoever goes on with the run would
write where it leads.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from firerl.base.disk.temporary import ENDING
from firerl.base.settings import show
from firerl.errors import RunFolderError, SettingError, reason

RESULTS = ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")  # of a finished run; they go in this order
COPY = "journal.bak"  # a second journal.sqlite, which gets the same rows after each generation
LOGS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
JOURNALS = [f"journal.sqlite{rest}" for rest in (*LOGS, ".new", ".new-journal")]  # beside it
JOURNALS += [f"{COPY}{rest}" for rest in LOGS]
FOLDERS = ("checkpoints", "tensorboard", "wandb", "loggers")
TOLD = ("tensorboard", "loggers")  # of loggers: any name may be in there, but no link; W&B makes links of its own
OURS = {
    "config.yaml", "journal.sqlite", "failures.log", "lock", "best.pt", "best_ever.pt", "schedule.yaml", "result.json",
    "report.html", "init.pt", "unused_files.txt", "data_files.json", "stop", COPY, *FOLDERS, *JOURNALS,
}  # fmt: skip
BESIDE = {"replay.json"}  # what other commands keep in a run folder
IN_PLACE = {"journal.sqlite", COPY, "failures.log", "lock", "unused_files.txt", *JOURNALS}  # written without a rename
# What a killed files.write or durable.back_up leaves.
TEMPORARY = re.compile(rf"({'|'.join(map(re.escape, sorted(OURS | BESIDE)))}){ENDING}")
CHECKPOINT = re.compile(rf"((best-)?g\d+|next)-w\d+\.pt({ENDING})?")  # next: of a report, before its commit
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # how a rollback journal ends that names another file


def check_files(run_dir: Path, write: bool = False) -> None:
    """Raise RunFolderError where something of a run is no file (folder) of its own; ``write``: for whoever changes it.

    A folder that is not there passes.
    """
    try:
        _check(run_dir, write)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise RunFolderError(f"{run_dir} cannot be read: {reason(error)}") from error


def _check(run_dir: Path, write: bool) -> None:
    with os.scandir(run_dir) as entries:
        for entry in entries:
            if entry.name in OURS or entry.name in BESIDE or TEMPORARY.fullmatch(entry.name):
                _check_entry(run_dir, entry, write and entry.name in IN_PLACE)
    for name in ("journal.sqlite", COPY):
        check_rollback(run_dir / name)
    for folder in FOLDERS:
        if not (run_dir / folder).is_dir():
            continue
        with os.scandir(run_dir / folder) as entries:
            for entry in entries:
                if folder in TOLD or CHECKPOINT.fullmatch(entry.name):
                    _check_entry(run_dir / folder, entry, False)


def _check_entry(folder: Path, entry: os.DirEntry[str], in_place: bool) -> None:
    path, found = folder / entry.name, entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise RunFolderError(f"{path} is a link: a run holds its own files; put there what it leads to")
    if entry.name in FOLDERS:
        if not stat.S_ISDIR(found.st_mode):
            raise RunFolderError(f"{path} must be a folder")
    elif folder.name not in TOLD and not stat.S_ISREG(found.st_mode):
        raise RunFolderError(f"{path} must be an ordinary file")
    if in_place and found.st_nlink > 1:
        raise RunFolderError(f"{path} has a second name elsewhere (a hard link): put a copy of it in its place")


def check_rollback(path: Path) -> None:
    """Raise RunFolderError where the rollback journal of this database leads out of the folder."""
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists() and _leads_out(journal):
        raise RunFolderError(f"{journal} names another file, as a journal of firerl never does: remove it")


def _leads_out(path: Path) -> bool:
    """Whether a rollback journal names a super-journal: SQLite would delete that file, whatever it is."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        return file.read(8) == _SUPER_JOURNAL and size >= 16


def check_empty(run_dir: Path) -> None:
    """Raise RunFolderError if the folder holds a run, a part of one, or something that is not ours."""
    if (run_dir / "journal.sqlite").exists():
        raise RunFolderError(f"run_dir={run_dir} already holds a run; to go on with it type: resume={run_dir}")
    if (run_dir / COPY).exists():
        raise RunFolderError(
            f"run_dir={run_dir} holds {COPY}, the copy of a run's journal, but no journal.sqlite: {mending(run_dir)}; "
            f"to start anew remove {COPY}"
        )
    if run_dir.exists():
        if not run_dir.is_dir():
            raise RunFolderError(f"run_dir={run_dir} is a file, not a folder")
        foreign = sorted(p.name for p in run_dir.iterdir() if p.name not in OURS and not TEMPORARY.fullmatch(p.name))
        if foreign:
            raise RunFolderError(f"run_dir={run_dir} is not empty and is not the folder of a run (found {foreign[0]})")


def check_can_be(run_dir: str) -> None:
    """Raise SettingError where the operating system allows no such folder."""
    folder = Path(run_dir)
    try:
        while not folder.exists():
            folder = folder.parent
    except (OSError, ValueError) as error:  # too long a name, a loop of links; a null byte
        why = reason(error) if isinstance(error, OSError) else error
        raise SettingError(f"run_dir={show(run_dir)}: cannot be a folder: {why}") from error
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"run_dir={show(run_dir)}: must be a folder that can be written; {folder} cannot")
    if not folder.is_dir() and folder != Path(run_dir):
        raise SettingError(f"run_dir={show(run_dir)}: must be a folder; {folder} is a file")


def mending(run_dir: str | Path) -> str:
    """What to type where a run is damaged."""
    return f"python -m firerl.doctor {shlex.quote(str(run_dir))} --repair mends what can be mended"
