"""Where a model's name in the config leads."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest

from curio_ray.errors import ConfigError
from curio_ray.model_paths import absolute_name, locate_model


@pytest.mark.parametrize("name", ["pocket:policy", "pocket:world", "pocket:changing_world"])
def test_a_pocket_name_leads_to_a_packaged_folder(name: str) -> None:
    assert (Path(locate_model(name)) / "config.json").is_file()


def test_a_local_folder_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert locate_model(str(tmp_path)) == str(tmp_path.resolve())


def test_another_name_is_taken_as_a_hugging_face_id() -> None:
    assert locate_model("HuggingFaceTB/SmolLM2-135M-Instruct").count("/") == 1


def test_an_unknown_pocket_name_says_what_to_write() -> None:
    with pytest.raises(ConfigError, match="pocket:policy or pocket:world"):
        locate_model("pocket:polcy")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        locate_model(str(tmp_path))


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        locate_model("./no/such/model")


@pytest.mark.parametrize("name", ["pocket:policy", "HuggingFaceTB/SmolLM2-135M-Instruct", "./no"])
def test_a_name_that_is_no_folder_stays_as_it_is(name: str) -> None:
    assert absolute_name(name) == name


def test_servers_are_described_and_started_without_importing_vllm_or_torch() -> None:
    program = (
        "import sys, curio_ray.serving.launch;"
        "import curio_ray.weights.shared_memory, curio_ray.weights.gpu;"
        "sys.exit(any(name in sys.modules for name in ('vllm', 'torch', 'transformers')))"
    )
    assert run([sys.executable, "-c", program], check=False).returncode == 0
