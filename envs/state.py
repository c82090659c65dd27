"""Save and restore environments in the middle of an episode, bit for bit, as plain data.

Our own MuJoCo tasks (``mujoco_vector``) know what they need and save themselves (5 KB for a Humanoid). For others
``get_state`` walks over every environment of a SyncVectorEnv, wrappers included, and saves what its attributes
hold: numbers, strings, arrays, containers of these, random generators, plain objects (attribute by attribute) and
MuJoCo's ``MjData``. ``set_state`` writes it into environments built with the same arguments, in any process.

- **MuJoCo**: the integration state alone is not enough, because observations and rewards read derived arrays
  (``cfrc_ext``, ``cinert``, ``qfrc_actuator``, ``xpos``, ...) that belong to the moment *before* the last
  integration step. So every array of MjData outside its arena is saved too (about 36 KB for Humanoid). Arena
  arrays (contacts, constraints) are recomputed by the next step before anything reads them.
- **Not saved**, because it does not change while an environment runs: spaces, specs, MjModel, functions, modules,
  renderers.
- **What cannot be saved** (an object of a compiled library, say): then the whole vector environment is saved as a
  seed, derived from its last observations and rewards, and ``set_state`` resets it with that seed. The run stays
  deterministic, but a resume begins new episodes, so it does not repeat an uninterrupted run.
"""

from __future__ import annotations

import enum
import hashlib
import random
import types
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from firerl.envs.vector import env_seeds

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

_VECTOR_ARRAYS = ("_observations", "_rewards", "_terminations", "_truncations", "_autoreset_envs")
_CONSTRUCTOR_RECORDS = ("_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs")
_CONSTANT_TYPES = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, property)
_CONSTANT_MODULES = ("gymnasium.spaces", "gymnasium.envs.registration", "gymnasium.envs.mujoco.mujoco_rendering",
                     "pygame", "logging")  # fmt: skip
_ARENA = ("contact", "efc_", "iefc_", "island_", "dof_island", "tree_island", "map_", "iacc", "ifrc_")


class Unsaveable(TypeError):
    """A value that is no plain data; the text says where it is."""


def get_state(vector_env: VectorEnv) -> dict[str, Any]:
    """The state of all environments: nested dicts and lists of arrays, numbers and strings."""
    if hasattr(vector_env, "save"):
        return {"kind": "own", **vector_env.save()}
    arrays = {name: np.array(getattr(vector_env, name)) for name in _VECTOR_ARRAYS}
    try:
        envs = [_encode(env, f"env {i}", set()) for i, env in enumerate(_single(vector_env))]
    except Unsaveable as error:
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).digest()
        return {"kind": "reset", "seed": int.from_bytes(digest[:7], "big"), "reason": str(error)}
    return {"kind": "exact", "vector": arrays, "envs": envs}


def set_state(vector_env: VectorEnv, state: dict[str, Any]) -> np.ndarray | None:
    """Restore a state of ``get_state``. Returns None, or the first observations if the environments were reset."""
    if state["kind"] == "reset":
        seeds: Any = env_seeds(state["seed"], vector_env.num_envs)
        return vector_env.reset(seed=seeds)[0]
    if (state["kind"] == "own") != hasattr(vector_env, "load"):
        raise ValueError(f"a state of kind {state['kind']!r} does not fit a {type(vector_env).__name__}")
    if hasattr(vector_env, "load"):
        vector_env.load(state)
        return None
    if len(state["envs"]) != vector_env.num_envs:
        raise ValueError(f"a state of {len(state['envs'])} environments for {vector_env.num_envs}")
    for env, saved in zip(_single(vector_env), state["envs"], strict=True):
        _decode(saved, env)
    for name in _VECTOR_ARRAYS:
        getattr(vector_env, name)[...] = state["vector"][name]
    return None


def _single(vector_env: Any) -> list[Any]:
    return vector_env.envs


def _is_constant(value: Any) -> bool:
    return isinstance(value, _CONSTANT_TYPES) or type(value).__module__.startswith(_CONSTANT_MODULES)


def _encode(value: Any, where: str, seen: set[int]) -> Any:
    """A value as plain data: scalars as they are, everything else as {kind: content}."""
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        return value if abs(value) < 2**62 else {"int": str(value)}
    if isinstance(value, np.generic) or type(value) is np.ndarray:
        if value.dtype.kind not in "biufc":
            raise Unsaveable(f"{where} is an array of {value.dtype}")
        return {"array" if type(value) is np.ndarray else "scalar": np.array(value)}
    if isinstance(value, np.random.Generator):
        return {"generator": _encode(value.bit_generator.state, where, seen)}
    if isinstance(value, np.random.RandomState):
        return {"random_state": _encode(value.get_state(legacy=False), where, seen)}
    if isinstance(value, random.Random):
        return {"random": _encode(value.getstate(), where, seen)}
    for kind, container in (("list", list), ("tuple", tuple), ("set", set), ("deque", deque)):
        if type(value) is container:
            items = sorted(value) if kind == "set" else value
            return {kind: [_encode(item, f"{where}[{i}]", seen) for i, item in enumerate(items)]}
    if type(value) is dict:
        pairs = [[_encode(k, where, seen), _encode(v, f"{where}[{k!r}]", seen)] for k, v in value.items()]
        return {"dict": pairs}
    return _encode_object(value, where, seen)


