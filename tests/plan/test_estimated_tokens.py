"""Token counts without a tokenizer are rather too high than too low."""

import pytest

from curio_ray.plan.context import estimate_tokens
from curio_ray.pocket.smollm2 import packaged_file
from curio_ray.tasks.education.task import EducationTask
from curio_ray.tasks.exercise.task import ExerciseTask


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    file = packaged_file()
    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


@pytest.mark.parametrize("task", [ExerciseTask(0), EducationTask(0)], ids=["exercise", "education"])
def test_no_prompt_of_a_task_takes_more_tokens_than_estimated(task, tokenizer):
    for user in task.users("train")[:8]:
        for text in (
            task.environment_prompt(user),
            task.user_model_prompt().instruction,
            *(message.content for message in task.policy_prompt(user)),
        ):
            assert len(tokenizer.encode(text)) <= estimate_tokens(text)
