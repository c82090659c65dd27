"""States as bytes and back: the same state gives the same bytes, and reading never runs code.

A state is nested dicts, lists and tuples of tensors, numpy arrays and scalars, numbers, strings, bytes, bools and None.
A checkpoint is a safetensors file, a format that cannot hold code: the tensors, named by their places
(``weights.policy.0.weight``), and in its metadata, under ``firerl``, the rest as JSON. There an object is a dict whose
keys are strings, and an array is any other thing, after a word that says which: ``["tuple", 1, 2]``,
``["tensor", name, checksum]``.

``loads`` is for bytes of this process. A file may be anybody's: ``read`` keeps to the limits of
``firerl.base.disk.untrusted``.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from firerl.base.disk import untrusted
from firerl.base.integers import LEAST, MOST, integer
from firerl.errors import RunFolderError, SettingError, reason

_VERSION = "2"  # of this encoding
_NUMPY_KINDS = "biufc"  # bool, integers, unsigned, floats, complex: arrays of objects or text are refused
_CODES = {  # what every version of safetensors knows
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "float16": "F16",
    "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip
_OTHERS = (  # stored as bytes, as are tensors that lie in another order
    "uint16", "uint32", "uint64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float8_e5m2fnuz",
)  # fmt: skip
_DTYPES = {getattr(torch, name): name for name in (*_CODES, *_OTHERS)}
_NAMED = {name: dtype for dtype, name in _DTYPES.items()}
_DIMENSIONS = 64  # of a tensor; torch itself has no limit, and takes quadratic time


def dumps(state: Any, name: str = "state") -> bytes:
    """The bytes of ``state``; tensors are stored on the CPU, detached, each without what it is a view of.

    Raises SettingError on anything that is no plain data, with its place: ``state['weights']['net']``.
    """
    writing = _Writing(name)
    text = _json(writing.encode(state, ()))
    data = writing.file(f"{_VERSION} {zlib.crc32(text)} {text.decode()}")
    if (length := _header_length(data)) > untrusted.HEADER:
        most = f"at most {untrusted.HEADER:,} are allowed"
        raise SettingError(f"{name} takes {length:,} bytes besides tensors and arrays, {most}: keep numbers in arrays")
    if len(data) > untrusted.CHECKPOINT:
        raise SettingError(f"{name} takes {len(data):,} bytes: a checkpoint has at most {untrusted.CHECKPOINT:,}")
    return data


def loads(data: bytes) -> Any:
    """The state that ``dumps`` made ``data`` of. Raises ValueError on bytes that are damaged or of another origin."""
    if data.startswith(b"PK"):
        raise ValueError("it is an archive of torch.save: not written by firerl, or by an earlier version of it")
    if untrusted.HEADER < (length := _header_length(data)) <= len(data):
        raise ValueError(f"it holds {length:,} bytes besides its tensors, at most {untrusted.HEADER:,} are read")
    try:
        tensors = load_tensors(data)  # compares all sizes and offsets with the bytes that are there
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except MemoryError:
        raise
    except Exception as error:  # of safetensors, torch and json
        raise ValueError("it is no checkpoint, or only part of one") from error
    version, _, rest = metadata.get("firerl", "").partition(" ")
    checksum, _, text = rest.partition(" ")
    if version != _VERSION:
        raise ValueError("it was not written by firerl, or by another version of it")
    if checksum != str(zlib.crc32(text.encode())):
        raise ValueError("its header is damaged")
    try:
        state = _Reading(tensors).decode(json.loads(text, parse_int=integer))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, struct.error) as error:  # RecursionError, too
        raise ValueError(f"it holds an entry that is none of ours: {type(error).__name__}") from error
    if tensors:
        raise ValueError(f"nothing refers to its tensor {min(tensors)[:60]!r}")
    return state


def read(path: Path) -> Any:
    """The state in the file ``path``. Raises RunFolderError, naming the file, if it is missing or damaged."""
    return unpacked(packed(path), path)


def packed(path: Path) -> bytes:
    """The bytes of the file ``path``, for ``unpacked`` in another process. Raises RunFolderError as read."""
    with _naming(path):
        return untrusted.read_bytes(path, untrusted.CHECKPOINT)


def unpacked(data: bytes, path: Path) -> Any:
    """The state in the bytes of the file ``path``. Raises RunFolderError as read."""
    with _naming(path):
        return loads(data)


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


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _header_length(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


class _Writing:
    """A state on its way into a file: its tensors by name."""

    def __init__(self, name: str):
        self.name = name
        self.tensors: dict[str, torch.Tensor] = {}

    def file(self, text: str) -> bytes:
        """The safetensors file of these tensors, with ``text`` in its metadata. The library's own ``save`` would copy
        them twice, and its bytes may change with its version."""
        table: dict[str, Any] = {"__metadata__": {"firerl": text}}
        wide_first = sorted(self.tensors.items(), key=lambda item: -item[1].itemsize)  # so that each is aligned
        end = 0
        for name, tensor in wide_first:
            begin, end = end, end + tensor.nbytes
            code = _CODES[_DTYPES[tensor.dtype]]
            table[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        head = _json(table)
        head += b" " * (-len(head) % 8)
        return b"".join([len(head).to_bytes(8, "little"), head, *(_raw(tensor) for _, tensor in wide_first)])

    def encode(self, value: Any, path: tuple[Any, ...]) -> Any:
        """``value``, which lies at ``path``, as JSON has it."""
        kind = type(value)  # exact types: a subclass would come back as its base
        if value is None or kind in (bool, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", struct.pack(">d", value).hex()]
        if kind is int:
            return value if LEAST <= value <= MOST else ["int", hex(value)]
        if kind in (dict, OrderedDict):
            return self._dict(value, path)
        if kind in (list, tuple):
            return [kind.__name__, *(self.encode(item, (*path, index)) for index, item in enumerate(value))]
        if kind is bytes:
            return ["bytes", *self._put(_bytes_of(np.frombuffer(value, np.uint8)), path)]
        if isinstance(value, torch.Tensor):
            return self._tensor(value, path)
        if kind is np.ndarray or isinstance(value, np.generic):
            return self._numpy(value, path)
        raise self._refusal(value, path)

    def _dict(self, value: dict[Any, Any], path: tuple[Any, ...]) -> Any:
        pairs = [(key, self.encode(item, (*path, key))) for key, item in value.items()]
        if all(type(key) is str for key in value):
            return dict(pairs)
        for key in value:
            if type(key) not in (str, int, float, bool, type(None)):
                what = f"a key of type {type(key).__name__} cannot be stored; use strings or numbers"
                raise SettingError(f"{self._place((*path, key))}: {what}")
        return ["dict", *([self.encode(key, path), item] for key, item in pairs)]

    def _tensor(self, value: torch.Tensor, path: tuple[Any, ...]) -> list[Any]:
        tensor = value.detach()
        if type(tensor) is not torch.Tensor or tensor.layout is not torch.strided or tensor.dtype not in _DTYPES:
            raise self._refusal(value, path)
        own = tensor.resolve_conj().resolve_neg().cpu()
        in_order = torch.empty(own.shape, device="meta").stride()
        if own.stride() != in_order:
            own = own.clone()  # owns exactly its elements, however large the storage that the tensor looks into
        name = _DTYPES[own.dtype]
        if name in _CODES and own.stride() == in_order:
            return ["tensor", *self._put(own, path)]
        flat = own.as_strided((own.numel(),), (1,)).view(torch.uint8)
        return ["laid", *self._put(flat, path), name, list(own.shape), list(own.stride())]

    def _numpy(self, value: np.ndarray | np.generic, path: tuple[Any, ...]) -> list[Any]:
        if value.dtype.kind not in _NUMPY_KINDS:
            what = f"numpy data of type {value.dtype} cannot be stored; use numbers or bools"
            raise SettingError(f"{self._place(path)}: {what}")
        form = [*self._put(_bytes_of(np.ascontiguousarray(value)), path), value.dtype.str]
        return ["scalar", *form] if isinstance(value, np.generic) else ["ndarray", *form, list(value.shape)]

    def _put(self, tensor: torch.Tensor, path: tuple[Any, ...]) -> tuple[str, int]:
        """The tensor's name in the file, and its checksum."""
        name = ".".join(map(str, path)).encode("utf-8", "backslashreplace").decode() or "state"
        while name in self.tensors or name == "__metadata__":
            name += "_"
        self.tensors[name] = tensor
        return name, _checksum(tensor)

    def _place(self, path: tuple[Any, ...]) -> str:
        return self.name + "".join(f"[{key!r}]" for key in path)

    def _refusal(self, value: Any, path: tuple[Any, ...]) -> SettingError:
        return SettingError(
            f"{self._place(path)}: objects of type {type(value).__name__} cannot be stored; use tensors, arrays, "
            "numbers, strings, or dicts, lists and tuples of these"
        )


