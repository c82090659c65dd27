"""Gymnasium's MuJoCo tasks, N at once on one core, equal to Gymnasium to the last bit and near the speed of MuJoCo.

    env = fast_form("Ant-v5", 8, healthy_z_range=(0.3, 1.0))    # None where there is no fast form
    observations, infos = env.reset(seed=1)
    observations, rewards, terminated, truncated, infos = env.step(actions)    # actions [8, 8]

The idea: one MjModel, one MjData an environment, and a plain loop that does nothing but write controls and call
``mj_step`` and ``mj_rnePostConstraint``. After it a single ``np.concatenate`` over views of all MjData, made once,
collects everything that observations and rewards read into one array, a row an environment; the task
(``mujoco_tasks``) makes the rest of it. ``mujoco.batch`` and ``mujoco.rollout`` were measured too: they step no faster
than this loop, and neither computes the contact forces that Ant and Humanoid observe.

Equal to ``gymnasium.make_vec(id, num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": ...})`` under
the same seeds and actions: observations, rewards, both kinds of end, ``infos["final_obs"]`` and ``["final_info"]``,
and what happens when the physics breaks down (MuJoCo resets the data by itself; ``warnings`` counts how often). The
arrays that ``step`` and ``reset`` return are the caller's own.

``step_infos`` (False): the infos of a step that ends no episode are empty, as nobody reads them in training. Set it to
True for Gymnasium's at every step; that costs as much time as it costs Gymnasium.

What it does not do: render, run several threads, ``call``, ``get_attr``, ``set_attr``. There is no ``envs``: to step or
reset some environments only, use ``step_some`` and ``reset_some``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from firerl.envs.mujoco_tasks import TASKS, Array, Heads, Task, Terms

# Arguments that only matter to pictures: with one of them Gymnasium's own form is used.
PICTURES = frozenset({"render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config",
                      "max_geom", "visual_options"})  # fmt: skip
_PHYSICS = int(mujoco.mjtState.mjSTATE_INTEGRATION)


def fast_form(
    env_id: str, num_envs: int, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP, **kwargs: Any
) -> MujocoVectorEnv | None:
    """``num_envs`` copies of a registered environment, or None where Gymnasium's own form must be used.

    That is: a task that is not in ``TASKS``, an argument for pictures, a wrapper that was registered with the id, a
    model file that needs more than MuJoCo's integration state (sleeping bodies, incremental potential contact,
    plugins). ``kwargs`` are those of ``gymnasium.make``, and so are the errors about them.
    """
    spec = gymnasium.registry.get(env_id.rpartition(":")[2])
    task = TASKS.get(str(spec.entry_point)) if spec else None
    if task is None or PICTURES & kwargs.keys():
        return None
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    try:
        return MujocoVectorEnv(env, task, num_envs, autoreset_mode) if _is_plain(env) else None
    finally:
        env.close()


def _is_plain(env: gymnasium.Env) -> bool:
    inner = env.env if isinstance(env, TimeLimit) else env
    inner = inner.env if isinstance(inner, OrderEnforcing) else inner
    model = env.unwrapped.model  # type: ignore[attr-defined]
    flags = mujoco.mjtEnableBit.__members__
    stateful = sum(int(flags[name]) for name in ("mjENBL_SLEEP", "mjENBL_IPC") if name in flags)
    return inner is env.unwrapped and not model.opt.enableflags & stateful and not model.nplugin


class _Quiet:
    """While it is entered, MuJoCo's warnings are noted instead of printed and written to MUJOCO_LOG.TXT."""

    def __init__(self) -> None:
        self.warned = False
        self._note = self._set
        self._before: Any = None

    def _set(self, message: str) -> None:
        self.warned = True

    def __enter__(self) -> None:
        self._before = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(self._note)

    def __exit__(self, *exception: object) -> None:
        mujoco.set_mju_user_warning(self._before)


