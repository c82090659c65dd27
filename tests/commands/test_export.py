"""The winner as an ONNX file: the same actions as play's, in onnxruntime."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modules_for_tests import Halver, Modular, quadratic_run
from runs_for_tests import KINDS, played, tiny_run

from firerl import __version__
from firerl.commands import export
from firerl.errors import FirerlError
from firerl.storage import checkpoint

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in export.PACKAGES),
    reason="the extra firerl[onnx] is not installed",
)


@pytest.fixture(scope="module", params=KINDS, ids=[env for _, env in KINDS])
def run_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    learner, env = request.param
    return tiny_run(tmp_path_factory.mktemp("export") / "run", learner, env)


def session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@needs_onnx
def test_its_actions_are_plays(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.onnx"
    assert export.main([str(run_dir), "--onnx", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["written", "checked"]
    assert list(tmp_path.iterdir()) == [out]
    _, observations, actions = played(run_dir)
    found = session(out)
    (port,) = found.get_inputs()
    given = observations.astype({"tensor(float)": np.float32, "tensor(double)": np.float64}[port.type])
    assert np.array_equal(given, observations)  # the file takes what the environment gives
    (batch,) = found.run(["actions"], {"observations": given})
    assert (batch.dtype, batch.shape) == (actions.dtype, actions.shape)
    np.testing.assert_allclose(batch, actions, rtol=0, atol=1e-6)
    one = found.run(None, {"observations": given[:1]})[0]
    np.testing.assert_allclose(one, actions[:1], rtol=0, atol=1e-6)


@needs_onnx
def test_the_file_says_what_it_is_and_names_no_folder(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert export.main([str(run_dir), "--onnx", str(out), "--best-ever"]) == 0
    ever = checkpoint.read(run_dir / "best_ever.pt")
    meta = session(out).get_modelmeta().custom_metadata_map
    assert (meta["firerl_version"], meta["task"], meta["learner"]) == (__version__, ever["task"], ever["learner"])
    assert int(meta["network_step"]) == ever["network_step"]
    assert json.loads(meta["objective"]) == ever["objective"]
    assert json.loads(meta["input_shape"]) == [session(out).get_inputs()[0].shape[1]]
    assert str(Path(__file__).parents[2]).encode() not in out.read_bytes()


@needs_onnx
def test_actions_stay_within_bounds_that_are_finite(tmp_path: Path) -> None:
    from firerl.agents.actor_critic.learner import Networks
    from firerl.agents.actor_critic.rollout import ActingModule
    from firerl.envs import EnvSpec

    spec = EnvSpec("t", "t-v0", 2, False, 3, 0, (-1.0, -np.inf, 2.0), (3.0, 0.5, np.inf), None)
    settings = {
        "hidden": [4],
        "activation": "tanh",
        "init_scale": 0.3,
        "min_scale": 0.01,
        "one_scale": False,
        "observation_clip": 10.0,
        "value_rate": 0.1,
    }
    nets = Networks(settings, spec, 0)
    nets.policy.head.mean.weight.data *= 1000
    module = ActingModule(nets.policy, nets.normaliser, spec)
    export.write(module, tmp_path / "a.onnx", {})
    inputs = np.random.default_rng(0).normal(size=(500, 2))
    (actions,) = session(tmp_path / "a.onnx").run(None, {"observations": inputs})
    assert (actions[:, 0].min(), actions[:, 0].max()) == (-1.0, 3.0)
    assert (actions[:, 1].min() < -1, actions[:, 1].max()) == (True, 0.5)
    assert (actions[:, 2].min(), actions[:, 2].max() > 3) == (2.0, True)
    np.testing.assert_allclose(actions, module.act(inputs), rtol=1e-5, atol=1e-6)


@needs_onnx
def test_somebodys_module_is_exported_with_its_names(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert export.main([str(quadratic_run(tmp_path / "r", Modular)), "--onnx", str(out)]) == 0
    (logits,) = session(out).run(["logits"], {"images": np.ones((3, 2, 2), np.float32)})
    assert logits.tolist() == [[0.5] * 4] * 3


@needs_onnx
def test_an_unfinished_or_older_run_is_exported_too(tmp_path: Path) -> None:
    run_dir = tiny_run(tmp_path / "r", steps=80)
    (run_dir / "result.json").unlink()
    assert export.main([str(run_dir), "--onnx", str(tmp_path / "a.onnx")]) == 0
    _, observations, actions = played(run_dir)
    (found,) = session(tmp_path / "a.onnx").run(None, {"observations": observations})
    assert np.array_equal(found, actions)


class Two(Halver):
    """Branches on its data."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if float(images.sum()) > 0 else images.flatten(1)


@needs_onnx
def test_what_onnx_cannot_hold_is_one_line_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(FirerlError, match="the network cannot be exported") as caught:
        export.write(Two(1.0), tmp_path / "a.onnx", {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "onnx_bytes", lambda *_, make=export.onnx_bytes: make(Halver(0.3), {}))
    with pytest.raises(FirerlError, match="differ by"):
        export.write(Halver(0.5), tmp_path / "a.onnx", {})
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_learner_without_a_policy_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(quadratic_run(tmp_path / "r")), "--onnx", str(tmp_path / "a.onnx")]) == 2
    assert "learner Quadratic has no module_of()" in capsys.readouterr().err


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FirerlError, match=r"onnx and onnxscript and onnxruntime: pip install 'firerl\[onnx\]'"):
        export.check_output(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "arguments",
    [["{}"], [], ["{}", "--onnx", "{}/a.pt"], ["{}", "--onnx", "{}/none/a.onnx"], ["{}", "--onnx", "{}"]],
)
def test_bad_arguments_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert export.main([argument.format(tmp_path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("firerl: ")
    assert captured.err.count("\n") == 1
