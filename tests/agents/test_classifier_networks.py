"""Networks of others by name, and weights from a file: torchvision's and timm's are stand-ins here."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import firerl
from firerl.agents.classifier import Classifier, networks, pretrained
from firerl.engine.host.global_generators import Isolated
from firerl.envs.images import Shape
from firerl.errors import MachineError, SettingError

SHAPE = Shape(1, 8, 10)


def tiny(channels: int, size: int, classes: int, width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels * size**2, width), nn.Linear(width, classes))


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two libraries, with the signatures of what is called of them; and a module of somebody's."""
    timm, torchvision, models = (types.ModuleType(n) for n in ("timm", "torchvision", "torchvision.models"))
    mine = types.ModuleType("some_models")

    def create_model(model_name: str, pretrained: bool = False, num_classes: int = 1000, in_chans: int = 3) -> Any:
        if model_name != "tiny.in1k":
            raise RuntimeError(f"Unknown model ({model_name})")
        return tiny(in_chans, 8, num_classes)

    def get_model(name: str, **config: Any) -> nn.Module:
        assert config.pop("weights") is None
        return tiny(3, 8, config.pop("num_classes"), **config)

    timm.create_model, models.get_model, mine.tiny = create_model, get_model, tiny  # type: ignore[attr-defined]
    for module in (timm, torchvision, models, mine):
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("model", ["timm:tiny.in1k", "torchvision:tiny", "resnet18", "some_models:tiny"])
def test_others_networks_train_by_name_and_draw_from_generators_that_are_kept(model: str) -> None:
    settings = Classifier.resolve({"model": model, "batch_size": 8})
    assert Classifier.resolve(settings) == settings
    assert Classifier.survey(settings, print) is None
    assert Classifier.uses_gpu_of(settings)
    whole, parts = (Isolated(Classifier, settings, {"learning_rate": 0.1}, 0) for _ in range(2))
    whole.train(4)
    parts.train(2)
    state = parts.state()
    assert "torch" in state["globals"]  # of dropout
    other = Isolated(Classifier, settings, {"learning_rate": 0.1}, 1)
    other.load(**state)
    other.train(2)
    for one, two in zip(*(each.learner.network.parameters() for each in (whole, other)), strict=True):
        assert torch.equal(one, two)


def test_arguments_go_to_the_function_alone() -> None:
    built = networks.build("some_models.tiny", 16, SHAPE, 0, {"width": 5})
    assert built[2].out_features == 5  # type: ignore[index]
    before = torch.get_rng_state()
    networks.try_out(built, "some_models.tiny", SHAPE)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "timm:"}, "learner.model=timm:: must be timm:<name>"),
        ({"model": "timm:hf-hub:x/y"}, "must be timm:<name>, one of timm's own names"),
        ({"model": "timm:tiny", "arguments": {"pretrained": True}}, "learner.arguments.pretrained: must not be given"),
        ({"model": "resnet18", "arguments": {"weights": "x"}}, "learner.arguments.weights: must not be given"),
        ({"arguments": {"x": 1}}, "must be {} with learner.model=cnn"),
        ({"model": "vit"}, "unknown learner.model 'vit'"),
        ({"pretrained": "/nowhere/x.pt"}, "learner.pretrained=/nowhere/x.pt: must be a file of weights"),
        ({"pretrained_sha256": "0"}, "learner.pretrained_sha256=0: must be null without learner.pretrained"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_built(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as told:
        Classifier.resolve(given)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda *_: 3, "must make a torch.nn.Module, it makes int"),
        (lambda *_: nn.Flatten(), r"makes \[2, 64\] of two images: must be \[2, 10\] logits"),
        (lambda *_: nn.Linear(3, 10), r"it cannot take images \[1, 8, 8\] of 10 classes: RuntimeError"),
        (lambda *_: {}[0], "it cannot be built for images .* KeyError: 0"),
    ],
)
def test_a_function_that_makes_no_classifier_is_named_before_the_run(
    made: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["some_models"], "tiny", made)
    with pytest.raises(SettingError, match=f"learner.model=some_models.tiny: {words}"):
        Classifier.survey(Classifier.resolve({"model": "some_models:tiny"}), print)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_weights_of_a_file_with_a_head_for_other_classes(tmp_path: Path, ending: str) -> None:
    path = str(tmp_path / f"weights{ending}")
    there = tiny(1, 8, 1000).state_dict()
    save_file(there, path) if ending == ".safetensors" else torch.save({"epoch": 3, "state_dict": there}, path)
    settings = Classifier.resolve({"model": "some_models:tiny", "pretrained": path})
    one, two = (Classifier(settings, {"learning_rate": 0.1}, seed).network for seed in (0, 1))
    assert torch.equal(one[2].weight, there["2.weight"])  # type: ignore[index]
    assert not torch.equal(one[3].weight, two[3].weight)  # type: ignore[index]
    assert Classifier.resolve(settings) == settings
    (tmp_path / "moved").mkdir()
    moved = Path(path).rename(tmp_path / "moved" / f"weights{ending}")
    assert Classifier.resolve({**settings, "pretrained": str(moved)})["pretrained_sha256"] == pretrained.digest(
        str(moved)
    )
    pretrained._tensors.cache_clear()
    with pytest.raises(MachineError, match="it cannot be read: No such file"):
        Classifier(settings, {"learning_rate": 0.1}, 0)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("ran",)


def test_a_file_of_weights_runs_no_code_and_is_of_this_network(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"2.weight": Evil()}, path)
    with pytest.raises(SettingError, match=r"must be \.safetensors, or tensors by name that torch.save wrote"):
        Classifier.survey(Classifier.resolve({"model": "some_models:tiny", "pretrained": str(path)}), print)
    assert "ran" not in capsys.readouterr().out
    torch.save(tiny(1, 8, 10, width=4).state_dict(), path)
    with pytest.raises(SettingError, match=r"weights of another network: .* \(first 2.weight\); only 3 may differ"):
        Classifier.survey(Classifier.resolve({"model": "some_models:tiny", "pretrained": str(path)}), print)


def test_a_winner_of_somebody_s_network_is_a_policy(tmp_path: Path) -> None:
    small: dict[str, Any] = {"population": [2], "evaluators": 0, "steps": 4, "eval_interval": 2, "ready_interval": 4}
    firerl.run("classifier", settings={"model": "some_models:tiny"}, algo="pbt", engine="inline", logger="none",
               progress=False, run_dir=tmp_path / "r", **small)  # fmt: skip
    assert firerl.load_policy(tmp_path / "r")(np.zeros((2, 1, 8, 8))).shape == (2, 10)
    del sys.modules["some_models"]
    with pytest.raises(SettingError, match=r"learner\.model=some_models\.tiny: cannot be imported"):
        firerl.load_policy(tmp_path / "r")
