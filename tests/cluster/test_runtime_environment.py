"""Ray accepts the runtime environment of submitted jobs."""

from pathlib import Path

import yaml
from ray.runtime_env import RuntimeEnv

FILE = Path(__file__).parents[2] / "cluster" / "runtime_env.yaml"


def test_ray_accepts_the_file():
    values = yaml.safe_load(FILE.read_text())
    assert set(RuntimeEnv(**values)) == set(values)


def test_a_stopped_job_has_longer_to_save_than_rays_own_limit():
    variables = yaml.safe_load(FILE.read_text())["env_vars"]
    assert float(variables["RAY_JOB_STOP_WAIT_TIME_S"]) > 60
