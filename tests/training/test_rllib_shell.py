"""The run as an RLlib algorithm: train, survive a dead runner, save, restore, Ray Tune."""

import json
from pathlib import Path

import pytest
import ray
from ray import tune
from short_runs import REPOSITORY, SHORT

from curio_ray.errors import ConfigError
from curio_ray.training.algorithm import Curio, CurioConfig


def make_config() -> CurioConfig:
    return CurioConfig.from_yaml(REPOSITORY / "configs" / "pocket.yaml", SHORT)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after two iterations, the runner killed before the second."""
    folder = tmp_path_factory.mktemp("algorithm") / "checkpoint"
    algorithm = make_config().build_algo()
    try:
        results = [algorithm.train()]
        for runner in algorithm.env_runner_group.actors().values():
            ray.kill(runner, no_restart=False)
        results.append(algorithm.train())
        restarts = algorithm.runners.restarts
        algorithm.save_to_path(str(folder))
    finally:
        algorithm.stop()
    (folder / "seen.json").write_text(
        json.dumps(
            {
                "iterations": [result["training_iteration"] for result in results],
                "dialogues": [result["dialogues"] for result in results],
                "restarts": restarts,
            }
        )
    )
    return folder


def test_train_counts_iterations_and_dialogues(checkpoint):
    seen = json.loads((checkpoint / "seen.json").read_text())
    assert (seen["iterations"], seen["dialogues"]) == ([1, 2], [16, 32])


def test_a_killed_runner_is_replaced_and_its_dialogues_are_held(checkpoint):
    seen = json.loads((checkpoint / "seen.json").read_text())
    assert seen["restarts"] >= 1
    assert seen["dialogues"][-1] == 32


def test_from_checkpoint_goes_on_with_the_next_iteration(checkpoint):
    algorithm = Curio.from_checkpoint(str(checkpoint))
    try:
        result = algorithm.train()
    finally:
        algorithm.stop()
    assert (result["training_iteration"], result["dialogues"]) == (3, 48)
    assert result["weight_version"] == 3


def test_a_run_works_as_a_tune_trial(tmp_path):
    tuner = tune.Tuner(
        Curio,
        param_space=make_config(),
        run_config=tune.RunConfig(
            stop={"training_iteration": 1}, storage_path=str(tmp_path), verbose=0
        ),
    )
    results = tuner.fit()
    assert not results.errors
    assert results[0].metrics["dialogues"] == 16


def test_a_wrong_field_is_an_error_before_anything_starts():
    with pytest.raises(ConfigError, match=r"learner\.rank: .*ranks"):
        CurioConfig.from_yaml(REPOSITORY / "configs" / "pocket.yaml", ["learner.rank=2"])