def _encode_object(value: Any, where: str, seen: set[int]) -> Any:
    if type(value).__name__ == "MjData" and type(value).__module__.startswith("mujoco"):
        return {"mjdata": _encode_mjdata(value)}
    has_slots = any(getattr(cls, "__slots__", ()) for cls in type(value).__mro__)
    if isinstance(value, enum.Enum) or has_slots or not hasattr(value, "__dict__"):
        raise Unsaveable(f"{where} is a {type(value).__module__}.{type(value).__qualname__}")
    if id(value) in seen:  # reached before, by another name: saved there
        return {"object": {}}
    seen.add(id(value))
    content = {
        name: _encode(item, f"{where}.{name}", seen)
        for name, item in vars(value).items()
        if name not in _CONSTRUCTOR_RECORDS and not _is_constant(item) and not _is_model(item)
    }
    return {"object": content}


def _is_model(value: Any) -> bool:
    return type(value).__name__ == "MjModel" and type(value).__module__.startswith("mujoco")


def _decode(saved: Any, present: Any) -> Any:
    """The value that ``saved`` stands for; arrays and objects are restored inside ``present`` where it fits."""
    if not isinstance(saved, dict):
        return saved
    (kind, content), = saved.items()  # fmt: skip
    if kind == "int":
        return int(content)
    if kind == "scalar":
        return content[()]
    if kind == "array":
        return _decode_array(content, present)
    if kind == "dict":
        old = present if type(present) is dict else {}
        return {key: _decode(v, old.get(key)) for key, v in ((_decode(k, None), v) for k, v in content)}
    if kind in ("list", "tuple", "set", "deque"):
        return _decode_container(kind, content, present)
    return _decode_object(kind, content, present)


def _decode_array(content: np.ndarray, present: Any) -> np.ndarray:
    fits = type(present) is np.ndarray and present.shape == content.shape and present.dtype == content.dtype
    if fits and present.flags.writeable:
        present[...] = content  # in place: two names for one array stay one array
        return present
    return content.copy()


def _decode_container(kind: str, content: list[Any], present: Any) -> Any:
    old = list(present) if isinstance(present, (list, tuple, deque)) and len(present) == len(content) else None
    items = [_decode(item, old[i] if old else None) for i, item in enumerate(content)]
    if kind == "deque":
        return deque(items, maxlen=present.maxlen if isinstance(present, deque) else None)
    return {"list": list, "tuple": tuple, "set": set}[kind](items)


def _decode_object(kind: str, content: Any, present: Any) -> Any:
    if present is None:
        raise ValueError(f"a saved {kind} has no counterpart in the environment: was it built with other arguments?")
    if kind == "generator":
        present.bit_generator.state = _decode(content, None)
    elif kind == "random_state":
        present.set_state(_decode(content, None))
    elif kind == "random":
        present.setstate(_decode(content, None))
    elif kind == "mjdata":
        _decode_mjdata(content, present)
    else:
        for name, item in content.items():
            setattr(present, name, _decode(item, getattr(present, name, None)))
    return present


def _mjdata_arrays(data: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of an MjData outside its arena, by name."""
    for name in sorted(dir(data)):
        if not name.startswith(("_", *_ARENA)):
            value = getattr(data, name)
            if isinstance(value, np.ndarray) and value.size:
                yield name, value


def _encode_mjdata(data: Any) -> dict[str, Any]:
    """The integration state and all arrays, joined by data type to few large arrays."""
    import mujoco

    model, kind = data.model, mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    joined: dict[str, list[np.ndarray]] = {}
    layout: dict[str, list[str]] = {}
    for name, array in _mjdata_arrays(data):
        joined.setdefault(array.dtype.name, []).append(array.ravel())
        layout.setdefault(array.dtype.name, []).append(f"{name}:{array.size}")
    return {
        "integration": state,
        "arrays": {dtype: np.concatenate(arrays) for dtype, arrays in joined.items()},
        "layout": {dtype: " ".join(entries) for dtype, entries in layout.items()},
    }


def _decode_mjdata(content: dict[str, Any], data: Any) -> None:
    import mujoco

    mujoco.mj_setState(data.model, data, content["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for dtype, joined in content["arrays"].items():
        start = 0
        for entry in content["layout"][dtype].split():
            name, _, size = entry.rpartition(":")
            stop = start + int(size)
            present = getattr(data, name)
            if present.size != stop - start:
                raise ValueError(f"MuJoCo array {name} has {present.size} numbers, the saved one {size}")
            present[...] = joined[start:stop].reshape(present.shape)
            start = stop
