"""Common practice of training on images, each a setting: what it computes, and that the learner's promises hold."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from firerl.agents.classifier import Classifier, mixing
from firerl.errors import SettingError
from firerl.storage import checkpoint

PRACTICES: list[dict[str, Any]] = [
    {"optimiser": "adamw"},
    {"ema": 0.5},
    {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1},
    {"erase": 0.5, "micro_batch": 8},
    {"clip_norm": 0.1, "warmup": 3},
]


def learner(seed: int = 0, values: Any = (), **settings: Any) -> Classifier:
    complete = Classifier.resolve({"width": 2, "batch_size": 16, **settings})
    return Classifier(complete, dict(values), seed, "cpu")


def bits(one: Classifier) -> bytes:
    return checkpoint.dumps(one.state())


@pytest.mark.parametrize("settings", PRACTICES)
def test_two_trainings_are_one_and_a_load_goes_on_bit_for_bit(settings: dict[str, Any]) -> None:
    whole, parts, other, plain = (
        learner(**settings), learner(**settings), learner(seed=1, **settings), learner(**{**settings, **USUAL})
    )  # fmt: skip
    whole.train(4)
    parts.train(2)
    plain.train(4)
    other.train(1)
    before = bits(parts)
    objective = parts.evaluate(0)
    other.load(**checkpoint.loads(before))
    assert bits(other) == bits(parts) == before
    assert other.evaluate(0) == objective
    other.train(2)
    assert bits(other) == bits(whole)
    names = ("network", "average")
    assert any(str(whole.state()["weights"].get(n)) != str(plain.state()["weights"].get(n)) for n in names)


USUAL = {name: Classifier.settings[name] for settings in PRACTICES for name in settings if name != "micro_batch"}


def test_before_the_first_step_there_is_nothing_to_keep() -> None:
    for settings in PRACTICES:
        one, other = learner(**settings), learner(seed=1, **settings)
        other.load(**checkpoint.loads(bits(one)))
        other.train(1)
        one.train(1)
        assert bits(one) == bits(other)


def test_adamw_has_a_range_of_its_own_and_takes_the_momentum_for_its_first_beta() -> None:
    settings = Classifier.resolve({"optimiser": "adamw"})
    assert (settings["learning_rate"], settings["weight_decay"]) == (1e-3, 0.05)
    assert Classifier.space_of(settings)["learning_rate"]["log_uniform"] == [1e-5, 1e-2]
    one = learner(optimiser="adamw", values={"momentum": 0.8, "learning_rate": 0.5})
    assert [(group["lr"], group["betas"], group["weight_decay"]) for group in one.optimiser.param_groups] == [
        (0.5, (0.8, 0.999), 0.05), (0.5, (0.8, 0.999), 0.0)
    ]  # fmt: skip
    donor = learner()
    donor.train(1)
    one.load(weights=donor.state()["weights"])  # as init= would: AdamW begins anew
    one.train(1)


def test_a_gradient_is_no_longer_than_it_may_be() -> None:
    one = learner(clip_norm=1e-3, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    before = copy.deepcopy(one.network.state_dict())
    one.train(1)
    moved = sum((p - before[name]).square().sum() for name, p in one.network.named_parameters())
    assert moved.sqrt().item() == pytest.approx(1e-3, rel=1e-3)  # type: ignore[union-attr]


def test_the_rate_rises_by_the_step() -> None:
    one, rates = learner(warmup=4, learning_rate=0.4), []
    for _ in range(5):
        one.train(1)
        rates.append(one.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


def test_the_average_is_evaluated_and_deployed() -> None:
    one = learner(ema=0.75, model="mlp")
    wanted = {name: tensor.clone() for name, tensor in one.network.state_dict().items()}
    for _ in range(3):
        one.train(1)
        wanted = {name: 0.75 * old + 0.25 * one.network.state_dict()[name] for name, old in wanted.items()}
    weights = one.state()["weights"]
    for name, tensor in wanted.items():
        torch.testing.assert_close(weights["average"][name], tensor)
    plain = learner(model="mlp")
    plain.network.load_state_dict(weights["average"])
    assert one.evaluate(0) == plain.evaluate(0)
    module: Any = Classifier.module_of(one.config, weights, Classifier.facts_of(one.config))
    for name, tensor in module.network.state_dict().items():
        assert torch.equal(tensor, weights["average"][name])


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one number each, and the number."""
    labels = torch.arange(64)
    return labels.float().view(-1, 1, 1, 1).expand(-1, 3, size, size).clone(), labels


def test_mixup_is_a_weighted_mean_with_the_weights_of_the_labels() -> None:
    pixels, labels = batch()
    found, others, share = mixing.mixed(pixels, labels, 1.0, 0.0, np.random.default_rng(0))
    assert 0 < share < 1
    torch.testing.assert_close(found[:, 0, 0, 0], share * labels + (1 - share) * others)


def test_cutmix_gives_labels_their_share_of_the_pixels() -> None:
    pixels, labels = batch()
    for seed in range(9):
        found, others, share = mixing.mixed(pixels, labels, 0.0, 1.0, np.random.default_rng(seed))
        own = (found == pixels).all(1).float().mean((1, 2))[others != labels]
        torch.testing.assert_close(own, torch.full_like(own, share))
    torch.testing.assert_close(pixels, batch()[0])  # another's batch may be this one


def test_with_both_either_comes_as_often() -> None:
    pixels, labels = batch(4)
    cut = 0
    for seed in range(60):
        found, _, _ = mixing.mixed(pixels, labels, 1.0, 1.0, np.random.default_rng(seed))
        cut += torch.equal(found, found.round())
    assert 18 < cut < 42


def test_erasing_takes_boxes_of_so_many_images() -> None:
    pixels, _ = batch(16)
    found = mixing.erased(pixels + 1, 0.5, np.random.default_rng(0))
    gone = (found == 0).float().mean((1, 2, 3))
    assert 20 < (gone > 0).sum() < 44
    assert 0.01 < gone[gone > 0].min() < gone.max() < 0.4


def test_top_5_is_told_where_there_are_classes_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    one = learner(model="mlp")
    assert set(one.report(0)) == {"accuracy", "loss", "images"}
    shape = one.data.shape._replace(classes=12)
    monkeypatch.setattr(one, "data", copy.copy(one.data))
    one.data.shape = shape
    told = one.report(0)
    assert told["accuracy"] < told["top5_accuracy"] < 1


@pytest.mark.parametrize("name", ["optimiser", "clip_norm", "warmup", "ema", "mixup", "cutmix", "erase"])
def test_members_that_train_as_one_have_none_of_it(name: str) -> None:
    value = {name: value for settings in PRACTICES for name, value in settings.items()}[name]
    with pytest.raises(SettingError, match=f"learner.stacked=4: must be null with learner.{name}="):
        Classifier.resolve({"stacked": 4, name: value})


def test_what_the_search_may_tune() -> None:
    assert set(Classifier.tunable) == {
        "learning_rate", "momentum", "nesterov", "weight_decay", "label_smoothing", "clip_norm", "mixup", "cutmix",
        "erase",
    }  # fmt: skip
