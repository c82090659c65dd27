"""A run whose folder is at an address: the same journal and results, whatever is killed, lost or in the way."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from logging import getLogger
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.base.disk.files import digest
from firerl.commands import compare, doctor, explain, journal, launch, play, report
from firerl.errors import FirerlError, RunFolderError, SettingError
from firerl.session.watching.progress import Silent
from firerl.storage.remote import address as remote
from firerl.storage.remote import lease as remote_lock
from firerl.storage.remote import reading as remote_reading
from firerl.storage.remote.address import Folder, Remote
from firerl.storage.remote.home import folder_of, home
from firerl.storage.remote.lease import RemoteLock
from firerl.storage.remote.snapshot import snapshots
from firerl.winner import network as network_of_run

harness: Any = importlib.import_module("remote_kills")

SMALL, differs, go_on, killed, run = harness.SMALL, harness.differs, harness.go_on, harness.killed, harness.run


@pytest.fixture(scope="module", autouse=True)
def _no_power_failure() -> Iterator[None]:
    """Processes are killed here, machines are not: the disk need not be waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in a local folder."""
    run_dir = tmp_path_factory.mktemp("plain") / "x"
    firerl.run("quadratic", run_dir=run_dir, **SMALL)
    return run_dir


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3-compatible server of the test's own, on 127.0.0.1."""
    pytest.importorskip("aiobotocore")
    pytest.importorskip("flask")
    moto = pytest.importorskip("moto.server")
    import boto3

    getLogger("werkzeug").disabled = True
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet: a mounted folder, and a bucket."""
    if request.param == "file":
        return f"file://{tmp_path}/share/x"
    return f"{request.getfixturevalue('server')}/{tmp_path.name}/x"


@pytest.fixture
def share(tmp_path: Path) -> str:
    return f"file://{tmp_path}/share/x"


def check_same(address: str, plain_run: Path) -> None:
    """The journal and the results there are those of the local run, and nothing else lies there."""
    assert differs(address, plain_run) == ""


class Interrupted(Silent):
    """Ctrl-C after so many rounds."""

    def __init__(self, rounds: int):
        self.rounds = rounds

    def round_done(self, round: object) -> None:
        self.rounds -= 1
        if self.rounds == 0:
            raise KeyboardInterrupt


def interrupted(address: str, work: Path, rounds: int = 10) -> str:
    """A run that has committed two generations of three."""
    with pytest.raises(KeyboardInterrupt):
        run(address, work, observer=Interrupted(rounds))
    return address


def test_a_run_at_an_address_is_the_local_run(address: str, tmp_path: Path, plain_run: Path) -> None:
    result = run(address, tmp_path / "work")
    check_same(address, plain_run)
    assert result.run_dir == folder_of(address, str(tmp_path / "work"))
    assert (result.run_dir / "result.json").read_bytes() == (plain_run / "result.json").read_bytes()
    with pytest.raises(RunFolderError, match="already holds a run; to go on with it type: resume="):
        run(address, tmp_path / "other")


def test_a_finished_run_goes_on_from_the_address_alone(address: str, tmp_path: Path, plain_run: Path) -> None:
    run(address, tmp_path / "work", steps=80)
    shutil.rmtree(tmp_path / "work")
    firerl.resume(address, local_dir=tmp_path / "elsewhere", steps=120, progress=False)
    check_same(address, plain_run)
    before = Remote(address).sizes()
    firerl.resume(address, local_dir=tmp_path / "work", progress=False)  # finished: returns at once
    assert {name for name in before if name not in Remote(address).sizes()} <= set(snapshots(before))


MOMENTS = {  # what was about to change, or had changed, and the how manieth of its kind
    "nothing but the lock is there": ("after", "lock", 1),
    "before the first snapshot": ("before", "journal", 1),
    "among the uploads": ("after", "checkpoints", 8),
    "between the uploads and the snapshot": ("before", "journal", 3),
    "after the snapshot": ("after", "journal", 3),
    "among the garbage": ("after", "-checkpoints", 2),
    "among the results": ("after", "best.pt", 1),
    "before the last word": ("before", "result.json", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_controller_whose_machine_is_lost(address: str, tmp_path: Path, plain_run: Path, moment: str) -> None:
    if address.startswith("s3") and moment not in list(MOMENTS)[2:5]:
        pytest.skip("the same with file://")
    work = tmp_path / "work"
    assert killed(lambda found: found == MOMENTS[moment], lambda: run(address, work))
    shutil.rmtree(work, ignore_errors=True)
    go_on(address, work)
    check_same(address, plain_run)


@pytest.mark.parametrize("moment", ["between the uploads and the snapshot", "before the first snapshot"])
def test_a_killed_controller_whose_folder_is_ahead(share: str, tmp_path: Path, plain_run: Path, moment: str) -> None:
    work = tmp_path / "work"
    assert killed(lambda found: found == MOMENTS[moment], lambda: run(share, work))
    go_on(share, work)
    check_same(share, plain_run)


def test_another_machine_goes_on_and_the_first_one_later(share: str, tmp_path: Path, plain_run: Path) -> None:
    """What the first had committed without an upload is what the other computed again."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert killed(lambda found: found == MOMENTS["between the uploads and the snapshot"], lambda: run(share, first))
    with pytest.raises(KeyboardInterrupt):
        firerl.resume(share, local_dir=second, progress=False, observer=Interrupted(5))
    go_on(share, first)
    check_same(share, plain_run)


