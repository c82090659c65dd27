"""Every figure of a run carries the name of what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.commands import explain, journal, play, report
from firerl.summary import figure_names


class Tried(Quadratic):
    """A quadratic whose winner is looked at."""

    settings: ClassVar = {**Quadratic.settings, "env": None}

    @classmethod
    def resolve(cls, settings: Any) -> dict[str, Any]:
        own = {name: value for name, value in settings.items() if name != "env"}
        return {**super().resolve({**own, "env": None}), "env": settings.get("env")}

    def report(self, seed: int) -> dict[str, float]:
        return {"mean_action_return": 559.5, "mean_action_return_std": 1.25, "episodes": 20.0}


def test_names() -> None:
    assert figure_names.ranked_by(1) == "last evaluation"
    assert figure_names.ranked_by(3) == "mean of the last 3 evaluations"
    figures = {"worst": "?", "mean_return": 2, "episodes": 20.0}
    assert figure_names.headline(figures, plays=True) == ("mean return on fresh episodes", 2.0)
    assert figure_names.headline({"accuracy": 0.5}, plays=False) == ("accuracy on fresh data", 0.5)
    assert (
        figure_names.headline({}, True) is figure_names.headline(None, True) is figure_names.headline([1], True) is None
    )


def test_one_number_has_one_name(tmp_path: Path, capsys: Any) -> None:
    """On screen, in explain, in the page, in result.json, where members are ranked by a mean."""
    run_dir = tmp_path / "r"
    firerl.run(
        Tried, algo="pbt", population=[3], evaluators=0, steps=60, eval_interval=10, ready_interval=30, logger="none",
        algo_settings={"fitness_window": 3}, engine="inline", run_dir=run_dir,
    )  # fmt: skip
    shown = capsys.readouterr().out
    result = json.loads((run_dir / "result.json").read_text())
    assert result["headline"] == {"name": "mean action return on fresh data", "value": 559.5}
    assert result["names"]["objective"] == "mean of the last 3 evaluations"
    assert result["names"]["fresh.mean_action_return"] == "mean action return on fresh data"
    assert ": mean action return on fresh data 559.5" in shown
    assert f"ranked by   mean of the last 3 evaluations {result['objective']:.3f}" in shown
    assert "best and median are of last evaluations" in shown
    assert "a member's rank is by its mean of the last 3 evaluations" in shown
    explain.main([str(run_dir)])
    told = capsys.readouterr().out
    assert (
        "wins. Its mean action return on fresh data is 560. It is ranked by its mean of the last 3 evaluations, "
        in told
    )
    report.main([str(run_dir)])
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    cards = re.findall(r"<dt>(.*?)</dt>", page)
    assert cards[:2] == ["mean action return on fresh data", "mean of the last 3 evaluations, the winner&#x27;s"]
    assert "The highest single evaluation of all" in page
    assert '["last evaluation","' in page
    assert "objective of the winner" not in page
    journal.main([str(run_dir)])
    play.main([str(run_dir), "--learner", f"{__name__}.Tried"])
    assert "winner at step 60: mean of the last 3 evaluations " in capsys.readouterr().out
