from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from firerl.base.disk import files
from firerl.errors import RunFolderError, SettingError
from firerl.storage import checkpoint

numbers = st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes())
arrays = numbers.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
tensors = st.sampled_from(
    [torch.float32, torch.float64, torch.bfloat16, torch.uint16, torch.int64, torch.bool]
).flatmap(lambda dtype: st.lists(st.integers(0, 100), max_size=6).map(lambda values: torch.tensor(values).to(dtype)))
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=8))
keys = st.one_of(st.text(max_size=4), st.integers(), st.none())
states = st.recursive(
    st.one_of(plain, arrays, arrays.map(lambda array: array.reshape(-1)[0] if array.size else array), tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal in type and bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape or a.stride() != b.stride():
            return False
        return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return pickle.dumps(a) == pickle.dumps(b)  # tells 0.0 from -0.0, and NaN is itself


@settings(max_examples=150, deadline=None)
@given(states)
def test_a_state_comes_back_bit_for_bit_and_gives_the_same_bytes_again(state: Any) -> None:
    data = checkpoint.dumps(state)
    back = checkpoint.loads(data)
    assert same(state, back)
    assert checkpoint.dumps(back) == data


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**63, -(2**64), 2**127 + 1, -(3**3000)])
def test_integers_of_any_size(number: int) -> None:
    assert checkpoint.loads(checkpoint.dumps({"n": number})) == {"n": number}


def test_equal_states_give_equal_bytes_whatever_objects_they_share() -> None:
    tensor, word, part = torch.arange(4.0), "".join(["wo", "rd"]), (1, 2)  # joined: a second object, equal to the first
    shared = {"a": word, "b": word, "c": [part, part], "t": [tensor, tensor]}
    apart = {"a": word, "b": "".join(["wo", "rd"]), "c": [(1, 2), tuple(part[:])], "t": [tensor, tensor.clone()]}
    assert checkpoint.dumps(shared) == checkpoint.dumps(apart)


def test_bytes_do_not_depend_on_the_process() -> None:
    code = (
        "import numpy, torch; from firerl.base.disk import files; from firerl.storage import checkpoint; "
        "print(files.digest(checkpoint.dumps("
        "{'w': torch.arange(9.).reshape(3, 3).t(), 'g': numpy.random.default_rng(1).bit_generator.state, 'b': b'x'})))"
    )
    here = {
        "w": torch.arange(9.0).reshape(3, 3).t(),
        "g": np.random.default_rng(1).bit_generator.state,
        "b": b"x",
    }
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == files.digest(checkpoint.dumps(here))


def test_tensors_are_stored_alone_and_come_back_writable() -> None:
    big = torch.zeros(1_000_000, requires_grad=True)
    data = checkpoint.dumps([big[:3], torch.nn.Parameter(torch.ones(2)), np.arange(3)])
    assert len(data) < 10_000
    view, parameter, array = checkpoint.loads(data)
    assert not view.requires_grad
    assert type(parameter) is torch.Tensor
    array += 1
    assert array.tolist() == [1, 2, 3]


def test_a_network_and_its_optimiser_go_through() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(4, 3)).sum().backward()
    optimiser.step()
    assert isinstance(net.state_dict(), OrderedDict)
    state = checkpoint.loads(checkpoint.dumps({"net": net.state_dict(), "optimiser": optimiser.state_dict()}))
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"weights": {"net": torch.nn.Linear(1, 1)}}, "state['weights']['net']: objects of type Linear"),
        ({"a": [0, (1, {2})]}, "state['a'][1][1]: objects of type set"),
        ({"a": np.array(["x"])}, "state['a']: numpy data of type <U1"),
        ({"a": {(1, 2): 3}}, "state['a'][(1, 2)]: a key of type tuple"),
        ([torch.eye(2).to_sparse()], "state[0]: objects of type Tensor"),
        ([np.array([object()])], "state[0]: numpy data of type object"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_place(state: Any, place: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on sparse tensors
        with pytest.raises(SettingError) as caught:
            checkpoint.dumps(state)
    assert place in str(caught.value)


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_reading_runs_no_code(tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "bomb.pt"
    buffer = io.BytesIO()
    torch.save(("firerl checkpoint", 1, Bomb(trap)), buffer)
    for data in (buffer.getvalue(), pickle.dumps(Bomb(trap))):
        path.write_bytes(data)
        with pytest.raises(RunFolderError, match=r"bomb\.pt"):
            checkpoint.read(path)
    assert not trap.exists()
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert trap.exists()  # the bomb is a real one


def test_a_file_that_is_cut_or_changed_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g1-w3.pt"
    data = checkpoint.dumps({"weights": torch.arange(300.0), "stream": list(range(50))})
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(RunFolderError, match=r"g1-w3\.pt"):
            checkpoint.read(path)
    numbers = 8 + int.from_bytes(data[:8], "little")  # where the header ends
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(RunFolderError, match="damaged" if place >= numbers else r"g1-w3\.pt"):
            checkpoint.read(path)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"gone\.pt is missing"):
        checkpoint.read(tmp_path / "gone.pt")
    torch.save({"weights": 1}, tmp_path / "foreign.pt")
    with pytest.raises(RunFolderError, match=r"foreign\.pt .*not written by firerl"):
        checkpoint.read(tmp_path / "foreign.pt")


def test_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for value in (1, 2):
        files.write(path, checkpoint.dumps(value))
        assert checkpoint.read(path) == value
    assert os.listdir(tmp_path) == ["a.pt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.pt"
    files.write(path, checkpoint.dumps("old"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match=r"cannot write .*a\.pt: No space left"):
        files.write(path, checkpoint.dumps("new"))
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.pt"]
    assert checkpoint.read(path) == "old"


def test_writing_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot write"):
        files.write(tmp_path / "none" / "a.pt", b"")
