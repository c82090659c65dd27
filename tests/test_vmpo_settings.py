"""V-MPO's settings: complete, checked, refused with words that help."""

from __future__ import annotations

import pytest

from firerl.agents.vmpo import VMPO
from firerl.envs import base_name
from firerl.errors import SettingError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unrol": 5}, "did you mean 'learner.unroll'"),
        ({"num_envs": 0}, "learner.num_envs=0: the smallest allowed is 1"),
        ({"num_envs": 2.5}, "learner.num_envs=2.5 is no whole number"),
        ({"discount": 1.5}, "learner.discount=1.5: allowed is from 0 to 1"),
        ({"learning_rate": "fast"}, "learner.learning_rate='fast' is no finite number"),
        ({"eps_eta": 0}, "learner.eps_eta=0: allowed is above 0"),
        ({"hidden": []}, "learner.hidden"),
        ({"objective": "trainig"}, "did you mean 'training'"),
        ({"objective_policy": "mode"}, "learner.objective_policy"),
        ({"minibatches": 3}, "learner.minibatches=3 does not divide"),
        ({"eval_interval": 300}, "learner.eval_interval=300 is no multiple"),
        ({"min_scale": 0.5}, "learner.min_scale"),
        ({"env": {"name": "Humanoyd"}}, "did you mean 'Humanoid'"),
        ({"env": {"nam": "Humanoid"}}, "did you mean 'env.name'"),
        ({"env": {"name": "Humanoid", "kwargs": {"nothing": 1}}}, "env.kwargs="),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict, words: str):
    with pytest.raises(SettingError) as caught:
        VMPO.resolve(given)
    assert words in str(caught.value)


def test_settings_are_complete_and_stay_as_they_are():
    for env in ("Humanoid", {"name": "Humanoid-v5", "kwargs": {}}):
        complete = VMPO.resolve({"env": env})
        assert set(complete) == set(VMPO.settings)
        assert VMPO.resolve(complete) == complete
        assert VMPO.granularity_of(complete) == 1000
        assert VMPO.eval_interval_of(complete) == 5000
        assert base_name(VMPO.task_of(complete)) == "Humanoid"
    small = VMPO.resolve({"env": "InvertedPendulum"})
    assert (VMPO.granularity_of(small), VMPO.eval_interval_of(small)) == (200, 1000)
