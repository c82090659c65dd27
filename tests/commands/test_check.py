"""The check of a learner's contract: ours pass, each broken one fails with the right reason."""

from __future__ import annotations

from pathlib import Path

import broken_learners
import numpy as np
import pytest
import torch

from firerl.commands import check
from firerl.config.compose import compose
from firerl.config.learners import find_learner
from firerl.config.request import resolve
from firerl.evolution.space import Space
from firerl.insight.check.contract import CHECKS, Finding, Subject, examine
from firerl.insight.check.contract_texts import TEXTS
from firerl.insight.check.states import place, spoilt


def findings(name: str, engine: str = "inline") -> dict[str, Finding]:
    """What the checks find; a state is loaded in this process unless the test is about the new one."""
    learner = getattr(broken_learners, name)
    subject = Subject(learner, {}, Space.parse(learner.space), 4, 6, engine=engine)
    return {finding.check: finding for finding in examine(subject)}


def test_a_learner_that_keeps_the_contract_passes() -> None:
    found = findings("Good")
    assert list(found) == list(CHECKS)
    assert all(finding.passed for finding in found.values())
    assert "lr, momentum" in found["hyperparameters"].text


BROKEN = [
    ("SharedCounter", "same seed", "weights['theta']", "the learner makes from its seed"),
    ("ForgottenOptimiser", "resume", "goes on differently: weights['theta']", "the optimiser"),
    ("OptimiserNeedsStream", "weights", "without the stream does not bring weights['velocity']", "the optimiser too"),
    ("LeakingEvaluate", "evaluate", "after evaluate(), training goes on differently", "generator of evaluate's own"),
    ("EvaluateTrains", "evaluate", "evaluate() changes weights['theta']", "generator of evaluate's own"),
    ("EveryCallAnew", "split", "train(10) is not train(4), train(6)", "start nothing anew"),
    ("BakedIn", "hyperparameters", "a changed momentum has no effect", "let train() read momentum"),
    ("Rebuilds", "hyperparameters", "with the values that it has changes the training", "build nothing anew"),
    ("HoldsObjects", "state", "state()['stream']['rng']: objects of type Generator cannot be stored", "bit_generator"),
    ("KeepsWhatItIsGiven", "state", "training changes what load() was given: weights['theta']", "copies what it is"),
    ("HidesNaN", "NaN", "with weights of NaN, evaluate() still says -1e+06", "return float('nan')"),
    ("SilentNaN", "NaN", "evaluate() has nothing to report", "return float('nan')"),
    ("TextObjective", "calls", "evaluate() returned 'good': it must return a number or None", "plain numbers"),
    ("Raises", "calls", "IndexError: no such batch (broken_learners.py:", "mend what raises"),
]


