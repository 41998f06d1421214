"""Which runs a comparison has, what its folder allows, and how many fit a machine."""

import shutil

import pytest

from curio_ray.compare.runs import (
    VariedField,
    one_of_each_setting,
    open_comparison,
    parse_rewards,
    parse_varied,
    planned_runs,
    read_finished,
    runs_at_once,
    write_result,
)
from curio_ray.config import dump_config, load_config
from curio_ray.errors import ConfigError
from curio_ray.plan import make_plan
from curio_ray.plan.machine import Machine
from curio_ray.plan.memory import GIB

POCKET = "configs/pocket.yaml"


def test_rewards_are_named_once_each():
    assert parse_rewards("mtrlhf, diff_acc,mtrlhf") == ["mtrlhf", "diff_acc"]


def test_no_reward_is_an_error_that_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"--rewards: no name .*diff_acc"):
        parse_rewards(" , ")


def test_an_unknown_reward_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--rewards curiosity: .*write one of: mtrlhf, .*diff_acc"
    ):
        planned_runs(load_config(POCKET), ["diff_acc", "curiosity"], 1, tmp_path)


def test_a_reward_that_cannot_be_had_with_the_config_is_an_error(tmp_path):
    config = load_config(POCKET, ["rewards.intrinsic.final_potential=zero"])
    with pytest.raises(ConfigError, match=r"--rewards acc: .*final_potential"):
        planned_runs(config, ["mtrlhf", "diff_acc", "acc"], 1, tmp_path)


def test_a_users_own_reward_is_compared_by_its_functions_name(tmp_path):
    own = "curio_ray.rewards.intrinsic:nothing"
    runs = planned_runs(load_config(POCKET), ["mtrlhf", own], 1, tmp_path)
    assert [run.output.name for run in runs] == ["mtrlhf-0", "nothing-0"]
    assert [run.rewards.intrinsic.function for run in runs] == [None, own]


def test_two_rewards_of_one_name_are_not_compared(tmp_path):
    both = ["curio_ray.rewards.intrinsic:nothing", "curio_ray.rewards.intrinsic:nothing"]
    with pytest.raises(ConfigError, match="--rewards: two rewards have one name"):
        planned_runs(load_config(POCKET), both, 1, tmp_path)


def test_a_comparison_goes_on_with_a_users_own_reward_in_the_config(tmp_path):
    open_comparison(tmp_path, load_config(POCKET))
    own = "rewards.intrinsic={function: curio_ray.rewards.intrinsic:nothing}"
    open_comparison(tmp_path, load_config(POCKET, [own]))


def test_every_reward_is_run_with_every_seed(tmp_path):
    runs = planned_runs(load_config(POCKET), ["mtrlhf", "acc"], 2, tmp_path)
    names = [(run.rewards.intrinsic.name, run.seed, run.output.name) for run in runs]
    assert names == [
        ("mtrlhf", 0, "mtrlhf-0"), ("acc", 0, "acc-0"),
        ("mtrlhf", 1, "mtrlhf-1"), ("acc", 1, "acc-1"),
    ]  # fmt: skip


def test_a_comparison_goes_on_with_another_reward_in_the_config(tmp_path):
    open_comparison(tmp_path, load_config(POCKET))
    open_comparison(tmp_path, load_config(POCKET, ["rewards.intrinsic.name=ent", "seed=3"]))


def test_a_comparison_does_not_mix_configs(tmp_path):
    open_comparison(tmp_path, load_config(POCKET))
    with pytest.raises(ConfigError, match=r"learner\.learning_rate"):
        open_comparison(tmp_path, load_config(POCKET, ["learner.learning_rate=1e-3"]))


def test_a_comparison_does_not_move_into_a_runs_folder(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="holds a run"):
        open_comparison(tmp_path, load_config(POCKET))


def test_a_field_is_varied_with_every_reward_and_seed(tmp_path):
    users = parse_varied("task.options.train_users=16, 64")
    runs = planned_runs(load_config(POCKET), ["mtrlhf", "acc"], 1, tmp_path, users)
    assert [(run.output.name, run.task.options["train_users"]) for run in runs] == [
        ("mtrlhf-train_users-16-0", 16), ("acc-train_users-16-0", 16),
        ("mtrlhf-train_users-64-0", 64), ("acc-train_users-64-0", 64),
    ]  # fmt: skip
    assert [run.output.name for run in one_of_each_setting(runs)] == [
        "mtrlhf-train_users-16-0",
        "mtrlhf-train_users-64-0",
    ]


