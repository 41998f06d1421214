"""What each role learns from and is measured on."""

from __future__ import annotations

import pytest

from curio_ray.config.supervised import SupervisedRoleConfig
from curio_ray.roles.chat import ChatFormat
from curio_ray.supervised.lessons import Lessons
from curio_ray.tasks.education.task import EducationTask


@pytest.fixture(scope="module")
def user_model(task: EducationTask, chat: ChatFormat) -> Lessons:
    return Lessons("user_model", chat, task)


def test_the_user_model_is_measured_at_every_moment(
    task: EducationTask, user_model: Lessons
) -> None:
    moments = sum(len(each.utterances) // 2 + 1 for each in task.demonstrations("held_out"))
    assert len(user_model.held_out()) == moments


def test_the_user_model_is_asked_at_some_moments_of_each_conversation(
    task: EducationTask, user_model: Lessons
) -> None:
    config = SupervisedRoleConfig(moments=2, epochs=3, batch_size=4, micro_batch=4)
    learned = user_model.training(config, seed=0)
    assert len(learned) == 3 * 2 * len(task.demonstrations("train"))


def test_epochs_may_be_a_fraction(task: EducationTask, chat: ChatFormat) -> None:
    count = len(task.demonstrations("train"))
    for epochs in (0.5, 1.5):
        config = SupervisedRoleConfig(epochs=epochs)
        learned = Lessons("policy", chat, task).training(config, seed=0)
        assert len(learned) == round(epochs * count)


def test_the_same_seed_gives_the_same_order(task: EducationTask, chat: ChatFormat) -> None:
    config = SupervisedRoleConfig(epochs=2, batch_size=1, micro_batch=1)

    def lengths(seed: int) -> list[int]:
        lessons = Lessons("environment", chat, task)
        return [len(group[0]) for group in lessons.training(config, seed)]

    assert lengths(3) == lengths(3) != lengths(4)


def test_the_reward_model_learns_from_pairs_about_students_of_one_style(
    task: EducationTask, chat: ChatFormat
) -> None:
    pairs = task.preferences("train")
    assert all(better.user.type_index == worse.user.type_index for better, worse in pairs)
    learned = Lessons("reward_model", chat, task).training(SupervisedRoleConfig(), seed=0)
    assert [len(group) for group in learned] == [2] * len(pairs)
