"""The labels' mass of readings: which tokens count for a label, and where there is next to none."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from small_tokenizers import chatml_tokenizer, sentencepiece_tokenizer
from transformers import AutoTokenizer

from curio_ray.errors import ServerError
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.label_check import Reader, check_label_mass
from curio_ray.roles.labels import LabelTokens, label_tokens, read_labels
from curio_ray.roles.reading import reading_format
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.tasks.education.task import EducationTask


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat(chatml_tokenizer(), "chatml")


def spelled(chat: ChatFormat, *labels: str) -> list[set[str]]:
    found = label_tokens(chat, "", labels)
    return [{chat.tokenizer.decode([each]) for each in tokens} for tokens in found.spelled]


def test_case_and_space_variants_count_for_a_label(chat):
    yes, no = spelled(chat, "Yes", "no")
    assert {"no", " no"} <= no
    assert all(each.strip().casefold() in "yes" for each in yes)
    assert all(each.strip().casefold() == "no" for each in no)


def test_a_letter_counts_in_its_own_case_alone(chat):
    tokenizer = chatml_tokenizer()
    tokenizer.add_tokens([" A", " B", " a"])
    a, b = spelled(ChatFormat(tokenizer, "chatml"), "A", "B")
    assert a == {"A", " A"}
    assert b == {"B", " B"}


def test_sentencepiece_labels_count_with_and_without_their_space():
    chat = ChatFormat(sentencepiece_tokenizer(), "sentencepiece")
    found = label_tokens(chat, "", ("tea", "coffee"))
    assert [tokens[0] for tokens in found.spelled] == list(found.first)
    assert (
        "▁tea" in {chat.tokenizer.convert_ids_to_tokens(each) for each in found.spelled[0]}
        or len(found.spelled[0]) == 1
    )


def test_pocket_labels_have_one_token_each():
    chat = ChatFormat(AutoTokenizer.from_pretrained(locate_model("pocket:policy")), "pocket")
    found = label_tokens(chat, "", ("no", "yes"))
    assert found.spelled == tuple((token,) for token in found.first)


def test_a_token_that_begins_two_labels_counts_for_neither(chat):
    found = label_tokens(chat, "", ("tea", "Tea"))
    ids = [token for tokens in found.spelled for token in tokens]
    assert len(ids) == len(set(ids))


class FixedClient:
    """A client in place of a server: fixed probabilities of some tokens."""

    outage_s = 0.0

    def __init__(self, probabilities: dict[int, float]) -> None:
        self._probabilities = probabilities

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        log_probs = {token: float(np.log(p)) for token, p in self._probabilities.items()}
        if request.likeliest:
            listed = sorted(log_probs.items(), key=lambda each: -each[1])[: request.likeliest]
            return GenerateResult([], [], [], likeliest=listed)
        labels = [log_probs.get(token, -50.0) for token in request.label_ids]
        return GenerateResult([], [], [], label_log_probs=labels)

    async def close(self) -> None:
        pass


def test_a_reading_sums_spellings_and_keeps_the_mass():
    labels = LabelTokens([], (1, 3), ((1, 2), (3,)))
    client = FixedClient({1: 0.1, 2: 0.2, 3: 0.1, 4: 0.6})
    reading = asyncio.run(read_labels(client, [0], labels, "d"))
    assert reading.mass == pytest.approx(0.4)
    assert reading.probabilities == pytest.approx([0.75, 0.25])


def reader(chat: ChatFormat, task: EducationTask) -> Reader:
    prompt = task.user_model_prompt()

    def question(client, user):
        session = reading_format(chat, prompt, task.spoken).session(client, "d")
        session.add("user", task.opening(user))
        return session.ask()

    return Reader("roles.user_model", "world", chat, question)


def test_a_reader_that_says_no_label_is_refused_by_name(chat):
    task = EducationTask(0)
    (hello,) = chat.tokenizer.convert_tokens_to_ids(["Hello"])
    a, b = label_tokens(chat, "", ("A", "B")).first
    client = FixedClient({hello: 0.996, a: 0.001, b: 0.002})
    with pytest.raises(ServerError) as refused:
        check_label_mass([reader(chat, task)], task, lambda name: client, 0.01)
    message = str(refused.value)
    for part in ("roles.user_model", "'world'", "0.003", "'Hello' 1", "8 users"):
        assert part in message


def test_a_reader_that_says_its_labels_is_taken(chat):
    task = EducationTask(0)
    a, b = label_tokens(chat, "", ("A", "B")).first
    client = FixedClient({a: 0.01, b: 0.02})
    check_label_mass([reader(chat, task)], task, lambda name: client, 0.01)


def test_without_a_threshold_nobody_is_asked(chat):
    task = EducationTask(0)
    check_label_mass([reader(chat, task)], task, lambda name: FixedClient({}), None)
