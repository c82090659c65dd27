"""A checkpoint file looked at before torch reads it: what it may consist of, and how large it may claim to be.

A file of ours is a zip archive whose records are stored as they are: a pickle of plain data, one record for each
tensor's numbers, and a few words of torch's. The pickle is followed once with an unpickler of our own that knows no
functions, and compares what every tensor claims to be with the bytes that are there. What has passed is packed anew,
so that torch reads what was looked at: two readers of zip archives may see two different things in one file.
"""

from __future__ import annotations

import io
import math
import pickle
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, ClassVar

from firerl.base.disk.untrusted import CHECKPOINT, PICKLE, RECORDS

DIRECTORY = 64 << 20  # bytes that zipfile may ask for at once: its table of contents
PIECE = 8 << 20  # bytes of a record that are asked for at once: a tensor may have more than DIRECTORY
WORDS = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id")
WORD = 1_000  # bytes of one of these
STORAGES = {  # bytes of an element
    "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ShortStorage": 2, "IntStorage": 4, "LongStorage": 8,
    "HalfStorage": 2, "BFloat16Storage": 2, "FloatStorage": 4, "DoubleStorage": 8, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16, "UntypedStorage": 1,
}  # fmt: skip
NEWER = {  # numbers without a storage of their own in torch: bytes of an element
    "uint16": 2, "uint32": 4, "uint64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
}  # fmt: skip
OPCODES = (  # what plain data and tensors are written with in protocol 2
    pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT,
    pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.LONG4, pickle.BINFLOAT, pickle.BINUNICODE, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_TUPLE,
    pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
    pickle.LONG_BINGET, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID,
)  # fmt: skip


def checked(file: IO[bytes]) -> bytes:
    """The archive in ``file``, packed anew. Raises ValueError, zipfile's and pickle's errors on anything else."""
    with zipfile.ZipFile(_Careful(file)) as archive:
        records = _records(archive)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as packed:
            follow(_whole(archive, records["data.pkl"]), {name: r.file_size for name, r in records.items()})
            for record in records.values():
                _copy(archive, record, packed)
    return content.getvalue()


def _whole(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bytes:
    if record.file_size > PICKLE:
        raise ValueError(f"it holds {record.file_size:,} bytes besides its tensors, at most {PICKLE:,} are read")
    try:
        return archive.read(record)
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"its record {record.filename} is damaged") from error


def _copy(archive: zipfile.ZipFile, record: zipfile.ZipInfo, packed: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo(record.filename)
    info.file_size = record.file_size  # from 2 GiB on it is written otherwise
    try:
        with archive.open(record) as source, packed.open(info, "w") as target:
            shutil.copyfileobj(source, target, PIECE)
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"its record {record.filename} is damaged") from error


def follow(head: bytes, sizes: Mapping[str, int]) -> None:
    """Raise unless this pickle is plain data with tensors that are as large as their records. Runs none of its code."""
    follower = _Follower(head, sizes)
    follower.load()
    unused = {name for name in sizes if name.startswith("data/")} - follower.used
    if unused:
        raise ValueError(f"nothing refers to its record {min(unused)}")


