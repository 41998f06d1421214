"""A packaged config is meant by its name, in any folder."""

import pytest

COMMANDS = {
    "train": (),
    "plan": (),
    "sft": (),
    "compare": ("--rewards", "diff_acc"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_means_the_packaged_config_in_any_folder(curio, command):
    ended = curio(command, "pocket", *COMMANDS[command], "--set", "credit.discount=3")
    assert ended.code == 2
    assert ended.error.startswith("pocket cannot work:\n  credit.discount: 3 does not work")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_name_ends_with_the_known_ones(curio, command):
    ended = curio(command, "pockte", *COMMANDS[command])
    assert ended.code == 2
    assert "pockte: there is no such file" in ended.error
    assert "education_gemma, education_pocket" in ended.error
    assert "did you mean pocket?" in ended.error


def test_a_packaged_config_can_be_planned_in_any_folder(curio):
    ended = curio("plan", "pocket")
    assert ended.code == 0, ended.error
    assert ended.heavy_modules == ["transformers"]


def test_a_file_of_a_packaged_name_goes_before_it(curio, tmp_path):
    (tmp_path / "pocket").write_text("extends: pocket.yaml\n")
    (tmp_path / "pocket.yaml").write_text("seed: -1\n")
    assert "seed: -1 does not work" in curio("plan", "pocket").error


def test_a_folder_of_a_packaged_name_does_not_hide_it(curio, tmp_path):
    (tmp_path / "pocket").mkdir()
    assert curio("plan", "pocket").code == 0


def test_a_packaged_config_is_offered_where_its_file_is_not(curio):
    assert "did you mean smollm2?" in curio("plan", "configs/smollm2.yaml").error
