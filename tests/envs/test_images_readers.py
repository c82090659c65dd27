"""Who reads images changes nothing: threads, processes, killed ones; and no reader outlives its owner."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import imagenet_for_tests
import numpy as np
import pytest
from PIL import Image

from firerl.agents.classifier import Classifier
from firerl.base.cores import SHARERS, share_of_cores, usable_cores
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, MachineFailure
from firerl.envs import images
from firerl.envs.images.files import decoding
from firerl.envs.images.files.decoding import DRAWS, Piece
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.order import Order
from firerl.errors import MachineError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imagenet_for_tests.make(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture
def load(root: Path) -> Iterator[Any]:
    """A function that loads a data set, whose readers end with the test."""
    made = []

    def one(where: Path = root, **settings: Any) -> FolderData:
        made.append(FolderData(ImageNetSettings(**{"root": str(where), "size": 16, "objective": 24, **settings})))
        return made[-1]

    yield one
    for data in made:
        data.readers.close()


def taken(data: FolderData, steps: int = 4) -> list[images.Batch]:
    return list(data.stream(Order(data.count, 3).parts(7, steps, 50, 25, DRAWS)))


def same(one: list[images.Batch], other: list[images.Batch]) -> bool:
    return len(one) == len(other) and all(
        (a.images == b.images).all() and (a.labels == b.labels).all() and a.broken == b.broken
        for a, b in zip(one, other, strict=True)
    )


def test_any_number_of_threads_or_processes_reads_the_same(load: Any) -> None:
    first = load(processes=0, threads=1)
    batches, held_out = taken(first), list(first.held_out("objective"))
    assert len(batches) == 8
    assert {len(batch.labels) for batch in batches} == {25}
    assert sum(len(batch.broken) for batch in batches) > 0
    one_by_one = [first.train(*wanted) for wanted in Order(first.count, 3).parts(7, 4, 50, 25, DRAWS)]
    assert same(batches, one_by_one)
    for settings in ({"processes": 0, "threads": 5}, {"processes": 1}, {"processes": 3}):
        other = load(**settings)
        assert same(batches, taken(other)), settings
        assert same(held_out, list(other.held_out("objective"))), settings


def test_a_killed_reader_costs_nothing(load: Any) -> None:
    data = load(processes=2)
    expected = taken(data)
    for process in list(data.readers._started):
        os.kill(process._child.pid, signal.SIGKILL)
    assert same(expected, taken(data))
    assert len(data.readers._started) <= 2


def test_readers_that_always_die_are_the_machines_trouble(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firerl.envs.images.files.readers.__name__", "firerl.no_such_module")
    data = load(processes=1)
    with pytest.raises(MachineError, match=r"3 processes that read images have died, .* exit code 1: /.*\.JPEG"):
        data.train(np.arange(3), np.zeros((3, DRAWS)))


def test_readers_that_are_closed_with_work_under_way_end_and_keep_nobody_waiting(load: Any) -> None:
    data = load(processes=2)
    begun = [data._begin(*wanted) for wanted in Order(data.count, 3).parts(0, 10, 320, 320, DRAWS)]
    begun[0].finish()
    pids = [process._child.pid for process in data.readers._started]
    data.readers.close()
    data.readers._pool.shutdown(wait=True)  # its threads end
    with pytest.raises((MachineError, CancelledError)):
        begun[-1].finish()
    assert pids
    assert not any(map(lives, pids))


def test_readers_end_with_their_owner_even_under_sigkill(root: Path) -> None:
    code = (
        "import sys, time; from firerl.envs.images.files.folder import FolderData, ImageNetSettings\n"
        f"data = FolderData(ImageNetSettings({str(root)!r}, size=16, objective=24, processes=2))\n"
        "list(data.held_out('report'))\n"
        "print(*(p._child.pid for p in data.readers._started), flush=True)\n"
        "while True: list(data.held_out('report'))"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert owner.stdout is not None
    readers = [int(pid) for pid in owner.stdout.readline().split()]
    assert readers
    assert all(lives(pid) for pid in readers)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 10
    while any(map(lives, readers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(lives, readers))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_objective_images_are_kept_as_far_as_the_limit_allows(tmp_path: Path, load: Any) -> None:
    where = imagenet_for_tests.make(tmp_path / "images")
    small, large = load(where, processes=0, keep=0), load(where, processes=0)
    expected = list(large.held_out("objective"))
    assert same(expected, list(small.held_out("objective")))
    assert sum(len(batch.labels) + len(batch.broken) for batch in expected) == 24
    list(large.held_out("report"))  # is not kept
    shutil.rmtree(where)
    assert same(expected, list(large.held_out("objective")))
    for data, part in ((small, "objective"), (large, "report")):
        with pytest.raises(MachineError, match="No such file"):
            list(data.held_out(part))


def test_data_that_go_away_are_no_failure_of_the_learner(tmp_path: Path) -> None:
    where = imagenet_for_tests.make(tmp_path / "images")
    data = images.check({"name": "imagenet", "root": str(where), "size": 16, "objective": 24, "processes": 1})
    settings = Classifier.resolve({"data": data, "model": "cnn", "width": 4, "batch_size": 8, "micro_batch": None})
    host = Host(LearnerSpec(Classifier, settings), durable=False)
    host.create([Create(0, {"learning_rate": 0.1}, 0)])
    outcomes: list[Any] = []
    outcomes.extend(host.advance([Advance(0, 1, 0)]))
    assert outcomes[0].failure is None
    shutil.rmtree(where)
    with pytest.raises(MachineFailure, match=r"worker 0: images cannot be read: .*No such file"):
        outcomes.extend(host.advance([Advance(0, 30, 0)]))


def test_what_the_system_says_is_the_machines_and_what_a_decoder_says_is_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "away.png").symlink_to(tmp_path / "disk" / "1.png")  # a disk that is not there at the moment
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")

    def why(name: str) -> str:
        [told] = decoding.read(Piece([str(tmp_path / name)], None, 8, False), np.zeros((1, 8, 8, 3), dtype=np.uint8))
        return told

    assert why("folder.png")
    assert why("circle.png")
    assert why("empty.png") == "it is empty"
    assert why("pipe.png")  # and keeps nobody waiting
    assert why("good.png") == ""
    for name in ("away.png", "gone.png"):
        with pytest.raises(FileNotFoundError):
            why(name)
    for number in (errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES):
        monkeypatch.setattr(decoding, "middle", raising(OSError(number, os.strerror(number))))
        with pytest.raises(OSError, match=os.strerror(number)):
            why("good.png")
    text = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of a text in it")
    for error in (
        RuntimeError("AVIF"),
        MemoryError("JPEG 2000"),
        KeyError("x"),
        AssertionError(),
        OSError("cut"),
        text,
    ):
        monkeypatch.setattr(decoding, "middle", raising(error))
        assert why("good.png")
    monkeypatch.setattr(decoding.np, "empty", raising(MemoryError()))
    monkeypatch.setattr(decoding, "middle", raising(MemoryError()))
    with pytest.raises(MemoryError):  # here the machine has none left
        why("good.png")


def raising(error: BaseException) -> Any:
    def act(*_: Any) -> None:
        raise error

    return act


def test_a_disk_that_fails_in_a_reader_process_is_the_machines_trouble(tmp_path: Path, load: Any) -> None:
    where = imagenet_for_tests.make(tmp_path / "images")
    data = load(where, processes=1)
    taken(data, 1)
    lost = where / data._train.paths[4]
    lost.unlink()
    lost.symlink_to(tmp_path / "disk")
    with pytest.raises(MachineError, match=rf"images cannot be read: .*{lost.name}"):
        data.train(np.array([4]), np.zeros((1, DRAWS)))


def test_a_file_that_kills_its_readers_is_named(load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    where = imagenet_for_tests.make(tmp_path / "images")
    data = load(where, processes=1)
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom firerl.envs.images.files import decoding, readers\n"
        "def read(piece, out):\n"
        f"    os.path.basename(piece.paths[-1]) == {os.path.basename(data._train.paths[2])!r} and os.abort()\n"
        "    len(piece.paths) > 1 and os.abort()\n"
        "    return decoding.read(piece, out)\n"
        "readers.read = read\nserve = readers.serve\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("firerl.envs.images.files.readers.__name__", "deadly")
    with pytest.raises(MachineError, match=rf"have died, the last with exit code -6: .*{data._train.paths[2]}"):
        data.train(np.arange(5), np.zeros((5, DRAWS)))


def test_draft_decodes_large_images_smaller_and_shows_the_same_part(tmp_path: Path) -> None:
    ramp = np.linspace(0, 250, 400)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (400, 1)), np.tile(ramp[:, None], (1, 400))], -1)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.JPEG", quality=95)
    draws = np.random.default_rng(0).random((20, DRAWS))
    paths = [str(tmp_path / "a.JPEG")] * 20
    for rows in (draws, None):
        plain, drafted = np.zeros((2, 20, 32, 32, 3), dtype=np.uint8)
        for draft, out in ((False, plain), (True, drafted)):
            assert not any(decoding.read(Piece(paths, rows, 32, draft), out))
        assert (plain != drafted).any()
        assert np.abs(plain.astype(int) - drafted).max() <= 6
    with Image.open(paths[0]) as image:
        decoding.middle(image, Piece([], None, 32, True))
        assert image.size == (50, 50)  # an eighth: the middle 43 of them are enough for 32


def test_the_cores_are_shared_among_the_processes_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARERS, raising=False)
    assert share_of_cores() == usable_cores()
    monkeypatch.setattr("firerl.base.cores.usable_cores", lambda: 16)
    for processes, share in (("1", 16), ("3", 5), ("16", 1), ("22", 1)):
        monkeypatch.setenv(SHARERS, processes)
        assert share_of_cores() == share
