"""Append-only contexts against the tokenizer's own chat template."""

import pytest
from transformers import AutoTokenizer

from curio_ray.errors import TemplateError
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Message, ReadingPrompt

START = [Message("system", "you advise"), Message("user", "hello")]
# Gemma's templates have no system role and rewrite nothing.
WITHOUT_SYSTEM = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Some templates drop what the assistant said before its last turn.
FORGETFUL = (
    "{% for m in messages %}<|{{ m.role }}|> "
    "{% if m.role != 'assistant' or loop.index0 + 3 > messages|length %}{{ m.content }}"
    "{% else %}what{% endif %} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(locate_model("pocket:policy"))


@pytest.fixture
def chat(tokenizer) -> ChatFormat:
    return ChatFormat(tokenizer, "pocket:policy")


def test_the_growing_context_equals_the_full_template(chat, tokenizer):
    context = chat.open(START)
    messages = list(START)
    for question, answer in [("your sleep ?", "sleep good ."), ("your diet ?", "diet vegan .")]:
        sampled = [*chat.encode(question), chat.stop_token_ids[0]]
        context += sampled + chat.reply_suffix(sampled, answer)
        messages += [Message("assistant", question), Message("user", answer)]
    full = tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert context == tokenizer.encode(full, add_special_tokens=False)


def test_an_utterance_cut_short_is_closed_by_the_suffix(chat):
    ended = [*chat.encode("your sleep ?"), chat.stop_token_ids[0]]
    cut = chat.encode("your sleep ?")
    whole = ended + chat.reply_suffix(ended, "sleep good .")
    assert cut + chat.reply_suffix(cut, "sleep good .") == whole


def test_without_a_system_role_the_first_user_message_carries_the_instruction(tokenizer):
    tokenizer.chat_template = WITHOUT_SYSTEM
    chat = ChatFormat(tokenizer, "gemma-like")
    chat.verify(START, [("your sleep ?", "sleep good .")])
    assert chat.decode(chat.open(START)).startswith("you advise")


def test_a_template_that_rewrites_earlier_turns_is_refused_with_the_first_token(tokenizer):
    tokenizer.chat_template = FORGETFUL
    chat = ChatFormat(tokenizer, "forgetful")
    exchanges = [("your sleep ?", "sleep good ."), ("your diet ?", "diet vegan .")]
    with pytest.raises(TemplateError, match=r"forgetful: .* token \d+ is"):
        chat.verify(START, exchanges)


def test_a_model_without_a_chat_template_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(TemplateError, match="chat template"):
        ChatFormat(tokenizer, "plain")


def test_labels_that_begin_alike_are_refused(chat):
    prompt = ReadingPrompt("which ?", "adviser", "user", "which ?", ("yes", "yes no"))
    with pytest.raises(TemplateError, match="same token"):
        ReadingFormat(chat, prompt)


def test_a_question_extends_the_transcript_without_changing_it(chat):
    prompt = ReadingPrompt("which ?", "adviser", "user", "which ?", ("yes", "no"))
    reading = ReadingFormat(chat, prompt)
    before = reading.start_ids + reading.utterance("user", "hello")
    after = before + reading.utterance("policy", "your sleep ?")
    assert after[: len(before)] == before