def test_two_different_runs_are_not_joined(share: str, tmp_path: Path) -> None:
    interrupted(share, tmp_path / "work")
    shutil.rmtree(tmp_path / "share")
    with pytest.raises(
        RunFolderError, match=r"holds no run, but its working folder .* up to generation 2: go on there"
    ):
        run(share, tmp_path / "work")
    run(share, tmp_path / "other", seed=4)
    with pytest.raises(RunFolderError, match="hold different runs, which part at generation 0: remove the folder"):
        firerl.resume(share, local_dir=tmp_path / "work", progress=False)


def test_the_same_line_starts_it_and_goes_on(
    share: str, tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = ["resume=auto", f"run_dir={share}", "learner=quadratic", "population.sizes=[2,2]", "population.evaluators=2"]
    line += ["steps=120", "ready_interval=40", "seed=3", "engine=inline", "logger=none"]
    interrupted(share, tmp_path / "work")
    assert launch.main(line) == 0
    said = capfd.readouterr().out
    assert f"run folder  {share}\n" in said
    assert f"works in    {tmp_path}/cache/firerl/runs/" in said
    assert f"python -m firerl.journal {share}\n" in said
    check_same(share, plain_run)
    assert launch.main([f"resume={share}", f"local_dir={tmp_path}/work"]) == 0
    assert "has finished already" in capfd.readouterr().out


# The lock


def test_the_second_is_refused_and_told_who_holds_it(address: str, tmp_path: Path) -> None:
    place = Remote(address)
    held = RemoteLock(place, print)
    with pytest.raises(RunFolderError, match=rf"in use by another firerl \(process {os.getpid()} on \S+ since 20"):
        run(address, tmp_path / "work")
    held.close()
    assert place.sizes() == {}
    RemoteLock(place, print).close()


def test_only_one_of_many_gets_it(address: str) -> None:
    place = Remote(address)
    assert [place.create("lock", b"%d" % number) for number in range(5)] == [True] + 4 * [False]
    assert place.get("lock", 9) == b"0"


def of_another_machine(place: Remote) -> None:
    told = json.loads(place.get("lock", 2000))
    place.put("lock", json.dumps({**told, "host": "node-3", "machine": "another", "word": "another"}).encode())


def test_a_holder_elsewhere_is_taken_over_when_it_is_silent(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote_lock, "SILENCE", 0.3)
    monkeypatch.setattr(remote_lock, "POLL", 0.05)
    place = Remote(share)
    held = RemoteLock(place, print)
    of_another_machine(place)
    said: list[str] = []
    taken = RemoteLock(place, said.append)
    assert len(said) == 1
    assert "is held by process" in said[0]
    assert "on node-3 since" in said[0]
    with pytest.raises(RunFolderError, match=rf"was given to process {os.getpid()} on .*; this process stops"):
        held.check()
    held.close()
    taken.check()
    taken.close()


def test_a_holder_elsewhere_that_renews_its_lock_is_let_be(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_lock, "BEAT", 0.1)
    monkeypatch.setattr(remote_lock, "POLL", 0.05)
    hold = "import time; from firerl.storage.remote import lease\n"
    hold += "lease.BEAT = 0.1; lease._machine = lambda: 'far'\n"
    hold += f"held = lease.RemoteLock(lease.Remote({share!r}), print); print('held', flush=True)\n"
    holder = subprocess.Popen([sys.executable, "-c", hold + "time.sleep(60)"], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"in use by another firerl .process {holder.pid} on"):
            RemoteLock(Remote(share), print)
    finally:
        holder.kill()
        holder.communicate()


def test_a_run_whose_address_was_taken_over_stops_before_it_writes(share: str, tmp_path: Path) -> None:
    class Thief(Silent):
        def round_done(self, round: object) -> None:
            of_another_machine(Remote(share))

    with pytest.raises(RunFolderError, match=r"was given to process \d+ on node-3"):
        run(share, tmp_path / "work", observer=Thief())
    assert json.loads(Remote(share).get("lock", 2000))["host"] == "node-3"
    assert snapshots(Remote(share).sizes())[0].startswith("journal-00000001-")


# What is damaged, and what is not ours


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfinished")
    interrupted(f"file://{folder}/x", folder / "work")
    return folder / "x"


@pytest.fixture
def broken(unfinished: Path, tmp_path: Path) -> Path:
    """An unfinished run whose objects may be spoilt; nothing of it is here."""
    return Path(shutil.copytree(unfinished, tmp_path / "share" / "x"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def last_states(folder: Path) -> list[Path]:
    snapshot = next(folder.glob("journal-*.sqlite"))
    with closing(sqlite3.connect(snapshot)) as db:
        query = "SELECT sha256 FROM checkpoints WHERE generation = 2 AND name GLOB 'g*'"
        return [folder / "checkpoints" / f"{sha}.pt" for (sha,) in db.execute(query)]


def respell(folder: Path, change: str) -> None:
    """A snapshot that somebody has changed, with the digest that it has now."""
    path = next(folder.glob("journal-*.sqlite"))
    with closing(sqlite3.connect(path)) as db:
        db.execute(change)
        db.commit()
    data = path.read_bytes()
    path.rename(path.with_name(f"journal-00000009-{digest(data)}.sqlite"))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "snapshot": (lambda f: flip(next(f.glob("journal-*"))), "sqlite is damaged, and there is no other snapshot"),
    "no snapshot": (lambda f: next(f.glob("journal-*")).unlink(), "holds no run"),
    "state": (lambda f: flip(last_states(f)[0]), r"\.pt is damaged; python -m firerl.doctor file:.* --repair mends"),
    "no state": (lambda f: last_states(f)[0].unlink(), r"\.pt is missing; python -m firerl.doctor file:.* --repair"),
    "no journal": (
        lambda f: (f / f"journal-00000009-{digest(b'x')}.sqlite").write_bytes(b"x"),
        "is damaged or not a journal of firerl",
    ),
    "name": (
        lambda f: respell(f, "UPDATE checkpoints SET name = '../../../evil.pt' WHERE name GLOB 'g000002-w0*'"),
        "is damaged or not a journal of firerl",
    ),
    "trigger": (
        lambda f: respell(f, "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END"),
        "is damaged or not a journal of firerl: it holds the trigger t",
    ),
    "link": (
        lambda f: (f / "checkpoints").rename(f.parent / "c") and (f / "checkpoints").symlink_to(f.parent / "c"),
        "checkpoints is a link",
    ),
}


@pytest.mark.unverified("their journals are damaged on purpose")
@pytest.mark.parametrize("what", SPOILT)
def test_what_is_damaged_is_one_line(
    broken: Path, tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, said = SPOILT[what]
    spoil(broken)
    assert launch.main([f"resume=file://{broken}", f"local_dir={tmp_path}/work"]) == 2
    found = capfd.readouterr().err
    assert re.search(said, found), found
    assert found.count("\n") == 1
    assert not list(tmp_path.rglob("evil.pt"))
    assert not (broken / "lock").exists()


def test_a_path_in_place_of_the_address_is_told_so(broken: Path) -> None:
    with pytest.raises(RunFolderError, match=f"a run is kept there as at an address: give it as file://{broken}"):
        firerl.resume(broken, progress=False)


def test_a_half_written_snapshot_is_none(broken: Path, tmp_path: Path, plain_run: Path) -> None:
    """As a store leaves it that does not write in one piece."""
    whole = next(broken.glob("journal-*"))
    number = int(whole.name.split("-")[1]) + 1
    (broken / f"journal-{number:08}-{digest(b'whole')}.sqlite").write_bytes(b"who")
    go_on(f"file://{broken}", tmp_path / "work")
    check_same(f"file://{broken}", plain_run)


def test_the_doctor_mends_what_lies_there(
    broken: Path, tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    where = f"file://{broken}"
    assert doctor.main([where]) == 0
    flip(last_states(broken)[1])
    remote_reading._copies.clear()  # another process
    assert doctor.main([where]) == 1
    assert f"python -m firerl.doctor {where} --repair" in capfd.readouterr().out
    assert doctor.main([where, "--repair"]) == 0
    assert "the run is back at generation 1" in capfd.readouterr().out
    go_on(where, tmp_path / "work")
    check_same(where, plain_run)


# A store that fails


class Failing:
    """Lets the first ``good`` writes through, then as many fail as ``bad`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, good: int, bad: int):
        self.good, self.bad = good, bad
        put = Folder.put

        def failing(folder: Folder, name: str, data: bytes) -> None:
            self.good -= 1
            if self.good < 0 and self.bad > 0:
                self.bad -= 1
                raise ConnectionError("no route to host")
            put(folder, name, data)

        monkeypatch.setattr(Folder, "put", failing)
        monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


def test_an_upload_that_fails_is_tried_again(
    share: str, tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = Failing(monkeypatch, good=15, bad=4)
    run(share, tmp_path / "work")
    assert failing.bad == 0
    check_same(share, plain_run)
    assert f"! {share} cannot be written (no route to host): trying again\n" in capfd.readouterr().err


def test_a_store_that_stays_away_ends_the_run_and_loses_nothing(
    share: str, tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Failing(patch, good=15, bad=10**9)
        patch.setattr("firerl.storage.remote.home.PATIENCE", 0.1)
        with pytest.raises(OSError, match=r"no route to host; nothing is lost: .* resume=\S+ local_dir=\S+/work$"):
            run(share, tmp_path / "work")
    go_on(share, tmp_path / "work")
    check_same(share, plain_run)


def test_nobody_waits_for_a_store_that_stays_away_once_one_has_given_up(
    share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Ctrl-C comes while several uploads are tried again."""
    Failing(monkeypatch, good=0, bad=10**9)
    place = Remote(share)
    place.patience = 600.0
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        place.at_once([lambda: place.put("config.yaml", b"x"), interrupt])
    assert time.monotonic() - began < 20


def interrupt() -> None:
    time.sleep(0.2)
    raise KeyboardInterrupt


# Commands


def test_commands_that_read_take_what_they_need(
    share: str, tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(share, tmp_path / "work")
    got: list[str] = []
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda self, name, most: got.append(name) or get(self, name, most))
    assert network_of_run.load(share).objective is not None  # of a run that goes on: one checkpoint
    assert sum(name.startswith("checkpoints/") for name in got) == 1
    go_on(share, tmp_path / "work")
    (tmp_path / "here").mkdir()
    other = f"{share}-seed-4"
    run(other, tmp_path / "work", seed=4)
    monkeypatch.chdir(tmp_path / "here")
    for command, arguments in {
        journal: [share], explain: [share, "--verify"], report: [share], play: [share],
        compare: [share, other, "--no-plot"], doctor: [share],
    }.items():  # fmt: skip
        assert command.main(arguments) == 0, command
    check_same(share, plain_run)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["x-report.html"]
    assert str(share) in (tmp_path / "here" / "x-report.html").read_text(encoding="utf-8")
    assert share in capsys.readouterr().out
    begun = run(f"{share}-init", tmp_path / "work", init=share, steps=40, evaluators=0, population=[2])
    assert begun.objective is not None


# Addresses


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("s3://", "must be <protocol>://<place>"),
        ("simplecache::s3://b/x", "must be <protocol>://<place>"),
        ("file://share/x", "must be an absolute path"),
        ("file:///share/../x", "must not go upwards"),
        ("sftp://me:secret@host/x", "sftp://host/x: a password in an address"),
        ("nothing://b/x", "Protocol not known: nothing"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(given: str, said: str) -> None:
    with pytest.raises(SettingError, match=said) as error:
        Remote(given)
    assert "secret" not in str(error.value)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    with pytest.raises(SettingError, match=r"needs a package that is not installed: pip install 'firerl\[remote\]'"):
        Remote("s3://bucket/x")


def test_a_path_cannot_hold_an_address(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="give it as a text"):
        run(Path("s3://bucket/x"), tmp_path)  # type: ignore[arg-type]


def test_local_dir_is_a_folder_here_and_needs_an_address(share: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="only of use where run_dir is an address"):
        run(str(tmp_path / "x"), tmp_path / "work")
    with pytest.raises(SettingError, match="local_dir=s3://b/x: must be a folder of this machine"):
        firerl.run("quadratic", run_dir=share, local_dir="s3://b/x", **SMALL)


def test_the_doctor_sends_what_is_damaged_there_from_a_folder_that_is_ahead(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    with pytest.MonkeyPatch.context() as patch:
        Failing(patch, good=15, bad=10**9)
        patch.setattr("firerl.storage.remote.home.PATIENCE", 0.1)
        with pytest.raises(OSError, match="nothing is lost"):
            run(share, work)
    states = list((tmp_path / "share/x/checkpoints").iterdir())
    for path in states:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert doctor.main([share, "--repair", "--local-dir", str(work)]) == 0
    assert doctor.main([share]) == 0
    assert all(digest(path.read_bytes()) == path.stem for path in (tmp_path / "share/x/checkpoints").iterdir())


def test_a_bucket_that_is_not_there_is_one_line(server: str, tmp_path: Path) -> None:
    with pytest.raises(FirerlError, match="s3://nobody/x cannot be written: The specified bucket does not exist"):
        run("s3://nobody/x", tmp_path / "work")


def test_what_fsspec_reaches_without_an_exclusive_write(tmp_path: Path, plain_run: Path) -> None:
    pytest.importorskip("fsspec")
    where = f"memory://{tmp_path}/x"
    run(where, tmp_path / "work")
    check_same(where, plain_run)


def test_an_address_loads_fsspec_and_nothing_else_does(tmp_path: Path) -> None:
    code = "import sys, firerl; from firerl.storage.remote.address import Remote\n"
    code += "from firerl.storage.remote.home import home\n"
    code += f"Remote('file://{tmp_path}/x').sizes(); print('fsspec' in sys.modules, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"


def test_the_folder_on_this_machine_is_one_of_the_address_alone(tmp_path: Path) -> None:
    names = ["s3://b/runs/x", "s3://b/other/x", "s3://c/runs/x", "s3://b/runs/x?y"]
    assert len({folder_of(name, str(tmp_path)) for name in names}) == len(names)
    assert folder_of("s3://b/runs/x/", str(tmp_path)) == folder_of("s3://b/runs/x", str(tmp_path))
    assert folder_of("s3://b/..", str(tmp_path)).parent.parent == tmp_path
    with home(tmp_path / "r") as found:
        assert found.folder == tmp_path / "r"
        assert found.mirror is None
