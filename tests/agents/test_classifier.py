"""The classifier as a learner: the promises of the interface, and what a step computes."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from firerl.agents.classifier import Classifier, networks
from firerl.envs.images import Batch, Shape
from firerl.storage import checkpoint

SMALL = {"model": "cnn", "width": 4, "batch_size": 500}  # 1,197 images: an epoch ends within the third step


def learner(seed: int = 0, values: Any = (), **settings: Any) -> Classifier:
    complete = Classifier.resolve({**SMALL, **settings})
    return Classifier(complete, {"learning_rate": 0.1, **dict(values)}, seed, "cpu")


def bits(state: Any) -> bytes:
    return checkpoint.dumps(state)


# ---- promises


@pytest.mark.parametrize("settings", [{}, {"micro_batch": 250}, {"precision": "bfloat16"}, {"model": "mlp"}])
def test_two_trainings_equal_one_and_evaluation_changes_nothing(settings: dict[str, Any]) -> None:
    parts, whole = learner(**settings), learner(**settings)
    parts.train(2)
    assert parts.evaluate(3) == parts.evaluate(4)
    parts.report(5)
    parts.train(2)
    whole.train(4)
    assert bits(parts.state()) == bits(whole.state())


def test_a_load_in_this_process_goes_on_bit_for_bit() -> None:
    source, other = learner(), learner(seed=1)
    source.train(2)
    other.train(3)
    state = checkpoint.loads(bits(source.state()))
    other.load(**state)
    assert bits(other.state()) == bits(source.state())
    assert source.train(3) == other.train(3)
    assert bits(other.state()) == bits(source.state())
    other.load(**state)  # the state was copied: training did not write into it
    assert bits(other.state()) == bits(state)
    untrained = learner(seed=2)
    untrained.load(**checkpoint.loads(bits(learner().state())))  # before the first step there is no momentum
    fresh = learner()
    assert untrained.train(2) == fresh.train(2)
    assert bits(untrained.state()) == bits(fresh.state())


def test_a_load_in_a_new_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    one = learner()
    one.train(2)
    (tmp_path / "state").write_bytes(bits(one.state()))
    one.train(2)
    code = f"import sys; sys.path[:] = {sys.path!r}; import test_classifier as t; t.go_on()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "out").read_bytes() == bits([one.state(), one.evaluate(0)])


def go_on() -> None:
    """The other half of the test above, in its own process."""
    torch.set_num_threads(1)
    one = learner(seed=5)
    one.load(**checkpoint.loads(Path("state").read_bytes()))
    one.train(2)
    Path("out").write_bytes(bits([one.state(), one.evaluate(0)]))


def test_no_global_random_state() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    one = learner()
    one.train(1)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = learner()
    two.train(1)
    assert torch.equal(before, torch.get_rng_state())
    assert bits(one.state()) == bits(two.state())
    assert bits(learner(seed=1).state()) != bits(learner().state())


# ---- copied weights


def seen(one: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The training images that the learner takes from now on, as it takes them."""
    taken: list[int] = []
    data = one.data
    real = type(data).train

    def spy(indices: Any, draws: Any) -> Batch:
        taken.extend(indices.tolist())
        return real(data, indices, draws)

    copied = copy.copy(data)
    monkeypatch.setattr(copied, "train", spy, raising=False)
    one.data = copied
    return taken


def test_copied_weights_do_not_copy_the_order_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    donor, loser, same = learner(), learner(seed=1), learner(seed=1)
    donor.train(1)
    loser.train(2)
    same.train(2)
    loser.load(weights=donor.state()["weights"])
    assert bits(loser.state()["weights"]) == bits(donor.state()["weights"])
    taken, expected = seen(loser, monkeypatch), seen(same, monkeypatch)
    loser.train(2)
    same.train(2)
    assert taken == expected
    assert bits(loser.state()["stream"]) == bits(same.state()["stream"])


