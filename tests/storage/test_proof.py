"""Files of another run, of another time, or none: nothing in a folder changes before it is proven to be one run's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.commands import doctor, launch
from firerl.errors import RunFolderError
from firerl.insight.health.health import examine
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.proof import parted, prove
from firerl.storage.run_folder import COPY, RESULTS

pytestmark = pytest.mark.unverified("folders are mixed up on purpose")
LINE = ["learner=quadratic", "population.sizes=[3]", "population.evaluators=0", "algo=pbt", "eval_interval=10"]
LINE += ["ready_interval=30", "engine=inline", "logger=none"]
Mix = Callable[[Path, Path], None]


def begin(run_dir: Path, seed: int, steps: int) -> Path:
    assert launch.main([*LINE, f"seed={seed}", f"steps={steps}", f"run_dir={run_dir}"]) == 0
    return run_dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mine`` with 5 generations, ``backup``: the same when it had 2; others with 7, 1 and 0."""
    folder = tmp_path_factory.mktemp("runs")
    begin(folder / "mine", 0, 60)
    shutil.copytree(folder / "mine", folder / "backup")
    firerl.resume(folder / "mine", steps=150, progress=False)
    begin(folder / "longer", 1, 210)
    begin(folder / "shorter", 1, 30)
    begin(folder / "begun", 1, 30)
    doctor_back_to_the_start(folder / "begun")
    return folder


def doctor_back_to_the_start(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "checkpoints")
    (run_dir / "result.json").unlink()
    assert doctor.main([str(run_dir), "--repair"]) == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def at(run_dir: Path) -> tuple[int, int]:
    """(last generation, seed)."""
    with closing(Journal.open(run_dir)) as journal:
        return journal.hashes()[-1][0], journal.config()["seed"]


def taken(*names: str, of: str) -> Mix:
    """These files, or folders, of another run in place of mine."""

    def mix(run_dir: Path, runs: Path) -> None:
        for name in names:
            if (runs / of / name).is_dir():
                shutil.rmtree(run_dir / name)
                shutil.copytree(runs / of / name, run_dir / name)
            else:
                shutil.copy(runs / of / name, run_dir / name)

    return mix


def emptied(name: str) -> Mix:
    return lambda run_dir, runs: (run_dir / name).write_bytes(b"") and None  # type: ignore[return-value]


def with_a_cut_write(run_dir: Path, runs: Path) -> None:
    """The copy of another run, as a process left it that was killed in the middle of a commit."""
    shutil.copy(runs / "longer" / COPY, run_dir / COPY)
    (run_dir / f"{COPY}-journal").write_bytes(b"no log of ours" * 100)


BOTH = ("journal.sqlite", COPY)
FOREIGN: dict[str, tuple[Mix, int | None]] = {  # what was mixed up, and the generation after a repair (None: refused)
    "the copy, longer": (taken(COPY, of="longer"), 5),
    "the copy, shorter": (taken(COPY, of="shorter"), 5),
    "the copy, of a run just begun": (taken(COPY, of="begun"), 5),
    "the copy, in the middle of a write": (with_a_cut_write, 5),
    "the journal, longer": (taken("journal.sqlite", of="longer"), 5),
    "the journal, shorter": (taken("journal.sqlite", of="shorter"), 5),
    "the journal, of a run just begun": (taken("journal.sqlite", of="begun"), 5),
    "the journal, an older one of this run": (taken("journal.sqlite", of="backup"), 5),
    "the journal, empty": (emptied("journal.sqlite"), 5),
    "journal and copy": (taken(*BOTH, of="longer"), None),
    "journal and copy of a run just begun": (taken(*BOTH, of="begun"), None),
    "the checkpoints": (taken("checkpoints", of="longer"), None),
    "journal and checkpoints": (taken("journal.sqlite", "checkpoints", of="longer"), None),  # the results are mine
}


@pytest.mark.parametrize("which", FOREIGN)
def test_what_belongs_to_another_run_is_refused_and_nothing_changes(runs: Path, tmp_path: Path, which: str) -> None:
    mix, mended = FOREIGN[which]
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "mine", run_dir)
    if [*FOREIGN].index(which) % 2:  # a run that has not ended is no different
        (run_dir / "result.json").unlink()
    mix(run_dir, runs)
    before = contents(run_dir)
    with pytest.raises(RunFolderError) as told:
        firerl.resume(run_dir, steps=180, progress=False)
    assert "\n" not in str(told.value)
    assert contents(run_dir) == before
    assert launch.main([*LINE, "seed=0", "steps=180", f"run_dir={run_dir}", "resume=auto"]) == 2
    assert contents(run_dir) == before
    assert doctor.main([str(run_dir)]) == (2 if mended is None and not examine(run_dir).kept else 1)
    assert contents(run_dir) == before

    assert doctor.main([str(run_dir), "--repair"]) == (2 if mended is None else 0)
    after = contents(run_dir)
    lost = [name for name in before if name not in after and not name.startswith(("journal", "other-run"))]
    assert not lost
    if mended is None:
        assert {**after, "lock": b""} == {**before, "lock": b""}
        return
    assert at(run_dir) == (mended, 0)
    if "this run" not in which and "empty" not in which:  # another run's is somebody's
        assert after["other-run-1.sqlite"] in (before["journal.sqlite"], before[COPY])
    assert examine(run_dir).whole


