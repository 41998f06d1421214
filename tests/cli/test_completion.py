"""What a shell offers, once `curio --install-completion` has been run."""

import pytest

from curio_ray.commands.completion import complete_config, complete_field, complete_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder: two runs, two configs and a folder of more."""
    for run in ("runs/pocket", "runs/smollm2"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.yaml").touch()
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "mine").mkdir()
    for file in ("pocket_mine.yaml", "mine/own.yaml", "mine/own.txt"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pock", ["pocket", "pocket_changing", "pocket_mine.yaml"]),
        ("mine/", ["mine/own.yaml"]),
        ("mi", ["mine/"]),
        ("none/", []),
    ],
)
def test_configs_are_offered_by_name_and_by_file(typed, offered):
    assert complete_config(typed) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["runs/pocket", "runs/smollm2"]),
        ("runs/p", ["runs/pocket"]),
        ("mine/", []),
    ],
)
def test_folders_are_offered_that_hold_a_run(typed, offered):
    assert complete_run(typed) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("cre", ["credit."]),
        ("credit.g", ["credit.gae_lambda=", "credit.group_size="]),
        ("rewards.penalties.l", ["rewards.penalties.length."]),
        ("credit.none.x", []),
        ("ser", ["servers."]),
        ("servers.policy.gp", ["servers.policy.gpus="]),
        ("learner.loss.dual", ["learner.loss.dual_clip="]),
        ("task.options.users", []),
    ],
)
def test_fields_are_offered_a_level_at_a_time(typed, offered):
    assert complete_field(typed) == offered


def test_a_shell_gets_its_answer_without_heavy_libraries(curio):
    ended = curio(_CURIO_COMPLETE="complete_bash", COMP_WORDS="curio train pock", COMP_CWORD="2")
    assert ended.output.split() == ["pocket", "pocket_changing", "pocket_mine.yaml"]
    assert ended.heavy_modules == []


def test_the_last_of_several_rewards_is_completed(curio):
    words = "curio compare pocket --rewards mtrlhf,diff_"
    ended = curio(_CURIO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4")
    assert "mtrlhf,diff_acc" in ended.output.split()
    assert all(each.startswith("mtrlhf,diff_") for each in ended.output.split())