def test_a_worker_killed_in_mid_epoch_goes_on_with_the_very_next_image(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = learner(batch_size=100), learner(seed=9, batch_size=100)
    all_taken = seen(one, monkeypatch)
    one.train(5)
    other.load(**checkpoint.loads(bits(one.state())))
    rest = seen(other, monkeypatch)
    one.train(7)
    other.train(7)
    assert all_taken[500:] == rest
    assert len(set(all_taken[:1197])) == 1197


def test_nothing_is_missing_from_the_weights() -> None:
    """With the donor's stream too, what follows is the donor's future."""
    donor, loser = learner(), learner(seed=1)
    donor.train(3)
    loser.train(2)
    loser.load(weights=donor.state()["weights"])
    loser.load(stream=donor.state()["stream"])
    assert donor.train(2) == loser.train(2)
    weights = donor.state()["weights"]
    assert any("running_mean" in name for name in weights["network"])
    assert all(buffer is not None and buffer.abs().max() > 0 for buffer in weights["momentum"])
    assert set(donor.state()["stream"]) == {"seed", "taken", "broken"}


def test_hyperparameters_stay_with_the_worker_and_change_without_a_rebuild() -> None:
    donor, loser = learner(), learner(seed=1, values={"learning_rate": 1e-30})
    donor.train(1)
    loser.load(weights=donor.state()["weights"])
    before = [p.detach().clone() for p in loser.network.parameters()]
    loser.train(1)
    assert all(torch.equal(a, b) for a, b in zip(before, loser.network.parameters(), strict=True))
    loser.set_hyperparameters({"learning_rate": 0.5, "momentum": 0.5, "weight_decay": 0.01, "label_smoothing": 0.2})
    decayed, others = loser.optimiser.param_groups
    assert (decayed["lr"], others["lr"], decayed["momentum"]) == (0.5, 0.5, 0.5)
    assert (decayed["weight_decay"], others["weight_decay"], loser.label_smoothing) == (0.01, 0.0, 0.2)
    loser.set_hyperparameters({})  # back to the settings
    assert (decayed["lr"], decayed["momentum"], loser.label_smoothing) == (0.1, 0.9, 0.0)
    loser.train(1)
    loser.set_hyperparameters({"momentum": 0.0})
    loser.train(1)


# ---- what a step computes


@pytest.mark.parametrize("nesterov", [False, True])
def test_steps_are_those_of_the_formula(nesterov: bool) -> None:
    """v <- m v + g; w <- w - lr v, or w - lr (g + m v): weight decay in g of matrices alone, smoothed labels."""
    one = learner(model="mlp", width=1, batch_size=8)
    one.set_hyperparameters(
        {"learning_rate": 0.2, "momentum": 0.7, "weight_decay": 0.05, "nesterov": nesterov, "label_smoothing": 0.1}
    )
    twin = copy.deepcopy(one.network).double()
    velocity = [torch.zeros_like(p) for p in twin.parameters()]
    for step in range(3):
        batch = one.data.train(one.order.indices(8 * step, 8), one.order.draws(8 * step, 8, one.data.draws))
        odds = torch.log_softmax(twin(torch.from_numpy(batch.images).double()), 1)
        targets = 0.9 * torch.eye(10, dtype=torch.float64)[batch.labels] + 0.01
        loss = -(targets * odds).sum(1).mean()
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for p, v, g in zip(twin.parameters(), velocity, gradients, strict=True):
                g = g + (0.05 * p if p.ndim > 1 else 0)
                v.mul_(0.7).add_(g)
                p.sub_(0.2 * (g + 0.7 * v if nesterov else v))
        metrics = one.train(1)
        assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert metrics["train_accuracy"] == (odds.argmax(1).numpy() == batch.labels).mean()
    for p, q in zip(one.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.double(), q, rtol=1e-4, atol=1e-6)


def test_micro_batches_are_one_step() -> None:
    """Without batch norm, a step in parts equals a step at once up to rounding."""
    whole, parts = learner(model="mlp"), learner(model="mlp", micro_batch=50)
    a, b = whole.train(2), parts.train(2)
    assert a == pytest.approx(b, rel=1e-5)
    for p, q in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_weight_decay_leaves_norms_and_biases_alone() -> None:
    decayed, others = networks.decayed(networks.cnn(4, Shape(1, 8, 10)))
    assert sorted(p.ndim for p in decayed) == [2, 4, 4, 4]
    assert len(others) == 7  # two of each of three norms, one bias


def test_accuracy_is_counted_over_all_images_of_a_half() -> None:
    one = learner()
    one.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        one.network[1].weight.zero_()
        one.network[1].bias.copy_(torch.eye(10)[3])
    for part in ("objective", "report"):
        labels = np.concatenate([batch.labels for batch in one.data.held_out(part)])
        assert one._held_out(part)["accuracy"] == pytest.approx((labels == 3).mean())
    assert one.evaluate(0) == one._held_out("objective")["accuracy"]
    assert one.report(0)["images"] == 300


def test_half_precision_is_close_but_not_the_same() -> None:
    a, b = learner().train(1), learner(precision="bfloat16").train(1)
    assert a["loss"] != b["loss"]
    assert a["loss"] == pytest.approx(b["loss"], rel=0.05)


def test_divergence_is_an_error_with_a_name() -> None:
    one = learner(model="mlp", values={"learning_rate": 1000.0})
    with pytest.raises(FloatingPointError, match="training diverged"):
        one.train(100)


def test_it_learns() -> None:
    one = learner(width=8, batch_size=64)
    one.train(100)
    assert one.evaluate(0) > 0.9
    assert one.report(0)["accuracy"] > 0.9
    assert math.isclose(one.train(1)["epochs"], 101 * 64 / 1197)
