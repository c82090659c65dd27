"""What the decisions are does not depend on the processor: not on BLAS's kernel, not on numpy's vector instructions.

Both are chosen when a process starts, so each variation plays the same populations in a process of its own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from simulate import LR, Simulation, make_setup

from firerl.evolution import plain
from firerl.evolution.algorithms import fire, fire_lean, pb2
from firerl.evolution.population import Values

VARIATIONS = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "x86-64-v2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
}


def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
    """Numbers that are the same everywhere: sums and products alone."""
    value += 1 - 4 * (values["lr"] - 0.3) * (values["lr"] - 0.3)
    return value, value + 0.3 * rng.random()


def decisions() -> str:
    """A hash of all states and decisions of three algorithms."""
    found = hashlib.sha256()
    for algorithm, setup, settings, points in (
        (fire, make_setup((4, 4), 3, spec=LR), fire.Settings(max_eval_steps=150), 40),
        (fire_lean, make_setup((4, 4), 1, spec=LR), fire_lean.Settings(max_eval_steps=150), 40),
        (pb2, make_setup((4,), spec=LR), pb2.Settings(), 16),
    ):
        for transition in Simulation(algorithm, setup, settings, learn).run(points):
            found.update(plain.dumps([transition.after, transition.decisions]).encode())
    return found.hexdigest()


def kernels() -> str:
    """A hash of what BLAS, LAPACK and numpy's exp make of some numbers: it tells whether a variation is one."""
    a = np.arange(6400.0).reshape(80, 80) % 17 / 7
    made = (a @ a, np.linalg.eigvalsh(a + a.T), np.log1p(a), np.tanh(a), a**0.3)
    return hashlib.sha256(b"".join(x.tobytes() for x in made)).hexdigest()


@cache
def played(**environment: str) -> tuple[str, str]:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, "-W", "ignore", __file__]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    decided, kernel = ran.stdout.split()
    return decided, kernel


@pytest.mark.parametrize("variation", VARIATIONS.values(), ids=VARIATIONS)
def test_decisions_are_the_same_on_every_processor(variation: dict[str, str]) -> None:
    decided, kernel = played(**variation)
    plain_decided, plain_kernel = played()
    if kernel == plain_kernel:
        pytest.skip("this numpy computes the same with it: no OpenBLAS, or no such instructions on this machine")
    assert decided == plain_decided


if __name__ == "__main__":
    print(decisions(), kernels())
