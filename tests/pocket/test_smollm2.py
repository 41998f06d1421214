"""The pretrained model that comes as a package becomes a model folder."""

from pathlib import Path

import pytest

from curio_ray.plan.model_size import known_size, read_size
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.education.task import EducationTask
from curio_ray.tasks.exercise.task import ExerciseTask


def test_the_folder_holds_every_parameter_of_the_model(smollm_folder):
    known = known_size("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert read_size("servers.policy.model", Path(smollm_folder)) == known


@pytest.mark.parametrize("task", [ExerciseTask(0), EducationTask(0)], ids=["exercise", "education"])
def test_the_labels_of_both_tasks_begin_with_tokens_of_their_own(smollm_folder, task):
    chat = ChatFormat.load(smollm_folder)
    user = task.users("train")[0]
    for prompt in (task.user_model_prompt(), task.reward_model_prompt(user)):
        ids = ReadingFormat(chat, prompt).label_ids
        assert len(set(ids)) == len(prompt.labels)


def test_its_chat_template_can_be_extended_turn_by_turn(smollm_folder):
    task = EducationTask(0)
    chat = ChatFormat.load(smollm_folder)
    prompt = task.policy_prompt(task.users("train")[0])
    chat.verify(prompt, [("Why is the sky blue?", "I do not know."), ("Guess!", "Water?")])
