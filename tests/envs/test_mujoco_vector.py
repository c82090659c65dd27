"""Our MuJoCo tasks against Gymnasium's, to the last bit. FIRERL_FULL=1 runs 5,000 steps a task instead of 500."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from firerl import envs
from firerl.envs.door import Door
from firerl.envs.door_vector import DoorVectorEnv
from firerl.envs.mujoco_vector import MujocoVectorEnv, fast_form
from firerl.storage import checkpoint

TASKS = ["Ant", "HalfCheetah", "Hopper", "Humanoid", "InvertedDoublePendulum", "InvertedPendulum", "Walker2d"]
STEPS = 5000 if os.environ.get("FIRERL_FULL") else 500
SAME_STEP, NEXT_STEP, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
ASSETS = Path(gymnasium.__file__).parent / "envs/mujoco/assets"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Gymnasium's side warns of its own model files, and of unstable physics."""
    monkeypatch.chdir(tmp_path)
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    yield
    mujoco.set_mju_user_warning(before)
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def pair(task: str, mode: AutoresetMode = SAME_STEP, num_envs: int = 8, **kwargs: Any) -> tuple[Any, Any]:
    """Gymnasium's and ours."""
    theirs = gymnasium.make_vec(
        f"{task}-v5",
        num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        disable_env_checker=True,
        **kwargs,
    )
    ours = fast_form(f"{task}-v5", num_envs, mode, **kwargs)
    assert isinstance(ours, MujocoVectorEnv)
    ours.step_infos = True
    return theirs, ours


def assert_equal(a: Any, b: Any, where: str) -> None:
    """Same types, shapes, keys and bits; any NaN equals any other."""
    if isinstance(a, dict):
        assert set(a) == set(b), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, tuple) or (isinstance(a, np.ndarray) and a.dtype.hasobject):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}[{i}]")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        if a.tobytes() != b.tobytes():
            assert np.array_equal(a, b, equal_nan=True), f"{where}: {a} and {b}"
            assert np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0])), where
    else:
        assert a == b, where


def play(theirs: Any, ours: Any, steps: int, scale: float = 1.0, dtype: Any = np.float32) -> int:
    """Both through the same random actions; returns how many episodes ended."""
    for name in ("single_observation_space", "observation_space", "single_action_space", "action_space", "metadata"):
        assert getattr(theirs, name) == getattr(ours, name), name
    assert_equal(theirs.reset(seed=3), ours.reset(seed=3), "first reset")
    assert_equal(theirs.reset(), ours.reset(), "second reset")
    space, rng, ends = ours.single_action_space, np.random.default_rng(5), 0
    for t in range(steps):
        actions = (scale * rng.uniform(space.low, space.high, ours.action_space.shape)).astype(dtype)
        theirs_step = theirs.step(actions)
        assert_equal(theirs_step, ours.step(actions), f"step {t}")
        ended = theirs_step[2] | theirs_step[3]
        ends += int(ended.sum())
        if ended.any() and ours.autoreset_mode is DISABLED:
            assert_equal(*(env.reset(options={"reset_mask": ended.copy()}) for env in (theirs, ours)), f"reset {t}")
    return ends


@pytest.mark.parametrize("task", TASKS)
def test_equals_gymnasium(task: str):
    ends = play(*pair(task), STEPS)
    assert ends > 20 or task == "HalfCheetah"


@pytest.mark.parametrize("mode", [NEXT_STEP, DISABLED])
@pytest.mark.parametrize("task", ["Ant", "Humanoid", "Walker2d"])
def test_equals_gymnasium_in_other_modes(task: str, mode: AutoresetMode):
    assert play(*pair(task, mode, 4), 150) > 2


