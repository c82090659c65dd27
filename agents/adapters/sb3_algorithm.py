"""An algorithm of Stable-Baselines3 or sb3-contrib: found by name, built, changed between two calls, saved, loaded."""

from __future__ import annotations

import copy
import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from firerl.agents.adapters.sb3_settings import ALGORITHMS, TUNABLE
from firerl.errors import SettingError

LIBRARY, CONTRIB = "stable_baselines3", "sb3_contrib"
# What firerl decides itself, or what plain settings cannot hold.
_RESERVED = frozenset({
    "self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "stats_window_size", "buffer_size",
    "_init_setup_model", "replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class",
    "rollout_buffer_kwargs", "optimize_memory_usage", *TUNABLE,
})  # fmt: skip
_SCHEDULE = ("exploration_fraction", "exploration_initial_eps", "exploration_final_eps")  # DQN's, over the whole run
_COUNTS = ("_n_updates", "_n_calls")  # of updates: when the next delayed one comes
NOISE = 0.1  # of TD3 and DDPG, which explore by nothing else


def find(name: str) -> Any:
    """The class. Raises SettingError where its library is not installed."""
    home, extra = (CONTRIB, "sb3-contrib") if ALGORITHMS[name].contrib else (LIBRARY, "'firerl[sb3]'")
    try:
        return getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError) as error:
        missing = error if not isinstance(error, ModuleNotFoundError) else f"no module {error.name!r}"
        raise SettingError(f"learner.algorithm={name} needs {home} ({missing}): pip install {extra}") from error


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """Of the constructor."""
    return inspect.signature(find(name).__init__).parameters


def allowed(name: str) -> list[str]:
    """What ``learner.arguments`` may hold."""
    return sorted(set(parameters(name)) - _RESERVED - set(_SCHEDULE))


def tunable(name: str) -> list[str]:
    """What may change between two calls."""
    known = parameters(name)
    return [key for key in TUNABLE if key in known or (key == "exploration_eps" and _SCHEDULE[0] in known)]


def usual(name: str, key: str, action_size: int) -> float | int | None:
    """The value of a tunable setting that nobody has given; None: the library's own way, which is no number."""
    if key == "exploration_eps":
        return float(parameters(name)["exploration_final_eps"].default)
    if key == "target_entropy":
        return float(-action_size)
    if key == "action_noise":
        return NOISE if name in ("TD3", "DDPG") else None
    default = parameters(name)[key].default
    return default if isinstance(default, int | float) else None


def replays(name: str) -> bool:
    """Whether it learns from a replay buffer."""
    return "buffer_size" in parameters(name)


def unit_of(settings: Mapping[str, Any]) -> int:
    """Environment steps between two updates; of ARS, which plays whole episodes, a step is an update."""
    name, given, known = settings["algorithm"], settings["arguments"], parameters(settings["algorithm"])
    if replays(name):
        every = given.get("train_freq", known["train_freq"].default)
        return int(every[0] if isinstance(every, list | tuple) else every) * int(settings["num_envs"])
    if "n_steps" in known:
        return int(given.get("n_steps", known["n_steps"].default)) * int(settings["num_envs"])
    return 1


def counts_updates(name: str) -> bool:
    """Whether a step of training is an update of whole episodes."""
    return not replays(name) and "n_steps" not in parameters(name)


