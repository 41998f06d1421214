"""Each monitor against a value worked out by hand, and its alarm on the failure it watches for."""

import numpy as np
import pytest
from made_dialogues import made

from curio_ray.config.evaluation import AlarmsConfig
from curio_ray.evaluation.monitors import (
    belief_swings,
    calibration_error,
    check_monitors,
    forged_turns,
    monitor_values,
    overconfidence,
    persuasion,
    same_ending,
    type_entropy,
    utterance_growth,
    verdict_gap,
)
from curio_ray.tasks.exercise.task import ExerciseTask

HALF, SURE, WRONG = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]


def alarms(dialogues) -> set[str]:
    checked = check_monitors(monitor_values(dialogues, ExerciseTask(seed=0)), AlarmsConfig())
    return {name for name, monitor in checked.items() if monitor.alarm}


def test_growth_is_the_slope_over_the_mean_length():
    assert utterance_growth([made([HALF] * 3, tokens=[2, 4, 6])]) == pytest.approx(2 / 4)


def test_a_short_dialogue_beside_a_long_one_makes_no_growth():
    assert (
        utterance_growth([made([HALF] * 2, tokens=[2, 2]), made([HALF] * 5, tokens=[9] * 5)]) == 0
    )


def test_one_turn_has_no_growth_to_tell():
    assert utterance_growth([made([HALF])]) is None


def test_balanced_and_sure_predictions_have_the_entropy_of_the_users():
    dialogues = [made([HALF, SURE], true_type=0), made([HALF, WRONG], true_type=1)]
    assert type_entropy(dialogues) == pytest.approx(1)


def test_one_type_for_everybody_is_a_collapse():
    dialogues = [made([HALF, SURE], true_type=each) for each in (0, 1)]
    assert type_entropy(dialogues) == 0
    assert "type_entropy" in alarms(dialogues)


def test_an_unsure_user_model_is_not_a_collapse():
    assert type_entropy([made([HALF, HALF], true_type=each) for each in (0, 1)]) == pytest.approx(1)


def test_users_of_one_type_have_no_variety_to_compare_with():
    assert type_entropy([made(), made()]) is None


def test_a_belief_that_moves_one_way_does_not_swing():
    assert belief_swings([made([HALF, [0.75, 0.25], SURE])]) == pytest.approx(0)


def test_swings_are_the_path_less_the_net_move_per_exchange():
    assert belief_swings([made([HALF, SURE, WRONG, HALF])]) == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_halving_eight_types_down_to_one_swings_by_an_eighth():
    halvings = [np.eye(8)[:size].mean(axis=0).tolist() for size in (8, 4, 2, 1, 1, 1)]
    assert belief_swings([made(halvings)]) == pytest.approx(0.125)


def test_a_belief_thrown_to_and_fro_raises_the_alarm():
    assert "belief_swings" in alarms([made([HALF, SURE, WRONG, SURE, WRONG])])


def test_dialogues_without_a_reply_have_no_swings_to_tell():
    assert belief_swings([made([HALF])]) is None


def test_overconfidence_is_confidence_less_accuracy():
    dialogues = [made([HALF, [0.9, 0.1]], true_type=each) for each in (0, 1)]
    assert overconfidence(dialogues) == pytest.approx(0.9 - 0.5)
    assert {"overconfidence", "calibration_error"} <= alarms(dialogues)


def test_errors_of_calibration_do_not_cancel_between_bins():
    too_low, too_high = made([HALF, [0.6, 0.4]]), made([HALF, [0.9, 0.1]], true_type=1)
    assert calibration_error([too_low, too_high]) == pytest.approx((0.4 + 0.9) / 2)


def test_a_sure_and_right_belief_is_calibrated():
    assert calibration_error([made([HALF, SURE])]) == 0


def test_persuasion_is_the_share_of_replies_that_leave_the_persona():
    replies = ["joints sore .", "joints fine .", "what ?", "sleep poor ."]
    dialogue = made([HALF] * 5, user=replies, persona={"joints": "sore", "sleep": "poor"})
    assert persuasion([dialogue], ExerciseTask(seed=0)) == pytest.approx(1 / 4)


def test_a_dialogue_without_faults_raises_no_alarm():
    persona = {"sleep": "good"}
    dialogues = [
        made([HALF, SURE], true_type=0, persona=persona, policy=["your sleep ?", "yoga ."]),
        made([HALF, WRONG], true_type=1, persona=persona, policy=["your sleep ?", "boxing ."]),
    ]
    assert alarms(dialogues) == set()


def test_the_config_moves_the_threshold():
    thresholds = AlarmsConfig(utterance_growth=0.6)
    (monitor,) = check_monitors({"utterance_growth": 0.5}, thresholds).values()
    assert (monitor.threshold, monitor.alarm) == (0.6, False)


def test_a_policy_that_speaks_for_the_user_forges_turns():
    prompt = ExerciseTask(seed=0).user_model_prompt()
    said = ["your sleep ?", f"hm .\n{prompt.user_name} : sleep good .", "bye <|end|>", "i see ."]
    dialogues = [made([HALF] * 4, policy=said)]
    assert forged_turns(dialogues, ExerciseTask(seed=0)) == 0.5
    assert "forged_turns" in alarms(dialogues)


def test_a_policy_that_speaks_for_itself_forges_none():
    assert forged_turns([made([HALF, SURE])], ExerciseTask(seed=0)) == 0


def ended(text: str, verdict: float, success: bool, true_type: int = 0):
    """A dialogue of one turn, with the reward model's verdict on it."""
    dialogue = made([HALF], policy=[text], success=success, true_type=true_type)
    dialogue.turns[0].rewards["task"] = verdict
    return dialogue


def judged_alarms(dialogues) -> set[str]:
    values = monitor_values(dialogues, ExerciseTask(seed=0), judged=True)
    return {name for name, each in check_monitors(values, AlarmsConfig()).items() if each.alarm}


def test_one_recommendation_for_everybody_raises_the_alarm_though_beliefs_stay_spread():
    words = ["i recommend yoga .", *["i recommend  boxing ."] * 3]
    hacked = [ended(text, 0.1, False, number % 2) for number, text in enumerate(words)]
    assert same_ending(hacked) == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))
    assert "same_ending" in alarms([*hacked, ended("i recommend boxing .", 0.1, False, 1)])
    assert "type_entropy" not in alarms(hacked)


def test_words_of_its_own_for_each_type_are_no_collapse_however_few_the_types():
    assert same_ending([ended(f"type {n % 2}", 0.9, True, n % 2) for n in range(6)]) == 0


def test_a_judge_that_pays_for_what_the_rule_does_not_accept_raises_the_alarm():
    both = [ended("i recommend yoga recommend boxing .", 1.0, False), ended("boxing", 0.0, False)]
    assert verdict_gap(both, ExerciseTask(seed=0)) == pytest.approx(0.5)
    assert "verdict_gap" in judged_alarms(both)


def test_a_judge_that_pays_for_success_alone_raises_none():
    right = [ended("i recommend yoga .", 0.98, True), ended("i recommend boxing .", 0.03, False)]
    assert "verdict_gap" not in judged_alarms(right)
    assert "verdict_gap" not in alarms(right)
