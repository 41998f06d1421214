"""A trained policy's folder has the start model's files as they were, whatever they say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OLDER_MODELS_SAMPLING = {
    "eos_token_id": 2,
    "max_length": 512,
    "pad_token_id": 0,
    "temperature": 0.9,
    "top_p": 0.6,
}
FILES = {
    "generation_config.json": json.dumps(OLDER_MODELS_SAMPLING, indent=3),
    "chat_template.jinja": "{{ messages[0].content }}\n\n",
    "tokenizer_config.json": '{"added_tokens_decoder": {},\n\n "x": 1}',
    "vocab.txt": "one\ntwo\n",
    "README.md": "The start model's card.\n",
}


@pytest.fixture
def start(model_folder: str, tmp_path: Path) -> Path:
    folder = shutil.copytree(model_folder, tmp_path / "start")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("learner", [{}, {"zero_stage": 3}, {"lora": {"rank": 2}}])
def test_an_export_has_the_start_models_files_byte_for_byte(
    make_engine: Callable[..., Any], start: Path, tmp_path: Path, learner: dict[str, Any]
) -> None:
    make_engine(str(start), **learner).export_policy(tmp_path / "policy")
    assert {name: (tmp_path / "policy" / name).read_text() for name in FILES} == FILES


def test_an_export_of_a_model_without_sampling_defaults_has_none(
    make_engine: Callable[..., Any], start: Path, tmp_path: Path
) -> None:
    (start / "generation_config.json").unlink()
    make_engine(str(start)).export_policy(tmp_path / "policy")
    assert not (tmp_path / "policy" / "generation_config.json").exists()


def test_an_export_loads_again(
    make_engine: Callable[..., Any], start: Path, tmp_path: Path
) -> None:
    make_engine(str(start)).export_policy(tmp_path / "policy")
    make_engine(str(tmp_path / "policy")).export_policy(tmp_path / "again")
    assert {name: (tmp_path / "again" / name).read_text() for name in FILES} == FILES
