"""States as bytes and back: the same state gives the same bytes, and reading never runs code.

A checkpoint is what ``torch.save`` writes and ``torch.load(weights_only=True)`` reads: nested dicts, lists and
tuples of tensors, numpy arrays and scalars, numbers, strings, bytes, bools and None. In the file every tuple starts
with a word that says what it stands for (``("ndarray", dtype, shape, bytes)``), since torch reads neither numpy's
types nor Python's large integers without running code.

``loads`` is for bytes of this process. A file may be anybody's: ``read`` looks at it before torch does
(``firerl.storage.checkpoint_file``), within the limits of ``firerl.base.disk.untrusted``.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from firerl.base.disk import untrusted
from firerl.errors import RunFolderError, SettingError, reason
from firerl.storage import checkpoint_file

_MAGIC = ("firerl checkpoint", 1)  # the first words of every file, and the version of this encoding
_NUMPY_KINDS = "biufc"  # bool, integers, unsigned, floats, complex: arrays of objects or text are refused


def dumps(state: Any, name: str = "state") -> bytes:
    """The bytes of ``state``; tensors are stored on the CPU, detached, each without what it is a view of.

    Raises SettingError on anything that is no plain data, with its place: ``state['weights']['net']``.
    """
    buffer = io.BytesIO()
    torch.save((*_MAGIC, _encode(state, name, {})), buffer)
    _check_size(buffer, name)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """The state that ``dumps`` made ``data`` of. Raises ValueError on bytes that are damaged or of another origin."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()  # torch itself does not compare checksums
    except Exception as error:  # zipfile raises a dozen types on bytes it does not understand
        raise ValueError("it is no checkpoint, or only part of one") from error
    if damaged is not None:
        raise ValueError(f"its record {damaged} is damaged")
    return _loaded(data)


def _loaded(data: bytes) -> Any:
    """The same, of an archive whose checksums are right."""
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch and pickle likewise
        raise ValueError("it is no checkpoint, or only part of one") from error
    if not isinstance(content, tuple) or content[:2] != _MAGIC or len(content) != 3:
        raise ValueError("it was not written by firerl, or by another version of it")
    try:
        return _decode(content[2], set())
    except (ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError) as error:
        raise ValueError(f"it holds an entry that is none of ours: {type(error).__name__}") from error


def read(path: Path) -> Any:
    """The state in the file ``path``. Raises RunFolderError, naming the file, if it is missing or damaged."""
    with _naming(path):
        return _loaded(_packed(path))


def packed(path: Path) -> bytes:
    """The bytes of the file ``path``, looked at, for ``unpacked`` in another process. Raises RunFolderError as read."""
    with _naming(path):
        return _packed(path)


def unpacked(data: bytes, path: Path) -> Any:
    """The state in the bytes of the file ``path``. Raises RunFolderError as read."""
    with _naming(path):
        return loads(data)


def _packed(path: Path) -> bytes:
    with untrusted.opened(path, untrusted.CHECKPOINT) as file:
        return _looked_at(file)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What is wrong with a file, as RunFolderError."""
    try:
        yield
    except FileNotFoundError:
        raise RunFolderError(f"checkpoint {path} is missing") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise RunFolderError(f"checkpoint {path} cannot be read: {why}") from error


def _looked_at(file: IO[bytes]) -> bytes:
    """What torch may read of an anybody's file. Raises OSError, ValueError."""
    try:
        return checkpoint_file.checked(file)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # zipfile and pickle, too
        why = f": {error}" if type(error) is ValueError or isinstance(error, pickle.UnpicklingError) else ""
        raise ValueError(f"it is no checkpoint, or only part of one{why}") from error


def _check_size(buffer: io.BytesIO, name: str) -> None:
    """Raise SettingError on a state that ``read`` would refuse."""
    size = buffer.tell()
    if size > untrusted.CHECKPOINT:
        raise SettingError(f"{name} takes {size:,} bytes: a checkpoint has at most {untrusted.CHECKPOINT:,}")
    if size <= untrusted.PICKLE:
        return
    with zipfile.ZipFile(buffer) as archive:
        head = archive.getinfo("archive/data.pkl").file_size
        records = len(archive.infolist())
    if head > untrusted.PICKLE:
        most = f"at most {untrusted.PICKLE:,} are allowed"
        raise SettingError(f"{name} takes {head:,} bytes besides tensors and arrays, {most}: keep numbers in arrays")
    if records > untrusted.RECORDS:
        raise SettingError(f"{name} has {records:,} tensors and arrays, at most {untrusted.RECORDS:,} are allowed")


