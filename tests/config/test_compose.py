"""From what is typed, or given to the library, to the tree of settings: numbers, texts, paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firerl.config.compose import compose
from firerl.config.request import changed, resolve
from firerl.config.run_config import to_plain
from firerl.errors import SettingError


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"steps": np.int64(600), "eval_interval": np.uint8(10)}, {"steps": 600}),
        ({"seed": np.arange(4)[3]}, {"seed": 3}),
        ({"seed": np.array(3)}, {"seed": 3}),
        ({"sync": np.bool_(True)}, {"sync": True}),
        ({"population": {"sizes": np.array([2, 3]), "evaluators": np.int32(2)}}, {"sizes": (2, 3), "evaluators": 2}),
        ({"space": {"lr": {"log_uniform": np.array([0.01, 0.5])}}}, {"space": {"lr": {"log_uniform": [0.01, 0.5]}}}),
        ({"run_dir": Path("x") / "y"}, {"run_dir": "x/y"}),
    ],
)
def test_what_numpy_and_pathlib_have_types_for_is_a_value(given: dict[str, Any], meant: dict[str, Any]) -> None:
    config = resolve(compose(settings={"learner": {"name": "quadratic", "noise": np.float32(0.5)}, **given}))
    assert config.settings["noise"] == 0.5
    assert {name: getattr(config, name) for name in meant} == meant
    json.dumps(to_plain(config))
    later = changed(config, {"steps": np.int64(1200), "engine": {"processes": np.int16(2)}})
    assert (later.steps, later.engine.processes) == (1200, 2)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("größe", "größe"), ("set (old)/a=b.xml", "set (old)/a=b.xml"), ("./a,b.xml", "./a,b.xml"), ("x[1]", "x[1]"),
        ("o'neill & co", "o'neill & co"), ("~/x.xml", "/home/me/x.xml"), ("a~b", "a~b"), ("'a, b'", "a, b"),
        ("[1, 2]", [1, 2]), ("0.5", 0.5), ("null", None), ("{a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_a_text_needs_no_quotes(typed: str, meant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert compose([f"env.kwargs.file={typed}"])["env"]["kwargs"]["file"] == meant


def test_a_path_is_never_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for typed, meant in [("2024", "2024"), ("[a]", "[a]"), ("'a'", "'a'"), ("1,2", "1,2"), ("~/d", "/home/me/d")]:
        assert compose([f"data.root={typed}"])["data"]["root"] == meant
    with pytest.raises(SettingError, match=r"data\.root=~nosuch/x: there is no such home folder"):
        compose(["data.root=~nosuch/x"])
