"""Gymnasium's MuJoCo tasks (v5): which numbers of MjData they read, and what they make of them.

A task names the arrays of MjData that it reads (``views``). Joined, they are the row of one environment; observations,
rewards, ends and infos are made from the rows [B, R] of any number of environments. Long vectors are handled by numpy
for all rows at once, single numbers in plain Python: a call of numpy costs as much as twenty sums of Python's, more
when the physics has just swept the processor's caches.

Results equal Gymnasium's to the last bit, so the expressions follow its own, term by term. What decides:

- numpy sums the last, contiguous axis of [B, n] in the same order as a vector of n.
- A cost of float32 actions is a float32, as in Gymnasium: actions keep the type in which they come. Python's floats
  are double, so such a cost is turned into one before it meets them, as it is where it meets numpy's float64.
- ``x**2`` of one number is C's ``pow``, of an array ``x*x``: they differ once in a thousand.
- Sine and cosine are taken of vectors as long as Gymnasium's.

Arguments and their defaults are Gymnasium's: a task takes them from an environment that Gymnasium built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Heads = Sequence[list[float]]  # for each environment, the numbers that are worked on one by one
Terms = Callable[[int], dict[str, Any]]  # what the info of a step says of the reward of the k-th row
Outcome = tuple[Sequence[float], Sequence[bool], Terms]  # rewards [B], terminated [B], terms


class Task:
    """One task. ``env`` is the unwrapped environment of Gymnasium whose arguments it takes over."""

    contact_forces = False  # whether a view needs mj_rnePostConstraint after a step
    normal_velocity = False  # noise of the velocities at a reset: normal, or uniform like that of the positions
    head = 0  # how many numbers a row's head has

    def __init__(self, env: Any):
        self.positions = env.init_qpos.size
        self.init_qpos = env.init_qpos
        self.init_state = np.concatenate((env.init_qpos, env.init_qvel))
        self.dt = env.dt
        self.noise = env._reset_noise_scale
        self.ctrl_weight: Any = getattr(env, "_ctrl_cost_weight", None)  # keeps its type: it decides the cost's
        self.forward_weight = _plain(getattr(env, "_forward_reward_weight", None))
        self.healthy_weight = _plain(getattr(env, "_healthy_reward", None))
        self.z_range: Any = getattr(env, "_healthy_z_range", None)
        self.terminates = bool(getattr(env, "_terminate_when_unhealthy", False))
        self.skipped = int(bool(getattr(env, "_exclude_current_positions_from_observation", False)))
        self._take(env)
        self.at: dict[str, slice] = {}
        self.width = 0
        for name, view in self.views(env.data).items():
            self.at[name] = slice(self.width, self.width + view.size)
            self.width += view.size

    def _take(self, env: Any) -> None:
        """Arguments of this task alone."""

    def views(self, data: Any) -> dict[str, Array]:
        """Flat views of MjData, in the order of a row. They hold the data's own memory."""
        return {"qpos": data.qpos, "qvel": data.qvel}

    def noisy_state(self, rng: np.random.Generator) -> Array:
        """qpos and qvel of a new episode, drawn in Gymnasium's order."""
        low, high, count = -self.noise, self.noise, self.init_state.size
        if not self.normal_velocity:
            return self.init_state + rng.uniform(low, high, count)  # the same numbers as in two draws
        uniform = rng.uniform(low, high, self.positions)
        return self.init_state + np.concatenate((uniform, self.noise * rng.standard_normal(count - self.positions)))

    def prepare(self, rows: Array) -> None:
        """Change fresh rows in place, before anything else reads them."""

    def heads(self, rows: Array) -> Heads:
        """The head of every row. The next reward compares with it, so it is also what an environment remembers."""
        return rows[:, : self.head].tolist()

    def observe(self, rows: Array) -> Array:
        """[B, O], a new array."""
        return rows[:, self.skipped : self.at["qvel"].stop].copy()

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        """Of one step. ``actions`` [B, A] as they came, ``ctrl`` [B, A] float64 as MuJoCo left them."""
        raise NotImplementedError

    def reset_info(self, row: Array, data: Any) -> dict[str, Any]:
        """Gymnasium's info of a reset; that of a step is this and the terms of its reward."""
        return {}

    def _ctrl_cost(self, actions: Array) -> list[Any]:
        """[B] numpy's scalars, of the type that Gymnasium's are."""
        return [self.ctrl_weight * total for total in np.add.reduce(np.square(actions), axis=1)]

    def _terminated(self, healthy: Sequence[bool]) -> Sequence[bool]:
        return [self.terminates and not h for h in healthy]


