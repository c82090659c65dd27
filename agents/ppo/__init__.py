"""PPO (Schulman et al. 2017) for continuous and discrete actions."""

from firerl.agents.ppo.learner import PPO

__all__ = ["PPO"]
