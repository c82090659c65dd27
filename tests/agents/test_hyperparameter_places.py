"""Where ``firerl.TorchLearner`` sets a hyperparameter: in parameter groups, attributes, and under schedulers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from test_torch_learner import VALUES, Plain, built
from torch.optim import lr_scheduler

from firerl.errors import SettingError
from firerl.storage import checkpoint


def test_hyperparameters_find_their_places() -> None:
    class Placed(Plain):
        hyperparameters: ClassVar = {"beta": "optimizer.betas.0", "rate": ("optimizer.lr", "bag.rate"), "two": "rows.1"}

    learner = built(Placed)
    learner.bag, learner.rows, learner.temperature = {"rate": 1}, [1, 2], torch.ones(())
    rate = learner.temperature
    learner.set_hyperparameters(
        {"beta": 0.5, "rate": 0.3, "two": 7, "clip": 2.0, "weight_decay": 0.2, "temperature": 4}
    )
    (group,) = learner.optimizer.param_groups
    assert (group["betas"], group["lr"], group["weight_decay"]) == ((0.5, 0.999), 0.3, 0.2)
    assert (learner.bag, learner.rows, learner.clip) == ({"rate": 0.3}, [1, 7], 2.0)
    assert learner.temperature is rate
    assert rate == 4


def test_one_outside_of_the_state_stays_the_learners_own() -> None:
    donor, other = built(), built(values={**VALUES, "dropout": 0.4})
    other.load(**donor.state())
    assert other.nets["body"][1].p == 0.4
    assert other.optimizers[0].param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("values", "places", "words"),
    [
        ({"rate": 1}, {}, "hyperparameter 'rate' has no place"),
        ({"rate": 1}, {"rate": "optimizer.rate"}, "leads nowhere: KeyError: 'rate'"),
        ({"rate": 1}, {"rate": "model.drop.p"}, "leads nowhere: AttributeError"),
        ({"lr": 1}, {}, "the parameter groups of AdamW have different ones"),
    ],
)
def test_a_hyperparameter_without_a_place_is_refused(values: Any, places: Any, words: str) -> None:
    kind: Any = type("Odd", (Plain,), {"hyperparameters": places})
    learner = built(kind)
    learner.optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.2})
    with pytest.raises(SettingError, match=words):
        learner.set_hyperparameters(values)


def test_one_group_of_several_is_named() -> None:
    kind: Any = type("Grouped", (Plain,), {"hyperparameters": {"lr": "optimizer.1.lr"}})
    learner = built(kind)
    learner.optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.2})
    learner.set_hyperparameters({"lr": 0.7})
    assert [group["lr"] for group in learner.optimizer.param_groups] == [0.1, 0.7]


SCHEDULERS: dict[str, Any] = {
    "lambda": lambda one: lr_scheduler.LambdaLR(one, lambda step: 0.9**step),
    "steps": lambda one: lr_scheduler.MultiStepLR(one, [2, 4]),
    "cosine": lambda one: lr_scheduler.CosineAnnealingLR(one, 20),
    "restarts": lambda one: lr_scheduler.CosineAnnealingWarmRestarts(one, 4),
    "warm-up": lambda one: lr_scheduler.LinearLR(one, 0.1, total_iters=5),
    "sequence": lambda one: lr_scheduler.SequentialLR(
        one, [lr_scheduler.LinearLR(one, 0.1, total_iters=2), lr_scheduler.ExponentialLR(one, 0.8)], [2]
    ),
    "one cycle": lambda one: lr_scheduler.OneCycleLR(one, 0.1, total_steps=20),
}


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_scheduled_rate_is_the_one_that_its_scheduler_starts_from(make: Any) -> None:
    def scheduled() -> Any:
        learner = built(Plain)
        learner.scheduler = make(learner.optimizer)
        learner.set_hyperparameters({"lr": 0.1})
        return learner

    def rate(learner: Any, steps: int) -> float:
        for _ in range(steps):
            learner.step()
            learner.scheduler.step()
        return learner.optimizer.param_groups[0]["lr"]

    plain, twice, loaded = scheduled(), scheduled(), scheduled()
    rate(twice, 3)
    loaded.load(**checkpoint.loads(checkpoint.dumps(twice.state())))
    for one in (twice, loaded):
        one.set_hyperparameters({"lr": 0.1})  # no change
    assert checkpoint.dumps(loaded.state()) == checkpoint.dumps(twice.state())
    assert rate(twice, 2) == rate(loaded, 2) == rate(plain, 5)
    twice.set_hyperparameters({"lr": 0.2})
    assert rate(twice, 3) == pytest.approx(2 * rate(plain, 3), rel=1e-6)


def test_a_plateau_keeps_its_reductions() -> None:
    learner = built(Plain)
    learner.scheduler = lr_scheduler.ReduceLROnPlateau(learner.optimizer, factor=0.5, patience=0)
    learner.set_hyperparameters({"lr": 0.1})
    for _ in range(3):
        learner.step()
        learner.scheduler.step(1.0)
    learner.set_hyperparameters({"lr": 0.1})
    assert learner.optimizer.param_groups[0]["lr"] == 0.025