def _plain(weight: Any) -> Any:
    """A numpy scalar as Python's number, so that products with Python's floats stay double."""
    return weight.item() if isinstance(weight, np.generic) else weight


def _velocity(before: Heads, now: Heads, dt: float) -> list[float]:
    return [(b[0] - a[0]) / dt for a, b in zip(before, now, strict=True)]


class HalfCheetah(Task):
    """A planar runner: a forward velocity of x and a cost of control. Never ends but by the time limit."""

    normal_velocity = True
    head = 1

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        velocity = _velocity(before, now, self.dt)
        forward = [self.forward_weight * v for v in velocity]
        cost = self._ctrl_cost(actions)
        rewards = [f - c for f, c in zip(forward, map(float, cost), strict=True)]

        def terms(k: int) -> dict[str, Any]:
            return {"x_velocity": velocity[k], "reward_forward": forward[k], "reward_ctrl": -cost[k]}

        return rewards, [False] * len(rows), terms

    def reset_info(self, row: Array, data: Any) -> dict[str, Any]:
        return {"x_position": row[0]}


class Walker2d(Task):
    """Healthy while height and angle are within their ranges; velocities are observed clipped."""

    head = 3

    def _take(self, env: Any) -> None:
        self.angle_range = env._healthy_angle_range

    def observe(self, rows: Array) -> Array:
        observations = super().observe(rows)
        velocity = observations[:, self.at["qvel"].start - self.skipped :]
        velocity.clip(-10, 10, out=velocity)
        return observations

    def healthy(self, now: Heads) -> Sequence[bool]:
        (low_z, high_z), (low_angle, high_angle) = self.z_range, self.angle_range
        return [low_z < n[1] < high_z and low_angle < n[2] < high_angle for n in now]

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        velocity = _velocity(before, now, self.dt)
        forward = [self.forward_weight * v for v in velocity]
        healthy = self.healthy(now)
        survive = [h * self.healthy_weight for h in healthy]
        cost = self._ctrl_cost(actions)
        rewards = [f + s - c for f, s, c in zip(forward, survive, map(float, cost), strict=True)]

        def terms(k: int) -> dict[str, Any]:
            return {"x_velocity": velocity[k], "reward_forward": forward[k], "reward_ctrl": -cost[k],
                    "reward_survive": survive[k]}  # fmt: skip

        return rewards, self._terminated(healthy), terms

    def reset_info(self, row: Array, data: Any) -> dict[str, Any]:
        return {"x_position": row[0], "z_distance_from_origin": row[1] - self.init_qpos[1]}


class Hopper(Walker2d):
    """As Walker2d, and all numbers of the state but x and z have a range as well."""

    head = 12

    def _take(self, env: Any) -> None:
        super()._take(env)
        self.state_range = env._healthy_state_range
        self.head = env.model.nq + env.model.nv

    def healthy(self, now: Heads) -> Sequence[bool]:
        low, high = self.state_range
        rest = [all(low < number < high for number in n[2:]) for n in now]
        return [a and b for a, b in zip(rest, super().healthy(now), strict=True)]


