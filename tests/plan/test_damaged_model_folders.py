"""A model's folder whose files are not whole is named before anything starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curio_ray.errors import ConfigError
from curio_ray.model_paths import pocket_model
from curio_ray.plan.model_size import read_size

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
FIELD = "servers.policy.model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a model's folder, to damage."""
    return Path(shutil.copytree(pocket_model("policy"), tmp_path / "model"))


def said(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_size(FIELD, folder)
    return str(refused.value)


def test_a_whole_folder_is_read(folder: Path) -> None:
    assert read_size(FIELD, folder) == read_size(FIELD, pocket_model("policy"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pointer_of_git_lfs_is_named(name: str, folder: Path) -> None:
    (folder / name).write_bytes(POINTER)
    assert said(folder) == (
        f"{FIELD}: {folder}: holds pointers of Git LFS, not the files; call 'git lfs pull' there"
    )


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 3000, -1])
def test_weights_that_are_cut_off_are_named(kept: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{FIELD}: {folder}: model.safetensors is cut off" in said(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"model"',
        b"7",
        b"null",
        b"<html>404</html>",
        json.dumps({"num_attention_heads": "two", "hidden_size": 3}).encode(),
        b'{"a": "\xfc"}',
        b"\x1f\x8b\x00\x01",
    ],
)
def test_a_config_that_tells_no_size_is_named(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    text = said(folder)
    assert text.startswith(f"{FIELD}: {folder}/config.json")
    assert "; write the folder of a " in text
