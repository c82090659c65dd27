"""Stable-Baselines3's PPO, evolved: some minutes."""

from stable_baselines3 import PPO

import firerl

learner = firerl.adapters.sb3(PPO, "MlpPolicy", "CartPole-v1", n_steps=128)
print(firerl.run(learner, preset="smoke", run_dir="runs/sb3-ppo"))
