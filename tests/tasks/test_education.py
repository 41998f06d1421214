"""The education task: its users, its words and its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from curio_ray.config.run import TaskConfig
from curio_ray.dialogue import Turn
from curio_ray.errors import ConfigError
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Split
from curio_ray.tasks.education.data import SAMPLE_FILE
from curio_ray.tasks.education.task import STYLE_WORDS, EducationTask
from curio_ray.tasks.registry import make_task, task_names

ALL_STYLES = ["story_telling", "hands_on", "lectures", "discussion"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def say(text: str) -> Turn:
    return Turn("policy", text, [1], [0.0], [0])


def hear(text: str) -> Turn:
    return Turn("user", text, [1])


@pytest.fixture(scope="module")
def task() -> EducationTask:
    return EducationTask(seed=0)


@pytest.fixture(scope="module")
def four() -> EducationTask:
    return EducationTask(seed=0, styles=ALL_STYLES)


def topics(task: EducationTask, split: Split) -> set[str]:
    return {user.persona["topic"] for user in task.users(split)}


def test_education_is_registered() -> None:
    assert "education" in task_names()
    assert isinstance(make_task(TaskConfig(name="education"), seed=0), EducationTask)


def test_the_user_types_are_the_papers_two_by_default(task: EducationTask) -> None:
    assert task.user_types == ("story_telling", "hands_on")
    assert task.max_turns == 10


def test_all_four_styles_are_an_option(four: EducationTask) -> None:
    assert four.user_types == tuple(ALL_STYLES)
    assert {user.type_index for user in four.users("train")} == {0, 1, 2, 3}


def test_the_same_seed_gives_the_same_users(task: EducationTask) -> None:
    assert EducationTask(seed=0).users("train") == task.users("train")
    assert EducationTask(seed=1).users("train") != task.users("train")


def test_no_user_occurs_twice(four: EducationTask) -> None:
    users = [*four.users("train"), *four.users("held_out")]
    assert len({(user.type_index, *user.persona.values()) for user in users}) == len(users)
    assert len({user.id for user in users}) == len(users)


def test_training_and_held_out_users_share_no_topic(task: EducationTask) -> None:
    assert topics(task, "train")
    assert topics(task, "held_out")
    assert not topics(task, "train") & topics(task, "held_out")


def test_training_and_held_out_conversations_share_no_row(four: EducationTask) -> None:
    train, held_out = four.conversations("train"), four.conversations("held_out")
    assert len(train) + len(held_out) == 16
    assert {each.topic for each in train} <= topics(four, "train")
    assert {each.topic for each in held_out} <= topics(four, "held_out")


def test_conversations_have_only_the_tasks_styles(task: EducationTask) -> None:
    styles = {each.student_style for each in task.conversations("train")}
    assert styles <= {"story_telling", "hands_on"}


def test_a_topics_split_depends_on_neither_the_seed_nor_other_topics(
    task: EducationTask, tmp_path: Path
) -> None:
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps(json.loads(SAMPLE_FILE.read_text())[:8]))
    other = EducationTask(seed=7, files=[str(fewer)])
    assert topics(other, "train") < topics(task, "train")
    assert topics(other, "held_out") < topics(task, "held_out")


def test_types_are_evenly_spread_and_fewer_users_are_the_first_ones(task: EducationTask) -> None:
    some = EducationTask(seed=0, train_users=10, held_out_users=8)
    assert some.users("train") == task.users("train")[:10]
    assert sum(user.type_index for user in some.users("train")) == 5
    assert sum(user.type_index for user in some.users("held_out")) == 4


def test_the_opening_names_the_topic_and_not_the_style(four: EducationTask) -> None:
    openings: dict[str, set[str]] = {}
    for user in four.users("train"):
        topic = user.persona["topic"]
        assert topic.removeprefix("The ") in four.opening(user)
        openings.setdefault(topic, set()).add(four.opening(user))
    assert all(len(of_topic) == 1 for of_topic in openings.values())


def test_the_policy_is_told_the_topic_alone(four: EducationTask) -> None:
    prompts: dict[str, set[tuple[str, ...]]] = {}
    for user in four.users("train"):
        messages = four.policy_prompt(user)
        assert messages[-1].content == four.opening(user)
        of_topic = prompts.setdefault(user.persona["topic"], set())
        of_topic.add(tuple(message.content for message in messages))
    assert all(len(of_topic) == 1 for of_topic in prompts.values())


def test_the_student_is_told_topic_style_and_reaction(four: EducationTask) -> None:
    for user in four.users("train")[:8]:
        persona = four.environment_prompt(user)
        named = [style for style, words in STYLE_WORDS.items() if words in persona]
        assert named == [four.user_types[user.type_index]]
        assert user.persona["reaction"] in persona


def test_the_user_model_answers_by_letters_that_stand_for_the_types(four: EducationTask) -> None:
    prompt = four.user_model_prompt()
    assert prompt.labels == ("A", "B", "C", "D")
    for label, style in zip(prompt.labels, four.options.styles, strict=True):
        assert f"\n{label}: {STYLE_WORDS[style]}\n" in prompt.instruction
    assert EducationTask(seed=0).user_model_prompt().labels == ("A", "B")


def test_the_judge_is_not_told_the_style(four: EducationTask) -> None:
    user = four.users("train")[0]
    prompt = four.reward_model_prompt(user)
    assert prompt.labels == ("No", "Yes")
    assert not any(words in prompt.instruction for words in STYLE_WORDS.values())


def test_labels_and_prompts_work_with_a_byte_level_tokenizer(four: EducationTask) -> None:
    user = four.users("train")[0]
    chat = ChatFormat(byte_level_tokenizer(), "byte-level")
    assert len(ReadingFormat(chat, four.user_model_prompt()).label_ids) == 4
    assert len(ReadingFormat(chat, four.reward_model_prompt(user)).label_ids) == 2
    chat.verify(four.policy_prompt(user), [("Why?", "Because."), ("Oh.", "Yes.")])


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["Answer with one word: No or Yes."], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", chat_template=CHAT_TEMPLATE
    )


def test_the_teachers_end_marker_ends_the_dialogue(task: EducationTask) -> None:
    assert task.is_over([say("Good bye. [End of conversation]")])
    assert not task.is_over([say("What next?")])
    assert not task.is_over([])


def test_after_the_students_end_marker_the_teacher_has_the_last_word(task: EducationTask) -> None:
    assert task.is_over([say("Bye."), hear("Bye. [end of conversation]"), say("See you.")])
    assert not task.is_over([say("Bye."), hear("Not yet."), say("Go on.")])


def test_no_rule_tells_a_good_lesson(task: EducationTask) -> None:
    assert task.rule_score(task.users("train")[0], [say("Hello.")]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"styles": ["hands_on"]}, r"task\.options\.styles"),
        ({"styles": ["hands_on", "hands_on"]}, r"task\.options\.styles.*twice"),
        ({"styles": ["hands_on", "napping"]}, r"task\.options\.styles.*story_telling"),
        ({"turns": 0}, r"task\.options\.turns"),
        ({"files": ["rows.json"]}, r"task\.options\.files.*relative.*write /"),
        ({"files": ["/no/such/rows.json"]}, r"task\.options\.files.*rows\.json"),
        ({"train_users": 100_000}, r"task\.options\.train_users.*100000"),
        ({"held_out_share": 0.0001}, r"task\.options\.held_out_users.*held_out_share"),
    ],
)
def test_an_option_that_cannot_work_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_task(TaskConfig(name="education", options=options), seed=0)


def test_files_without_a_usable_row_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[{}, {}]")
    with pytest.raises(ConfigError, match=r"task\.options\.files: all 2 rows.*background_info"):
        EducationTask(seed=0, files=[str(path)])