@pytest.mark.parametrize(("name", "check", "text", "mend"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_learner_fails_with_the_right_reason(name: str, check: str, text: str, mend: str) -> None:
    failed = [finding for finding in findings(name).values() if finding.passed is False]
    assert [finding.check for finding in failed] == [check]
    assert text in failed[0].text
    assert mend in failed[0].mend
    assert failed[0].why


LEANS = [
    ("GlobalGenerator", "numpy.random in train()"),
    ("SeededGlobalGenerator", "torch in __init__(), train()"),
    ("EvaluationOnGlobalGenerator", "random in evaluate()"),
]


@pytest.mark.parametrize(("name", "used"), LEANS)
def test_a_learner_that_leans_on_global_generators_passes_and_is_told(name: str, used: str) -> None:
    found = findings(name)
    assert all(finding.passed for finding in found.values())
    assert f"it draws from global generators ({used}): a run keeps them for each worker" in found["same seed"].text


def test_learners_are_tried_with_seeds_as_large_as_those_of_runs() -> None:
    found = findings("RefusesLargeSeeds")
    assert found["calls"].passed is False
    assert "a seed above 2^31" in found["calls"].text
    assert all(finding.passed for finding in findings("SeedsLegacyGenerators").values())


def test_an_optimiser_in_the_stream_is_pointed_at() -> None:
    found = findings("OptimiserInStream")
    assert all(finding.passed for finding in found.values())
    assert "stream['velocity'] is shaped like a weight" in found["weights"].text


def test_a_learner_that_has_nothing_to_report_yet_is_told_to_train_longer() -> None:
    found = findings("Quiet")
    assert {name for name, finding in found.items() if not finding.passed} == {"NaN"}
    assert "None (nothing to report yet)" in found["calls"].text
    assert found["NaN"].passed is None
    assert "check longer" in found["NaN"].text


def test_what_was_not_tried_is_not_said_to_be_right() -> None:
    found = findings("NoFloats")
    assert found["NaN"].passed is None
    assert check.verdict(list(found.values())) == "all checks passed, but one was not tried: NaN"
    assert check.lines(found["NaN"])[0].startswith("-     NaN")


@pytest.mark.parametrize(("interval", "steps"), [(1, (4, 6)), (4, (4, 6)), (5, (2, 3)), (250, (100, 150))])
def test_an_interval_that_shows_nothing_is_not_enough(interval: int, steps: tuple[int, int]) -> None:
    config = resolve(compose(["learner=quadratic", f"eval_interval={interval}", f"ready_interval={interval}"]))
    subject = check.subject_of(find_learner("quadratic"), config)
    assert (subject.first, subject.second) == steps


def test_a_state_that_only_this_process_understands_fails_in_a_new_one() -> None:
    found = findings("RemembersInModule", "local")
    assert (found["same seed"].passed, found["resume"].passed, found["weights"].passed) == (True, False, None)
    assert "KeyError: 'velocity'" in found["resume"].text


def test_a_learner_that_depends_on_its_process_is_found_out() -> None:
    found = findings("DependsOnProcess", "local")
    failed = [finding for finding in found.values() if finding.passed is False]
    assert [finding.check for finding in failed] == ["processes"]
    assert "in a process of its own, a learner comes out differently: weights['theta']" in failed[0].text
    assert "no hash() of a text" in failed[0].mend


def test_what_acts_seldom_is_no_fault() -> None:
    found = findings("SeldomClipped")
    assert all(finding.passed for finding in found.values())
    assert found["hyperparameters"].text.endswith(": clip, lr, momentum")
    found = findings("NeverClipped")
    assert all(finding.passed for finding in found.values())
    assert "lr, momentum; no effect was seen of clip, neither set nor built in" in found["hyperparameters"].text


@pytest.mark.parametrize("name", ["state", "weights", "resume"])
def test_mends_name_the_call(name: str) -> None:
    assert "copy.deepcopy(" in TEXTS[name][1]


def test_the_command_on_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["quadratic", "learner.dimensions=20"]) == 0
    out = capsys.readouterr().out
    assert out.count("\nok ") == len(CHECKS)
    assert "cost  22 workers" in out
    assert out.endswith("all checks passed\n")


def test_the_modelled_learner_passes() -> None:
    config = resolve(compose(["learner=modelled", "engine=simulated"]))
    subject = check.subject_of(find_learner("modelled"), config)
    subject.engine = "inline"
    assert all(finding.passed is not False for finding in examine(subject))


@pytest.mark.parametrize("name", ["vmpo", "ppo"])
def test_the_command_on_reinforcement_learning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["learner.num_envs=2", "learner.unroll=20", "learner.hidden=[8]", "learner.minibatches=2"]
    assert check.main([name, "env=InvertedPendulum", "eval_interval=200", *small]) == 0
    out = capsys.readouterr().out
    assert "80 + 120 steps" in out
    assert "load in a new process, train(120): equal to the bit" in out


def test_the_command_on_a_broken_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "support")
    assert check.main(["broken_learners.HoldsObjects"]) == 1
    out = capsys.readouterr().out
    assert "\nFAIL  state" in out
    assert "\n      why it matters   exploit copies states" in out
    assert "\n      mend             put tensors" in out
    assert "\n-     resume           not tried: needs same seed" in out
    assert out.endswith("1 of the checks failed: state\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["broken_learners.Lacks"], "the class lacks evaluate(), load()"),
        (["broken_learners.Nothing"], "unknown class in module broken_learners 'Nothing'"),
        (["quadratic", "learner.dimension=3"], "'learner.dimension': did you mean 'learner.dimensions'"),
        (["quadratic", "eval_interval"], "cannot read 'eval_interval'"),
        ([], "the following arguments are required: learner"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_what_it_finds_depends_on_no_global_generator_and_leaves_them_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    findings("SeededGlobalGenerator")
    assert torch.rand(1) == expected


def test_places_where_states_differ() -> None:
    one = {"a": [1, {"b": torch.zeros(2)}], "c": np.array([np.nan])}
    assert place(one, {"a": [1, {"b": torch.zeros(2)}], "c": np.array([np.nan])}, "w") == ""
    assert place(one, {"a": [1, {"b": torch.tensor([0.0, -0.0])}], "c": one["c"]}, "w") == "w['a'][1]['b']"
    assert place(one, {"a": one["a"]}, "w") == "w['c'] (only one has it)"
    bad = spoilt(one)
    assert torch.isnan(bad["a"][1]["b"]).all()
    assert bad["a"][0] == 1
    assert not torch.isnan(one["a"][1]["b"]).any()
