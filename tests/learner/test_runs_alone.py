"""The learner below its actors needs neither Ray nor vLLM."""

import subprocess
import sys

PROGRAM = """
import sys

sys.modules["ray"] = None
sys.modules["vllm"] = None
import curio_ray.learner.engine
from curio_ray.learner.model_loading import build_reference_model

build_reference_model(sys.argv[1], "float32", 1.0)
"""


def test_the_engine_loads_where_ray_and_vllm_cannot_be_imported(model_folder: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, model_folder], check=True, timeout=120)
