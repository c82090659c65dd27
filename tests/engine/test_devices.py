from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from learners_for_tests import Walk

import firerl
from firerl.agents.classifier import Classifier
from firerl.agents.quadratic.learner import Quadratic
from firerl.agents.vmpo import VMPO
from firerl.commands.launch import main
from firerl.config.compose import compose
from firerl.config.request import changed, resolve
from firerl.config.run_config import from_plain, to_plain
from firerl.engine import devices
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, MachineFailure, Transfer
from firerl.errors import SettingError
from firerl.learner import Learner
from firerl.session.watching.blocks import opening
from firerl.storage.journal.journal_db import Journal

THERE = ["cpu", "cuda:0", "cuda:1"]
GPU = "cuda:0"


def config_of(*arguments: str) -> Any:
    return resolve(
        compose(["learner=quadratic", "preset=quadratic", "steps=180", "run_dir=r", "logger=[]", *arguments])
    )


# ---- which devices


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("auto",), ("cuda:0", "cuda:1")),
        (("cpu",), ("cpu",)),
        (("cuda",), ("cuda:0",)),
        (("cuda:1", "cuda:0"), ("cuda:1", "cuda:0")),
    ],
)
def test_devices_by_name(wanted: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert devices.chosen(wanted, THERE) == found


def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert devices.chosen(["auto"], ["cpu"]) == ("cpu",)
    assert devices.chosen(["auto"], ["cpu", "mps"]) == ("cpu",)


def test_a_device_that_is_not_there_is_named_beside_those_that_are() -> None:
    with pytest.raises(
        SettingError, match=r"^engine\.devices=\[cuda:0, cuda:7\]: there is no cuda:7 here, there is cp"
    ):
        devices.chosen(["cuda:0", "cuda:7"], THERE)
    with pytest.raises(
        SettingError, match=r"^engine\.devices=mps: there is no mps here, there is cpu, cuda:0, cuda:1$"
    ):
        devices.chosen(["mps"], THERE)


@pytest.mark.parametrize(
    ("learner", "given", "gains"),
    [
        (Quadratic, {}, False),
        (VMPO, {}, False),
        (Classifier, {}, False),
        (Classifier, {"model": "resnet18"}, True),
        (type("Big", (Quadratic,), {"uses_gpu": True}), {}, True),
    ],
)
def test_auto_takes_gpus_for_learners_that_gain_by_them(
    learner: type[Learner], given: dict[str, Any], gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "available", lambda: THERE)
    config = config_of()
    object.__setattr__(config, "settings", {**learner.settings, **given})
    assert devices.of_run(config, learner) == (("cuda:0", "cuda:1") if gains else ("cpu",))


def test_the_devices_of_this_machine_begin_with_the_cpu() -> None:
    assert devices.available()[0] == "cpu"
    assert len(devices.available()) >= 1 + torch.cuda.device_count()


# ---- the setting


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("engine.devices=tpu", "engine.devices=tpu: must be auto, cpu, mps, cuda, or a list"),
        ("engine.devices=[auto,cuda]", r"engine.devices=\[auto, cuda\]: must be"),
        ("engine.devices=[]", "engine.devices=.*: must be a list of texts, at least 1"),
        ("engine.devices=[cuda,cuda:0]", "cuda:0 is there twice; engine.processes puts several"),
        ("engine.devices=[cpu,cuda:0]", "devices of one kind only"),
        ("engine.device=cuda:1", "unknown setting 'engine.device': did you mean 'engine.devices'"),
        ("engine.workers_per_device=0", "engine.workers_per_device=0: must be an integer >= 1 or null"),
        ("engine.deterministic=maybe", "engine.deterministic=maybe: must be true or false"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(argument: str, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        config_of(argument)


def test_devices_are_kept_and_may_change() -> None:
    kept = from_plain(to_plain(config_of("engine.devices=[cuda:0,cuda:1]")))
    assert kept.engine.devices == ("cuda:0", "cuda:1")
    assert changed(kept, {"engine": {"devices": "cpu"}}).engine.devices == ("cpu",)


def test_the_opening_names_gpus() -> None:
    assert "workers in 2 processes on cuda:0, cuda:1" in "\n".join(
        opening(config_of("engine.devices=[cuda:0,cuda:1]"), 0, 2)
    )
    assert " on " not in opening(config_of(), 0, 2)[1]


# ---- a resume elsewhere


def test_a_run_that_moves_to_another_kind_of_device_says_so() -> None:
    assert devices.warning("cpu", "cpu") is None
    assert devices.warning(None, "NVIDIA H100") is None
    assert devices.warning("NVIDIA H100", "NVIDIA H100") is None
    moved = devices.warning("cpu", "NVIDIA H100")
    assert moved == "computed on cpu so far, from here on NVIDIA H100: the journal may differ from an undisturbed run's"
    loose = devices.kind(["cuda:0"], False) if torch.cuda.is_available() else "X, not deterministic"
    assert "engine.deterministic=false" in str(devices.warning(loose, loose))


def test_kinds_are_models_and_the_cpu_is_always_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: {"cuda:0": "B", "cuda:1": "A", "cuda:2": "B"}[name])
    assert devices.kind(["cuda:0", "cuda:1", "cuda:2"], True) == "A, B"
    assert devices.kind(["cuda:2"], False) == "B, not deterministic"
    assert devices.kind(["cpu"], False) == devices.kind(["cpu:0", "cpu:1"], True) == "cpu"


def test_a_resume_on_another_kind_of_device_goes_on_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"engine": "inline", "progress": False, "steps": 180, "preset": "quadratic"}
    firerl.run("quadratic", run_dir="a", **settings)
    firerl.run("quadratic", run_dir="b", **{**settings, "steps": 60})
    monkeypatch.setattr(devices, "kind", lambda names, deterministic: "NVIDIA H100")
    heard: list[str] = []
    observer = type(
        "Ear", (firerl.session.watching.progress.Silent,), {"note": lambda self, text: heard.append(text)}
    )()
    firerl.resume("b", steps=120, progress=False, observer=observer)
    assert heard == [
        "computed on cpu so far, from here on NVIDIA H100: the journal may differ from an undisturbed run's"
    ]
    firerl.resume("b", steps=180, progress=False, observer=observer)
    assert len(heard) == 1
    first, second = Journal.open(tmp_path / "a"), Journal.open(tmp_path / "b")
    assert first.notes() == ["computes on cpu"]
    assert [note for note in second.notes() if note.startswith("computes")] == [
        "computes on cpu",
        "computes on NVIDIA H100",
    ]
    assert first.last().hash == second.last().hash  # it was the CPU after all
    first.close()
    second.close()


def test_launch_refuses_a_device_that_is_not_there_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["learner=quadratic", "engine.devices=[cuda:0,cuda:99]", "run_dir=r"]) == 2
    said = capsys.readouterr().err
    assert "there is no cuda:" in said
    assert "there is cpu" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


