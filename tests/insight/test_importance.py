"""What the page over many runs says of hyperparameters: the pieces, the forest, the lines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from journals_by_hand import config_for, fire_points, make_run

from firerl.evolution.space import Space
from firerl.insight.report.run import read
from firerl.insight.watch.importance import forest
from firerl.insight.watch.late_pieces import Piece, Pieces, late_pieces, together
from firerl.insight.watch.parallel import BANDS, MOST, parallel
from firerl.insight.watch.told import chosen, curve

pytestmark = pytest.mark.unverified("journals made by hand")

SPACE = Space.parse(
    {
        "lr": {"log_uniform": [1e-5, 1e-1]},
        "discount": {"one_minus_log_uniform": [0.9, 0.999]},
        "optimiser": {"choice": ["adam", "<b>sgd</b>"]},
        "idle": {"uniform": [0.0, 1.0]},
    }
).dimensions


def pieces(number: int = 200, noise: float = 0.1) -> list[Piece]:
    """The rate matters most, then the optimiser, and nothing else."""
    rng = np.random.default_rng(3)
    made = []
    for i in range(number):
        values = {dimension.name: dimension.draw(rng.random()) for dimension in SPACE}
        objective = np.log10(values["lr"]) + (values["optimiser"] == "adam") + noise * rng.standard_normal()
        made.append(Piece("r", i % 20, 0, 10, values, float(objective)))
    return made


def test_the_forest_ranks_what_matters() -> None:
    found = forest(SPACE, pieces())
    assert found is not None
    assert found.explained > 0.7
    assert [one.name for one in found.importance][:2] == ["lr", "optimiser"]
    assert 0.5 < found.importance[0].fall < 1
    assert found.importance[0].fall > 5 * abs(found.importance[-1].fall)
    assert found == forest(SPACE, pieces())


def test_noise_explains_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = [dataclasses.replace(piece, objective=float(rng.standard_normal())) for piece in pieces()]
    found = forest(SPACE, noise)
    assert found is not None
    assert found.explained < 0.1


@pytest.mark.parametrize("few", [[], pieces(19), [dataclasses.replace(p, objective=1.0) for p in pieces(40)]])
def test_too_little_says_nothing(few: list[Piece]) -> None:
    assert forest(SPACE, few) is None


def test_pieces_are_late_and_of_one_setting(tmp_path: Path) -> None:
    make_run(config_for(tmp_path), fire_points())
    found = late_pieces(read(tmp_path), "name").pieces
    # Of 20 steps the last third; member 3 failed and has not been measured since its copy; member 4 is an evaluator.
    told = [(piece.worker, piece.start, piece.end, piece.objective) for piece in found]
    assert told == [(0, 13, 20, 0.25), (1, 13, 20, 1.25), (2, 13, 20, 2.25)]
    assert all(piece.values.keys() == {"lr"} and piece.run == "name" for piece in found)


def test_runs_share_what_all_of_them_tune() -> None:
    one = Pieces("Ant", SPACE, pieces(2))
    other = Pieces("Ant", SPACE[2:], pieces(3))
    dimensions, found = together([one, other])
    assert ([d.name for d in dimensions], len(found)) == (["lr", "optimiser"], 5)
    assert together([]) == ([], [])


def test_parallel_lines_go_from_the_worst_to_the_best() -> None:
    made = pieces(MOST + 100)
    figure = parallel(SPACE, made)
    assert [trace["meta"]["role"] for trace in figure["data"]] == [f"band-{i}" for i in range(BANDS)]
    lines = [trace["y"][i : i + 5] for trace in figure["data"] for i in range(0, len(trace["y"]), 6)]
    assert len(lines) == MOST
    heights = [line[-1] for line in lines]
    assert heights == sorted(heights)
    assert heights[-1] == 1.0
    assert all(0 <= y <= 1 for line in lines for y in line)
    texts = str(figure)
    assert "<b>sgd" not in texts
    assert "&lt;b>sgd" in texts


def test_a_run_is_told_as_plain_data(tmp_path: Path) -> None:
    make_run(config_for(tmp_path), fire_points())
    run = read(tmp_path)
    drawn = curve(run)
    assert (drawn["steps"], drawn["all"], len(drawn["best"])) == ([10, 20], [40, 90], 2)
    told = chosen(run)
    assert [part["title"] for part in told["parts"]] == ["The leader's path", "Schedule", "Lineage", "Verdicts"]
    assert told["state"] == "unfinished: step 20 of 40"
    assert len(told["parts"][-1]["items"]) == len(run.history.measurements)