def _records(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The records by name, without the folder that all lie in. Raises ValueError."""
    found = archive.infolist()
    names = [record.filename for record in found]
    if not names or len(found) > RECORDS or len(set(names)) < len(names):
        raise ValueError("its records are too many, none, or named twice")
    folder = names[0].partition("/")[0]
    if sum(record.file_size for record in found) > CHECKPOINT:
        raise ValueError("its records are larger than the file")
    records = {}
    for record in found:
        base, _, name = record.filename.partition("/")
        known = name in (*WORDS, "data.pkl") or (name.startswith("data/") and name[5:].isdecimal())
        if base != folder or not known:
            raise ValueError(f"it holds a record called {record.filename[:60]!r}")
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise ValueError(f"its record {record.filename} is compressed")
        if name in WORDS and record.file_size > WORD:
            raise ValueError(f"its record {record.filename} is too large")
        records[name] = record
    if "data.pkl" not in records:
        raise ValueError("it holds no data.pkl")
    return records


class _Careful:
    """A file from which nobody reads more than a little at once; what zipfile asks for the file itself may say."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY:
            raise ValueError("its table of contents is too large")
        data = self._file.read(DIRECTORY + 1 if size < 0 else size)
        if len(data) > DIRECTORY:
            raise ValueError("its table of contents is too large")
        return data


class _Storage:
    """Stands for the numbers of a tensor."""

    def __init__(self, elements: int):
        self.elements = elements


class _Follower(pickle._Unpickler):
    """Python's own unpickler without the opcodes that torch.save never writes; nothing that a file names is called."""

    stack: list[Any]  # of the machine, in Python's class

    dispatch: ClassVar[dict[int, Any]] = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in OPCODES}

    def __init__(self, head: bytes, sizes: Mapping[str, int]):
        super().__init__(io.BytesIO(head), encoding="utf-8", errors="strict")
        self.sizes = sizes
        self.used: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _check_tensor
        if (module, name) == ("torch._utils", "_rebuild_tensor_v3"):
            return _check_newer
        if (module, name) == ("collections", "OrderedDict"):
            return _no_hooks
        if module in ("torch", "torch.storage") and (name in STORAGES or name in NEWER):
            return name
        raise pickle.UnpicklingError(f"it names {module[:60]}.{name[:60]}")

    def get_extension(self, code: int) -> Any:
        raise pickle.UnpicklingError("it names an extension")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if function not in (_check_tensor, _check_newer, _no_hooks) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls what is no tensor")
        self.stack[-1] = function(*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_long4(self) -> None:
        raise pickle.UnpicklingError("it holds a number that is too long")

    dispatch[pickle.LONG4[0]] = load_long4

    def persistent_load(self, told: Any) -> _Storage:
        kind, storage, key, place, elements = told
        name = f"data/{key}"
        if kind != "storage" or storage not in STORAGES or place != "cpu" or type(elements) is not int:
            raise pickle.UnpicklingError("it holds an unknown kind of tensor")
        if name in self.used:
            raise pickle.UnpicklingError(f"two tensors share its record {name}")
        if self.sizes.get(name) != elements * STORAGES[storage]:
            raise pickle.UnpicklingError(f"its record {name} is not as large as it says")
        self.used.add(name)
        return _Storage(elements)


def _check_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any) -> None:
    """Raise unless the tensor is all of its storage, each element once."""
    shaped = all(type(part) is tuple and all(type(n) is int and n >= 0 for n in part) for part in (size, stride))
    if not isinstance(storage, _Storage) or offset != 0 or requires_grad is not False or hooks is not None:
        raise pickle.UnpicklingError("it holds a tensor that is none of ours")
    if not shaped or len(size) != len(stride) or len(size) > 64 or not _dense(storage.elements, size, stride):
        raise pickle.UnpicklingError("it holds a tensor that is larger than its numbers")


def _check_newer(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *more: Any
) -> None:
    """The same of a tensor whose storage is bytes."""
    if not isinstance(storage, _Storage) or dtype not in NEWER or more not in ((), (None,)):
        raise pickle.UnpicklingError("it holds a tensor that is none of ours")
    elements, rest = divmod(storage.elements, NEWER[dtype])
    if rest:
        raise pickle.UnpicklingError("it holds a tensor that is larger than its numbers")
    _check_tensor(_Storage(elements), offset, size, stride, requires_grad, hooks)


def _dense(elements: int, size: Sequence[int], stride: Sequence[int]) -> bool:
    if math.prod(size) != elements:
        return False
    step = 1
    for own, length in sorted((s, n) for n, s in zip(size, stride, strict=True) if n > 1) if elements else ():
        if own != step:
            return False
        step *= length
    return True


def _no_hooks(*arguments: Any) -> None:
    if arguments:
        raise pickle.UnpicklingError("it holds a tensor that is none of ours")
