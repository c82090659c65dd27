"""A place elsewhere that a run folder is kept at: ``s3://bucket/runs/x``, ``file:///mnt/share/x``, any fsspec address.

All that firerl asks of it: to put an object in one piece, to get it, to list, to remove, and to put one only where
there is none. A mounted folder (``file://``) needs no package; anything else goes through fsspec, which is imported
only then. What fails is tried again with growing pauses; what comes back is not trusted
(``docs/explanation/security.md``).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from firerl.base.disk import durable, files, untrusted
from firerl.errors import RunFolderError, SettingError, reason

T = TypeVar("T")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.+)", re.DOTALL)
LOCAL = ("file", "local")
# What fsspec's own list calls object stores: folders are not made there (making one may make a bucket).
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "b2", "hf")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two tries
MOST_AT_ONCE = 8  # requests
GREETING = 5.0  # seconds in which a place must answer for the first time
PATIENCE = 600.0  # seconds for which a run that goes on tries again
HINTS = {"s3": "firerl[remote]", "s3a": "firerl[remote]"}


def is_remote(run_dir: str | Path) -> bool:
    """Whether this is an address and no local path. Raises SettingError on an address that became a Path."""
    if isinstance(run_dir, Path) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(run_dir)):
        raise SettingError(f"{run_dir}: a pathlib.Path cannot hold an address; give it as a text")
    return "://" in str(run_dir)


def name_of(address: str) -> str:
    """The last word of an address, as the name of a folder."""
    return re.sub(r"[^\w.-]+", "-", address.rstrip("/").rpartition("/")[2]).strip(".") or "run"


class Place(Protocol):
    """The few things that are asked of a store, without a second try; names are relative and of ours."""

    def put(self, name: str, data: bytes) -> None: ...
    def create(self, name: str, data: bytes) -> bool: ...
    def get(self, name: str, most: int) -> bytes: ...
    def sizes(self, folder: str) -> dict[str, int]: ...
    def remove(self, name: str) -> None: ...


class Remote:
    """An address. Raises SettingError on one that cannot be, RunFolderError on one that cannot be reached."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        self.say: Callable[[str], None] = lambda text: None  # told once where something has to be tried again
        self.patience = GREETING
        self._given_up = threading.Event()  # by one of several at once: the others try no more
        self._place = _place(self.address)

    def put(self, name: str, data: bytes) -> None:
        """``data`` as the whole of an object, in one piece. Raises OSError when patience has ended."""
        self._try("written", lambda: self._place.put(name, data))

    def create(self, name: str, data: bytes) -> bool:
        """The same where there is no such object; False: there is one."""
        return self._try("written", lambda: self._place.create(name, data))

    def get(self, name: str, most: int) -> bytes:
        """All of an object. Raises FileNotFoundError where there is none, RunFolderError on one of over ``most``
        bytes."""
        try:
            return self._try("read", lambda: self._place.get(name, most))
        except ValueError as error:
            raise RunFolderError(f"{self.address}/{name} is damaged: {error}") from error

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The objects of one folder, without those below it, in bytes; {} where there is none."""
        return self._try("listed", lambda: self._place.sizes(folder))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        self._try("written", lambda: self._place.remove(name))

    def at_once(self, actions: Sequence[Callable[[], object]]) -> None:
        """Do all, some at the same time: a store answers slowly and takes many. Raises what the first one raises that
        fails, and KeyboardInterrupt without waiting for a network that is away."""
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            tasks = [pool.submit(action) for action in actions]
            try:
                for task in as_completed(tasks):
                    task.result()
            except BaseException:
                self._given_up.set()
                for task in tasks:
                    task.cancel()
                raise
            finally:
                wait(tasks)
                self._given_up.clear()

    def once(self, action: Callable[[Place], T]) -> T:
        """An action without a second try. Raises whatever the store raises."""
        return action(self._place)

    def _try(self, what: str, action: Callable[[], T]) -> T:
        begun, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                return action()
            except (FileNotFoundError, ValueError, NotImplementedError, RunFolderError) as error:
                if what == "read" and isinstance(error, FileNotFoundError | ValueError | RunFolderError):
                    raise
                raise RunFolderError(f"{self.address} cannot be {what}: {_why(error)}") from error
            except PermissionError as error:
                raise RunFolderError(f"{self.address} cannot be {what}: {_why(error)}") from error
            except Exception as error:  # each library has its own for a network that fails
                if self._given_up.is_set() or time.monotonic() - begun + pause > self.patience:
                    waited = f", also after {self.patience:.0f} seconds" if self.patience > GREETING else ""
                    raise OSError(f"{self.address} cannot be {what}{waited}: {_why(error)}") from error
                if pause == FIRST_PAUSE:
                    self.say(f"{self.address} cannot be {what} ({_why(error)}): trying again")
            self._given_up.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _why(error: Exception) -> str:
    told = reason(error) if isinstance(error, OSError) else str(error)
    return " ".join(told.split())[:200] or type(error).__name__


def _place(address: str) -> Place:
    match = _ADDRESS.fullmatch(address)
    if match is None or "::" in address or "\0" in address:
        raise SettingError(f"{address[:200]}: must be <protocol>://<place>, as in s3://bucket/runs/x")
    protocol, path = match[1].lower(), match[2]
    if ".." in path.split("/"):
        raise SettingError(f"{address}: an address must not go upwards (..)")
    if "@" in path.partition("/")[0] and ":" in path.partition("@")[0]:
        shown = f"{protocol}://{path.partition('@')[2]}"
        raise SettingError(f"{shown}: a password in an address would be kept with the run; give it by the environment")
    if protocol in LOCAL:
        if not path.startswith("/"):
            raise SettingError(f"{address}: must be an absolute path, as in file:///mnt/share/x")
        return Folder(Path(path))
    return Objects(address, protocol)


class Folder:
    """A folder of a mounted file system: every object appears by a rename, so that it is whole or not there."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, name: str, data: bytes) -> None:
        durable.make_folder(self._path(name).parent)
        files.write(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        durable.make_folder(self._path(name).parent)
        return durable.create(self._path(name), data)

    def get(self, name: str, most: int) -> bytes:
        return untrusted.read_bytes(self._path(name), most)

    def sizes(self, folder: str) -> dict[str, int]:
        try:
            with os.scandir(self._path(folder)) as entries:
                return {e.name: e.stat(follow_symlinks=False).st_size for e in entries if not e.is_dir()}
        except FileNotFoundError:
            return {}

    def remove(self, name: str) -> None:
        durable.remove(self._path(name))

    def _path(self, name: str) -> Path:
        """Raises RunFolderError where a link leads elsewhere."""
        path = self.folder / name
        for part in (path, path.parent):
            if part != self.folder and part.is_relative_to(self.folder) and part.is_symlink():
                raise RunFolderError(f"{part} is a link: a run holds its own files")
        return path


class Objects:
    """What fsspec reaches. Writing an object in one piece is the store's part: S3, GCS and Azure do so."""

    def __init__(self, address: str, protocol: str):
        try:
            import fsspec

            self._fs, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
        except ImportError as error:
            package = HINTS.get(protocol)
            how = f": pip install '{package}'" if package else f" ({_why(error)})"
            raise SettingError(f"{address}: {protocol}:// needs a package that is not installed{how}") from error
        except ValueError as error:
            raise SettingError(f"{address}: {_why(error)}") from error
        except Exception as error:  # a host that does not answer, at once, for some protocols
            raise RunFolderError(f"{address} cannot be reached: {_why(error)}") from error
        self._root = root.rstrip("/")
        self._makes_folders = protocol not in BUCKETS

    def put(self, name: str, data: bytes) -> None:
        self._make_folder(name)
        self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        if self._fs.exists(path):
            return False
        self._make_folder(name)
        try:
            self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except TypeError:  # a library that knows no such mode
            self._fs.pipe_file(path, data)
        # A store without conditional writes lets two through: the later stays, the earlier sees it here.
        return bool(self._fs.cat_file(path) == data)

    def get(self, name: str, most: int) -> bytes:
        size = self._fs.info(self._path(name)).get("size")
        if size is not None and size > most:
            raise ValueError(f"it has {size:,} bytes, at most {most:,} are read")
        data: bytes = self._fs.cat_file(self._path(name))
        return data

    def sizes(self, folder: str) -> dict[str, int]:
        try:
            found: list[dict[str, Any]] = self._fs.ls(self._path(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {e["name"].rpartition("/")[2]: int(e["size"] or 0) for e in found if e["type"] == "file"}

    def remove(self, name: str) -> None:
        try:
            self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _make_folder(self, name: str) -> None:
        if self._makes_folders:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
