"""The fast core against the judge on 300 pairs of generated curves."""

from __future__ import annotations

from collections import Counter

import curve_judge as judge
import numpy as np
from simulate import busy, member

from firerl.evolution import curves
from firerl.evolution.evaluators import Curve, EvaluatorSettings, verdict
from firerl.evolution.population import StopEvaluator

KINDS = ("rising", "plateau", "noisy", "crossing", "overtaken", "disjoint", "short", "constant")
MAX_EVALUATIONS = (7, 12, 18, 36)  # of the presets
SHORT, LONG = (2, 4, 5, 6), (7, 12, 18, 36)


def make_pair(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The curves of an evaluator and of its child."""
    n, m = rng.choice(SHORT if kind == "short" else LONG, 2)
    x, y = np.arange(n), np.arange(m)
    noise = 1.0 if kind == "noisy" else 0.2
    rise, of_child = rng.uniform(0.3, 1.5, 2)
    eta, rho = rise * np.log1p(x), of_child * np.log1p(y)
    if kind == "plateau":
        eta, rho = rise * np.minimum(x, 5), of_child * np.minimum(y, 4)
    elif kind == "crossing":
        eta, rho = 0.1 * rise * x - 0.5, 0.02 * of_child * y
    elif kind == "overtaken":  # ahead nearly everywhere, but the child's end is better
        noise, n = 0.05, m
        eta, rho = 0.5 + (1 + rise) * y / m, 0.7 + 20 * np.maximum(0, y / m - 0.8)
    elif kind == "disjoint":
        eta += 8 * rng.choice([-1, 1])
    elif kind == "constant":
        return eta if rng.random() < 0.5 else np.full(n, 0.5), np.full(m, rng.choice([0.0, 0.5]))
    return eta + noise * rng.standard_normal(n), rho + noise * rng.standard_normal(m)


def fast_verdict(eta: Curve, rho: Curve, elapsed: int, max_eval_steps: int) -> tuple[str, float]:
    """The core's verdict in the judge's words, and its best_score_diff."""
    child, evaluator = member(0), busy(1, 2, 2, 0, step=elapsed)
    found = verdict(EvaluatorSettings(max_eval_steps=max_eval_steps), evaluator, eta, rho, child)
    word = found.reason if isinstance(found, StopEvaluator) else "success" if found else "go on"
    return word, curves.best_score_diff(eta.raw, rho.raw, smooth_f=eta.smooth, smooth_g=rho.smooth)


def test_the_core_gives_the_judges_verdict_on_300_pairs() -> None:
    rng = np.random.default_rng(7)
    pairs = [make_pair(KINDS[k % len(KINDS)], rng) for k in range(300)]
    slow = judge.smooth_all([y for pair in pairs for y in pair])
    same, seen, differences = 0, Counter[str](), []
    for (eta, rho), smooth_eta, smooth_rho in zip(pairs, slow[::2], slow[1::2], strict=True):
        limit = int(rng.choice([m for m in MAX_EVALUATIONS if m >= len(eta)][:2]))
        fast_eta, fast_rho = Curve(eta, curves.smooth(eta)), Curve(rho, curves.smooth(rho))
        word, difference = fast_verdict(fast_eta, fast_rho, len(eta), limit)
        expected = judge.verdict(eta, rho, smooth_eta, smooth_rho, len(eta), limit)
        same += word == expected
        seen[expected] += 1
        differences.append(difference - judge.best_score_diff(smooth_eta, smooth_rho))
    # Few time out: the evaluator must win nearly everywhere and yet end below the child.
    assert min(seen[word] for word in ("go on", "success", "no-overlap", "no-improvement", "timeout")) >= 2, seen
    assert same >= 0.99 * len(pairs)
    assert np.mean(np.abs(differences) < 1e-5) >= 0.99
