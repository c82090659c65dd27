"""What benchmarks/evidence/quadratic.py compares: arms by group, as data."""

from __future__ import annotations

from quadratic_runs import Arm

from firerl.evolution import find

GROUPS = ("algorithms", "switches", "sizes", "lean", "conditions")
SCHEDULE = Arm("best schedule", "schedule")
EXPECTED = ("fire", "pbt", "random", "pb2", "mfpbt", "constant", "cosine", "fire_lean")
HAND_TUNED = (("constant", 0.1), ("cosine", 0.3), ("cosine", 1.0))  # the default is the middle of the range, 0.032

SWITCHES = {
    "smoothing=mean": {"smoothing": "mean"},
    "smoothing=none": {"smoothing": "none"},
    "binom_test=false": {"binom_test": False},
    "significance=0.001": {"significance": 0.001},
    "significance=0.05": {"significance": 0.05},
    "significance=0.2": {"significance": 0.2},
    "max_eval_steps=90": {"max_eval_steps": 90},
    "max_eval_steps=360": {"max_eval_steps": 360},
    "patience=fixed": {"patience": "fixed"},
    "min_points=1": {"min_points": 1},
    "min_points=2": {"min_points": 2},
    "min_points=7": {"min_points": 7},
    "success_without_overlap=false": {"success_without_overlap": False},
    "evaluator_pick=most_recent": {"evaluator_pick": "most_recent"},
    "evaluator_pick=random": {"evaluator_pick": "random"},
    "parent_fitness=objective": {"parent_fitness": "objective"},
    "promotion=off": {"promotion": "off"},
}

# (P1, P2, ...), evaluators. 3/4 of each parent sub-population, as in the paper and in what own sizes bring by default.
SIZES = {
    11: ((4, 4), 3),
    15: ((5, 6), 4),
    22: ((8, 8), 6),
    36: ((8, 8, 8), 12),
    50: ((8, 8, 8, 8), 18),
}


def arms_of(group: str) -> list[Arm]:
    """The arms of a group."""
    if group == "algorithms":
        names = [*EXPECTED, *(name for name in find.names() if name not in EXPECTED)]
        rates = [Arm(f"{algo} lr={lr}", algo, {"hyperparameters": {"lr": lr}}) for algo, lr in HAND_TUNED]
        return [*(Arm(name, name) for name in names), *rates, SCHEDULE]
    if group == "switches":
        return [Arm("fire"), *(Arm(name, settings=settings) for name, settings in SWITCHES.items())]
    if group == "sizes":
        fire = [Arm(f"fire {n}", "fire", {}, *SIZES[n]) if n != 22 else Arm("fire") for n in SIZES]
        return fire + [Arm(f"pbt {n}", "pbt", {}, *SIZES[n]) if n != 22 else Arm("pbt", "pbt") for n in SIZES]
    return lean_arms() if group == "lean" else condition_arms()


# Two thirds of 22 workers: 14.
LAYOUTS = {
    "8+4+2": ((8, 4), 2),
    "6+6+2": ((6, 6), 2),
    "6+5+3": ((6, 5), 3),
    "5+5+4": ((5, 5), 4),
    "4+6+4": ((4, 6), 4),
    "4+4+6": ((4, 4), 6),
}


def lean_arms() -> list[Arm]:
    """14 workers against 22: plain FIRE in other layouts, and ``fire_lean``."""
    arms = [Arm("fire"), *(Arm(f"{layout} fire", "fire", {}, *workers) for layout, workers in LAYOUTS.items())]
    return arms + [Arm(f"{layout} fire_lean", "fire_lean", {}, *LAYOUTS[layout]) for layout in ("6+6+2", "6+5+3")]


# Readies in a run -> an evaluation every, a ready every: always six evaluations from one ready to the next.
READIES = {60: (10, 60), 30: (20, 120), 15: (40, 240), 10: (60, 360)}
NOISES = (0, 1, 2, 4)  # of an evaluation, in improvements from one ready to the next
IMPROVEMENT = 2.5  # of -log10 loss in a whole run, about


def condition_arms() -> list[Arm]:
    """FIRE and PBT with fewer readies and with noisy evaluations; both average three of them. As in RL evaluators have
    three readies' time."""
    arms = []
    for readies, (evaluation, ready) in READIES.items():
        for noise in NOISES:
            for algo, more in (("fire", {"max_eval_steps": 3 * ready}), ("pbt", {})):
                settings = {"fitness_window": 3, **more}
                name = condition_name(algo, readies, noise)
                arms.append(Arm(name, algo, settings, None, None, (evaluation, ready), noise * IMPROVEMENT / readies))
    return arms


def condition_name(algo: str, readies: int, noise: int) -> str:
    """Of an arm of that group."""
    return f"{algo}, {readies} readies, noise {noise}"