class Ant(Task):
    """Forward velocity of one body, costs of control and of contact forces, healthy within a range of z."""

    contact_forces = True
    normal_velocity = True
    head = 5

    def _take(self, env: Any) -> None:
        self.skipped = 2 + 2 * self.skipped
        self.body = env.model.body(env._main_body).id
        self.force_range = env._contact_force_range
        self.contact_weight = _plain(env._contact_cost_weight)
        self.observes_forces = bool(env._include_cfrc_ext_in_observation)

    def views(self, data: Any) -> dict[str, Array]:
        forces = data.cfrc_ext[1:].reshape(-1)
        return {"place": data.xpos[self.body, :2], "qpos": data.qpos, "qvel": data.qvel, "forces": forces}

    def prepare(self, rows: Array) -> None:
        forces = rows[:, self.at["forces"]]
        forces.clip(*self.force_range, out=forces)

    def observe(self, rows: Array) -> Array:
        return rows[:, self.skipped : self.at["forces" if self.observes_forces else "qvel"].stop].copy()

    def healthy(self, rows: Array, now: Heads) -> Sequence[bool]:
        low, high = self.z_range
        healthy = [low <= n[4] <= high for n in now]
        if math.isfinite(np.add.reduce(rows, axis=None)):  # then all numbers are
            return healthy
        finite: Any = np.isfinite(rows[:, 2 : self.at["qvel"].stop]).all(axis=1)
        return [bool(a) and b for a, b in zip(finite, healthy, strict=True)]

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        x_velocity = _velocity(before, now, self.dt)
        forward = [v * self.forward_weight for v in x_velocity]
        healthy = self.healthy(rows, now)
        survive = [h * self.healthy_weight for h in healthy]
        ctrl_cost = self._ctrl_cost(actions)
        contact_cost = [self.contact_weight * f for f in _sum_of_squares(rows[:, self.at["forces"]])]
        costs = [float(a) + b for a, b in zip(ctrl_cost, contact_cost, strict=True)]
        rewards = [f + s - c for f, s, c in zip(forward, survive, costs, strict=True)]

        def terms(k: int) -> dict[str, Any]:
            return {
                "x_velocity": x_velocity[k],
                "y_velocity": (now[k][1] - before[k][1]) / self.dt,
                "reward_forward": forward[k],
                "reward_ctrl": -ctrl_cost[k],
                "reward_contact": -contact_cost[k],
                "reward_survive": survive[k],
            }

        return rewards, self._terminated(healthy), terms

    def reset_info(self, row: Array, data: Any) -> dict[str, Any]:
        place = row[self.at["qpos"]][:2]
        return {"x_position": place[0], "y_position": place[1], "distance_from_origin": math.sqrt(place.dot(place))}


def _sum_of_squares(forces: Array) -> list[float]:
    """[B], from cfrc_ext [B, 6 * bodies] without the world's six, which are always zero but count for the order."""
    squares = np.zeros((len(forces), forces.shape[1] + 6))
    np.square(forces, out=squares[:, 6:])
    return np.add.reduce(squares, axis=1).tolist()


