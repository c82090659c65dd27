"""``firerl.TorchLearner``: what attributes hold comes back to the bit, and what cannot is refused by its name."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from collections import Counter, OrderedDict, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import firerl
from firerl import TorchLearner, envs
from firerl.errors import SettingError
from firerl.storage import checkpoint

VALUES = {"lr": 0.05, "momentum": 0.5, "dropout": 0.25}
INPUTS = torch.linspace(-1, 1, 96).reshape(32, 3)


class Statistics:
    """As many loops have one: an object of plain Python."""

    def __init__(self) -> None:
        self.mean, self.count = np.zeros(3), 0

    def update(self, batch: np.ndarray) -> None:
        self.count += 1
        self.mean += (batch.mean(0) - self.mean) / self.count


class Everything(TorchLearner):
    """One of each kind that can be saved."""

    space: ClassVar = {
        "lr": {"log_uniform": [1e-3, 0.1]},
        "momentum": {"uniform": [0, 0.9]},
        "dropout": {"uniform": [0, 0.5]},
    }
    hyperparameters: ClassVar = {"dropout": "nets.body.1.p"}
    in_weights: ClassVar = ("statistics", "average")
    eval_interval = 10

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        self.nets = {
            "body": nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.BatchNorm1d(4)),
            "head": nn.Linear(4, 1),
        }
        self.scale = torch.ones(1, requires_grad=True)
        trained = [p for net in self.nets.values() for p in net.parameters()]
        self.optimizers = [torch.optim.SGD(trained, 0.1, momentum=0.1), torch.optim.Adam([self.scale])]
        self.schedulers = tuple(lr_scheduler.ExponentialLR(one, 0.9) for one in self.optimizers)
        self.scaler = torch.amp.GradScaler("cpu")
        self.rng, self.old, self.python = np.random.default_rng(seed), np.random.RandomState(seed), random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.loader = DataLoader(TensorDataset(INPUTS), 8, sampler=RandomSampler(INPUTS, generator=self.generator))
        self.statistics, self.average = Statistics(), [p.detach().clone() for p in trained]
        self.recent: deque[float] = deque(maxlen=3)
        self.bag: dict[str, Any] = {"rows": {1: (2, 3)}, "seen": set(), "kinds": Counter(), "noise": self.rng}
        self.args = SimpleNamespace(steps=0, path=Path("somewhere"), ordered=OrderedDict(a=1))
        self.last: torch.Tensor | None = None
        self.loss = functional.mse_loss
        self.set_hyperparameters(hyperparameters)

    def train(self, steps: int) -> dict[str, float]:
        for net in self.nets.values():
            net.train()
        for _ in range(steps):
            (batch,) = next(iter(self.loader))
            batch = batch + 0.1 * torch.from_numpy(self.rng.normal(size=3)).float() + self.old.rand() + torch.rand(1)
            loss = self.loss(self.nets["head"](self.nets["body"](batch)) * self.scale, batch.sum(1, keepdim=True))
            for one in self.optimizers:
                one.zero_grad()
            self.scaler.scale(loss).backward()
            for one, scheduler in zip(self.optimizers, self.schedulers, strict=True):
                self.scaler.step(one)
                scheduler.step()
            self.scaler.update()
            self._remember(batch, loss.item())
        return {"loss": loss.item()}

    def _remember(self, batch: torch.Tensor, loss: float) -> None:
        self.statistics.update(batch.numpy())
        parameters = [p for net in self.nets.values() for p in net.parameters()]
        self.average = [0.9 * old + 0.1 * new.detach() for old, new in zip(self.average, parameters, strict=True)]
        self.args.steps += 1
        self.recent.append(loss)
        self.bag["seen"].add(self.python.randrange(1000))
        self.bag["kinds"][self.args.steps % 2] += 1
        self.last = batch

    def evaluate(self, seed: int) -> float:
        with torch.no_grad():
            for net in self.nets.values():
                net.eval()
            return -float(self.nets["head"](self.nets["body"](INPUTS)).square().mean())


def built(kind: Any = Everything, seed: int = 3, values: Any = VALUES) -> Any:
    torch.manual_seed(seed)
    return kind({}, values, seed, "cpu")


def trained(learner: Any, *steps: int) -> bytes:
    """Trains; the state after it. The engine keeps global generators: here they stand still."""
    for count in steps:
        for _ in range(count):
            torch.manual_seed(learner.args.steps)
            learner.train(1)
    return checkpoint.dumps(learner.state())


def test_what_is_saved_comes_back_and_goes_on_to_the_bit() -> None:
    one = built()
    first = trained(one, 4)
    other = built(seed=9)
    given = checkpoint.loads(first)
    before = checkpoint.dumps(given)
    assert other.load(**given) is None
    assert checkpoint.dumps(other.state()) == first
    assert type(other.bag["kinds"]) is Counter
    assert other.recent.maxlen == 3
    assert other.args.path == Path("somewhere")
    assert trained(other, 5) == trained(one, 5)
    assert checkpoint.dumps(given) == before  # training reaches nothing that was given
    assert trained(built(), 9) == trained(built(), 4, 5)


def test_a_state_is_a_copy() -> None:
    learner = built()
    trained(learner, 2)
    state = learner.state()
    before = checkpoint.dumps(state)
    trained(learner, 3)
    assert checkpoint.dumps(state) == before


def test_each_half_alone() -> None:
    donor, loser, untouched = built(), built(seed=9), built(seed=9)
    for one, steps in ((donor, 4), (loser, 6), (untouched, 6)):
        trained(one, steps)
    loser.load(weights=donor.state()["weights"])
    assert checkpoint.dumps(loser.state()["weights"]) == checkpoint.dumps(donor.state()["weights"])
    assert checkpoint.dumps(loser.state()["stream"]) == checkpoint.dumps(untouched.state()["stream"])
    assert loser.statistics.count == 4
    assert loser.args.steps == 6
    donor.load(stream=untouched.state()["stream"])
    assert trained(donor, 3) == trained(loser, 3)


def test_values_that_the_state_does_not_have_go() -> None:
    fresh, used = built(), built(seed=9)
    trained(used, 3)
    used.cache, used.bag["more"] = 3, 4
    used.load(**fresh.state())
    assert not hasattr(used, "cache")
    assert checkpoint.dumps(used.state()) == checkpoint.dumps(fresh.state())


def test_values_that_training_makes_come_back() -> None:
    class Bare(Plain):
        def __init__(self, *given: Any):
            self.model = nn.Linear(2, 2)

    used, fresh = built(Bare), built(Bare)
    used.count, used.last = 3, torch.ones(2)
    fresh.load(**used.state())
    assert fresh.count == 3
    assert torch.equal(fresh.last, used.last)
    used.statistics = Statistics()
    with pytest.raises(SettingError, match=r"Bare.statistics holds other values .* make it in __init__"):
        fresh.load(**used.state())


def test_check_finds_nothing_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from firerl.commands import check

    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert check.main(["test_torch_learner.Everything"]) == 0, capsys.readouterr().out


class Plain(TorchLearner):
    """A module, an optimiser and what a test gives it."""

    space: ClassVar = {"lr": {"log_uniform": [1e-3, 0.1]}}

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        self.model = nn.Linear(2, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.1)
        self.clip = 1.0

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(torch.ones(1, 2)).square().sum().backward()
        self.optimizer.step()


# What modules do


def test_a_compiled_module_and_a_plain_one_understand_each_other() -> None:
    one, other = built(Plain), built(Plain, seed=5)
    one.compiled = torch.compile(one.model)
    del one.model
    one.model, other.compiled = one.compiled, other.model
    state = one.state()["weights"]
    assert list(state["parts"]["compiled"]) == ["weight", "bias"]
    assert "model" not in state["parts"]
    other.model = nn.Sequential(torch.compile(other.model))
    assert list(other.state()["weights"]["parts"]["model"]) == ["0.weight", "0.bias"]


def test_tied_weights_and_shared_modules_stay_tied() -> None:
    class Tied(Plain):
        def __init__(self, *given: Any):
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
            self.second.weight = self.first.weight
            self.again = self.first
            parameters = {*self.first.parameters(), *self.second.parameters()}
            self.optimizer = torch.optim.AdamW(sorted(parameters, key=lambda p: p.ndim))

    one, other = built(Tied), built(Tied, seed=5)
    other.load(**one.state())
    assert other.second.weight is other.first.weight is other.again.weight
    assert torch.equal(other.first.weight, one.first.weight)
    assert set(one.state()["weights"]["parts"]) == {"first", "second", "optimizer"}


def test_a_modules_own_generator_stays_with_the_worker() -> None:
    learner = built(Plain)
    learner.model.noise = torch.Generator().manual_seed(4)
    assert "model.noise" in learner.state()["stream"]["parts"]


def test_a_module_of_the_same_kind_may_take_its_place_and_one_of_another_not() -> None:
    one, fresh = built(Plain), built(Plain)
    one.model = copy.deepcopy(one.model)
    one.optimizer = torch.optim.AdamW(one.model.parameters())
    one.step()
    fresh.load(**one.state())
    assert torch.equal(fresh.model.weight, one.model.weight)
    one.optimizer = torch.optim.SGD(one.model.parameters())
    with pytest.raises(SettingError, match=r"Plain.optimizer is SGD in the state, and AdamW in a learner"):
        fresh.load(**one.state())
    one.more = nn.Linear(1, 1)
    with pytest.raises(SettingError, match=r"make it in __init__"):
        fresh.load(**one.state())


def test_an_optimiser_of_a_module_that_nobody_holds_is_refused() -> None:
    learner = built(Plain)
    learner.optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters())
    with pytest.raises(SettingError, match=r"Plain.optimizer trains a tensor that no attribute holds"):
        learner.state()


# What cannot be saved


def refusals(folder: Path) -> dict[str, tuple[Any, str]]:
    (folder / "data").write_text("1")
    loader = DataLoader(TensorDataset(INPUTS), 8)
    return {
        "file": ((folder / "data").open(), "an open file: open it in train"),
        "iterator": (iter([1]), "an iterator, whose place cannot be saved"),
        "numbers": ((n for n in range(3)), "an iterator"),
        "batches": (iter(loader), "an iterator"),
        "act": (lambda x: x, "a function that no other process finds"),
        "method": (built(Plain).step, "a function that no other process finds"),
        "env": (gymnasium.make("CartPole-v1"), r"a live environment.*firerl.envs.kept\(env\)"),
        "vector": (gymnasium.make_vec("CartPole-v1", 2, "sync"), "a live environment"),
        "hidden": (torch.ones(1, requires_grad=True) * 2, r"a tensor with the graph .* keep its detach\(\)"),
        "empty": (nn.Linear(2, 2, device="meta"), "on the meta device"),
        "lock": (__import__("threading").Lock(), r"of type lock: give it state_dict\(\)"),
        "words": (np.array(["a", None]), "of type ndarray"),
    }


def test_what_never_changes_is_no_part_of_the_state() -> None:
    learner = built(Plain)
    before = checkpoint.dumps(learner.state())
    learner.constants = [functional.gelu, functional.relu, torch.tanh, np.tanh, len, nn.ReLU, torch.float32, copy]
    learner.data, learner.device = TensorDataset(INPUTS), torch.device("cpu")
    assert checkpoint.dumps(learner.state()) == before


def test_a_learner_can_be_copied() -> None:
    learner = built()
    trained(learner, 2)
    assert trained(copy.deepcopy(learner), 3) == trained(learner, 3)


def test_tensors_of_a_device_go_to_the_learners() -> None:
    state = built(Plain).state()
    state["stream"]["values"][""]["clip"] = {"kind of value": "tensor of a device", "tensor": torch.ones(2)}
    learner = built(Plain)
    learner.load(**state)
    assert torch.equal(learner.clip, torch.ones(2))


def test_what_cannot_be_saved_is_refused_by_its_name_and_can_be_left_out(tmp_path: Path) -> None:
    for name, (value, words) in refusals(tmp_path).items():
        learner = built(Plain)
        learner.bag = {name: [value]}
        with pytest.raises(SettingError, match=rf"Plain.bag\['{name}'\]\[0\] is {words}.*left_out = \(\"bag\",\)"):
            learner.state()
        kind: Any = type("Without", (Plain,), {"left_out": (name,)})
        without = built(kind)
        setattr(without, name, value)
        other = built(kind, seed=5)
        setattr(other, name, "own")
        other.load(**without.state())
        assert getattr(other, name) == "own"


# Environments


@pytest.mark.parametrize("kind", ["door", "own", "sync", "one"])
def test_environments_go_on_in_the_middle_of_an_episode(kind: str) -> None:
    def environment() -> Any:
        if kind == "door":
            return envs.make("CartPole-v1", 2, 3)
        if kind == "own":
            return envs.make("InvertedPendulum", 2, 3)
        if kind == "sync":
            return gymnasium.vector.SyncVectorEnv([lambda: envs.kept(gymnasium.make("CartPole-v1"))] * 2)
        return envs.kept(gymnasium.make("CartPole-v1"))

    def learner() -> Any:
        made = built(Plain)
        made.envs = environment()
        made.envs.action_space.seed(5)
        made.next_obs = made.envs.reset(seed=7)[0]
        return made

    def played(one: Any, steps: int) -> list[Any]:
        seen = []
        for _ in range(steps):
            one.next_obs, reward, *ends = one.envs.step(one.envs.action_space.sample())[:4]
            seen.append((one.next_obs.tolist(), np.asarray(reward).tolist(), np.asarray(ends).tolist()))
            if kind == "one" and any(ends):
                one.next_obs = one.envs.reset()[0]
        return seen

    one = learner()
    whole = played(learner(), 80)
    assert played(one, 30) == whole[:30]
    for steps in range(30, 80, 5):  # some of them lie between an end and a reset
        state = checkpoint.loads(checkpoint.dumps(one.state()))
        one = learner()
        assert one.load(**state) is None
        assert played(one, 5) == whole[steps : steps + 5]


def test_an_episode_that_cannot_be_repeated_is_told() -> None:
    one, other = built(Plain), built(Plain)
    for learner in (one, other):
        learner.env = envs.kept(gymnasium.make("CartPole-v1"))
        learner.env.reset(seed=7)
    one.env.step(0)
    state = one.state()
    state["stream"]["parts"]["env"]["envs"][0]["seen"] = b""
    assert "1 running episodes could not be repeated" in other.load(**state)


def test_importing_firerl_imports_no_torch() -> None:
    code = "import sys, firerl; assert 'torch' not in sys.modules; firerl.TorchLearner; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "TorchLearner" in firerl.__all__
