"""The word-level tokenizer and the rendering of chats and transcripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from curio_ray.pocket.conversation import odd_utterance
from curio_ray.pocket.encoder import DialogueEncoder, build_tokenizer
from curio_ray.roles.chat import ChatFormat
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import STRATEGIES, draw_persona
from curio_ray.tasks.exercise.words import USER_MODEL_PROMPT

DIALOGUE = [
    Message("system", words.policy_instruction(5)),
    Message("user", words.OPENING),
    Message("assistant", words.question("sleep")),
    Message("user", words.answer("sleep", "good")),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_every_word_of_the_world_is_known(tokenizer: PreTrainedTokenizerBase) -> None:
    generator = np.random.default_rng(0)
    texts = [words.persona_instruction(draw_persona(generator)), words.OPENING, words.PUZZLED]
    texts += [odd_utterance(generator) for _ in range(200)]
    ids = tokenizer.encode(" ".join(texts), add_special_tokens=False)
    assert tokenizer.unk_token_id not in ids


def test_decoding_gives_the_text_back(tokenizer: PreTrainedTokenizerBase) -> None:
    for text in ("your sleep ?", "i recommend yoga .", words.OPENING):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == text


def test_pieces_tokenised_apart_equal_the_whole(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces = ["guess the ideal exercise .\n", "adviser: your sleep ?\n", "user: sleep good .\n"]
    apart = [i for piece in pieces for i in tokenizer.encode(piece, add_special_tokens=False)]
    assert apart == tokenizer.encode("".join(pieces), add_special_tokens=False)


def test_the_incremental_chat_equals_the_full_template(tokenizer: PreTrainedTokenizerBase) -> None:
    whole = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in DIALOGUE],
        add_generation_prompt=True,
        return_dict=False,
    )
    encoder = DialogueEncoder(tokenizer)
    assert [*encoder.chat(DIALOGUE), *encoder.generation_prompt] == whole


def test_training_chats_equal_the_rollouts(tokenizer: PreTrainedTokenizerBase) -> None:
    encoder, chat = DialogueEncoder(tokenizer), ChatFormat(tokenizer, "pocket")
    sampled = [*chat.encode(DIALOGUE[2].content), tokenizer.eos_token_id]
    grown = [*chat.open(DIALOGUE[:2]), *sampled, *chat.reply_suffix(sampled, DIALOGUE[3].content)]
    assert [*encoder.chat(DIALOGUE), *encoder.generation_prompt] == grown


def test_a_transcript_is_one_user_message(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = DialogueEncoder(tokenizer).reading(
        USER_MODEL_PROMPT, [("user", words.OPENING), ("policy", "your sleep ?")]
    )
    assert tokenizer.decode(ids) == (
        "<|user|> guess the ideal exercise . user : hello , what exercise fits me ? "
        "adviser : your sleep ? which exercise fits ? <|end|> <|assistant|>"
    )


def test_every_label_is_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    encoder = DialogueEncoder(tokenizer)
    labels = [*STRATEGIES, *words.REWARD_MODEL_LABELS]
    assert len({encoder.word(label) for label in labels}) == len(labels)
