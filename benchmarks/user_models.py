"""How good are the pocket world's user models? Prints a table for docs/understand/user_model.md.

    python benchmarks/user_models.py

Every held-out user answers 0 to 5 random relevant questions; then the belief of each user model is
compared with the exact posterior. One core, about a minute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from curio_ray.dialogue import User
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.labels import label_tokens
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT, posterior
from curio_ray.tasks.exercise.task import ExerciseTask

Exchanges = Sequence[tuple[str, str]]


def load(name: str) -> PreTrainedModel:
    """A packaged model in float32."""
    return AutoModelForCausalLM.from_pretrained(locate_model(name), dtype=torch.float32).eval()


def exchanges(user: User, attributes: Sequence[str]) -> Exchanges:
    """Questions about the attributes with the user's answers."""
    return [(words.question(each), words.answer(each, user.persona[each])) for each in attributes]


def policy_context(chat: ChatFormat, task: ExerciseTask, user: User, held: Exchanges) -> list[int]:
    """What the policy reads, and the beginning of its answer."""
    context = chat.open(task.policy_prompt(user))
    for question, reply in held:
        said = [*chat.encode(question), chat.stop_token_ids[0]]
        context += [*said, *chat.reply_suffix(said, reply)]
    return [*context, *chat.encode(task.policy_answer().start)]


def transcript(reading: ReadingFormat, held: Exchanges, hears_policy: bool) -> list[int]:
    """What the world model reads as the user model."""
    ids = [*reading.start_ids, *reading.utterance("user", words.OPENING)]
    for question, reply in held:
        ids += reading.utterance("policy", question) if hears_policy else []
        ids += reading.utterance("user", reply)
    return [*ids, *reading.question_ids]


def beliefs(
    model: PreTrainedModel, contexts: Sequence[list[int]], labels: Sequence[int]
) -> np.ndarray:
    """Distributions over the labels [contexts, labels]."""
    rows = []
    with torch.inference_mode():
        for context in contexts:
            logits = model(torch.tensor([context])).logits[0, -1, list(labels)]
            rows.append(logits.double().softmax(-1).numpy())
    return np.stack(rows)


def report(answers: int, name: str, belief: np.ndarray, exact: np.ndarray, true: np.ndarray) -> str:
    """One row: figures of the beliefs [users, types]; ties count by their share."""
    best = belief >= belief.max(axis=1, keepdims=True) - 1e-9
    rows = np.arange(len(true))
    accuracy = (best[rows, true] / best.sum(axis=1)).mean()
    distance = np.abs(belief - exact).sum(axis=1).mean() / 2
    return (
        f"| {answers} | {name} | {accuracy:.2f} | {belief[rows, true].mean():.2f} "
        f"| {distance:.3f} |"
    )


def main() -> None:
    """Measure all of them at every level of knowledge."""
    torch.set_num_threads(1)
    task, generator = ExerciseTask(seed=0), np.random.default_rng(0)
    users = task.users("held_out")
    true = np.array([user.type_index for user in users])
    chat, policy = ChatFormat.load("pocket:policy"), load("pocket:policy")
    reading, world = ReadingFormat(chat, task.user_model_prompt()), load("pocket:world")
    answer = task.policy_answer()
    strategies = label_tokens(chat, answer.start, answer.labels).first
    print("| answers | user model | accuracy | belief in the true type | distance |")
    for answers in range(len(RELEVANT) + 1):
        asked = [generator.choice(list(RELEVANT), answers, replace=False) for _ in users]
        held = [exchanges(user, each) for user, each in zip(users, asked, strict=True)]
        facts = [words.known_facts(reply for _, reply in each) for each in held]
        exact = np.stack([posterior(each) for each in facts])
        own = [policy_context(chat, task, *each) for each in zip(users, held, strict=True)]
        whole, words_alone = (
            [transcript(reading, each, hears) for each in held] for hears in (True, False)
        )
        for name, belief in (
            ("exact posterior", exact),
            ("world", beliefs(world, whole, reading.label_ids)),
            ("world, the user's words alone", beliefs(world, words_alone, reading.label_ids)),
            ("policy, its own context", beliefs(policy, own, strategies)),
        ):
            print(report(answers, name, belief, exact, true))


if __name__ == "__main__":
    main()
