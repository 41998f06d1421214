"""The packaged sample as a task, and the chat format of a small fresh model."""

from __future__ import annotations

import pytest

from curio_ray.config.supervised import FreshModelConfig
from curio_ray.roles.chat import ChatFormat
from curio_ray.supervised.fresh import fresh_tokenizer
from curio_ray.tasks.education.task import EducationTask

TINY = FreshModelConfig(layers=1, width=32, heads=1, vocabulary=600, context=512)


@pytest.fixture(scope="session")
def task() -> EducationTask:
    styles = ["story_telling", "hands_on", "lectures", "discussion"]
    return EducationTask(seed=0, styles=styles, turns=3)


@pytest.fixture(scope="session")
def chat(task: EducationTask) -> ChatFormat:
    return ChatFormat(fresh_tokenizer(task, TINY), "fresh")