# ---- computing there


@pytest.fixture
def _torch_as_it_was() -> Any:
    """``prepare`` changes torch for the whole process."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


@pytest.mark.usefixtures("_torch_as_it_was")
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_process_makes_ready_for_its_gpu(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch, "zeros", lambda size, device: taken.append(device))
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    devices.prepare("cuda:1", deterministic)
    assert taken == ["cuda:1", "cuda:1"]
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark == (not deterministic)
    assert ("CUBLAS_WORKSPACE_CONFIG" in devices.os.environ) == deterministic


@pytest.mark.usefixtures("_torch_as_it_was")
def test_a_device_that_does_not_work_stops_the_engine_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str) -> None:
        raise RuntimeError("CUDA error: out\nof order")

    monkeypatch.setattr(torch.cuda, "set_device", broken)
    with pytest.raises(SettingError, match=r"^engine\.devices: cuda:0 does not work here: CUDA error: out of order$"):
        Host(LearnerSpec(Walk, {"folder": "."}, (GPU,)))


class OnGPU(Walk):
    """Fails in the ways of a GPU."""

    settings: ClassVar[Mapping[str, Any]] = {"folder": ".", "micro_batch": None, "batch_size": 64}

    def do(self, where: str) -> Any:
        if self.values.get(where) == "full":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.values.get(where) == "cublas":
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        if self.values.get(where) == "broken":
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super().do(where)


@pytest.mark.parametrize("act", ["full", "cublas"])
def test_a_full_device_is_the_machines_failure_and_says_what_to_lower(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "prepare", lambda device, deterministic: None)
    host = Host(LearnerSpec(OnGPU, OnGPU.settings, (GPU,)))
    host.create([Create(0, {"lr": 0.1}, 0), Create(1, {"lr": 0.1}, 0), Create(2, {"lr": 0.1, "train": act}, 0)])
    with pytest.raises(MachineFailure) as caught:
        list(host.advance([Advance(worker, 1, 0) for worker in range(3)]))
    assert str(caught.value).startswith(
        "worker 2 ran out of memory of cuda:0: try engine.workers_per_device=2 or lower, fewer engine.processes where "
        "several share it, in a new run learner.micro_batch below 64 ("
    )


def test_a_broken_device_is_the_machines_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "prepare", lambda device, deterministic: None)
    host = Host(LearnerSpec(OnGPU, OnGPU.settings, (GPU,)))
    host.create([Create(0, {"lr": 0.1, "evaluate": "broken"}, 0)])
    with pytest.raises(MachineFailure, match=r"^cuda:0 failed under worker 0: CUDA error: device-side assert"):
        list(host.advance([Advance(0, 1, 0)]))


def test_every_learner_is_told_the_device_of_its_process() -> None:
    class Told(Walk):
        def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
            super().__init__(settings, hyperparameters, seed, device)
            self.device = device

        def evaluate(self, seed: int) -> float:
            return float(self.device.partition(":")[2])

    spec = LearnerSpec(Told, {"folder": "."}, ("cpu:0", "cpu:1"))
    for process in range(4):
        host = Host(spec, process=process)
        host.create([Create(9, {"lr": 0.1}, 0)])
        heard: list[Any] = []
        heard.extend(host.advance([Advance(9, 1, 0)]))
        assert heard[0].objective == process % 2


def test_our_learners_keep_their_tensors_where_they_are_told() -> None:
    """Nothing on the CPU meets anything on the device, and states are the CPU's; see fake_device.py."""
    script = Path(__file__).parents[1] / "support" / "fake_device.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [
        "classifier", "VMPO InvertedPendulum", "VMPO CartPole-v1", "PPO InvertedPendulum", "PPO CartPole-v1",
    ]  # fmt: skip


