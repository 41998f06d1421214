"""A config that cannot work ends the command before anything is started."""

import socket
from pathlib import Path

import pytest

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"

BAD = {
    "unknown field": (
        "servers.frozen.modle=x",
        "servers.frozen.modle: there is no such field; did you mean model?",
    ),
    "unknown section": ("trainng.iterations=3", "trainng: there is no such field; did you mean"),
    "role without server": (
        "roles.user_model.server=judge",
        "roles.user_model.server: there is no server 'judge'; write one of: frozen, policy",
    ),
    "role with no server named": ("roles.user_model={}", "roles.user_model.server: is missing"),
    "a cut of the policy's distribution": (
        "roles.policy.top_p=0.9",
        "roles.policy.top_p: the policy learns from the log-probabilities of its whole",
    ),
    "a sampling temperature that vLLM refuses": (
        "roles.policy.temperature=3",
        "roles.policy.temperature: ",
    ),
    "turns below one": ("task.options.questions=0", "task.options.questions: "),
    "unknown reward": (
        "rewards.intrinsic.name=curiosity",
        "rewards.intrinsic.name: there is no reward 'curiosity'; write one of: mtrlhf, ",
    ),
    "misspelt reward": (
        "rewards.intrinsic.name=dif_acc",
        "rewards.intrinsic.name: there is no reward 'dif_acc'; did you mean diff_acc? write one of",
    ),
    "reward function that is not there": (
        "rewards.intrinsic={function: my_rewards:surprise}",
        "rewards.intrinsic.function: 'my_rewards:surprise' cannot be loaded (No module named ",
    ),
    "final potential of a reward without one": (
        "rewards.intrinsic={name: acc, final_potential: zero}",
        "rewards.intrinsic.final_potential: acc is not potential-based",
    ),
    "unknown task": ("task.name=cooking", "task.name: there is no task 'cooking'; write one of: "),
    "missing model folder": (
        "servers.frozen.model=./models/none",
        "servers.frozen.model: ./models/none: there is no such folder; write an existing model",
    ),
    "missing model that looks like a hub id": (
        "servers.frozen.model=models/none",
        "servers.frozen.model: there is no folder models/none",
    ),
    "unknown packaged model": (
        "servers.frozen.model=pocket:judge",
        "servers.frozen.model: pocket:judge: there is no such packaged model; write pocket:policy",
    ),
    "more memory than there is": (
        "servers.frozen.kv_cache_gib=4000",
        "servers.frozen.kv_cache_gib: 4000.00 GiB; write ",
    ),
    "KV cache smaller than one sequence": (
        "servers.frozen.kv_cache_gib=0.0001",
        "servers.frozen.kv_cache_gib: one sequence of max_model_len 512 takes ",
    ),
    "context too short for a dialogue": (
        "servers.frozen.max_model_len=64",
        "servers.frozen.max_model_len: the environment's longest context can take ",
    ),
    "context longer than the model's": (
        "servers.frozen.max_model_len=9999",
        "servers.frozen.max_model_len: pocket:world reads at most ",
    ),
    "GPUs that are not there": (
        "servers.frozen.gpus=1",
        "servers.frozen.gpus: 1 x 1 GPUs are asked for and this machine has ",
    ),
    "more logical CPUs than Ray would have": (
        "rollout.runners=500",
        "cluster.cpus: the actors ask for ",
    ),
    "quality term that the task lacks": (
        "rewards.quality={informative: 0.1}",
        "rewards.quality.informative: the task 'exercise' has no such quality term; it has none",
    ),
    "penalty without its free tokens": (
        "rewards.penalties.length={weight: 0.1}",
        "rewards.penalties.length.free_tokens: is missing; write its value: tokens of a turn that",
    ),
    "unknown field of a penalty": (
        "rewards.penalties.repetition={wieght: 0.1}",
        "rewards.penalties.repetition.wieght: there is no such field; did you mean weight?",
    ),
    "second user model without a server": (
        "evaluation.second_user_model.server=second",
        "evaluation.second_user_model.server: there is no server 'second'; write one of: frozen, ",
    ),
    "judge on the policy's server": (
        "evaluation.judge.server=policy",
        "evaluation.judge.server: 'policy' serves the policy, whose weights change",
    ),
    "judge that cannot read two dialogues": (
        "evaluation.judge.server=frozen",
        "servers.frozen.max_model_len: the judge's longest context can take ",
    ),
    "unknown loss": (
        "learner.loss.name=pop",
        "learner.loss.name: 'pop' does not work; write one of: reinforce, ppo, gspo, custom",
    ),
    "loss that cannot be imported": (
        "learner.loss={name: custom, function: 'no_such_module:loss'}",
        "learner.loss.function: 'no_such_module:loss' cannot be loaded (No module named",
    ),
    "old name of a field": (
        "learner.ratio_cap=2",
        "learner.ratio_cap: is called learner.loss.importance_ratio_cap",
    ),
    "wrong type": ("seed=one", "seed: 'one' does not work; write a whole number"),
    "empty section": ("learner=null", "learner: is empty; write a section"),
    "bfloat16 without ZeRO": (
        "learner.precision=bfloat16",
        "learner.zero_stage: bfloat16 needs sharded optimizer states; write 1 or more",
    ),
    "unknown weight backend": (
        "weights.backend=carrier_pigeon",
        "weights.backend: there is no backend 'carrier_pigeon'; write one of: shared_memory, ",
    ),
    "weights between GPUs where there are none": (
        "weights.backend=nccl",
        "weights.backend: nccl needs GPUs on both sides; set servers.policy.gpus and ",
    ),
    "override without a value": ("seed", "--set seed: write it as field.path=value"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_config_ends_train_with_its_field_and_what_to_write(curio, case):
    override, message = BAD[case]
    ended = curio("train", str(POCKET), "--set", override)
    assert ended.code == 2, ended.error
    assert message in ended.error
    assert "Traceback" not in ended.error
    assert ended.heavy_modules == []


def test_bad_config_ends_plan_as_well(curio):
    ended = curio("plan", str(POCKET), "--set", "servers.frozen.kv_cache_gib=4000")
    assert ended.code == 2
    assert "servers.frozen.kv_cache_gib: 4000.00 GiB; write " in ended.error


ADDRESS = "s3://bucket/runs/pocket"


@pytest.mark.parametrize(
    "command",
    [
        ("train", str(POCKET), "--output", ADDRESS),
        ("plan", str(POCKET), "--set", f"output={ADDRESS}"),
        ("sft", "education_pocket", "--output", ADDRESS),
        ("compare", str(POCKET), "--rewards", "mtrlhf", "--output", ADDRESS),
        ("init", ADDRESS),
        ("pocket", "build", "--output", "gs://bucket/pocket"),
    ],
)
def test_an_address_instead_of_a_folder_says_what_to_write(curio, command, tmp_path):
    ended = curio(*command)
    assert ended.code == 2, ended.output
    assert "an address is no folder; write the path under which it is mounted" in ended.error
    assert ended.heavy_modules == []
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_reward_ends_a_comparison_as_well(curio, tmp_path):
    ended = curio("compare", str(POCKET), "--rewards", "mtrlhf,dif_acc")
    assert ended.code == 2
    assert "--rewards dif_acc: rewards.intrinsic.name: there is no reward 'dif_acc'" in ended.error
    assert ended.heavy_modules == []
    assert not (tmp_path / "runs").exists()


def test_bad_config_leaves_no_run_folder(curio, tmp_path):
    curio("train", str(POCKET), "--set", "servers.frozen.kv_cache_gib=4000")
    assert not (tmp_path / "runs").exists()


def test_missing_config_file_is_named(curio):
    ended = curio("train", "nowhere.yaml")
    assert ended.code == 2
    assert "nowhere.yaml: there is no such file; write" in ended.error


def test_taken_port_is_named(curio):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = curio("train", str(POCKET), "--set", f"learner.port={port}")
    assert ended.code == 2
    assert f"learner.port: port {port} is taken" in ended.error


def test_output_that_is_a_file_is_an_error(curio, tmp_path):
    (tmp_path / "taken").write_text("")
    ended = curio("train", str(POCKET), "--output", "taken/run")
    assert ended.code == 2
    assert "is a file; write another folder" in ended.error
