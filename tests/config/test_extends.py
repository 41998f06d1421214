"""Configs that extend others."""

from pathlib import Path

import pytest
import yaml

from curio_ray.config import dump_config, load_config
from curio_ray.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
POCKET = CONFIGS / "pocket.yaml"


@pytest.fixture
def write(tmp_path):
    """Writes a config and returns its path."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written


def test_a_config_differs_from_the_one_it_extends_in_what_it_says(write):
    write("base.yaml", POCKET.read_text())
    own = load_config(write("own.yaml", "extends: base.yaml\nlearner: {threads: 3}\n"))
    base = load_config(POCKET)
    learner = base.learner.model_copy(update={"threads": 3})
    assert own == base.model_copy(update={"learner": learner})


def test_lists_are_replaced_whole(write):
    write("base.yaml", f"extends: {CONFIGS / 'education_gemma.yaml'}\n")
    own = load_config(
        write("own.yaml", "extends: base.yaml\ntask: {options: {styles: [lectures]}}\n")
    )
    assert own.task.options == {"styles": ["lectures"], "turns": 10}


def test_a_path_is_relative_to_the_file_that_says_it(write, tmp_path, monkeypatch):
    write("shared/base.yaml", POCKET.read_text())
    write("shared/middle.yaml", "extends: base.yaml\nseed: 5\n")
    own = write("mine/own.yaml", "extends: ../shared/middle.yaml\noutput: runs/own\n")
    monkeypatch.chdir("/")
    assert (load_config(own).seed, str(load_config(own).output)) == (5, "runs/own")


def test_a_packaged_config_can_be_extended_by_name(write):
    own = load_config(write("own.yaml", "extends: pocket\nseed: 5\n"))
    assert own == load_config(POCKET).model_copy(update={"seed": 5})


def test_null_takes_out_what_is_inherited(write):
    write(
        "base.yaml",
        "extends: pocket\nrollout: {stall: {change: 0.1}, runners: 2}\n"
        "servers: {third: {model: pocket:world}}\n",
    )
    own = load_config(
        write(
            "own.yaml",
            "extends: base.yaml\nrollout: {stall: null, runners: null}\nservers: {third: ~}\n",
        )
    )
    assert own == load_config(POCKET)


def test_a_key_without_a_value_does_not_take_out_a_section_unseen(write):
    own = write("own.yaml", "extends: pocket\nlearner:\n  # threads: 2\nseed: 1\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: learner: is empty, .* write null to leave"):
        load_config(own)


def test_changes_of_the_command_come_after_the_chain(write):
    own = write("own.yaml", "extends: pocket\nseed: 5\n")
    assert load_config(own, ["seed=7"]).seed == 7


def test_the_resolved_config_says_nothing_of_what_it_extends(write):
    own = load_config(write("own.yaml", "extends: pocket\n"))
    assert "extends" not in yaml.safe_load(dump_config(own))
    assert dump_config(own) == dump_config(load_config(POCKET))


def test_a_circle_ends_with_the_chain(write):
    first = write("a.yaml", "extends: b.yaml\n")
    second = write("b.yaml", "extends: c.yaml\n")
    third = write("c.yaml", "extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extends goes in a circle") as error:
        load_config(first)
    assert f"{first} -> {second} -> {third} -> {first}" in str(error.value)


def test_a_missing_file_ends_with_the_chain(write, tmp_path):
    first = write("a.yaml", "extends: b.yaml\n")
    second = write("b.yaml", "extends: none.yaml\n")
    with pytest.raises(ConfigError, match=r"extends: none\.yaml: there is no such file") as error:
        load_config(first)
    assert str(error.value).endswith(f"({first} -> {second})")


def test_a_wrong_file_further_down_ends_with_the_chain(write):
    first = write("a.yaml", "extends: b.yaml\n")
    second = write("b.yaml", "seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match="'seed' stands here and in line 1") as error:
        load_config(first)
    assert str(error.value).endswith(f"({first} -> {second})")


@pytest.mark.parametrize("value", ["[a.yaml, b.yaml]", "3", ""])
def test_extends_names_one_file(write, value):
    with pytest.raises(ConfigError, match="extends: write the path of one YAML file"):
        load_config(write("a.yaml", f"extends: {value}\n"))


def test_extends_is_no_change_of_a_command():
    with pytest.raises(ConfigError, match=r"extends=b\.yaml: write it into the config's file"):
        load_config(POCKET, ["extends=b.yaml"])
