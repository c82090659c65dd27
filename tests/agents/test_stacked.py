"""Classifiers that train as one: what a member gets is what it would get alone, whoever is beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from firerl.agents.classifier import Classifier
from firerl.config import compose, request
from firerl.errors import SettingError
from firerl.storage import checkpoint

VALUES = [
    {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "label_smoothing": 0.0},
    {"learning_rate": 0.1, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0, "label_smoothing": 0.1},
    {"learning_rate": 0.2, "momentum": 0.0, "nesterov": True, "weight_decay": 1e-2, "label_smoothing": 0.3},
]
KINDS: list[dict[str, Any]] = [
    {"model": "mlp", "width": 4},
    {"model": "mlp", "width": 3, "micro_batch": 8},  # whose tensors do not fill whole cache lines
    {"model": "cnn", "width": 4},
    {"model": "cnn", "width": 3, "micro_batch": 16},
]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind['model']}-{kind['width']}")
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return Classifier.resolve({**request.param, "stacked": 3})


def made(settings: dict[str, Any], values: Any = VALUES, seed: int = 0) -> list[Any]:
    return [Classifier(settings, v, seed + i, "cpu") for i, v in enumerate(values)]


def stack(settings: dict[str, Any], slots: int = 3) -> Any:
    return Classifier.stack(settings, slots, "cpu")


def bits(member: Classifier) -> bytes:
    return checkpoint.dumps(member.state())


def tensors(member: Classifier) -> list[torch.Tensor]:
    weights = member.state()["weights"]
    return [*weights["network"].values(), *(buffer for buffer in weights["momentum"] if buffer is not None)]


def test_fifty_steps_are_those_of_members_that_train_alone(settings: dict[str, Any]) -> None:
    alone, together = made(settings), made(settings)
    group = stack(settings)
    losses = []
    for steps in (20, 30):
        told = group.train(together, steps)
        for mine, theirs in zip([m.train(steps) for m in alone], told, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-3)
        losses.append([metrics["loss"] for metrics in told])
    assert np.all(np.array(losses[1]) < losses[0])
    for one, other in zip(alone, together, strict=True):
        assert one.state()["stream"] == other.state()["stream"]
        for mine, theirs in zip(tensors(one), tensors(other), strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=2e-4)
        assert one.evaluate(0) == pytest.approx(other.evaluate(0), abs=0.011)


def test_a_step_is_that_of_torchs_optimiser(settings: dict[str, Any]) -> None:
    alone, together = made(settings), made(settings)
    group = stack(settings)
    for _ in range(3):
        group.train(together, 1)
        for one, other in zip(alone, together, strict=True):
            one.train(1)
            for mine, theirs in zip(tensors(one), tensors(other), strict=True):
                torch.testing.assert_close(theirs, mine, rtol=1e-5, atol=2e-6)
            one.load(**checkpoint.loads(bits(other)))


def test_a_member_is_the_same_to_the_bit_whoever_trains_beside_it(settings: dict[str, Any]) -> None:
    usual = made(settings)
    stack(settings).train(usual, 4)
    wild = [{**VALUES[0], "learning_rate": 1000.0}, VALUES[1], {**VALUES[2], "learning_rate": 1e-5}]
    others = made(settings, wild, seed=50)
    for beside in ([others[0], None, others[2]], [None, None, None]):
        for i in range(3):
            (mine,) = made(settings, [VALUES[i]], seed=i)
            group = [*beside[:i], mine, *beside[i + 1 :]]
            stack(settings).train(group, 4)
            assert bits(mine) == bits(usual[i])


def test_training_goes_on_from_a_saved_state_as_if_nothing_had_happened(settings: dict[str, Any]) -> None:
    whole, parts, later = made(settings), made(settings), made(settings, seed=9)
    group = stack(settings)
    group.train(whole, 5)
    group = stack(settings)
    group.train(parts, 2)
    for old, new in zip(parts, later, strict=True):
        new.load(**checkpoint.loads(bits(old)))
        assert new.evaluate(0) == old.evaluate(0)
        assert bits(new) == bits(old)
    group.train(parts, 3)
    told = stack(settings).train(later, 3)
    assert [bits(m) for m in whole] == [bits(m) for m in parts] == [bits(m) for m in later]
    assert [m.evaluate(0) for m in whole] == [m.evaluate(0) for m in later]
    assert all(set(metrics) == {"loss", "train_accuracy", "epochs"} for metrics in told)


def test_a_member_that_rests_keeps_its_slot_and_its_numbers(settings: dict[str, Any]) -> None:
    members = made(settings)
    group = stack(settings)
    group.train(members, 2)
    before = bits(members[1])
    told = group.train([members[0], None, members[2]], 2)
    assert told[1] is None
    assert bits(members[1]) == before
    group.train([None, members[1], None], 2)
    together = made(settings)
    stack(settings).train(together, 4)
    assert [bits(members[i]) for i in (0, 2)] == [bits(together[i]) for i in (0, 2)]
    (alone,) = made(settings, [VALUES[1]], seed=1)
    stack(settings).train([None, alone, None], 4)
    assert bits(members[1]) == bits(alone)


def test_a_copy_in_a_group_takes_the_weights_and_goes_on_alone(settings: dict[str, Any]) -> None:
    members = made(settings)
    group = stack(settings)
    group.train(members, 2)
    members[2].load(weights=checkpoint.loads(checkpoint.dumps(members[0].state()["weights"])))
    assert members[2].evaluate(0) == members[0].evaluate(0)
    before = bits(members[0])
    group.train([None, None, members[2]], 2)
    assert bits(members[0]) == before
    fresh = made(settings)
    fresh[2].load(**checkpoint.loads(checkpoint.dumps({**fresh[0].state(), "stream": fresh[2].state()["stream"]})))
    alone = stack(settings)
    alone.train([*fresh[:1], None, None], 2)
    fresh[2].load(weights=checkpoint.loads(checkpoint.dumps(fresh[0].state()["weights"])))
    fresh[2].load(stream={**fresh[2].state()["stream"], "taken": fresh[0].taken})
    alone.train([None, None, fresh[2]], 2)
    assert bits(members[2]) == bits(fresh[2])


def test_a_diverging_member_fails_and_the_others_do_not_feel_it() -> None:
    settings = Classifier.resolve({"model": "mlp", "width": 4, "stacked": 3})
    usual = made(settings)
    stack(settings).train(usual, 20)
    members = made(settings, [VALUES[0], {**VALUES[1], "learning_rate": 1000.0, "weight_decay": 1.0}, VALUES[2]])
    group = stack(settings)
    told = group.train(members, 20)
    assert isinstance(told[1], FloatingPointError)
    assert "training diverged" in str(told[1])
    assert [bits(members[i]) for i in (0, 2)] == [bits(usual[i]) for i in (0, 2)]
    members[1] = Classifier(settings, VALUES[1], 1, "cpu")  # a new learner in the slot of the one that failed
    (alone,) = made(settings, [VALUES[1]], seed=1)
    assert group.train([None, members[1], None], 3) == stack(settings).train([None, alone, None], 3)
    assert bits(members[1]) == bits(alone)


def test_without_momentum_the_old_buffers_stay_as_they_are(settings: dict[str, Any]) -> None:
    members = made(settings)
    group = stack(settings)
    group.train(members, 2)
    assert members[2].state()["weights"]["momentum"] == [None] * len(members[2].parameters())
    kept = [buffer.clone() for buffer in members[0].state()["weights"]["momentum"]]
    members[0].set_hyperparameters({**VALUES[0], "momentum": 0.0})
    members[2].set_hyperparameters({**VALUES[2], "momentum": 0.5})
    group.train(members, 2)
    assert all(torch.equal(a, b) for a, b in zip(kept, members[0].state()["weights"]["momentum"], strict=True))
    assert all(buffer is not None for buffer in members[2].state()["weights"]["momentum"])


def test_members_need_no_more_memory_than_alone() -> None:
    settings = Classifier.resolve({"model": "mlp", "stacked": 3})
    members = made(settings)
    stack(settings).train(members, 1)
    for which in ("parameters", "momentum"):
        own = [
            p if which == "parameters" else member.optimiser.state[p]["momentum_buffer"]
            for member in members[:2]
            for p in member.parameters()
        ]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in own}
        (size,) = storages.values()  # one, shared
        numbers = sum(p.numel() for p in members[0].parameters())
        assert size <= 3 * 4 * (numbers + 16 * 6)
    assert all(p.grad is None for member in members for p in member.parameters())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stacked": 1}, "learner.stacked=1: must be an integer >= 2"),
        ({"stacked": 4, "precision": "bfloat16"}, "learner.precision=bfloat16 cannot be stacked"),
    ],
)
def test_what_cannot_be_stacked_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Classifier.resolve(given)
    assert words in str(caught.value)


def test_a_resnet_cannot_be_stacked() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(SettingError, match=r"learner\.model=resnet18 cannot be stacked, only cnn and mlp"):
        Classifier.resolve({"stacked": 4, "model": "resnet18"})


def test_hyperparameters_that_change_shapes_are_refused() -> None:
    for name in ("width", "batch_size"):
        with pytest.raises(SettingError, match=f"space.{name}"):
            request.resolve(
                compose.compose(["learner=classifier", "learner.stacked=4", f"space.{name}={{integer: [8, 64]}}"])
            )


def test_the_data_of_a_group_are_those_of_its_members() -> None:
    settings = Classifier.resolve({"model": "mlp", "width": 1, "batch_size": 500, "stacked": 3})
    members, group = made(settings), stack(settings)
    members[1].train(2)
    expected = [m.data.train(m.order.indices(m.taken, 500), m.order.draws(m.taken, 500, 2)) for m in members]
    pixels, labels = group._batch(members)
    for i, batch in enumerate(expected):
        assert np.array_equal(pixels[i], batch.images)
        assert np.array_equal(labels[i], batch.labels)
