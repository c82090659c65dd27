"""Arguments of environments: annotations say what is allowed, defaults do not."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from firerl import envs
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.errors import SettingError

if TYPE_CHECKING:
    from decimal import Decimal


class Mode(enum.Enum):
    FAST = "fast"


class Plain(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 1.0, False, False, {}


class Typed(Plain):
    def __init__(
        self,
        limit: int | None = 200,
        gain: Optional[float] = 1.0,  # noqa: UP045
        level: Literal["low", "high", 3] = "low",
        target: float | list[float] = 0.5,
        names: Sequence[str] = (),
        bounds: tuple[float, float] = (0.0, 1.0),
        many: tuple[int, ...] = (1,),
        table: dict[str, int] | None = None,
        where: Path | str = "here",
        mode: Mode = Mode.FAST,
        unseen: Decimal = 3,  # type: ignore[assignment]
        implicit: int = None,  # type: ignore[assignment] # noqa: RUF013
        bare: Any = 1,
        nothing=False,  # type: ignore[no-untyped-def]
        name: str = "x",
        seed: int = 1,
        num_envs: int = 1,
        id: int = 1,
        disable_env_checker: bool = True,
    ):
        self.given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}


class Open(Plain):
    def __init__(self, gain: float = 1.0, **more: Any):
        self.more = more


gymnasium.register("FirerlTyped-v0", Typed, max_episode_steps=20)
gymnasium.register("FirerlOpen-v0", Open, max_episode_steps=20)
gymnasium.register("FirerlMaker-v0", lambda gain=1.0, **more: Open(gain, **more), max_episode_steps=20)
gymnasium.register("FirerlBare-v0", Plain, max_episode_steps=20)
gymnasium.register("FirerlSet-v0", Open, max_episode_steps=20, kwargs={"gain": 3.0, "colour": "red"})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("limit", [None, 3]),
        ("gain", [None, 2, 0.5, math.inf]),
        ("level", ["high", 3]),
        ("target", [1, [0.1, 2]]),
        ("names", [["a"], []]),
        ("bounds", [[0, math.inf]]),
        ("many", [[], [1, 2, 3]]),
        ("table", [None, {"a": 1}]),
        ("where", ["there"]),
        ("mode", ["fast"]),
        ("unseen", ["text", 2, [1]]),
        ("implicit", [None, 3]),
        ("bare", [None, [1], "text", {"a": 1}]),
        ("nothing", [True, 2, "text", None, [1]]),
        ("name", ["y"]),
        ("seed", [2]),
        ("num_envs", [7]),
        ("id", [4]),
        ("disable_env_checker", [False]),
    ],
)
def test_what_the_annotation_allows(name: str, values: list[Any]) -> None:
    for value in values:
        envs.check("FirerlTyped", {name: value})
        vector: Any = envs.make("FirerlTyped", 1, 0, **{name: value})
        assert vector.envs[0].unwrapped.given[name] == value


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("limit", "x", "an integer or null"),
        ("limit", 2.5, "an integer or null"),
        ("limit", True, "an integer or null"),
        ("gain", "much", "a number or null"),
        ("gain", math.nan, "a number or null"),
        ("level", "middle", "low or high or 3"),
        ("target", ["a"], "a number or a list of numbers"),
        ("names", "abc", "a list of texts"),
        ("bounds", [1.0], "a list of 2 numbers"),
        ("many", [0.5], "a list of integers"),
        ("table", [1], "a group of settings or null"),
    ],
)
def test_what_it_forbids(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(SettingError) as caught:
        envs.check("FirerlTyped", {name: value})
    assert str(caught.value).startswith(f"env.kwargs.{name}=")
    assert str(caught.value).endswith(f": must be {allowed}")


def test_names() -> None:
    with pytest.raises(SettingError, match=r"unknown argument .*did you mean 'env\.kwargs\.limit'"):
        envs.check("FirerlTyped", {"limits": 3})
    with pytest.raises(SettingError, match=r"allowed: env\.kwargs\.max_episode_steps"):
        envs.check("FirerlBare", {"gain": 3})
    for name in ("FirerlOpen", "FirerlMaker"):
        assert envs.make(name, 1, 0, gain=2, colour="red").envs[0].unwrapped.more == {"colour": "red"}  # type: ignore
        envs.check(name, {"colour": "red"})
    envs.check("FirerlSet", {"colour": "blue"})
    assert envs.make("FirerlSet", 1, 0).envs[0].unwrapped.more == {"colour": "red"}  # type: ignore


MODULE = """
from __future__ import annotations
import gymnasium
from test_envs_arguments import Plain

class Own(Plain):
    def __init__(self, gain: float | None = 1.0):
        self.gain = gain

gymnasium.register("FirerlModular-v0", Own, max_episode_steps=20)
"""


def test_a_class_or_a_function_of_a_module_is_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = MODULE.partition("gymnasium.register")[0] + "def make(gain: float = 3.0):\n    return Own(gain)\n"
    for name in ("one_s_own_env", "another_s_env"):
        (tmp_path / f"{name}.py").write_text(classes)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        config = resolve(compose(["learner=ppo", "env=one_s_own_env.Own", "env.kwargs.max_episode_steps=9"]))
        assert config.settings["env"] == {"name": "one_s_own_env:Own", "kwargs": {"max_episode_steps": 9}}
        for module in ("one_s_own_env", "another_s_env", "one_s_own_env"):
            made: Any = envs.make(f"{module}:Own", 1, 0)
            assert type(made.envs[0].unwrapped).__module__ == module
        vector: Any = envs.make("one_s_own_env:make", 1, 0, gain=4.0)
        assert vector.envs[0].unwrapped.gain == 4.0
    finally:
        for name in ("one_s_own_env", "another_s_env"):
            sys.modules.pop(name, None)
        for name in ("Own", "make"):
            gymnasium.registry.pop(name, None)


def test_an_environment_of_a_module_has_arguments_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modular_env.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    line = ["learner=ppo", "env=modular_env:FirerlModular", "env.kwargs.gain=2.0", "env.kwargs.max_episode_steps=7"]
    try:
        config = resolve(compose(line))
        assert config.settings["env"]["kwargs"] == {"gain": 2.0, "max_episode_steps": 7}
        vector: Any = envs.make("modular_env:FirerlModular-v0", 1, 0, gain=None)
        assert vector.envs[0].unwrapped.gain is None
        with pytest.raises(SettingError, match=r"did you mean 'env\.kwargs\.gain'"):
            resolve(compose([*line[:2], "env.kwargs.gian=2"]))
    finally:
        sys.modules.pop("modular_env", None)
        gymnasium.registry.pop("FirerlModular-v0", None)
