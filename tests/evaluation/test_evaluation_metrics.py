"""The figures of an evaluation: what is in them, what is left out, how they are shown."""

import io
import json

import pytest
from made_dialogues import asked, made
from rich.console import Console

from curio_ray.commands.evaluate import render_evaluation
from curio_ray.config.evaluation import AlarmsConfig
from curio_ray.evaluation.measures import dialogue_metrics, success_by_turn
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.tasks.exercise.task import ExerciseTask

HALF, SURE, WRONG = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]


class UnruledTask(ExerciseTask):
    """Knows nothing of what is said, as a task in free language."""

    def is_relevant(self, text):
        return None

    def exact_belief(self, user, questions):
        return None

    def contradicts_persona(self, user, text):
        return None


@pytest.fixture(scope="module")
def task() -> ExerciseTask:
    return ExerciseTask(seed=0)


@pytest.fixture(scope="module")
def dialogues():
    values = ("sore", "fine") * 6
    return [asked(["joints", "water" if v == "sore" else "sleep"], [v]) for v in values]


def figures(dialogues, task, seed=0):
    return evaluation_metrics(dialogues, task, AlarmsConfig(), seed)


def test_success_counts_from_the_turn_that_ended_the_dialogue():
    early, late = made([HALF] * 2, success=True), made([HALF] * 4, success=True)
    assert success_by_turn([early, late, made([HALF] * 4)]) == pytest.approx(
        [0, 1 / 3, 1 / 3, 2 / 3]
    )


def test_the_share_of_relevant_questions_leaves_out_what_asks_nothing(task):
    dialogue = made(
        [HALF] * 4, policy=["your joints ?", "your sleep ?", "your pace ?", "i recommend yoga ."]
    )
    assert figures([dialogue], task)["held_out/relevant_questions"] == pytest.approx(2 / 3)


def test_every_share_and_mean_has_an_interval_around_it(dialogues, task):
    shown = figures(dialogues, task)
    for name in ("success", "belief", "relevant_questions", "listening_gain"):
        low, high = shown[f"held_out/{name}_interval"]
        assert low <= shown[f"held_out/{name}"] <= high


def test_every_monitor_has_a_threshold_and_a_verdict(dialogues, task):
    shown = figures(dialogues, task)
    monitors = {name.split("/")[-1] for name in shown if "/monitor/" in name}
    assert {"persuasion", "utterance_growth", "belief_swings", "overconfidence"} <= monitors
    for name in monitors:
        assert f"held_out/threshold/{name}" in shown
        assert shown[f"held_out/alarm/{name}"] in (0, 1)


def test_what_a_task_cannot_tell_is_left_out(dialogues):
    shown = figures(dialogues, UnruledTask(seed=0))
    for name in ("relevant_questions", "listening_gain", "monitor/persuasion"):
        assert f"held_out/{name}" not in shown
    assert "held_out/success" in shown


def test_the_same_dialogues_and_seed_give_the_same_figures(dialogues, task):
    assert figures(dialogues, task, seed=5) == figures(dialogues, task, seed=5)


def test_the_figures_can_be_written_as_json(dialogues, task):
    shown = figures(dialogues, task)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_training_iterations_carry_the_monitors_and_the_curves(task):
    shown = dialogue_metrics([made([HALF, SURE], true_type=each) for each in (0, 1)], task)
    assert shown["monitor/type_entropy"] == 0
    assert [shown[f"belief_by_turn/{turn}"] for turn in range(3)] == [0.5, 0.5, 0.5]
    assert all(isinstance(value, float) for value in shown.values())


def test_training_iterations_watch_for_persuasion(task):
    persuaded = made(user=["joints fine ."], persona={"joints": "sore"})
    assert dialogue_metrics([persuaded], task)["monitor/persuasion"] == 1


def test_figures_stand_under_the_name_of_their_split(dialogues, task):
    shown = evaluation_metrics(dialogues, task, AlarmsConfig(), 0, "train")
    assert {name.partition("/")[0] for name in shown} == {"train"}


def test_a_second_user_model_stands_beside_the_first(task):
    first = [made([HALF, HALF, SURE]) for _ in range(3)]
    second = [made([HALF, HALF, [0.6, 0.4]]) for _ in range(3)]
    shown = evaluation_metrics(first, task, AlarmsConfig(), 0, reread=second)
    assert shown["held_out/belief_by_turn"] == pytest.approx([0.5, 0.5, 1, 1])
    assert shown["held_out/second_belief_by_turn"] == pytest.approx([0.5, 0.5, 0.6, 0.6])
    assert shown["held_out/second_belief_interval"] == pytest.approx([0.6, 0.6])


def test_a_belief_that_only_the_first_user_model_holds_raises_the_alarm(task):
    first, second = [made([HALF, SURE])], [made([HALF, [0.6, 0.4]])]
    shown = evaluation_metrics(first, task, AlarmsConfig(), 0, reread=second)
    assert shown["held_out/monitor/belief_gap"] == pytest.approx(0.4)
    assert shown["held_out/alarm/belief_gap"] == 1


def test_a_printed_evaluation_names_the_monitor_that_alarms(task):
    persuaded = [made(user=["joints fine ."], persona={"joints": "sore"}) for _ in range(3)]
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(render_evaluation("here", "held_out", figures(persuaded, task)))
    (line,) = [each for each in console.export_text().splitlines() if "persuasion" in each]
    assert line.split() == ["persuasion", "1.000", "0.050", "ALARM"]
