"""The classifier's settings: complete, checked, refused with words that help; data= on the command line."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from firerl.agents.classifier import Classifier, networks
from firerl.config import compose, request
from firerl.config.run_config import RunConfig
from firerl.envs.images import Shape
from firerl.errors import SettingError


def made(*arguments: str) -> RunConfig:
    return request.resolve(compose.compose(["learner=classifier", "run_dir=r", *arguments]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch": 5}, "did you mean 'learner.batch_size'"),
        ({"batch_size": 1}, "learner.batch_size=1: must be an integer >= 2"),
        ({"batch_size": 64, "micro_batch": 24}, "must be a multiple of learner.micro_batch=24"),
        ({"momentum": 1.0}, "learner.momentum=1.0"),
        ({"learning_rate": 0}, "learner.learning_rate=0: must be a finite number > 0"),
        ({"weight_decay": -1}, "learner.weight_decay=-1"),
        ({"label_smoothing": "much"}, "learner.label_smoothing=much"),
        ({"nesterov": 1}, "learner.nesterov=1: must be true or false"),
        ({"precision": "float16"}, "did you mean 'bfloat16'"),
        ({"model": "resnet19"}, "did you mean 'resnet18'"),
        ({"data": "shape"}, "did you mean 'shapes'"),
        ({"data": 3}, "learner.data=3"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Classifier.resolve(given)
    assert words in str(caught.value)


def test_settings_are_complete_and_stay_as_they_are() -> None:
    for given in ({}, {"data": "shapes"}, {"data": {"name": "digits", "shift": 2}, "momentum": 0.5}):
        complete = Classifier.resolve(given)
        assert set(complete) == set(Classifier.settings)
        assert Classifier.resolve(complete) == complete
    assert Classifier.task_of(Classifier.resolve({"data": "shapes"})) == "shapes"


def test_any_optimiser_setting_can_be_tuned_and_only_those() -> None:
    one = Classifier(Classifier.resolve({"model": "mlp", "width": 1}), {}, 0, "cpu")
    one.set_hyperparameters(
        {"learning_rate": 1, "momentum": 0.5, "nesterov": False, "weight_decay": 0.1, "label_smoothing": 0.2}
    )
    with pytest.raises(SettingError, match="did you mean 'momentum'"):
        one.set_hyperparameters({"momentun": 0.5})
    with pytest.raises(SettingError, match=r"hyperparameters\.momentum=2"):
        one.set_hyperparameters({"momentum": 2})
    tuned = made("space.momentum={one_minus_log_uniform: [0.8, 0.99]}", "space.nesterov={choice: [true, false]}")
    assert set(tuned.space) == {"learning_rate", "momentum", "nesterov"}
    with pytest.raises(SettingError, match=r"space\.batch_size"):
        made("space.batch_size={integer: [8, 64]}")


def test_the_data_set_goes_to_learners_that_have_one() -> None:
    assert made().settings["data"] == {"name": "digits", "shift": 1}
    assert made("data=shapes", "data.seed=3").settings["data"] == {"name": "shapes", "seed": 3, "shift": 0}
    assert made("data.shift=0").settings["data"] == {"name": "digits", "shift": 0}
    assert made("data=shapes").task == "shapes"
    with pytest.raises(SettingError, match="learner=vmpo takes no data set"):
        request.resolve(compose.compose(["data=digits"]))
    with pytest.raises(SettingError, match="learner=classifier takes no environment"):
        made("env=Ant")
    with pytest.raises(SettingError, match="did you mean 'shapes'"):
        made("data=shape")
    with pytest.raises(SettingError, match=r"data\.root is missing"):
        made("data=imagenet", "learner.model=cnn")


def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchvision" else real(name))
    with pytest.raises(SettingError, match=r"torchvision is not installed .*firerl\[images\]"):
        Classifier.resolve({"model": "resnet18"})


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs torchvision")
@pytest.mark.parametrize("channels", [1, 3])
def test_resnets_take_any_shape(channels: int) -> None:
    import torch

    network = networks.build("resnet18", 16, Shape(channels, 32, 7), 0)
    assert network(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("shape", [Shape(1, 8, 10), Shape(1, 32, 10), Shape(3, 64, 5)])
@pytest.mark.parametrize("model", networks.OWN)
def test_our_networks_take_any_shape(model: str, shape: Shape) -> None:
    import torch

    network = networks.build(model, 4, shape, 0)
    assert network(torch.zeros(2, shape.channels, shape.size, shape.size)).shape == (2, shape.classes)


def test_settings_need_neither_torchvision_nor_pillow_nor_scikit_learn() -> None:
    code = (
        "import sys; from firerl.agents.classifier import Classifier; Classifier.resolve({'data': 'shapes'}); "
        "assert not {'torchvision', 'PIL', 'sklearn', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
