"""What a short run must show."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from curio_ray.model_paths import locate_model

pytestmark = pytest.mark.slow

SUMMARY_FIELDS = {
    "task", "intrinsic", "seed", "iterations", "dialogues", "held_out_users", "success_before",
    "success_after", "belief_before", "belief_after", "seconds_to_first_dialogue", "seconds_total",
    "peak_memory_bytes", "alarms", "seconds_since_resumed", "resumed_after",
    "failed_dialogues", "best_iteration",
}  # fmt: skip


def largest_difference(model_folder, dialogues) -> float:
    """Between the log-probs that servers reported and those of a model in transformers."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    largest = 0.0
    for dialogue in dialogues:
        ids = torch.tensor(dialogue.token_ids)
        with torch.no_grad():
            rows = model(ids[None]).logits[0].log_softmax(-1)
        for (start, end), turn in zip(dialogue.policy_spans(), dialogue.policy_turns, strict=True):
            own = rows[start - 1 : end - 1].gather(1, ids[start:end, None])[:, 0].numpy()
            largest = max(largest, float(np.abs(own - turn.log_probs).max()))
    return largest


def test_the_first_step_has_importance_ratio_one(short_run):
    assert short_run.metrics(1)["ratio_max_deviation"] < 1e-3


def test_the_first_step_has_no_kl(short_run):
    assert abs(short_run.metrics(1)["kl"]) < 1e-3


def test_before_an_update_the_server_samples_from_the_start_policy(short_run):
    assert largest_difference(locate_model("pocket:policy"), short_run.dialogues(1)) < 1e-3


def test_after_an_update_the_server_samples_from_the_learners_weights(short_run):
    assert largest_difference(short_run.policy(1), short_run.dialogues(2)) < 1e-3


def test_the_learners_new_weights_are_not_the_old_ones(short_run):
    assert largest_difference(locate_model("pocket:policy"), short_run.dialogues(2)) > 1e-3


def test_every_token_knows_the_version_that_sampled_it(short_run):
    for iteration in (1, 2):
        versions = {
            version
            for dialogue in short_run.dialogues(iteration)
            for turn in dialogue.policy_turns
            for version in turn.weight_versions
        }
        assert versions == {iteration - 1}


def test_no_dialogue_is_trained_on_twice(short_run):
    ids = [dialogue.id for number in (1, 2) for dialogue in short_run.dialogues(number)]
    assert len(set(ids)) == 32


def test_the_summary_has_every_field(short_run):
    summary = json.loads((short_run.path / "summary.json").read_text())
    assert set(summary) == SUMMARY_FIELDS
    assert summary["dialogues"] == 16 * short_run.iterations


def test_the_run_folder_is_named_in_what_is_printed(short_run):
    assert str(short_run.path) in short_run.printed.replace("\n", "")


def test_all_processes_together_stay_under_eight_gibibytes(short_run):
    summary = json.loads((short_run.path / "summary.json").read_text())
    assert 0 < summary["peak_memory_bytes"] < 8 * 2**30
