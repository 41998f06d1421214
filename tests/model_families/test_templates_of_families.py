"""Chat templates in the manner of model families, as the roles render them."""

import pytest
from template_tokenizers import CONTROL, tokenizer_of

from curio_ray.errors import TemplateError
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Message, ReadingPrompt

OFF = {"enable_thinking": False}
# Values with which a family speaks without thinking first.
VALUES = {"qwen3": OFF, "smollm3": OFF}
# Families that need a template of one's own.
REFUSED = ("gpt_oss", "r1_distill")
USABLE = [family for family in CONTROL if family not in REFUSED]

TEXTS = (
    "42", "3.5, or 4?", "...", "?!", "  spaced  out  ", "one\ntwo\n\nthree", "- a\n- b", "(yes)",
    "'quoted'", "Größe: 7°", "你好，世界", "नमस्ते", "مرحبا", "🙂", "a", ".", "I",
)  # fmt: skip
POLICY = [Message("system", "You advise."), Message("user", "Hello there.")]
PERSONA = [
    Message("system", "You like tea."),
    Message("assistant", "Hello there."),
    Message("user", "What do you like?"),
]
PROMPT = ReadingPrompt("Read this.", "Advisor", "Student", "Answer yes or no.", ("yes", "no"))


def chat_of(family: str) -> ChatFormat:
    return ChatFormat(tokenizer_of(family), family, VALUES.get(family))


@pytest.mark.parametrize("start", [POLICY, PERSONA], ids=["policy", "environment"])
@pytest.mark.parametrize("family", USABLE)
def test_the_context_of_a_speaking_role_grows_as_the_full_template(family, start):
    chat = chat_of(family)
    for text in TEXTS:
        last = [*start[:-1], Message("user", text)]
        chat.verify(last, [(text, "Yes."), ("Oh.", text), (text, text)])


@pytest.mark.parametrize("family", USABLE)
def test_the_prompt_of_a_reader_equals_the_full_template(family):
    chat = chat_of(family)
    reading = ReadingFormat(chat, PROMPT)
    for text in TEXTS:
        reading.verify(text)


@pytest.mark.parametrize("family", USABLE)
def test_a_label_is_the_token_that_follows_the_rendered_prompt(family):
    chat = chat_of(family)
    reading = ReadingFormat(chat, PROMPT)
    prompt = chat.template.whole([Message("user", "x")]) + chat.template.turn.lead
    for label, token in zip(PROMPT.labels, reading.label_ids, strict=True):
        whole = chat.encode_template(prompt + label)
        assert token in whole[-len(label) :]
        assert chat.tokenizer.decode([token]).strip()


def test_an_opening_that_the_template_writes_otherwise_into_earlier_messages_is_refused():
    with pytest.raises(TemplateError, match=r"token \d+ is .*<\|channel\|>final<\|message\|>"):
        ChatFormat(tokenizer_of("gpt_oss"), "gpt_oss")


@pytest.mark.parametrize("family", ["qwen3", "smollm3"])
def test_a_template_that_lets_its_model_think_is_refused_with_the_value_to_write(family):
    with pytest.raises(TemplateError, match=r"chat_template_kwargs: \{enable_thinking: false\}"):
        ChatFormat(tokenizer_of(family), family)


def test_a_template_that_opens_a_thought_is_refused():
    with pytest.raises(TemplateError, match=r"with <think>, so that .* write chat_template"):
        ChatFormat(tokenizer_of("r1_distill"), "r1_distill")
