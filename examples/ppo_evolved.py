"""``ppo.py`` as a learner: ``python -m firerl.check ppo_evolved.PPO``."""

from collections import deque
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn, optim
from torch.distributions import Categorical

import firerl


@dataclass
class Args:
    env_id: str = "CartPole-v1"
    seed: int = 1
    total_timesteps: int = 50_000
    learning_rate: float = 2.5e-4
    num_envs: int = 4
    num_steps: int = 64
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 4
    update_epochs: int = 4
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


def make_env(env_id):
    def thunk():
        env = gym.make(env_id)
        env = gym.wrappers.RecordEpisodeStatistics(env)
        env = firerl.envs.kept(env)
        return env

    return thunk


def layer_init(layer, std=2**0.5):
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        size, actions = envs.single_observation_space.shape[0], envs.single_action_space.n
        self.critic = nn.Sequential(
            layer_init(nn.Linear(size, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 1), std=1.0),
        )  # fmt: skip
        self.actor = nn.Sequential(
            layer_init(nn.Linear(size, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, actions), std=0.01),
        )  # fmt: skip

    def get_value(self, x):
        return self.critic(x).flatten()

    def get_action_and_value(self, x, action=None):
        probs = Categorical(logits=self.actor(x))
        action = probs.sample() if action is None else action
        return action, probs.log_prob(action), probs.entropy(), self.get_value(x)


class PPO(firerl.TorchLearner):
    space = {"learning_rate": {"log_uniform": [1e-4, 1e-2]}, "clip_coef": {"uniform": [0.05, 0.4]}}
    hyperparameters = {"learning_rate": "optimizer.lr", "clip_coef": "args.clip_coef"}
    in_weights = ("returns",)
    granularity = Args.num_envs * Args.num_steps
    eval_interval = 8 * granularity

    def __init__(self, settings, hyperparameters, seed, device):
        self.args = args = Args()
        makers = [make_env(args.env_id) for _ in range(args.num_envs)]
        self.envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self.agent = Agent(self.envs).to(device)
        self.optimizer = optim.Adam(self.agent.parameters(), eps=1e-5)
        self.returns = deque(maxlen=20)
        next_obs, _ = self.envs.reset(seed=seed)
        self.next_obs, self.next_done = torch.Tensor(next_obs).to(device), torch.zeros(args.num_envs).to(device)
        self.set_hyperparameters(hyperparameters)

    def train(self, steps):
        args, envs, agent, optimizer, returns = self.args, self.envs, self.agent, self.optimizer, self.returns
        next_obs, next_done, batch_size = self.next_obs, self.next_done, self.granularity
        device = next_obs.device
        for _ in range(steps // batch_size):
            obs = torch.zeros((args.num_steps, *next_obs.shape)).to(device)
            actions, logprobs, rewards, dones, values = torch.zeros((5, args.num_steps, args.num_envs)).to(device)

            for step in range(args.num_steps):
                obs[step], dones[step] = next_obs, next_done
                with torch.no_grad():
                    action, logprobs[step], _, values[step] = agent.get_action_and_value(next_obs)
                actions[step] = action
                next_obs, reward, terminations, truncations, infos = envs.step(action.cpu().numpy())
                rewards[step] = torch.tensor(reward).to(device)
                next_obs = torch.Tensor(next_obs).to(device)
                next_done = torch.Tensor(np.logical_or(terminations, truncations)).to(device)
                if "final_info" in infos:
                    returns.extend(infos["final_info"]["episode"]["r"][infos["_final_info"]].tolist())

            with torch.no_grad():
                next_value, lastgaelam = agent.get_value(next_obs), 0
                advantages = torch.zeros_like(rewards)
                for t in reversed(range(args.num_steps)):
                    last = t == args.num_steps - 1
                    nextnonterminal = 1.0 - (next_done if last else dones[t + 1])
                    nextvalues = next_value if last else values[t + 1]
                    delta = rewards[t] + args.gamma * nextvalues * nextnonterminal - values[t]
                    advantages[t] = lastgaelam = delta + args.gamma * args.gae_lambda * nextnonterminal * lastgaelam
                b_returns = (advantages + values).flatten()

            b_obs, b_actions, b_logprobs = obs.flatten(0, 1), actions.flatten(), logprobs.flatten()
            b_advantages = advantages.flatten()
            for _ in range(args.update_epochs):
                for mb_inds in torch.randperm(batch_size).chunk(args.num_minibatches):
                    _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb_inds], b_actions[mb_inds])
                    ratio = (newlogprob - b_logprobs[mb_inds]).exp()
                    mb_advantages = b_advantages[mb_inds]
                    mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
                    clipped = torch.clamp(ratio, 1 - args.clip_coef, 1 + args.clip_coef)
                    pg_loss = torch.max(-mb_advantages * ratio, -mb_advantages * clipped).mean()
                    v_loss = 0.5 * (newvalue - b_returns[mb_inds]).square().mean()
                    loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                    optimizer.step()

        self.next_obs, self.next_done = next_obs, next_done
        return {"entropy": entropy.mean().item(), "value_loss": v_loss.item()}

    def evaluate(self, seed):
        return float(np.mean(self.returns)) if self.returns else None
