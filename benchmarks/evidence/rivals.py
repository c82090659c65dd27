"""PPO of other libraries, trained as ``long_runs.py`` trains ours, by the settings that do best there on Humanoid.

Stable-Baselines3 (``pip install stable-baselines3``), settings of its zoo's Humanoid where it has some, else as people
run it. rl_games with EnvPool's environments (``pip install rl-games envpool``; nothing of firerl needs them), by the
settings that rl_games ships for Humanoid with EnvPool. Each trains on one core with one thread.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from firerl import envs

Array = np.ndarray
Train = Callable[[str, int, int, dict[str, Any], Any], None]  # task, seed, steps, settings, long_runs.Watch


@dataclass(frozen=True)
class Rival:
    """Another library's agent: its settings, and how it trains."""

    settings: dict[str, Any]
    train: Train


def sb3(task: str, seed: int, steps: int, settings: dict[str, Any], watch: Any) -> None:
    """Stable-Baselines3's PPO under VecNormalize."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    settings = dict(settings)
    num_envs, normalises = settings.pop("num_envs"), settings.pop("normalise_reward")
    network = {"activation_fn": {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[settings.pop("activation")]}
    network |= {name: settings.pop(name) for name in ("log_std_init", "ortho_init", "net_arch")}
    gamma = settings["gamma"]
    vector = VecNormalize(make_vec_env(envs.resolve(task), num_envs, seed=seed), norm_reward=normalises, gamma=gamma)
    model = PPO("MlpPolicy", vector, seed=seed, device="cpu", policy_kwargs=network, **settings)

    def act(observations: Array) -> Array:
        return model.predict(vector.normalize_obs(observations.copy()), deterministic=True)[0]

    class Callback(BaseCallback):
        """After each rollout and the learning before it."""

        def _on_training_start(self) -> None:
            self.clock, self.ended = time.process_time(), list[tuple[float, int]]()

        def _on_step(self) -> bool:
            episodes = [info["episode"] for info in self.locals["infos"] if "episode" in info]
            self.ended += [(episode["r"], episode["l"]) for episode in episodes]
            return True

        def _on_rollout_end(self) -> None:
            seconds = time.process_time() - self.clock
            scale = float(model.policy.log_std.exp().mean())
            watch.add(num_envs * settings["n_steps"], self.ended, {"scale": scale}, seconds, act)
            self.clock, self.ended = time.process_time(), []

    model.learn(steps, callback=Callback())
    watch.end(act)
    vector.close()


def rl_games(task: str, seed: int, steps: int, settings: dict[str, Any], watch: Any) -> None:
    """rl_games' PPO on EnvPool's environments, which step in one thread."""
    from rl_games.common.algo_observer import AlgoObserver
    from rl_games.torch_runner import Runner

    ended: list[tuple[float, int]] = []

    class Observer(AlgoObserver):
        """Returns and lengths of the episodes that ended."""

        def after_init(self, algo: Any) -> None:
            self.algo = algo

        def process_infos(self, infos: Any, done_indices: Any) -> None:
            for i in done_indices.flatten().tolist():
                ended.append((float(self.algo.current_rewards[i]), int(self.algo.current_lengths[i])))

    given = copy.deepcopy(settings)
    config = given["config"]
    config |= {"env_name": "envpool", "name": task, "ppo": True, "device": "cpu", "device_name": "cpu"}
    config["env_config"] = {
        "env_name": envs.resolve(task), "seed": seed, "env_type": "gymnasium", "num_threads": 1,
    }  # fmt: skip
    given |= {"seed": seed, "torch_threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        config["train_dir"] = folder
        runner = Runner(Observer())
        runner.load({"params": given})
        agent = runner.algo_factory.create(runner.algo_name, base_name="run", params=runner.params)
        half = torch.as_tensor(agent.env_info["action_space"].high)

        def act(observations: Array) -> Array:
            agent.set_eval()
            state = {"is_train": False, "prev_actions": None, "rnn_states": None}
            with torch.no_grad():
                mean = agent.model({**state, "obs": torch.as_tensor(observations, dtype=torch.float32)})["mus"]
            return (mean.clamp(-1.0, 1.0) * half).numpy()

        agent.init_tensors()
        agent.obs = agent.env_reset()
        unit = config["num_actors"] * config["horizon_length"]
        while watch.progress.steps + unit <= steps:
            ended.clear()
            clock = time.process_time()
            agent.update_epoch()
            agent.train_epoch()
            agent.dataset.update_values_dict(None)
            metrics = {"scale": agent.model.a2c_network.sigma.detach().exp().mean().item(), "rate": agent.last_lr}
            watch.add(unit, ended, metrics, time.process_time() - clock, act)
        watch.end(act)


SB3_ZOO = {  # rl-baselines3-zoo, hyperparams/ppo.yml, Humanoid-v4
    "num_envs": 1, "normalise_reward": True, "batch_size": 256, "n_steps": 512, "gamma": 0.95,
    "learning_rate": 3.56987e-05, "ent_coef": 0.00238306, "clip_range": 0.3, "n_epochs": 5, "gae_lambda": 0.9,
    "max_grad_norm": 2, "vf_coef": 0.431892, "log_std_init": -2.0, "ortho_init": False, "activation": "relu",
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}  # fmt: skip
RL_GAMES = {  # rl_games/configs/mujoco/humanoid_envpool.yaml
    "algo": {"name": "a2c_continuous"},
    "model": {"name": "continuous_a2c_logstd"},
    "network": {
        "name": "actor_critic", "separate": False,
        "space": {
            "continuous": {
                "mu_activation": "None", "sigma_activation": "None", "mu_init": {"name": "default"},
                "sigma_init": {"name": "const_initializer", "val": 0}, "fixed_sigma": True,
            }
        },
        "mlp": {"units": [512, 256, 128], "activation": "elu", "initializer": {"name": "default"}},
    },
    "config": {
        "reward_shaper": {"scale_value": 0.1}, "normalize_advantage": True, "gamma": 0.995, "tau": 0.95,
        "learning_rate": 3e-4, "score_to_win": 1e9, "grad_norm": 0.5, "entropy_coef": 0.0, "truncate_grads": True,
        "e_clip": 0.2, "clip_value": False, "num_actors": 64, "horizon_length": 64, "minibatch_size": 1024,
        "mini_epochs": 4, "critic_coef": 1, "lr_schedule": "adaptive", "kl_threshold": 0.008,
        "schedule_type": "standard", "normalize_input": True, "normalize_value": True, "value_bootstrap": True,
        "bounds_loss_coef": 0.0, "max_epochs": 1_000_000,
    },
}  # fmt: skip
ARMS = {"sb3": Rival(SB3_ZOO, sb3), "rl_games": Rival(RL_GAMES, rl_games)}
