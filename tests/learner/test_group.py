"""Two DeepSpeed ranks in Ray actors: the same learning as one, and what happens when one dies."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from safetensors.numpy import load_file

from curio_ray.config import RunConfig
from curio_ray.errors import (
    CheckpointError,
    ConfigError,
    DeadlineError,
    LearnerError,
    PreflightError,
)
from curio_ray.learner.group import LearnerGroup
from curio_ray.learner.sequences import SequenceScore, TrainingSequence
from curio_ray.model_paths import locate_model
from curio_ray.run_folder.checkpoints import Checkpoints
from curio_ray.weights.arrays import as_tensors
from curio_ray.weights.shared_memory import SharedMemorySender

MakeSequences = Callable[..., list[TrainingSequence]]
MakeConfig = Callable[..., RunConfig]


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def run_group(make_run_config: MakeConfig) -> Iterator[Callable[..., LearnerGroup]]:
    groups = []

    def run(**learner: Any) -> LearnerGroup:
        group = LearnerGroup(make_run_config(**learner))
        groups.append(group)
        group.start()
        group.wait_ready()
        return group

    yield run
    for group in groups:
        group.shutdown()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Scores, then the metrics of five updates, the second one of a single sequence.

    `lone_score` is of the first sequence without company, so that a second rank has none.
    `weights` are the policy's after the second and `sent` what a server would get. `state` was
    saved after the fifth, and `next_metrics` are those of the update that followed.
    """

    scores: list[SequenceScore]
    lone_score: SequenceScore
    metrics: list[dict[str, float]]
    weights: dict[str, np.ndarray]
    sent: dict[str, np.ndarray]
    state: Path
    next_metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What one rank and two ranks make of the same sequences.

    With a single sequence the second rank has nothing but padding. `curve` are the metrics of one
    rank without ZeRO, `resumed` those of two ranks' next update after loading their own state,
    `one_to_two` after loading that of one rank, and `two_to_one` those of one rank at another stage
    after loading that of two.
    """

    curve: list[dict[str, float]]
    one: Outcome
    two: Outcome
    resumed: dict[str, float]
    one_to_two: dict[str, float]
    two_to_one: dict[str, float]


KINDS: dict[str, dict[str, Any]] = {
    "stage 0": {"zero_stage": 0},
    "stage 1, ppo": {"zero_stage": 1, "loss": {"name": "ppo", "dual_clip": 3.0}},
    "stage 2, gspo": {
        "zero_stage": 2,
        "loss": {"name": "gspo", "clip_low": 0.3, "clip_high": 0.3},
    },
    "stage 3": {"zero_stage": 3},
    "stage 3, adapters": {"zero_stage": 3, "lora": {"rank": 4}, "gradient_checkpointing": True},
}


def received(sent: list[Any]) -> dict[str, np.ndarray]:
    """What a server would load, read from the object store."""
    parts = [as_tensors(ray.get(bucket)) for bucket in sent]
    return {name: tensor.numpy().copy() for part in parts for name, tensor in part.items()}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def outcomes(
    request: pytest.FixtureRequest,
    run_group: Callable[..., LearnerGroup],
    make_engine: Callable[..., Any],
    make_sequences: MakeSequences,
    policy_weights: Callable[[Any], dict[str, np.ndarray]],
    wide_model_folder: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcomes:
    kind, folder = request.param, tmp_path_factory.mktemp("outcomes")
    sequences = make_sequences(8)
    later = [make_sequences(8, seed) for seed in (1, 2, 3)]

    def engine_at(stage: int) -> Any:
        return make_engine(wide_model_folder, **(kind | {"zero_stage": stage}))

    plain, engine = engine_at(0), engine_at(kind["zero_stage"])
    curve = [plain.update(each) for each in (sequences, sequences[:1], *later)]
    scores = engine.score(sequences)
    [lone_score] = engine.score(sequences[:1]).values()
    metrics = [engine.update(sequences), engine.update(sequences[:1])]
    weights = policy_weights(engine)
    metrics += [engine.update(each) for each in later]
    engine.save(folder / "one")
    scores_in_order = [scores[index] for index in range(8)]
    following = engine.update(sequences)
    one = Outcome(scores_in_order, lone_score, metrics, weights, weights, folder / "one", following)

    group = run_group(model=wide_model_folder, ranks=2, **kind)
    scored = group.score(sequences)
    [lone_score] = group.score(sequences[:1])
    metrics = [group.update(sequences), group.update(sequences[:1])]
    group.make_weight_senders(SharedMemorySender)
    sent = received(group.send_weights(1))
    group.export_policy(folder / "policy")
    weights = load_file(folder / "policy" / "model.safetensors")
    metrics += [group.update(each) for each in later]
    group.save(folder / "two")
    following = group.update(sequences)
    two = Outcome(scored, lone_score, metrics, weights, sent, folder / "two", following)

    group.load(two.state)
    resumed = group.update(sequences)
    group.load(one.state)
    one_to_two = group.update(sequences)
    group.shutdown()
    other = engine_at((kind["zero_stage"] + 2) % 4)
    other.load(two.state)
    return Outcomes(curve, one, two, resumed, one_to_two, other.update(sequences))


def test_two_ranks_score_like_one(outcomes: Outcomes) -> None:
    for left, right in zip(outcomes.one.scores, outcomes.two.scores, strict=True):
        np.testing.assert_allclose(left.log_probs, right.log_probs, atol=1e-5)
        np.testing.assert_allclose(left.values, right.values, atol=1e-5)


def test_a_rank_without_a_dialogue_to_score_leaves_it_to_the_other(outcomes: Outcomes) -> None:
    left, right = outcomes.one.lone_score, outcomes.two.lone_score
    np.testing.assert_allclose(left.log_probs, right.log_probs, atol=1e-5)
    np.testing.assert_allclose(left.values, right.values, atol=1e-5)


def test_two_ranks_report_the_metrics_of_one(outcomes: Outcomes) -> None:
    assert outcomes.two.metrics[0] == pytest.approx(outcomes.one.metrics[0], rel=1e-4, abs=1e-6)


def test_a_rank_with_padding_only_contributes_nothing(outcomes: Outcomes) -> None:
    assert outcomes.two.metrics[1] == pytest.approx(outcomes.one.metrics[1], rel=1e-3, abs=1e-5)


def test_two_ranks_have_the_loss_curve_of_one_plain_rank(outcomes: Outcomes) -> None:
    for name in ("policy_loss", "kl", "value_loss", "gradient_norm"):
        actual = [metrics[name] for metrics in outcomes.two.metrics]
        expected = [metrics[name] for metrics in outcomes.curve]
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5, err_msg=name)


def test_two_ranks_update_the_weights_like_one(outcomes: Outcomes) -> None:
    for name, weight in outcomes.one.weights.items():
        np.testing.assert_allclose(outcomes.two.weights[name], weight, atol=2e-5, err_msg=name)


def test_the_weights_sent_are_the_policys(outcomes: Outcomes) -> None:
    sent, weights = outcomes.two.sent, outcomes.two.weights
    assert sent.keys() == weights.keys()
    assert all(np.array_equal(sent[name], weights[name]) for name in sent)


def test_two_ranks_go_on_bitwise_from_their_own_state(outcomes: Outcomes) -> None:
    assert outcomes.resumed == outcomes.two.next_metrics


def test_two_ranks_go_on_from_the_state_of_one(outcomes: Outcomes) -> None:
    expected = pytest.approx(outcomes.one.next_metrics, rel=1e-4, abs=1e-5)
    assert outcomes.one_to_two == expected


def test_one_rank_at_another_stage_goes_on_from_the_state_of_two(outcomes: Outcomes) -> None:
    expected = pytest.approx(outcomes.two.next_metrics, rel=1e-4, abs=1e-5)
    assert outcomes.two_to_one == expected


def test_metrics_of_other_names_on_another_rank_end_in_an_error(
    run_group: Callable[..., LearnerGroup], make_sequences: MakeSequences
) -> None:
    function = "tests.learner.faulty_loss:named_by_its_tokens"
    group = run_group(ranks=2, loss={"name": "custom", "function": function})
    with pytest.raises(LearnerError, match=r"learner\.loss: .*the same names for every pack"):
        group.update(make_sequences(1))


def test_a_loss_that_no_rank_can_import_is_named_by_its_field(make_run_config: MakeConfig) -> None:
    loss = {"name": "custom", "function": "no_such_module:loss"}
    group = LearnerGroup(make_run_config(loss=loss))
    group.start()
    with pytest.raises(ConfigError, match=r"rank 0: learner\.loss\.function: 'no_such_module"):
        group.wait_ready()


def test_a_killed_rank_is_named_and_the_restarted_group_continues(
    run_group: Callable[..., LearnerGroup], make_sequences: MakeSequences, tmp_path: Path
) -> None:
    sequences = make_sequences(8)
    group = run_group(ranks=2)
    group.update(sequences)
    group.save(tmp_path)
    expected = group.update(sequences)

    ray.kill(group.ranks[1])
    with pytest.raises(LearnerError, match="learner rank 1 died during update"):
        group.update(sequences)

    group.start()
    group.wait_ready()
    group.load(tmp_path)
    assert group.update(sequences) == expected


def test_at_stage_3_policy_and_start_policy_are_divided_over_the_ranks(
    run_group: Callable[..., LearnerGroup],
) -> None:
    def shares(rank: Any) -> list[float]:
        """How much of each parameter of policy and start policy one rank holds."""
        models = (rank._engine.deepspeed.module, rank._engine.reference.module)
        parameters = [each for model in models for each in model.parameters()]
        return [each.ds_tensor.ds_numel / each.ds_numel for each in parameters]

    group = run_group(ranks=2, zero_stage=3)
    for rank in group.ranks:
        held = ray.get(rank.__ray_call__.remote(shares))
        assert len(held) > 20
        assert max(held) == pytest.approx(0.5, abs=0.01)


def test_a_rank_that_writes_where_the_driver_does_not_read_ends_the_start(
    make_run_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the working folder of each process: the same path, and another folder in the rank's process
    monkeypatch.chdir(tmp_path)
    group = LearnerGroup(make_run_config(), output=Path("/proc/self/cwd/run"))
    group.start()
    with pytest.raises(PreflightError, match=r"output: .* of learner rank 0 .* all nodes share"):
        check_for_a_minute(group)
    group.shutdown()


def test_ranks_that_share_the_folder_leave_nothing_in_it(
    make_run_config: MakeConfig, tmp_path: Path
) -> None:
    group = LearnerGroup(make_run_config(ranks=2), output=tmp_path)
    group.start()
    group.wait_ready()
    assert list(tmp_path.iterdir()) == []
    group.shutdown()


def test_a_save_whose_files_do_not_reach_the_driver_is_no_checkpoint(
    run_group: Callable[..., LearnerGroup], tmp_path: Path
) -> None:
    def lose_the_first_file(rank: Any) -> None:
        from curio_ray.learner import group as in_the_rank

        sizes_of = in_the_rank.file_sizes

        def lose(folder: Path, files: list[Path]) -> dict[str, int]:
            sizes = sizes_of(folder, files)
            files[0].unlink()
            return sizes

        in_the_rank.file_sizes = lose

    group = run_group(ranks=2)
    ray.get(group.ranks[1].__ray_call__.remote(lose_the_first_file))
    checkpoints = Checkpoints(tmp_path, keep=2)
    with (
        pytest.raises(CheckpointError, match=r"learner rank 1 has written .* not here"),
        checkpoints.write(1) as folder,
    ):
        group.save(folder)
    assert checkpoints.all() == []


def test_a_rank_that_is_late_is_named_with_the_field_to_raise(make_run_config: MakeConfig) -> None:
    group = LearnerGroup(make_run_config(start_deadline_s=0.01))
    group.start()
    with pytest.raises(DeadlineError, match=r"rank 0 did not finish start.*start_deadline_s"):
        group.wait_ready()


def test_a_stuck_rank_ends_in_a_deadline_that_names_it(
    run_group: Callable[..., LearnerGroup], make_sequences: MakeSequences
) -> None:
    group = run_group(step_deadline_s=3)
    process = ray.get(group.ranks[0].__ray_call__.remote(lambda rank: os.getpid()))
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineError, match=r"rank 0 did not finish update within 3 s"):
            group.update(make_sequences(2))
    finally:
        os.kill(process, signal.SIGKILL)


def test_a_rank_that_cannot_start_says_why(make_run_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    shutil.copy(Path(locate_model("pocket:policy")) / "tokenizer.json", tmp_path)
    group = LearnerGroup(make_run_config(model=str(tmp_path)))
    group.start()
    with pytest.raises(LearnerError, match=r"learner rank 0 failed in start(.|\n)*safetensors"):
        group.wait_ready()


def check_for_a_minute(group: LearnerGroup) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        group.check_start()
        time.sleep(0.1)


def test_a_rank_that_failed_while_it_was_loading_is_seen_without_waiting(
    make_run_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    group = LearnerGroup(make_run_config(model=str(tmp_path)))
    group.start()
    group.check_start()
    with pytest.raises(LearnerError, match="learner rank 0 failed in start"):
        check_for_a_minute(group)


def test_a_group_that_does_not_run_says_what_to_call(make_run_config: MakeConfig) -> None:
    with pytest.raises(LearnerError, match="call start"):
        LearnerGroup(make_run_config()).score([])


def test_two_ranks_take_an_update_back_together(
    run_group: Callable[..., LearnerGroup], make_sequences: MakeSequences
) -> None:
    sequences = make_sequences(8)
    group = run_group(ranks=2, zero_stage=2, max_update_kl=1e-12)
    before = group.score(sequences)
    assert group.update(sequences)["updates_taken_back"] == 5
    for left, right in zip(before, group.score(sequences), strict=True):
        np.testing.assert_array_equal(left.log_probs, right.log_probs)
