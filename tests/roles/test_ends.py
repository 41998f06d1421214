"""All ids with which a model's files say that it ends a turn do end it, and are not heard."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from curio_ray.model_files import end_ids
from curio_ray.model_paths import assets_folder
from curio_ray.roles.chat import ChatFormat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(assets_folder() / "policy", tmp_path / "model")


def say_ends(folder: Path, ends: Any) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))


@pytest.mark.parametrize(("ends", "expected"), [([2, 20, 21], {2, 20, 21}), (20, {2, 20})])
def test_every_end_of_the_generation_config_stops_a_turn(
    folder: Path, ends: Any, expected: set[int]
) -> None:
    say_ends(folder, ends)
    assert set(ChatFormat.load(str(folder)).stop_token_ids) == expected


def test_without_a_generation_config_the_ends_of_the_model_config_count(folder: Path) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": [2, 30]}))
    assert end_ids(str(folder)) == (2, 30)


def test_a_generation_config_without_an_end_adds_none(folder: Path) -> None:
    say_ends(folder, None)
    assert end_ids(str(folder)) == ()


def test_an_end_that_the_tokenizer_takes_for_a_word_is_not_heard(folder: Path) -> None:
    say_ends(folder, [2, 20])
    chat = ChatFormat.load(str(folder))
    said = chat.encode("do you like it ?")
    assert chat.decode([20]) == ""
    assert chat.decode([*said, 20]) == chat.decode(said) == chat.decode([*said, 2])


def test_the_same_id_within_a_turn_is_heard(folder: Path) -> None:
    say_ends(folder, [2, 20])
    chat = ChatFormat.load(str(folder))
    said = chat.encode("do you like it ?")
    assert chat.decode([20, *said]) != chat.decode(said)
