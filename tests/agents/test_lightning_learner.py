"""LightningModules as learners: to the bit what Lightning's own Trainer does, cut anywhere, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agents_for_tests import bits

from firerl.engine.host.global_generators import Isolated
from firerl.errors import FirerlError, SettingError

pytest.importorskip("lightning", reason="the extra firerl[lightning] is not installed")
import lightning
from lightning_for_tests import Net, Rich, Rows, Stream
from torch.utils.data import DataLoader

from firerl import adapters
from firerl.agents.adapters.lightning_learner import Lightning

SEED = 2**62 + 5


def learner(module: type = Rich, seed: int = SEED, values: Any = (), **arguments: Any) -> Any:
    """In global generators of its own, as a run has it."""
    made: Any = adapters.lightning(module, Rows, **arguments)
    return Isolated(made, made.resolve({}), dict(values), seed)


@pytest.mark.parametrize("module", [Net, Rich])
def test_it_learns_as_under_a_trainer(module: type, tmp_path: Any) -> None:
    """Over epochs and into the middle of one: shuffling, dropout, schedulers, hooks, clipping."""
    made = adapters.lightning(module, Rows, gradient_clip_val=0.5)
    torch.manual_seed(3)
    one: Any = made(made.resolve({}), {}, 0, "cpu")
    other, generator = module(), torch.get_rng_state()
    other.load_state_dict(one.module.state_dict())
    one.train(18)
    torch.set_rng_state(generator)
    data = made._data_module(one.config)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=18, limit_val_batches=0, num_sanity_val_steps=0, gradient_clip_val=0.5,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(other, DataLoader(data.train, batch_size=8, shuffle=True))
    assert bits(one.module.state_dict()) == bits(other.state_dict())
    assert [g["lr"] for g in one.optimizer.param_groups] == [g["lr"] for g in trainer.optimizers[0].param_groups]


@pytest.mark.parametrize("first", [3, 5, 7])
def test_training_may_be_cut_and_saved_anywhere(first: int) -> None:
    whole, parts, other = learner(), learner(), learner(seed=1)
    metrics = whole.train(first + 6)
    assert {"loss", "mean", "best"} == metrics.keys()
    parts.train(first)
    parts.evaluate(0)
    other.train(4)
    other.load(**parts.state())
    parts.train(6)
    other.train(6)
    assert bits(whole.state()) == bits(parts.state()) == bits(other.state())
    assert whole.evaluate(0) == other.evaluate(1)


def test_the_objective_is_what_is_monitored() -> None:
    loss, accuracy = learner(Net), learner(Net, monitor="val_acc", mode="max")
    logits = loss.learner.module.eval()(torch.stack([row[0] for row in loss.learner.data.held]))
    labels = torch.stack([row[1] for row in loss.learner.data.held])
    assert loss.evaluate(0) == pytest.approx(-torch.nn.functional.cross_entropy(logits, labels).item())
    right = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy.evaluate(0) == pytest.approx(right)
    assert accuracy.report(0) == {"test_acc": pytest.approx(right)}
    wrong: Any = adapters.lightning(Net, Rows, monitor="val_los")
    with pytest.raises(SettingError, match=r"learner.monitor.*'val_los'.*val_loss"):
        wrong.survey(wrong.resolve({}), print)


def test_a_hyperparameter_is_what_configure_optimizers_makes_of_it() -> None:
    """In each group its share, and under schedulers where they have come."""
    one = learner()
    one.train(7)
    before = [group["lr"] for group in one.learner.optimizer.param_groups]
    one.set_hyperparameters({"learning_rate": 0.3, "momentum": 0.5})
    groups = one.learner.optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([3 * rate for rate in before])
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.03, 0.3])
    assert [group["momentum"] for group in groups] == [0.5, 0.5]
    assert one.learner.schedulers[0].base_lrs == pytest.approx([0.03, 0.3])
    donor = learner(values={"learning_rate": 0.9})
    one.load(weights=donor.state()["weights"])
    one.set_hyperparameters({"learning_rate": 0.3})
    assert [group["lr"] for group in one.learner.optimizer.param_groups] == pytest.approx([0.03, 0.3])
    assert one.learner.module.hparams.learning_rate == 0.3
    with pytest.raises(SettingError, match="'learning_rat': did you mean 'learning_rate'"):
        one.set_hyperparameters({"learning_rat": 1.0})


def test_its_settings_are_the_module_s_own() -> None:
    made: Any = adapters.lightning(Net, Rows, learning_rate=0.2, data_arguments={"batch_size": 4})
    settings = made.resolve({"width": 4, "weight_decay": 0.1})
    assert made.resolve(settings) == settings
    assert {"learning_rate": 0.2, "width": 4, "smoothing": 0.0, "lr": 0.2, "momentum": 0.9}.items() <= settings.items()
    assert made.eval_interval_of(settings) == 10
    assert made.space_of(settings)["learning_rate"]["bounds"] == [1e-6, 10.0]
    assert {"smoothing", "momentum", "gradient_clip_val"} <= {*made.tunable_of(settings)}
    one = made(settings, {"smoothing": 0.1}, 0, "cpu")
    assert one.module.model[0].out_features == 4
    assert one.module.hparams.smoothing == 0.1
    assert one.optimizer.param_groups[0]["weight_decay"] == 0.1
    with pytest.raises(SettingError, match=r"unknown setting.*'learner.widht': did you mean 'learner.width'"):
        made.resolve({"widht": 4})


def changed(base: type, **attributes: Any) -> type:
    return type("Own", (base,), attributes)


class Manual(Net):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Graph(Net):
    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.ones(2, requires_grad=True).sum()]


def loaders(loader: Any) -> type:
    return changed(Rows, train_dataloader=lambda self: loader)


SGD = torch.optim.SGD
PLATEAU = torch.optim.lr_scheduler.ReduceLROnPlateau


@pytest.mark.parametrize(
    ("module", "data", "told"),
    [
        (Manual, Rows, "automatic_optimization is false"),
        (Graph, Rows, "kept holds tensors with the graph"),
        (changed(Net, on_save_checkpoint=lambda self, checkpoint: None), Rows, "on_save_checkpoint.. is never called"),
        (changed(Net, on_train_start=lambda self: None), Rows, "on_train_start.. is never called"),
        (changed(Net, train_dataloader=lambda self: None), Rows, "train_dataloader.. is never called"),
        (changed(Net, configure_callbacks=lambda self: []), Rows, "configure_callbacks.. is never called"),
        (changed(Net, configure_optimizers=lambda self: None), Rows, "returned None"),
        (changed(Net, configure_optimizers=lambda s: [SGD(s.parameters()), SGD(s.parameters())]), Rows, "2 optimisers"),
        (
            changed(Net, configure_optimizers=lambda self: {
                "optimizer": (made := SGD(self.parameters())), "lr_scheduler": PLATEAU(made), "monitor": "loss"}),
            Rows, "ReduceLROnPlateau",
        ),
        (changed(Net, on_train_epoch_start=lambda self: self.trainer.max_epochs), Rows, "self.trainer.max_epochs: "),
        (changed(Net, training_step=lambda self, dataloader_iter: None), Rows, "dataloader_iter"),
        (Net, changed(Rows, state_dict=lambda self: {}), "state_dict.. is never called"),
        (Net, loaders(DataLoader(Stream())), "train_dataloader.*IterableDataset"),
        (Net, loaders({"a": DataLoader([0])}), "must return one DataLoader"),
        (Net, loaders(DataLoader([0], batch_size=None)), "batch_size=None"),
        (Net, changed(Rows, setup=lambda self, stage: 1 / 0), "learner.data=Own: ZeroDivisionError"),
        (torch.nn.Linear, Rows, "must be a subclass of LightningModule"),
        (Net, Net, "must be a subclass of LightningDataModule"),
    ],
)  # fmt: skip
def test_what_would_be_left_out_is_refused_by_name(module: type, data: type, told: str) -> None:
    made: Any = adapters.lightning(module, data)

    def trained() -> None:
        one = made(made.resolve({}), {}, 0, "cpu")
        one.state()
        one.train(1)

    with pytest.raises(SettingError, match=told):
        trained()


def test_names_are_refused_in_one_line() -> None:
    for settings, told in (
        ({"module": "no_such:Net"}, "learner.module=no_such.Net: cannot be imported.*ModuleNotFoundError"),
        (
            {"module": "lightning_for_tests.No"},
            "learner.module=lightning_for_tests.No: cannot be.*AttributeError",
        ),
        ({"module": "Net"}, "as my_pkg:Net"),
        ({"data": 3}, "learner.data=3: must be a group"),
        ({"module": "lightning_for_tests:Net", "arguments": {"widht": 3}}, "did you mean 'learner.arguments.width'"),
    ):
        with pytest.raises(SettingError, match=told):
            Lightning.resolve(settings)
    with pytest.raises(SettingError, match=r"learner\.data=: must be a class"):
        Lightning.eval_interval_of(Lightning.resolve({"module": "lightning_for_tests.Net"}))
    with pytest.raises(SettingError, match="must be a class, not an instance"):
        adapters.lightning(Net(), Rows)  # type: ignore[arg-type]


def test_the_network_alone_needs_no_data() -> None:
    made: Any = adapters.lightning(Net, Rows)
    settings = made.resolve({})
    one = made(settings, {}, 0, "cpu")
    one.train(5)
    facts = made.facts_of(settings)
    module: Any = made.module_of(settings, one.state()["weights"], facts).eval()
    assert (module.input_shape, module.input_dtype) == ((10,), torch.float32)
    inputs = torch.randn(4, 10)
    assert torch.equal(module(inputs), one.module.eval()(inputs))
    with pytest.raises(FirerlError, match="does not begin with a tensor"):
        made.module_of(settings, {}, {})