class _Reading:
    """A state on its way out of a file; each of its tensors is taken once."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = tensors

    def decode(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.decode(item) for key, item in value.items()}
        if not isinstance(value, list):
            return value
        match value:
            case ["list", *items]:
                return [self.decode(item) for item in items]
            case ["tuple", *items]:
                return tuple(self.decode(item) for item in items)
            case ["dict", *pairs]:
                return {self.decode(key): self.decode(item) for key, item in pairs}
            case ["int", text]:
                return int(text, 16)
            case ["float", text]:
                return struct.unpack(">d", bytes.fromhex(text))[0]
            case ["tensor", name, checksum]:
                return self._take(name, checksum)
            case ["laid", name, checksum, dtype, shape, stride]:
                flat = self._take(name, checksum).view(_NAMED[dtype])
                if len(shape) > _DIMENSIONS or math.prod(shape) != flat.numel():
                    raise ValueError("it holds a tensor that is larger than its numbers")
                return flat.as_strided(shape, stride)
            case ["bytes", name, checksum]:
                return self._take(name, checksum).numpy().tobytes()
            case ["ndarray", name, checksum, dtype, shape]:
                return self._take(name, checksum).numpy().view(_numbers(dtype)).reshape(shape)
            case ["scalar", name, checksum, dtype]:
                return self._take(name, checksum).numpy().view(_numbers(dtype))[0]
        raise ValueError(f"it holds an unknown kind of entry, {str(value[:1])[:60]}")

    def _take(self, name: str, checksum: int) -> torch.Tensor:
        """A tensor in memory that is torch's own: where it lies decides the last bit of some sums."""
        tensor = self.tensors.pop(name)
        if tensor.ndim > _DIMENSIONS or checksum != _checksum(tensor):
            raise ValueError(f"its tensor {name[:60]!r} is damaged")
        return tensor.clone()


def _raw(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(_raw(tensor))


def _bytes_of(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.reshape(-1).view(np.uint8).copy())


def _numbers(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name) if isinstance(name, str) and len(name) < 10 else np.dtype(object)
    if dtype.kind not in _NUMPY_KINDS:
        raise ValueError("it holds an array of what are no numbers")
    return dtype