def test_a_varied_value_that_cannot_work_is_an_error_that_names_the_field(tmp_path):
    rates = parse_varied("learner.learning_rate=1e-3,-1")
    with pytest.raises(ConfigError, match=r"learner\.learning_rate"):
        planned_runs(load_config(POCKET), ["acc"], 1, tmp_path, rates)


@pytest.mark.parametrize("text", ["learner.epochs", "=1", "learner.epochs=", "seed=1,2"])
def test_a_varied_field_that_cannot_be_read_says_what_to_write(text):
    with pytest.raises(ConfigError, match=r"--vary .*write"):
        parse_varied(text)


def test_a_comparison_does_not_change_its_varied_field(tmp_path):
    config = load_config(POCKET)
    open_comparison(tmp_path, config, parse_varied("learner.epochs=1,2"))
    open_comparison(tmp_path, config, parse_varied("learner.epochs=1,2,3"))
    with pytest.raises(ConfigError, match=r"varies learner\.epochs"):
        open_comparison(tmp_path, config, parse_varied("learner.minibatches=1,2"))


@pytest.mark.parametrize(("memory_gib", "cores", "expected"), [(100, 8, 8), (12, 8, 2), (1, 1, 1)])
def test_memory_and_cores_bound_the_runs_at_once(memory_gib, cores, expected):
    plan = make_plan(load_config(POCKET))
    assert 4 < plan.memory_bytes / GIB < 6
    machine = Machine(memory_gib * GIB, cores, gpus=0)
    assert runs_at_once(plan, machine) == expected


def finish(run):
    """Make a run's folder as a finished one leaves it."""
    run.output.mkdir(parents=True)
    (run.output / "config.yaml").write_text(dump_config(run))
    (run.output / "metrics.jsonl").write_text('{"iteration": 0}\n')
    write_result(run.output, {}, {})


VARIED = {
    "servers.frozen.model": ["pocket:world", "org/model", "../models/a", "a/b/c.d"],
    "task.options.note": ["'a b'", "a/b", "a_b", "x\\y", "é", f"{'long' * 80}", "..", "'*?'"],
    "learner.learning_rate": ["0.001", "1e-5"],
}


@pytest.mark.parametrize("field", VARIED)
def test_every_varied_value_has_a_flat_folder_that_the_report_sees(field, tmp_path):
    varied = parse_varied(f"{field}={','.join(VARIED[field])}")
    config = load_config(POCKET)
    runs = planned_runs(config, ["mtrlhf"], 1, tmp_path, varied)
    open_comparison(tmp_path, config, varied)
    for run in runs:
        finish(run)
    assert {run.output.parent for run in runs} == {tmp_path / "runs"}
    assert {run.value for run in read_finished(tmp_path)} == set(varied.values)


def test_a_plain_varied_value_stands_in_the_folders_name_as_it_is(tmp_path):
    varied = parse_varied("learner.learning_rate=0.001,org/model")
    value = varied.values[0]
    runs = planned_runs(
        load_config(POCKET), ["acc"], 1, tmp_path, VariedField(varied.path, (value,))
    )
    assert runs[0].output.name == "acc-learning_rate-0.001-0"


def test_two_values_that_are_written_alike_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two values are written alike: 1, '1'; leave"):
        planned_runs(
            load_config(POCKET), ["acc"], 1, tmp_path, parse_varied("task.options.note=1,'1'")
        )


def test_a_copy_of_a_runs_folder_is_no_run_of_its_own(tmp_path):
    config = load_config(POCKET)
    runs = planned_runs(config, ["mtrlhf"], 1, tmp_path)
    open_comparison(tmp_path, config)
    finish(runs[0])
    shutil.copytree(runs[0].output, runs[0].output.with_name("mtrlhf-0.bak"))
    assert len(read_finished(tmp_path)) == 1


@pytest.mark.parametrize("values", ["[1,2", "a: b: c", '"x', "2026-01-01", "no", "1:30"])
def test_varied_values_that_are_no_yaml_are_refused(values):
    with pytest.raises(ConfigError, match=r"--vary task\.options\.note=.*not valid YAML"):
        parse_varied(f"task.options.note={values}")