class MujocoVectorEnv(VectorEnv):
    """See the module. ``env``: one environment as ``gymnasium.make`` built it, whose arguments are taken over."""

    def __init__(
        self,
        env: gymnasium.Env,
        task: type[Task],
        num_envs: int,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ):
        single: Any = env.unwrapped
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**single.metadata, "autoreset_mode": self.autoreset_mode}
        self.spec, self.render_mode = env.spec, None
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.step_infos = False
        self.warnings = 0  # of MuJoCo, such as unstable physics; a step that warns twice of one thing counts once
        self.model, self.frame_skip = single.model, single.frame_skip
        self.datas = [mujoco.MjData(self.model) for _ in range(num_envs)]
        self._limit = env._max_episode_steps if isinstance(env, TimeLimit) else math.inf
        self._task = task(single)
        self._everyone = list(range(num_envs))
        self._action_size = int(self.model.nu)
        self._cells = [(data, data.ctrl) for data in self.datas]
        self._views = [list(self._task.views(data).values()) for data in self.datas]
        self._all_views = [view for views in self._views for view in views]
        self._rows = np.zeros((num_envs, self._task.width))  # what the views held after the last step
        self._heads = list(self._task.heads(self._rows))
        self._elapsed = [0] * num_envs
        self._ended: list[int] = []  # environments whose episode has ended and not begun anew
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._began = False
        self._quiet = _Quiet()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """New episodes everywhere, or where ``options["reset_mask"]`` (bool [N]) is true.

        ``seed``: one for each environment; an int stands for seed, seed + 1, ...; None goes on with the generators.
        """
        seeds = [seed + i for i in self._everyone] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
        ids = self._everyone
        if options and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"])
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(f"options['reset_mask']={mask} must be {self.num_envs} bools, one of them true")
            ids = np.flatnonzero(mask).tolist()
        else:
            self._began = True
        self._restart(ids, None if seeds is None else [seeds[i] for i in ids])
        return self._task.observe(self._rows), self._first_infos({}, ids)

    def step(self, actions: Any) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of every environment; episodes that end go on as ``autoreset_mode`` says."""
        actions = self._checked(actions, self.num_envs)
        if self._ended:
            if self.autoreset_mode is AutoresetMode.NEXT_STEP:
                return self._step_after_ends(actions)
            raise ValueError(f"environments {self._ended} have ended: reset them before the next step")
        observations, rewards, terminated, truncated, terms = self._advance(None, actions)
        infos: dict[str, Any] = {}
        ended = self._ended = [i for i in self._everyone if terminated[i] or truncated[i]]
        resets = ended if self.autoreset_mode is AutoresetMode.SAME_STEP else []
        if self.step_infos:
            for i in self._everyone:
                if i not in resets:
                    infos = self._add_info(infos, self._info(i, i, terms), i)
        if resets:
            infos.update(self._final(resets, observations, terms))
            for i, first in zip(resets, self._restart(resets), strict=True):
                observations[i] = first
            if self.step_infos:
                infos = self._first_infos(infos, resets)
        return observations, rewards, np.array(terminated, bool), np.array(truncated, bool), infos

    def step_some(self, ids: Array, actions: Any) -> tuple[Array, Array, Array, Array]:
        """Step the environments ``ids`` [B] alone, with actions [B, A], and reset none of them.

        Returns observations [B, O], rewards, terminated, truncated. One that has ended needs ``reset_some``.
        """
        chosen = np.asarray(ids).tolist()
        actions = self._checked(actions, len(chosen))
        observations, rewards, terminated, truncated, _ = self._advance(chosen, actions)
        ended = {i for k, i in enumerate(chosen) if terminated[k] or truncated[k]}
        self._ended = sorted(ended.union(self._ended))
        return observations, rewards, np.array(terminated, bool), np.array(truncated, bool)

    def reset_some(self, ids: Array) -> Array:
        """New episodes in the environments ``ids`` [B] alone; returns their observations [B, O]."""
        return self._restart(np.asarray(ids).tolist())

    def close_extras(self, **kwargs: Any) -> None:
        """Give MuJoCo's memory back."""
        self._cells, self._views, self._all_views, self.datas = [], [], [], []

    def save(self) -> dict[str, Any]:
        """Everything that the future depends on, as arrays: 5 KB for a Humanoid, its observation included."""
        physics = np.empty((self.num_envs, mujoco.mj_stateSize(self.model, _PHYSICS)))
        for data, row in zip(self.datas, physics, strict=True):
            mujoco.mj_getState(self.model, data, row, _PHYSICS)
        return {
            "physics": physics,
            "rows": self._rows.copy(),
            "elapsed": np.array(self._elapsed, dtype=np.int64),
            "ended": np.array(self._ended, dtype=np.int64),
            "generators": np.stack([_save_generator(generator) for generator in self.np_random]),
            "warnings": self.warnings,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of ``save``, of the same task with the same arguments, in any process."""
        if state["rows"].shape != self._rows.shape:
            raise ValueError(f"a state of {state['rows'].shape} numbers for environments of {self._rows.shape}")
        for i, (data, row) in enumerate(zip(self.datas, state["physics"], strict=True)):
            mujoco.mj_resetData(self.model, data)
            mujoco.mj_setState(self.model, data, np.ascontiguousarray(row), _PHYSICS)
            self._generators[i] = _load_generator(state["generators"][i])
        self._rows = np.array(state["rows"])
        self._heads = list(self._task.heads(self._rows))
        self._elapsed, self._ended = ([int(n) for n in state[key]] for key in ("elapsed", "ended"))
        self._began = True
        self.warnings = int(state["warnings"])

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators, one an environment."""
        return tuple(self._generator(i) for i in self._everyone)

    def _generator(self, i: int) -> np.random.Generator:
        generator = self._generators[i]
        if generator is None:
            generator = self._generators[i] = seeding.np_random()[0]
        return generator

    def _checked(self, actions: Any, count: int) -> Array:
        if not self._began:
            raise gymnasium.error.ResetNeeded("call reset before step")
        actions = np.ascontiguousarray(actions)
        if actions.shape != (count, self._action_size):
            raise ValueError(f"actions have the shape {actions.shape}, expected {(count, self._action_size)}")
        return actions

    def _advance(
        self, ids: list[int] | None, actions: Array
    ) -> tuple[Array, Array, Sequence[bool], Sequence[bool], Terms]:
        """Observations, rewards, terminated, truncated and terms after one step of all or of ``ids``, none reset."""
        task, model, frame_skip, post = self._task, self.model, self.frame_skip, self._task.contact_forces
        cells = self._cells if ids is None else [self._cells[i] for i in ids]
        ctrl = actions.astype(np.float64)
        with self._quiet:
            for (data, control), values in zip(cells, ctrl, strict=True):
                control[...] = values
                mujoco.mj_step(model, data, frame_skip)
                if post:
                    mujoco.mj_rnePostConstraint(model, data)
        if self._quiet.warned:
            self._count_warnings(cells, ctrl)
        rows, before, now = self._gather(ids)
        rewards, terminated, terms = task.outcome(rows, before, now, actions, ctrl)
        if ids is None:
            elapsed = self._elapsed = [steps + 1 for steps in self._elapsed]
        else:
            elapsed = [self._elapsed[i] + 1 for i in ids]
            self._put(self._elapsed, ids, elapsed)
        truncated = [steps >= self._limit for steps in elapsed]
        return task.observe(rows), np.array(rewards, dtype=np.float64), terminated, truncated, terms

    def _gather(self, ids: list[int] | None) -> tuple[Array, Heads, Heads]:
        """Rows, heads before and heads now of all environments or of ``ids``; what is now is kept."""
        if ids is None:
            rows = np.concatenate(self._all_views).reshape(self.num_envs, -1)
            self._task.prepare(rows)
            before, now = self._heads, self._task.heads(rows)
            self._rows, self._heads = rows, list(now)
            return rows, before, now
        rows = np.concatenate([view for i in ids for view in self._views[i]]).reshape(len(ids), -1)
        self._task.prepare(rows)
        before, now = [self._heads[i] for i in ids], self._task.heads(rows)
        self._rows[ids] = rows
        self._put(self._heads, ids, now)
        return rows, before, now

    def _put(self, kept: list[Any], ids: list[int], values: Sequence[Any]) -> None:
        for i, value in zip(ids, values, strict=True):
            kept[i] = value

    def _restart(self, ids: list[int], seeds: Sequence[int | None] | None = None) -> Array:
        """Begin episodes in ``ids``; their observations."""
        model, task = self.model, self._task
        observations = []
        for k, i in enumerate(ids):
            seed = None if seeds is None else seeds[k]
            if seed is not None:
                self._generators[i] = seeding.np_random(seed)[0]
            data = self.datas[i]
            state = task.noisy_state(self._generator(i))
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = state[: task.positions], state[task.positions :]
            with self._quiet:
                mujoco.mj_forward(model, data)
            row = self._rows[i : i + 1]
            np.concatenate(self._views[i], out=row[0])
            task.prepare(row)
            self._heads[i] = task.heads(row)[0]
            self._elapsed[i] = 0
            observations.append(task.observe(row)[0])
        self._ended = [i for i in self._ended if i not in ids]
        return np.array(observations)

    def _step_after_ends(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """NEXT_STEP: environments that ended in the last step begin anew and ignore their action."""
        waiting = self._ended
        running = [i for i in self._everyone if i not in waiting]
        observations = np.empty((self.num_envs, *(self.single_observation_space.shape or ())))
        rewards, (terminated, truncated) = np.zeros(self.num_envs), np.zeros((2, self.num_envs), dtype=bool)
        infos: dict[str, Any] = {}
        if running:
            step = self._advance(running, actions[running])
            observations[running], rewards[running], terminated[running], truncated[running], terms = step
            for k, i in enumerate(running if self.step_infos else ()):
                infos = self._add_info(infos, self._info(i, k, terms), i)
        observations[waiting] = self._restart(waiting)
        if self.step_infos:
            infos = self._first_infos(infos, waiting)
        self._ended = np.flatnonzero(terminated | truncated).tolist()
        return observations, rewards, terminated, truncated, infos

    def _info(self, i: int, k: int, terms: Terms) -> dict[str, Any]:
        """Gymnasium's info of environment ``i`` after a step in which it was the ``k``-th."""
        return {**self._task.reset_info(self._rows[i], self.datas[i]), **terms(k)}

    def _final(self, ids: list[int], observations: Array, terms: Terms) -> dict[str, Any]:
        """``final_obs`` and ``final_info`` of episodes that have just ended, as Gymnasium batches them."""
        final_obs = np.empty(self.num_envs, dtype=object)  # of None
        mask, final_info = np.zeros(self.num_envs, dtype=bool), {}
        for i in ids:
            mask[i] = True
            final_obs[i] = observations[i].copy()
            for key, value in self._info(i, i, terms).items():
                if key not in final_info:
                    shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", type(value))
                    final_info[key] = np.zeros((self.num_envs, *shape), dtype=dtype)
                    final_info[f"_{key}"] = mask  # one for all keys
                final_info[key][i] = value
        return {"final_obs": final_obs, "_final_obs": mask.copy(), "final_info": final_info, "_final_info": mask.copy()}

    def _first_infos(self, infos: dict[str, Any], ids: Iterable[int]) -> dict[str, Any]:
        for i in ids:
            infos = self._add_info(infos, self._task.reset_info(self._rows[i], self.datas[i]), i)
        return infos

    def _count_warnings(self, cells: list[tuple[Any, Array]], ctrl: Array) -> None:
        """Count and clear, so that MuJoCo speaks up again; take over controls that it changed."""
        self._quiet.warned = False
        for (data, control), values in zip(cells, ctrl, strict=True):
            numbers = data.warning.number
            self.warnings += int(np.count_nonzero(numbers))
            numbers[:] = 0
            values[...] = control


def _save_generator(generator: np.random.Generator) -> Array:
    """PCG64's two numbers of 128 bits and its half-used one, as six of 64 bits."""
    state: Any = generator.bit_generator.state
    numbers = [part for n in (state["state"]["state"], state["state"]["inc"]) for part in divmod(n, 2**64)]
    return np.array([*numbers, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def _load_generator(saved: Array) -> np.random.Generator:
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(n) for n in saved)
    bits = np.random.PCG64()
    state: Any = {"state": high << 64 | low, "inc": inc_high << 64 | inc_low}
    bits.state = {"bit_generator": "PCG64", "state": state, "has_uint32": has_uint32, "uinteger": uinteger}
    return np.random.Generator(bits)
