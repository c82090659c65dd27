"""Is one update of V-MPO signal or noise? Measured at the states that ``horizon.py`` keeps, in a minute each.

    python benchmarks/evidence/horizon_updates.py runs/horizon/Humanoid_walks_seed_100.pt ...
    python benchmarks/evidence/horizon_updates.py <state> --unrolls 32          twice as sure, twice as long

Two tables a state, over so many unrolls that the acting policy collects; the weights stay as they are.

- How far one update moves the policy, KL(pi_old || pi) over its unroll, with the advantages that were measured and with
  the same ones dealt out anew at random, which say nothing. Where both are alike, the way is noise; where noise alone
  exceeds the bound, the multiplier grows without end, whatever the advantages say.
- The share of signal in the policy's gradient of one unroll: the mean product of two gradients of different unrolls
  over the mean square of one, each coordinate divided by Adam's scale; +- is the jackknife's. Columns are weights of
  the samples: A, all by their advantage, as in PPO; psi, the top half by exp(A / eta) and the control variate. The
  value's errors come back in every unroll and look like signal where lambda is short. So the second number says what a
  gradient has in common with one that leans little on the value: it compares columns and lines, its size says nothing.

The last line is JSON: for each state both KLs over the bound, and the shares.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.vmpo import VMPO, losses
from firerl.agents.vmpo.update import Update

RATES = (1.0, 1 / 3, 0.1)  # of the learning rate
LAMBDAS = (0.97, 0.95, 0.9, 0.8, 0.6)
REFERENCE = 0.97  # a lambda whose returns lean little on the value, with less noise than 1
WEIGHTS = {"A": None, "psi": 1.0, "psi, eta / 4": 0.25, "psi, eta x 4": 4.0}  # name: factor of eta


class Watched(Update):
    """An update that keeps its samples, and may deal their advantages out anew."""

    shuffles = False

    def samples(self, unroll: Unroll) -> list[Tensor]:
        self.batch = super().samples(unroll)
        if self.shuffles:
            advantages = self.batch[-2]
            self.batch[-2] = advantages[torch.randperm(len(advantages), generator=torch.Generator().manual_seed(0))]
        return self.batch


def load(path: Path) -> VMPO:
    """The learner of a state that ``long_runs.keep`` wrote."""
    kept = torch.load(path, weights_only=False)
    learner = VMPO(kept["settings"], {}, 0)
    learner.load(**kept["state"])
    return learner


def collect(learner: VMPO, count: int) -> list[Unroll]:
    """Unrolls of the acting policy, one after the other."""
    steps, num_envs = learner.config["unroll"], learner.config["num_envs"]
    act = learner.update.sampler
    return [copy.deepcopy(learner.rollout.collect(act(steps, num_envs, learner.generator))) for _ in range(count)]


def moved(learner: VMPO, unroll: Unroll, rate: float, shuffles: bool) -> tuple[float, float]:
    """(mean, covariance) parts of the KL between the policies before and after an update at this share of the rate."""
    settings = {**learner.config, "learning_rate": rate * learner.config["learning_rate"]}
    update = Watched(settings, learner.spec, 0, torch.device("cpu"))
    update.load(learner.update.state())
    update.shuffles = shuffles
    update.learn(unroll, torch.Generator().manual_seed(0))
    observations, _, old_mean, old_scale, *_ = update.batch
    with torch.no_grad():
        mean, scale = update.nets.policy(observations)
    kls = losses.kl_mean(old_mean, old_scale, mean), losses.kl_covariance(old_scale, scale)
    return float(kls[0].mean()), float(kls[1].mean())


def weights(advantages: Tensor, eta: float | None) -> Tensor:
    """Of log pi(a|s), [B], from standardised advantages: themselves without ``eta``, else psi minus its mean."""
    if eta is None:
        return advantages / len(advantages)
    best, psi = losses.top_half(advantages), torch.zeros_like(advantages)
    psi[best] = losses.policy_weights(advantages[best], torch.tensor(eta))
    return psi - 1 / len(psi)


@torch.no_grad()
def gradients(learner: VMPO, unrolls: Sequence[Unroll], factor: float | None, lambda_: float) -> Tensor:
    """The policy's gradients at pi_old, an unroll each, divided by Adam's scale, [unrolls, P]."""
    update = Watched({**learner.config, "gae_lambda": lambda_}, learner.spec, 0, torch.device("cpu"))
    state = learner.update.state()
    update.load(state)
    scale = update.optimiser.state[update.policy.flat]["exp_avg_sq"].sqrt() + 1e-8
    eta = None if factor is None else factor * float(update.nets.multipliers()[0])
    found = []
    for unroll in unrolls:
        observations, actions, *_, advantages, _ = update.samples(unroll)
        outputs, inputs = update.policy.forward(observations)
        parameters = update.head.parameters_of(outputs)
        given = update.head.backward(outputs, parameters, actions, weights(advantages, eta), 0.0)
        update.policy.backward(given, inputs)
        found.append(update.policy.flat.grad / scale)
        update.load(state)  # the samples have moved the scale of the values
    return torch.stack(found)


def share(found: Tensor, other: Tensor) -> tuple[float, float]:
    """What gradients [unrolls, P] have in common with others of the same unrolls, and its standard error.

    The mean product of two of different unrolls over the root mean squares of both: of the same gradients, the share of
    signal in their square.
    """
    ours, theirs = found.double(), other.double()
    products = (ours @ theirs.T).numpy()
    squares = (ours.square().sum(1) * theirs.square().sum(1).mean()).numpy()

    def of(kept: np.ndarray) -> float:
        some = products[np.ix_(kept, kept)]
        apart = (some.sum() - np.trace(some)) / (some.size - len(some))
        return float(apart / np.sqrt(squares[kept].mean()))

    everyone = np.arange(len(products))
    without = [of(np.delete(everyone, one)) for one in everyone]
    return of(everyone), float(np.sqrt((len(everyone) - 1) * np.var(without)))


def study(path: Path, count: int, few: int = 6) -> dict[str, Any]:
    """Print the tables of a state; its figures."""
    learner = load(path)
    unrolls = collect(learner, count)
    bound, figures = learner.config["eps_alpha_mu"], {}
    eta, *alphas = learner.update.nets.multipliers().tolist()
    print(f"\n{path.stem}: eta {eta:.3g}, alphas {alphas[0]:.3g} and {alphas[1]:.3g}, bound of the mean's KL {bound:g}")
    print(
        "| rate | mean's KL, measured advantages | dealt anew | scale's KL, measured | dealt anew |\n"
        + "|--:" * 5
        + "|"
    )
    for rate in RATES:
        kls = np.mean([[moved(learner, u, rate, s) for s in (False, True)] for u in unrolls[:few]], axis=0)
        print(f"| {rate:.2g} | {kls[0, 0]:.4f} | {kls[1, 0]:.4f} | {kls[0, 1]:.5f} | {kls[1, 1]:.5f} |", flush=True)
        figures[f"kl_over_bound_{rate:.2g}"] = round(kls[0, 0] / bound, 3)
        figures[f"kl_of_noise_over_bound_{rate:.2g}"] = round(kls[1, 0] / bound, 3)
    reference = gradients(learner, unrolls, None, REFERENCE)
    print("\nshare of signal; in common with A at lambda " + f"{REFERENCE:g}")
    print(f"| lambda | {' | '.join(WEIGHTS)} |\n" + "|--:" * (1 + len(WEIGHTS)) + "|")
    for lambda_ in LAMBDAS:
        cells = []
        for name, factor in WEIGHTS.items():
            found = gradients(learner, unrolls, factor, lambda_)
            shares = {"signal": share(found, found), "common": share(found, reference)}
            cells.append("; ".join(f"{value:.4f} +- {error:.4f}" for value, error in shares.values()))
            figures |= {f"{what}_{name}_{lambda_:g}": round(value, 5) for what, (value, _) in shares.items()}
        print(f"| {lambda_:g} | {' | '.join(cells)} |", flush=True)
    learner.close()
    return figures


def main() -> None:
    """The tables of every state that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("states", nargs="+", type=Path, help="files that horizon.py keeps under --work, of vmpo")
    parser.add_argument("--unrolls", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({path.stem: study(path, options.unrolls) for path in options.states}))


if __name__ == "__main__":
    main()
