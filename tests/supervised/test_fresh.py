"""The tokenizer and the shape of a fresh model."""

from __future__ import annotations

from curio_ray.config.supervised import FreshModelConfig
from curio_ray.roles.chat import ChatFormat
from curio_ray.supervised.fresh import fresh_model, fresh_tokenizer
from curio_ray.tasks.education.task import EducationTask

SHAPE = FreshModelConfig(layers=1, width=32, heads=1, vocabulary=400, context=256)


def test_every_text_comes_back_as_it_was(chat: ChatFormat) -> None:
    text = 'Is 3 × 4 = 12? "Yes," says Ada … 12.'
    assert chat.tokenizer.decode(chat.encode(text)) == text


def test_its_chats_can_be_extended_token_by_token(task: EducationTask, chat: ChatFormat) -> None:
    chat.verify(task.policy_prompt(task.users("train")[0]), [("Why?", "Because."), ("Oh.", "Yes.")])


def test_the_same_task_gives_the_same_tokenizer(task: EducationTask) -> None:
    first, second = (fresh_tokenizer(task, SHAPE) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert len(first) <= SHAPE.vocabulary


def test_the_same_seed_gives_the_same_weights(task: EducationTask) -> None:
    tokenizer = fresh_tokenizer(task, SHAPE)
    one, same, other = (fresh_model(tokenizer, SHAPE, seed) for seed in (0, 0, 1))
    assert one.lm_head.weight.equal(same.lm_head.weight)
    assert not one.lm_head.weight.equal(other.lm_head.weight)