FINE: dict[str, Mix] = {
    "an older copy of this run": taken(COPY, of="backup"),
    "an empty copy": emptied(COPY),
    "no copy": lambda run_dir, runs: (run_dir / COPY).unlink(),
    "settings for people of another run": taken("config.yaml", of="longer"),
    "an empty log of the copy": lambda run_dir, runs: (run_dir / f"{COPY}-journal").write_bytes(b"") and None,  # type: ignore[return-value,dict-item]
    "a temporary file": lambda run_dir, runs: (run_dir / f"{COPY}.7.tmp-wal").write_bytes(b"x") and None,  # type: ignore[return-value,dict-item]
}


@pytest.mark.parametrize("which", FINE)
def test_what_is_this_run_s_or_none_at_all_costs_nothing(runs: Path, tmp_path: Path, which: str) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "mine", run_dir)
    FINE[which](run_dir, runs)
    assert firerl.resume(run_dir, steps=180, progress=False).figures["steps"] == 180
    assert at(run_dir) == (6, 0)
    assert examine(run_dir).whole
    assert sorted(p.name for p in run_dir.iterdir()) == sorted(["config.yaml", "checkpoints", "lock", *BOTH, *RESULTS])


def test_an_older_backup_of_all_but_the_journal_is_gone_on_with_from_there(runs: Path, tmp_path: Path) -> None:
    """The copy and the checkpoints of generation 2, the journal of generation 5: only the copy fits the files."""
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "backup", run_dir)
    shutil.copy(runs / "mine" / "journal.sqlite", run_dir / "journal.sqlite")
    with pytest.raises(RunFolderError, match=r"missing or damaged.*--repair"):
        firerl.resume(run_dir, steps=180, progress=False)
    assert doctor.main([str(run_dir), "--repair"]) == 0
    assert at(run_dir) == (2, 0)
    firerl.resume(run_dir, steps=150, progress=False)
    with closing(Journal.open(run_dir)) as one, closing(Journal.open(runs / "mine")) as other:
        assert one.hashes() == other.hashes()


def test_an_ended_run_without_its_checkpoints_still_has_its_results(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "mine", run_dir)
    shutil.rmtree(run_dir / "checkpoints")
    before = contents(run_dir)
    assert firerl.resume(run_dir, progress=False).figures["steps"] == 150
    assert doctor.main([str(run_dir), "--repair"]) == 2
    assert "it has ended and its results are whole, but no generation is" in capsys.readouterr().err
    with pytest.raises(RunFolderError, match="missing or damaged"):
        firerl.resume(run_dir, steps=180, progress=False)
    assert {**contents(run_dir), "lock": b""} == {**before, "lock": b""}
    (run_dir / "result.json").unlink()
    assert doctor.main([str(run_dir), "--repair"]) == 0
    assert (
        firerl.resume(run_dir, progress=False).figures["hash"]
        == firerl.resume(runs / "mine", progress=False).figures["hash"]
    )


@pytest.mark.parametrize("name", ["best.pt", "schedule.yaml", "result.json"])
def test_a_repair_removes_the_damaged_result_and_no_other(runs: Path, tmp_path: Path, name: str) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "mine", run_dir)
    whole = contents(run_dir)
    (run_dir / name).write_bytes(b"damaged")
    assert doctor.main([str(run_dir), "--repair"]) == 0
    after = contents(run_dir)
    assert [result for result in RESULTS if after.get(result) != whole[result]] == [name]
    assert not (run_dir / name).exists()
    firerl.resume(run_dir, progress=False)
    assert {result: (run_dir / result).read_bytes() for result in RESULTS} == {r: whole[r] for r in RESULTS}


def test_where_two_chains_part() -> None:
    def chain(*hashes: str) -> list[Any]:
        return [(number, 10 * number, digest) for number, digest in enumerate(hashes)]

    assert parted(chain("a", "b"), chain("a", "b", "c")) is None
    assert parted(chain("a", "b", "x"), chain("a", "b", "c")) == 2
    assert parted(chain("x"), chain("a", "b", "c")) == 0


def test_the_proof_changes_nothing(runs: Path) -> None:
    before = contents(runs / "mine")
    proof = prove(runs / "mine")
    assert (proof.copy, proof.lacking) == (True, "")
    assert contents(runs / "mine") == before