@pytest.mark.parametrize(
    ("task", "kwargs"),
    [
        ("Ant", {"healthy_z_range": [0.3, 0.8], "ctrl_cost_weight": 1, "max_episode_steps": 30}),
        ("Ant", {"include_cfrc_ext_in_observation": False, "main_body": "front_left_leg", "healthy_reward": 2}),
        ("Ant", {"terminate_when_unhealthy": False, "exclude_current_positions_from_observation": False,
                 "contact_cost_weight": 1e-2, "contact_force_range": (-3.0, 5.0), "frame_skip": 3}),
        ("HalfCheetah", {"forward_reward_weight": 2.5, "reset_noise_scale": 0.5, "max_episode_steps": 20}),
        ("HalfCheetah", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": np.float64(0.3)}),
        ("Hopper", {"healthy_state_range": (-1.0, 1.0), "healthy_angle_range": (-0.1, 0.3), "frame_skip": 2}),
        ("Hopper", {"terminate_when_unhealthy": False, "max_episode_steps": -1, "healthy_reward": 0.1}),
        ("Humanoid", {"include_cinert_in_observation": False, "include_cvel_in_observation": True,
                      "contact_cost_weight": 1e-3, "contact_cost_range": (0.5, 2.0), "healthy_z_range": (1.2, 1.6)}),
        ("Humanoid", {"exclude_current_positions_from_observation": False, "forward_reward_weight": 0,
                      "include_qfrc_actuator_in_observation": False, "include_cfrc_ext_in_observation": False}),
        ("InvertedDoublePendulum", {"healthy_reward": 3, "reset_noise_scale": 0.3}),
        ("InvertedPendulum", {"reset_noise_scale": 0.15, "max_episode_steps": 5}),
        ("Walker2d", {"xml_file": "walker2d.xml", "healthy_z_range": (1.0, 1.4), "ctrl_cost_weight": 0.1}),
    ],
)  # fmt: skip
def test_arguments_work_as_gymnasiums(task: str, kwargs: dict[str, Any]):
    play(*pair(task, num_envs=3, **kwargs), 70)


@pytest.mark.parametrize(
    ("task", "scale", "dtype"),
    [
        ("Ant", 1, np.float64),
        ("Humanoid", 3, np.float32),
        ("HalfCheetah", 1e30, np.float64),
        ("Hopper", np.nan, np.float32),
    ],
)
def test_any_actions_do_what_they_do_in_gymnasium(task: str, scale: float, dtype: Any):
    theirs, ours = pair(task, num_envs=3)
    play(theirs, ours, 40, scale, dtype)
    assert (ours.warnings > 0) == np.isnan(scale)  # MuJoCo refuses a control that is no number


def wild(folder: Path, task: str) -> str:
    """A model file whose time step is too long for its physics."""
    asset, step, long = {"Ant": ("ant", 0.01, 0.5), "Humanoid": ("humanoid", 0.003, 0.12),
                         "HalfCheetah": ("half_cheetah", 0.01, 0.12)}[task]  # fmt: skip
    text = (ASSETS / f"{asset}.xml").read_text()
    assert f'timestep="{step}"' in text
    (folder / "wild.xml").write_text(text.replace(f'timestep="{step}"', f'timestep="{long}"'))
    return str(folder / "wild.xml")


@pytest.mark.parametrize("task", ["Ant", "Humanoid", "HalfCheetah"])
def test_unstable_physics_equals_gymnasium_and_is_counted(task: str, tmp_path: Path, capfd: Any):
    theirs, ours = pair(task, num_envs=4, xml_file=wild(tmp_path, task))
    play(theirs, ours, 80)
    assert ours.warnings > 0
    mujoco.set_mju_user_warning(None)  # ours are quiet by themselves
    for _ in range(40):
        ours.step(np.ones(ours.action_space.shape, dtype=np.float32))
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "wild.xml"]


def test_the_door_gives_the_fast_form_where_it_can():
    for task in TASKS:
        assert isinstance(envs.make(task, 1, 0), MujocoVectorEnv)
    assert isinstance(envs.make("gymnasium:Ant-v5", 1, 0, ctrl_cost_weight=0.1), MujocoVectorEnv)
    assert isinstance(envs.make("Hopper", 1, 0, width=64), SyncVectorEnv)
    assert isinstance(envs.make("Reacher", 1, 0), SyncVectorEnv)
    wrapper = gymnasium.wrappers.ClipReward.wrapper_spec(min_reward=-1, max_reward=1)
    spec = gymnasium.spec("Hopper-v5")
    gymnasium.register("FirerlWrapped-v5", spec.entry_point, additional_wrappers=(wrapper,))
    assert isinstance(envs.make("FirerlWrapped", 1, 0), SyncVectorEnv)
    with pytest.raises(TypeError, match="healthy_rewards"):
        envs.make("Ant", 1, 0, healthy_rewards=3)


def test_the_door_is_the_same_environment_as_gymnasiums():
    theirs, _ = pair("Walker2d", num_envs=3)
    theirs.reset(seed=envs.env_seeds(4, 3))
    ours = envs.make("Walker2d", 3, 4)
    assert_equal(theirs.reset()[0], ours.reset()[0], "reset")
    for _ in range(60):
        actions = np.zeros((3, 6), dtype=np.float32)
        a, b = theirs.step(actions), ours.step(actions)
        assert_equal(a[:4], b[:4], "step")
        for key in ("final_obs", "final_info"):
            assert_equal(a[4].get(key), b[4].get(key), key)


