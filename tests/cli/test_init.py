"""`curio init`: a config to change."""

import pytest
import yaml

from curio_ray.config import dump_config, load_config
from curio_ray.config.packaged import packaged_names


@pytest.mark.parametrize("name", packaged_names())
def test_the_written_config_is_the_packaged_one_in_a_file_of_its_own(curio, tmp_path, name):
    ended = curio("init", "mine", "--config", name)
    assert ended.code == 0, ended.error
    assert ended.heavy_modules == []
    written = tmp_path / "mine" / f"{name}.yaml"
    assert dump_config(load_config(written)) == dump_config(load_config(name))
    assert "extends" not in yaml.safe_load(written.read_text())


def test_the_written_config_says_what_its_fields_mean(curio, tmp_path):
    curio("init", ".")
    text = (tmp_path / "pocket.yaml").read_text()
    assert text.startswith("# The main job: learns on two CPU cores in minutes")
    assert "  # AdamW's step size.\n  learning_rate: 0.0003\n" in text
    assert text.count("# Memory for keys and values") == 1
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_choice_of_sections_is_explained_by_the_chosen_one(curio, tmp_path):
    (tmp_path / "own.yaml").write_text(
        "extends: pocket\nlearner: {loss: {name: ppo, clip_low: 0.1}}\n"
    )
    curio("init", "mine", "--config", "own.yaml")
    text = (tmp_path / "mine" / "own.yaml").read_text()
    assert "    # Ratios are clipped below 1 - clip_low.\n    clip_low: 0.1\n" in text


def test_its_own_commands_name_the_written_file(curio, tmp_path):
    curio("init", "mine", "--config", "education_pocket")
    text = (tmp_path / "mine" / "education_pocket.yaml").read_text()
    assert "#   curio sft mine/education_pocket.yaml --set" in text
    assert "runs/education_pocket_models" in text


def test_what_to_type_next_works_as_it_is_printed(curio):
    output = curio("init", "mine").output
    assert "curio train mine/pocket.yaml" in output
    assert "curio plan mine/pocket.yaml" in output
    assert curio("plan", "mine/pocket.yaml").code == 0


def test_a_file_that_is_there_is_not_overwritten(curio, tmp_path):
    (tmp_path / "pocket.yaml").write_text("mine")
    ended = curio("init", ".")
    assert ended.code == 2
    assert "pocket.yaml: is there already; name another folder" in ended.error
    assert (tmp_path / "pocket.yaml").read_text() == "mine"


def test_a_file_where_the_folder_should_be_is_an_error(curio, tmp_path):
    (tmp_path / "mine").write_text("")
    ended = curio("init", "mine")
    assert ended.code == 2
    assert "mine: is there already; name another folder" in ended.error


def test_an_unknown_name_is_answered_with_the_known_ones(curio, tmp_path):
    ended = curio("init", "mine", "--config", "pockte")
    assert ended.code == 2
    assert "pockte: there is no such file" in ended.error
    assert "education_gemma, " in ended.error
    assert not (tmp_path / "mine").exists()