def build(settings: Mapping[str, Any], env: Any, seed: int | None, device: str = "cpu", **other: Any) -> Any:
    """The algorithm on these environments; ``other`` arguments go over those of the settings. Raises what it raises."""
    name = settings["algorithm"]
    values = {key: settings[key] for key in tunable(name) if settings[key] is not None}
    if (share := values.pop("exploration_eps", None)) is not None:
        values |= {"exploration_initial_eps": share, "exploration_final_eps": share}
    if (deviation := values.pop("action_noise", None)) is not None:
        values["action_noise"] = noise(deviation, env.action_space.shape)
    given = {key: _as_python(key, value) for key, value in settings["arguments"].items()}
    if replays(name):
        values["buffer_size"] = settings["buffer_size"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what works, but could be better chosen; every worker would repeat it
        made = find(name)(settings["policy"], env, seed=seed, device=device, **{**given, **values, **other})
    from stable_baselines3.common.logger import Logger

    made.set_logger(Logger(folder=None, output_formats=[]))
    return made


def _as_python(key: str, value: Any) -> Any:
    """What plain settings say as the constructor has it: ``[4, step]`` as a tuple, ``ReLU`` as a class of torch."""
    if key == "train_freq" and isinstance(value, list):
        return tuple(value)
    if key != "policy_kwargs" or not isinstance(value, Mapping):
        return value
    homes = {"activation_fn": nn, "optimizer_class": torch.optim}
    changed = dict(value)
    for name, home in homes.items():
        if isinstance(text := changed.get(name), str):
            if not inspect.isclass(getattr(home, text, None)):
                raise SettingError(f"learner.arguments.policy_kwargs.{name}={text}: {home.__name__} has no such class")
            changed[name] = getattr(home, text)
    return changed


def as_plain(value: Any) -> Any:
    """The other way: classes of torch by their names."""
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if inspect.isclass(value) and value.__module__.startswith("torch."):
        return value.__name__
    return list(value) if isinstance(value, tuple) else value


def noise(deviation: float, shape: tuple[int, ...]) -> Any:
    """Normal noise of actions."""
    from stable_baselines3.common.noise import NormalActionNoise

    return NormalActionNoise(np.zeros(shape), np.full(shape, deviation))


def change(model: Any, name: str, value: Any) -> None:
    """Learn with another value of a tunable setting from now on."""
    from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule

    if name == "exploration_eps":
        model.exploration_initial_eps = model.exploration_final_eps = model.exploration_rate = value
        model.exploration_schedule = ConstantSchedule(value)
    elif name == "action_noise":
        model.action_noise = noise(value, model.action_space.shape)
    elif name == "clip_range":
        model.clip_range = FloatSchedule(value)
    elif name == "delta_std":
        model.delta_std_schedule = FloatSchedule(value)
    else:
        setattr(model, name, value)
    if name == "learning_rate":
        model.lr_schedule = FloatSchedule(value)
    elif name == "ent_coef" and hasattr(model, "ent_coef_tensor"):
        model.ent_coef_tensor = torch.tensor(float(value), device=model.device)
    for buffer in (getattr(model, "rollout_buffer", None), getattr(model, "replay_buffer", None)):
        if hasattr(buffer, name):  # gamma, gae_lambda; of n-step returns gamma
            setattr(buffer, name, value)


def weights(model: Any) -> dict[str, Any]:
    """All that makes a copy go on as this one would, a copy: networks, target networks, optimisers, the entropy's
    weight, how many updates they have seen."""
    entropy = getattr(model, "log_ent_coef", None)
    return {
        "parameters": copy.deepcopy(model.get_parameters()),
        "log_ent_coef": None if entropy is None else entropy.detach().clone(),
        "counts": {name: int(getattr(model, name)) for name in _COUNTS if hasattr(model, name)},
    }


def load_weights(model: Any, state: Mapping[str, Any]) -> None:
    """Go on as another; raises whatever the library and torch raise where it is of other shapes."""
    model.set_parameters(copy.deepcopy(dict(state["parameters"])), exact_match=True, device=model.device)
    if state["log_ent_coef"] is not None:
        with torch.no_grad():
            model.log_ent_coef.copy_(torch.as_tensor(state["log_ent_coef"]))
    for name, count in state["counts"].items():
        setattr(model, name, int(count))
    if counts_updates(type(model).__name__):  # it perturbs a vector of its own
        model.weights = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


def finite(model: Any) -> bool:
    """Whether all weights of the networks are numbers."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.policy.parameters())
