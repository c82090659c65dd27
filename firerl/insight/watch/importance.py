"""How much each hyperparameter says of the late objective: a random forest that is asked with one of them shuffled.

The forest is fitted on four fifths of the workers and asked about the others, so that what it only knows by heart does
not count. What is measured is association, not cause: evolution moves hyperparameters together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firerl.evolution.space import Dimension
from firerl.insight.watch.late_pieces import Piece

FEWEST = 20  # pieces; fewer say nothing
MOST = 2_000  # more are drawn from
FOLDS, TREES, SHUFFLES = 5, 60, 5


@dataclass(frozen=True)
class Importance:
    """Of one hyperparameter: the share of the variance that hangs on it, alone or with others, among unseen workers.

    To shuffle it adds twice that variance to the squared error, as to compare two independent draws does.
    """

    name: str
    fall: float
    deviation: float  # between the folds


@dataclass(frozen=True)
class Forest:
    """What the forest found, the most important first."""

    explained: float  # R² on the pieces of unseen workers; 0 or less: nothing
    importance: Sequence[Importance]


def forest(dimensions: Sequence[Dimension], pieces: Sequence[Piece]) -> Forest | None:
    """None where there are too few pieces, workers or hyperparameters, or all objectives are the same."""
    if len(pieces) > MOST:
        chosen = np.random.default_rng(0).choice(len(pieces), MOST, replace=False)
        pieces = [pieces[i] for i in sorted(chosen)]
    owners = sorted({(piece.run, piece.worker) for piece in pieces})
    objectives = np.array([piece.objective for piece in pieces])
    if len(pieces) < FEWEST or len(owners) < FOLDS or not dimensions or np.ptp(objectives) == 0:
        return None

    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import GroupKFold

    inputs = np.column_stack([_column(dimension, pieces) for dimension in dimensions])
    groups = [owners.index((piece.run, piece.worker)) for piece in pieces]
    guesses, falls = np.empty_like(objectives), []
    for seen, unseen in GroupKFold(FOLDS).split(inputs, objectives, groups):
        trees = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.7, random_state=0)
        trees.fit(inputs[seen], objectives[seen])
        guesses[unseen] = trees.predict(inputs[unseen])
        told = permutation_importance(
            trees, inputs[unseen], objectives[unseen], scoring="neg_mean_squared_error", n_repeats=SHUFFLES,
            random_state=0,
        )  # fmt: skip
        falls.append(told.importances_mean / (2 * objectives.var()))  # of all pieces, not of a fold
    explained = 1 - float(np.mean((objectives - guesses) ** 2) / objectives.var())
    means, deviations = np.mean(falls, axis=0), np.std(falls, axis=0)
    found = [
        Importance(d.name, float(mean), float(deviation))
        for d, mean, deviation in zip(dimensions, means, deviations, strict=True)
    ]
    return Forest(explained, sorted(found, key=lambda one: -one.fall))


def _column(dimension: Dimension, pieces: Sequence[Piece]) -> NDArray[np.float64]:
    """Its values as numbers; of choices their places. A forest asks only which is larger, so no scale matters."""
    values = [piece.values.get(dimension.name) for piece in pieces]
    if dimension.choices:
        return np.array([dimension.choices.index(value) if value in dimension.choices else -1 for value in values])
    return np.array([value if isinstance(value, int | float) else math.nan for value in values], dtype=np.float64)