def test_arrays_belong_to_the_caller():
    env = fast_form("Ant-v5", 2, max_episode_steps=3)
    assert env is not None
    kept = [env.reset(seed=1)[0]]
    for _ in range(7):
        observations, _, _, truncated, infos = env.step(np.ones((2, 8), dtype=np.float32))
        kept += [observations, *([infos["final_obs"][0]] if truncated.any() else [])]
    copies = [array.copy() for array in kept]
    for array in kept:
        array[...] = 0
    env.reset(seed=1)
    again = [env.reset(seed=1)[0]]
    for _ in range(7):
        observations, _, _, truncated, infos = env.step(np.ones((2, 8), dtype=np.float32))
        again += [observations, *([infos["final_obs"][0]] if truncated.any() else [])]
    assert all(np.array_equal(a, b) for a, b in zip(copies, again, strict=True))


def test_some_environments_alone():
    _, ours = pair("Hopper", num_envs=3)
    theirs = DoorVectorEnv([lambda: Door(gymnasium.make("Hopper-v5"), "Hopper")] * 3)
    assert_equal(theirs.reset(seed=2)[0], ours.reset(seed=2)[0], "reset")
    rng = np.random.default_rng(0)
    for _ in range(80):
        ids = rng.permutation(3)[: rng.integers(1, 4)]
        actions = rng.uniform(-1, 1, (len(ids), 3)).astype(np.float32)
        a, b = theirs.step_some(ids, actions), ours.step_some(ids, actions)
        assert_equal(a, b, "some")
        again = ids[a[2] | a[3]]
        if len(again):
            with pytest.raises(ValueError, match="have ended"):
                ours.step(np.zeros((3, 3)))
            assert_equal(theirs.reset_some(again), ours.reset_some(again), "again")


def test_what_is_refused():
    env = fast_form("Ant-v5", 2)
    assert env is not None
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros((2, 8)))
    with pytest.raises(ValueError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"\(2, 7\), expected \(2, 8\)"):
        env.step(np.zeros((2, 7)))
    state = envs.get_state(env)
    with pytest.raises(ValueError, match="numbers for environments"):
        envs.set_state(envs.make("Ant", 3, 0), state)
    with pytest.raises(ValueError, match="does not fit a DoorVectorEnv"):
        envs.set_state(envs.make("Pendulum", 2, 0), state)
    with pytest.raises(ValueError, match="does not fit a MujocoVectorEnv"):
        envs.set_state(env, envs.get_state(envs.make("Pendulum", 2, 0)))


def _steps(env: Any, count: int) -> list[np.ndarray]:
    rng, space = np.random.default_rng(9), env.single_action_space
    all_actions = rng.uniform(space.low, space.high, (count, *env.action_space.shape)).astype(np.float32)
    return [np.array(part) for actions in all_actions for part in env.step(actions)[:4]]


def test_state_goes_on_bit_for_bit_in_a_new_process(tmp_path: Path):
    expected = {}
    for task in TASKS:
        env = envs.make(task, 3, 7, max_episode_steps=50)
        _steps(env, 17)
        (tmp_path / task).write_bytes(checkpoint.dumps(envs.get_state(env)))
        assert (tmp_path / task).stat().st_size < 3 * 5000 + 4000
        expected[task] = _steps(env, 45)
        assert any(part.any() for i in (2, 3) for part in expected[task][i::4]), "an episode should end on the way"
    code = f"import sys; sys.path[:] = {sys.path!r}; import test_mujoco_vector as t; t.go_on()"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for task in TASKS:
        assert_equal(tuple(expected[task]), tuple(checkpoint.loads((tmp_path / f"{task}.out").read_bytes())), task)


def go_on() -> None:
    """The other half of the test above, in its own process."""
    for task in TASKS:
        env = envs.make(task, 3, 99, max_episode_steps=50)
        _steps(env, 5)
        assert envs.set_state(env, checkpoint.loads(Path(task).read_bytes())) == {}
        Path(f"{task}.out").write_bytes(checkpoint.dumps(_steps(env, 45)))


def test_state_of_unstable_physics_and_ended_episodes(tmp_path: Path):
    xml_file = wild(tmp_path, "Humanoid")
    one, two = (fast_form("Humanoid-v5", 4, NEXT_STEP, xml_file=xml_file) for _ in range(2))
    assert one is not None
    assert two is not None
    one.reset(seed=1)
    two.reset(seed=2)
    waited = 0
    for t in range(40):
        _steps(one, 1 + t % 2)
        _steps(two, 2)
        waited += len(one._ended)
        state = checkpoint.loads(checkpoint.dumps(envs.get_state(one)))
        envs.set_state(two, state)
        assert checkpoint.dumps(envs.get_state(two)) == checkpoint.dumps(state)
        assert_equal(tuple(_steps(one, 4)), tuple(_steps(two, 4)), f"after {t}")
    assert waited > 0
    assert one.warnings == two.warnings > 0