class Humanoid(Task):
    """Forward velocity of the centre of mass; observes inertias, velocities and forces of all bodies."""

    contact_forces = True

    def _take(self, env: Any) -> None:
        self.skipped *= 2
        self.mass, self.total_mass = env.model.body_mass, float(env.model.body_mass.sum())
        self.cost_range = env._contact_cost_range
        self.contact_weight = _plain(env._contact_cost_weight)
        observed = {"cinert": "cinert", "cvel": "cvel", "motors": "qfrc_actuator", "forces": "cfrc_ext"}
        self.observed = [k for k, name in observed.items() if getattr(env, f"_include_{name}_in_observation") is True]

    def views(self, data: Any) -> dict[str, Array]:
        return {
            "qpos": data.qpos,
            "qvel": data.qvel,
            "cinert": data.cinert[1:].reshape(-1),
            "cvel": data.cvel[1:].reshape(-1),
            "motors": data.qfrc_actuator[6:],
            "forces": data.cfrc_ext[1:].reshape(-1),
            "centres": data.xipos.reshape(-1),
        }

    def heads(self, rows: Array) -> Heads:
        """x and y of the centre of mass, and z."""
        centres = rows[:, self.at["centres"]].reshape(len(rows), -1, 3)
        sums, mass = np.einsum("b,nbj->nj", self.mass, centres).tolist(), self.total_mass
        return [[x / mass, y / mass, z] for (x, y, _), z in zip(sums, rows[:, 2].tolist(), strict=True)]

    def observe(self, rows: Array) -> Array:
        if len(self.observed) == 4:  # all, and they lie in this order
            return rows[:, self.skipped : self.at["forces"].stop].copy()
        parts = [rows[:, self.skipped : self.at["qvel"].stop], *(rows[:, self.at[name]] for name in self.observed)]
        return np.concatenate(parts, axis=1)

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        x_velocity = _velocity(before, now, self.dt)
        forward = [self.forward_weight * v for v in x_velocity]
        low, high = self.z_range
        healthy = [low < n[2] < high for n in now]
        survive = [h * self.healthy_weight for h in healthy]
        ctrl_cost = self._ctrl_cost(ctrl)
        least, most = self.cost_range
        forces = _sum_of_squares(rows[:, self.at["forces"]])
        contact_cost = [min(max(self.contact_weight * f, least), most) for f in forces]
        costs = [float(a) + b for a, b in zip(ctrl_cost, contact_cost, strict=True)]
        rewards = [f + s - c for f, s, c in zip(forward, survive, costs, strict=True)]

        def terms(k: int) -> dict[str, Any]:
            return {
                "x_velocity": x_velocity[k],
                "y_velocity": (now[k][1] - before[k][1]) / self.dt,
                "reward_forward": forward[k],
                "reward_ctrl": -ctrl_cost[k],
                "reward_contact": -contact_cost[k],
                "reward_survive": survive[k],
            }

        return rewards, self._terminated(healthy), terms

    def reset_info(self, row: Array, data: Any) -> dict[str, Any]:
        return {
            "x_position": row[0],
            "y_position": row[1],
            "tendon_length": data.ten_length.copy(),
            "tendon_velocity": data.ten_velocity.copy(),
            "distance_from_origin": math.sqrt(row[:2].dot(row[:2])),
        }


class InvertedPendulum(Task):
    """One for every step that keeps the pole up."""

    head = 4

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        up = [all(map(math.isfinite, n)) and not abs(n[1]) > 0.2 for n in now]
        rewards = [int(u) for u in up]
        return rewards, [not u for u in up], lambda k: {"reward_survive": rewards[k]}


class InvertedDoublePendulum(Task):
    """A reward for the tip's place and for slow joints."""

    normal_velocity = True
    head = 6

    def views(self, data: Any) -> dict[str, Array]:
        force = data.qfrc_constraint[:1]
        return {"tip": data.site_xpos[0], "qvel": data.qvel, "qpos": data.qpos, "force": force}

    def observe(self, rows: Array) -> Array:
        position = rows[:, self.at["qpos"]]
        sines, cosines = (np.array([function(angles) for angles in position[:, 1:]]) for function in (np.sin, np.cos))
        speeds, force = (np.clip(rows[:, self.at[name]], -10, 10) for name in ("qvel", "force"))
        return np.concatenate((position[:, :1], sines, cosines, speeds, force), axis=1)

    def outcome(self, rows: Array, before: Heads, now: Heads, actions: Array, ctrl: Array) -> Outcome:
        terminated = [n[2] <= 1 for n in now]
        distance = [0.01 * n[0] ** 2 + (n[2] - 2) ** 2 for n in now]
        slowness = [1e-3 * n[4] ** 2 + 5e-3 * n[5] ** 2 for n in now]
        alive = [self.healthy_weight * int(not t) for t in terminated]
        rewards = [a - d - s for a, d, s in zip(alive, distance, slowness, strict=True)]

        def terms(k: int) -> dict[str, Any]:
            return {"reward_survive": alive[k], "distance_penalty": -distance[k], "velocity_penalty": -slowness[k]}

        return rewards, terminated, terms


TASKS: dict[str, type[Task]] = {
    "gymnasium.envs.mujoco.ant_v5:AntEnv": Ant,
    "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv": HalfCheetah,
    "gymnasium.envs.mujoco.hopper_v5:HopperEnv": Hopper,
    "gymnasium.envs.mujoco.humanoid_v5:HumanoidEnv": Humanoid,
    "gymnasium.envs.mujoco.inverted_double_pendulum_v5:InvertedDoublePendulumEnv": InvertedDoublePendulum,
    "gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv": InvertedPendulum,
    "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv": Walker2d,
}
