"""What a probe measures, and how it is kept."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firerl.agents.quadratic.learner import Quadratic
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.config.run_config import RunConfig
from firerl.engine import make_engine
from firerl.engine.interface import Create, LearnerSpec
from firerl.errors import FirerlError, SettingError
from firerl.insight.plan.probe import Probe, _Run, curve_noise, probe, read, resident, scaled, write
from firerl.storage import checkpoint

QUADRATIC = ["learner=quadratic", "engine=inline"]


class Noisy(Quadratic):
    """Its evaluations depend on their seed."""

    def evaluate(self, seed: int) -> float:
        return super().evaluate(seed) + float(np.random.default_rng(seed).normal(scale=0.1))


class Slow(Quadratic):
    """Its training takes longer than the generators take that are seeded for an evaluation."""

    def train(self, steps: int) -> dict[str, float]:
        time.sleep(0.002)
        return super().train(steps)


class Failing(Quadratic):
    """It cannot train."""

    def train(self, steps: int) -> dict[str, float]:
        raise ZeroDivisionError


def config_of(*arguments: str) -> RunConfig:
    return resolve(compose([*QUADRATIC, *arguments]))


CONFIG = config_of()


@pytest.fixture(scope="module")
def measured() -> Probe:
    return probe(config_of(), Slow, 1, 1.0)


def test_noise_is_what_is_not_straight() -> None:
    rng = np.random.default_rng(0)
    curve = 3.0 * np.arange(4000) + rng.normal(scale=2.0, size=4000)
    assert curve_noise(curve) == pytest.approx(2.0, rel=0.05)
    assert curve_noise(np.arange(10.0)) == 0


def test_a_probe_measures_the_real_learner(measured: Probe) -> None:
    config = config_of()
    assert (measured.learner, measured.members, measured.processes, measured.failures) == ("quadratic", 4, 1, 0)
    train, evaluate = measured.interval_seconds(360)
    assert 0 < evaluate < train < 1
    assert all(seconds >= 0 for seconds in (measured.save_seconds, measured.copy_seconds, measured.start_seconds))
    state = Quadratic(config.settings, {"lr": 0.1}, 0, "cpu").state()
    assert measured.state_bytes == pytest.approx(len(checkpoint.dumps(state)), rel=0.05)
    assert {len(curve) for curve in measured.curves[1:]} <= {len(measured.rounds), len(measured.rounds) - 1}
    noise, rise = measured.noise(), measured.rise()
    assert noise is not None
    assert noise > 0
    assert rise is not None
    assert measured.same_network == ()  # the quadratic's objective is exact


def test_members_are_the_first_of_the_run(measured: Probe) -> None:
    from firerl.base.seeding import Purpose, integer_seed
    from firerl.session.start import initial_state_of

    config = config_of()
    first = initial_state_of(config).workers[0]
    learner = Quadratic(config.settings, first.hyperparameters, integer_seed(0, Purpose.LEARNER, 0), "cpu")
    expected = []
    for _ in range(5):
        learner.train(config.eval_interval)
        expected.append(learner.evaluate(0))
    assert list(measured.curves[0][:5]) == expected


def test_one_network_is_evaluated_under_many_seeds_where_they_matter() -> None:
    found = probe(config_of(), Noisy, 1, 1.0)
    assert len(found.same_network) > 3
    assert 0.02 < float(np.std(found.same_network, ddof=1)) < 0.3
    assert found.noise() == pytest.approx(0.1, rel=0.5)


def test_a_probe_whose_members_all_fail_says_so() -> None:
    with pytest.raises(FirerlError, match=r"all 4 members of the probe have failed.*ZeroDivisionError"):
        probe(config_of(), Failing, 1, 0.2)


def test_a_lone_survivors_copy_moves_weights() -> None:
    engine = make_engine("inline", LearnerSpec(Quadratic, CONFIG.settings), 1, None)
    run = _Run(CONFIG, engine, {worker: {"lr": 0.1} for worker in range(2)})
    run.create([Create(0, {"lr": 0.1}, 0)])  # 1 has failed
    run.round()
    run.save_and_copy()
    assert checkpoint.dumps(engine.weights(1)) == checkpoint.dumps(engine.weights(0))


def test_memory_is_that_of_the_processes() -> None:
    if resident(1) is None and resident(__import__("os").getpid()) is None:
        pytest.skip("this system does not say")
    config = resolve(compose(["learner=quadratic"]))
    found = probe(config, Quadratic, 2, 0.2)
    assert found.base_bytes is not None
    assert found.member_bytes is not None
    assert 2e7 < found.base_bytes < 2e9  # Python and torch
    assert found.member_bytes < 1e6


def test_the_later_half_stands_for_a_longer_run() -> None:
    rounds = [[5.0, 1.0], [1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [4.0, 0.4], [5.0, 0.5]]
    found = made(rounds=rounds)
    assert found.interval_seconds(100) == pytest.approx((4.0, 0.4))
    assert found.interval_seconds(3) == pytest.approx((1.5, 0.15))
    assert found.first_seconds() == pytest.approx(4.9)
    assert made(rounds=[[5.0, 1.0]]).interval_seconds(9) == (5.0, 1.0)


def test_a_kept_probe_comes_back(tmp_path: Path, measured: Probe) -> None:
    path = tmp_path / "probe.json"
    write(path, measured)
    back = read(path, config_of())
    assert back.curves == measured.curves
    assert back.noise() == measured.noise()
    assert read(path, config_of("eval_interval=20", "algo=pbt")).rounds == measured.rounds


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("no JSON", [], "holds no probe"),
        ("{}", [], "holds no probe"),
        (None, ["engine.devices=cuda"], r"engine.devices=cpu, not cuda: make another"),
        (None, ["learner.noise=0.5"], r"learner.noise=0.3, not 0.5"),
    ],
)
def test_a_probe_of_something_else_is_refused(
    text: str | None, arguments: list[str], message: str, tmp_path: Path, measured: Probe
) -> None:
    path = tmp_path / "probe.json"
    write(path, measured)
    if text is not None:
        path.write_text(text)
    config = config_of(*arguments)
    device = config.engine.devices[0]
    with pytest.raises(SettingError, match=message):
        read(path, config, "cpu" if device == "auto" else device)
    other = json.loads(json.dumps({"learner": "vmpo"}))
    path.write_text(json.dumps({**vars(measured), **other}))
    with pytest.raises(SettingError, match="learner=vmpo, not quadratic"):
        read(path, config_of())


WRONG = [
    ("rounds", []),
    ("rounds", "x"),
    ("rounds", [[1.0]]),
    ("curves", None),
    ("curves", [["high"]]),
    ("eval_interval", 0),
    ("processes", 1.5),
    ("settings", None),
    ("metrics", None),
    ("metrics", {"loss": "low"}),
    ("speed_spread", 5),
    ("save_seconds", -1),
    ("device", 3),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_values_in_a_kept_probe_are_named(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    path.write_text(json.dumps({**vars(made(rounds=[[1.0, 0.5]])), name: value}))
    with pytest.raises(SettingError, match=rf"--probe .*probe.json holds no probe: {name}"):
        read(path, CONFIG)


def test_metrics_may_be_no_number(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    write(path, made(rounds=[[1.0, 0.5]], metrics={"loss": float("nan")}, settings=dict(CONFIG.settings)))
    assert np.isnan(read(path, CONFIG).metrics["loss"])


def test_other_intervals_scale_times_noise_and_gains() -> None:
    rng = np.random.default_rng(1)
    curves = [(0.5 * np.arange(60) + rng.normal(size=60)).tolist() for _ in range(5)]
    found = made(curves=curves, rounds=[[1.0, 0.5]] * 4, eval_interval=10)
    averaging = replace(found, settings={"objective": "training", "objective_episodes": 8})
    longer = scaled(averaging, 40)
    assert longer.rounds[0] == (4.0, 0.5)
    was, now = (found.noise(), found.rise()), (longer.noise(), longer.rise())
    assert now[0] == pytest.approx(was[0] / 2, rel=0.1)  # type: ignore[operator]
    assert now[1] == pytest.approx(4 * was[1], rel=0.1)  # type: ignore[operator]
    fresh = replace(found, settings={**averaging.settings, "objective": "fresh"})
    for same in (found, fresh):
        assert scaled(same, 40).noise() == pytest.approx(was[0], rel=0.1)
    assert scaled(averaging, 10) is averaging


def made(**fields: Any) -> Probe:
    """A probe of these figures."""
    usual: dict[str, Any] = dict.fromkeys(("start_seconds", "create_seconds", "speed_spread", "save_seconds"), 0.0)
    usual |= dict.fromkeys(("copy_seconds", "report_seconds"), 0.0)
    usual |= {
        "learner": "quadratic",
        "settings": {},
        "device": "cpu",
        "eval_interval": 10,
        "processes": 1,
        "members": 1,
        "failures": 0,
    }
    usual |= {"state_bytes": 1, "base_bytes": None, "member_bytes": None, "metrics": {}, "curves": [], "rounds": []}
    return Probe(**{**usual, "same_network": [], **fields})