# ---- learners that wait


def script_of(room: int | None, folder: Path) -> list[Any]:
    """What three workers of one process do; failures and retuning among it."""
    folder.mkdir()
    host = Host(LearnerSpec(Walk, {"folder": "."}, workers_per_device=room))
    heard: list[Any] = []
    host.create([Create(worker, {"lr": 0.1 * (worker + 1)}, worker) for worker in range(4)])
    for round in range(3):
        orders = [Advance(worker, 5, round) for worker in range(4)]
        heard += [(outcome.worker, outcome.objective, outcome.failure) for outcome in host.advance(orders)]
        host.transfer(Transfer(round, 3, {"lr": 0.5, "train": "raise"} if round == 1 else {"lr": 0.5}, seed=8))
        host.transfer(Transfer(0, 0, {"lr": 0.3}))
        host.transfer(Transfer(1, 2, {"lr": 0.7}))
        heard.sort(key=lambda entry: entry[0])
        heard += [(saved.worker, saved.sha256) for saved in host.save(folder, f"g{round}", range(4))]
        heard += [(worker, packed) for worker, packed in host.weights([0, 1, 2]).items()]
    return heard


@pytest.mark.parametrize("room", [1, 2, 3, 4])
def test_learners_that_wait_in_host_memory_change_nothing(room: int, tmp_path: Path) -> None:
    assert script_of(room, tmp_path / "some") == script_of(None, tmp_path / "all")


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_the_journal_does_not_depend_on_how_many_learners_are_built(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hashes = set()
    for name, options in {"all": {}, "one": {"workers_per_device": 1, "devices": ["cpu:0", "cpu:1"]}}.items():
        more = [f"engine.{key}={value}".replace("'", "") for key, value in options.items()]
        assert main(["learner=quadratic", "preset=quadratic", "steps=120", f"engine={engine}", "engine.processes=2",
                     "logger=[]", f"run_dir={name}", *more]) == 0  # fmt: skip
        journal = Journal.open(tmp_path / name)
        hashes.add(journal.last().hash)
        journal.close()
    assert len(hashes) == 1