def _encode(value: Any, place: str, words: dict[str, str]) -> Any:
    """``value`` in what torch reads safely. ``words`` holds each string once.

    pickle writes an object that it has met before as a reference, so equal strings must be one object, and no
    container may be shared, for equal states to become equal bytes.
    """
    kind = type(value)  # exact types: a subclass would come back as its base
    if value is None or kind in (bool, float):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else ("int", hex(value))
    if kind is str:
        return words.setdefault(value, value)
    if kind in (dict, OrderedDict):
        return {
            _encode_key(key, f"{place}[{key!r}]", words): _encode(item, f"{place}[{key!r}]", words)
            for key, item in value.items()
        }
    if kind in (list, tuple):
        items = [_encode(item, f"{place}[{index}]", words) for index, item in enumerate(value)]
        return items if kind is list else ("tuple", items)
    if kind is bytes:
        return ("bytes", _raw(np.frombuffer(value, np.uint8)))
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, place)
    if kind is np.ndarray or isinstance(value, np.generic):
        return _encode_numpy(value, place, words)
    raise _refusal(value, place)


def _encode_key(key: Any, place: str, words: dict[str, str]) -> Any:
    if type(key) not in (str, int, float, bool, type(None)):
        raise SettingError(f"{place}: a key of type {type(key).__name__} cannot be stored; use strings or numbers")
    return _encode(key, place, words)


def _encode_tensor(value: torch.Tensor, place: str) -> torch.Tensor:
    tensor = value.detach()
    if type(tensor) is not torch.Tensor or tensor.layout is not torch.strided or tensor.is_quantized:
        raise _refusal(value, place)
    # The clone owns exactly its elements, however large the storage that the tensor looks into.
    return tensor.resolve_conj().resolve_neg().cpu().clone()


def _encode_numpy(value: np.ndarray | np.generic, place: str, words: dict[str, str]) -> tuple[Any, ...]:
    if value.dtype.kind not in _NUMPY_KINDS:
        raise SettingError(f"{place}: numpy data of type {value.dtype} cannot be stored; use numbers or bools")
    dtype = words.setdefault(value.dtype.str, value.dtype.str)
    content = _raw(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    return (
        ("scalar", dtype, content) if isinstance(value, np.generic) else ("ndarray", dtype, list(value.shape), content)
    )


def _raw(content: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(content.copy())


def _decode(value: Any, seen: set[int]) -> Any:
    """``seen`` are the containers so far: ours are never shared, and those that are multiply."""
    if isinstance(value, dict | list | tuple):
        if id(value) in seen:
            raise ValueError("it holds one entry in two places")
        seen.add(id(value))
    if isinstance(value, dict):
        return {key if type(key) is str else _decode(key, seen): _decode(item, seen) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item, seen) for item in value]
    if not isinstance(value, tuple):
        return value
    match value:
        case ("tuple", items):
            return tuple(_decode(item, seen) for item in items)
        case ("int", text):
            return int(text, 16)
        case ("bytes", content):
            return content.numpy().tobytes()
        case ("ndarray", dtype, shape, content):
            return content.numpy().view(_numbers(dtype)).reshape(shape)
        case ("scalar", dtype, content):
            return content.numpy().view(_numbers(dtype))[0]
    raise ValueError(f"it holds an unknown kind of entry, {str(value[:1])[:60]}")


def _numbers(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name) if isinstance(name, str) and len(name) < 10 else np.dtype(object)
    if dtype.kind not in _NUMPY_KINDS:
        raise ValueError("it holds an array of what are no numbers")
    return dtype


def _refusal(value: Any, place: str) -> SettingError:
    kind = type(value).__name__
    return SettingError(
        f"{place}: objects of type {kind} cannot be stored; use tensors, arrays, numbers, strings, or dicts, lists "
        "and tuples of these"
    )
