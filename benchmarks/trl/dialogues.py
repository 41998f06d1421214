"""Dialogues held with transformers alone: at every turn each role answers all in one batch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from spoken_lengths import Lengths
from transformers import AutoModelForCausalLM

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.model_paths import locate_model
from curio_ray.rewards.registry import make_reward
from curio_ray.rewards.streams import (
    assign_intrinsic_reward,
    assign_task_reward,
    stream_weights,
    weighted_rewards,
)
from curio_ray.roles.chat import ChatFormat
from curio_ray.tasks.base import Message, Task

NEVER = 2**30
"""An end mark that no vocabulary has."""

Sample = Callable[[list[list[int]]], list[list[int]]]


@dataclass(slots=True)
class Reading:
    """A question about a transcript, in token ids."""

    names: dict[str, str]
    start_ids: list[int]
    question_ids: list[int]
    label_ids: list[int]


class Endings:
    """Where the utterances of a speaker end: at an end mark, or at a drawn length.

    `most` is the limit of their tokens where no lengths are drawn.
    """

    def __init__(self, ends: list[int], most: int, lengths: Lengths | None) -> None:
        self.ends = [NEVER] if lengths else ends
        self._most, self._lengths = most, lengths
        self._seeds = itertools.count()

    def limits(self, count: int) -> list[int]:
        """How many tokens each of the next utterances may have."""
        if self._lengths is None:
            return [self._most] * count
        return [self._lengths.draw(next(self._seeds)) for _ in range(count)]

    def cut(self, rows: list[list[int]], limits: list[int]) -> list[list[int]]:
        """What each speaker said of what was generated."""
        return [up_to_end(row[:limit], self.ends) for row, limit in zip(rows, limits, strict=True)]


@dataclass(slots=True)
class Conversation:
    """A running dialogue: what policy, user and user model have each seen of it."""

    user: User
    prompt_ids: list[int]
    context: list[int]
    transcript: list[int]
    heard: list[tuple[str, str]]
    persona_context: list[int] = field(default_factory=list)
    last_reply: list[int] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    initial_belief: np.ndarray | None = None


@dataclass(slots=True)
class Seconds:
    """Seconds by phase."""

    by_phase: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add a block's time to a phase."""
        began = time.perf_counter()
        yield
        passed = time.perf_counter() - began
        self.by_phase[name] = self.by_phase.get(name, 0.0) + passed


class FrozenModel:
    """A model that plays the user or answers with a label; roles of one checkpoint share it."""

    def __init__(self, name: str) -> None:
        self.chat = ChatFormat.load(name)
        self._pad = self.chat.tokenizer.pad_token_id
        folder = locate_model(name)
        self._network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def reply(
        self, contexts: list[list[int]], endings: Endings, temperature: float
    ) -> list[list[int]]:
        """Continue each context up to its end."""
        ids, mask = self._padded_left(contexts)
        limits = endings.limits(len(contexts))
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0}
        generated = self._network.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max(limits),
            eos_token_id=endings.ends,
            pad_token_id=self._pad,
            **(sampling if temperature else {"do_sample": False}),
        )
        return endings.cut(generated[:, ids.shape[1] :].tolist(), limits)

    @torch.inference_mode()
    def label_chances(self, prompts: list[list[int]], labels: list[list[int]]) -> np.ndarray:
        """The distributions over the labels behind each prompt, [prompts, labels]."""
        ids, mask = self._padded_left(prompts)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = self._network(
            input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1
        ).logits[:, -1]
        return logits.gather(1, torch.tensor(labels)).double().softmax(1).numpy()

    def _padded_left(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, rows))
        ids = torch.tensor([[self._pad] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return ids, mask


class BatchedDialogues:
    """Holds a batch of dialogues; `verdicts` are what the judge is asked, by the user's id.

    `speakers` are the lengths of the policy's and of the user's utterances where they are drawn.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        belief: Reading,
        verdicts: Mapping[str, Reading],
        speakers: tuple[Lengths | None, Lengths | None],
    ) -> None:
        self._config, self._task = config, task
        self._belief, self._verdicts = belief, verdicts
        roles = config.roles
        self._policy = ChatFormat.load(config.servers[roles.policy.server].model)
        frozen = (roles.environment, roles.user_model, roles.reward_model)
        names = [config.servers[role.server].model for role in frozen]
        models = {name: FrozenModel(name) for name in set(names)}
        self._environment, self._user_model, self._judge = (models[name] for name in names)
        policy, user = (roles.policy, self._policy), (roles.environment, self._environment.chat)
        self.policy_endings, self._user_endings = (
            Endings(list(chat.stop_token_ids), role.max_tokens, lengths)
            for (role, chat), lengths in zip((policy, user), speakers, strict=True)
        )
        self.seconds = Seconds()

    def hold(self, users: Sequence[User], sample: Sample) -> list[Dialogue]:
        """Hold a dialogue with each user; `sample` continues a batch of the policy's contexts."""
        everyone = [self._open(user) for user in users]
        for each, belief in zip(everyone, self._beliefs(everyone), strict=True):
            each.initial_belief = belief
        active = everyone
        for exchange in range(self._task.max_turns):
            with self.seconds.phase("policy"):
                self._policy_speaks(active, sample)
            if exchange + 1 == self._task.max_turns:
                break
            active = [each for each in active if not self._task.is_over(each.turns)]
            if not active:
                break
            with self.seconds.phase("user"):
                self._user_replies(active)
            for each, belief in zip(active, self._beliefs(active), strict=True):
                each.turns[-1].belief = belief
        return self._rewarded(everyone)

    def _open(self, user: User) -> Conversation:
        prompt = self._policy.open(self._task.policy_prompt(user))
        opening = self._task.opening(user)
        transcript = [*self._belief.start_ids, *self._utterance(self._belief, "user", opening)]
        return Conversation(user, prompt, list(prompt), transcript, [("user", opening)])

    def _policy_speaks(self, active: Sequence[Conversation], sample: Sample) -> None:
        for each, ids in zip(active, sample([each.context for each in active]), strict=True):
            text = self._policy.decode(ids)
            # TRL samples without log-probs
            each.turns.append(Turn("policy", text, ids, [0.0] * len(ids), [0] * len(ids)))
            each.context += ids
            self._hear(each, "policy", text)

    def _user_replies(self, active: Sequence[Conversation]) -> None:
        role, chat = self._config.roles.environment, self._environment.chat
        for each in active:
            said = each.turns[-1].text
            if each.persona_context:
                each.persona_context += chat.reply_suffix(each.last_reply, said)
            else:
                persona = Message("system", self._task.environment_prompt(each.user))
                opening = Message("assistant", self._task.opening(each.user))
                messages = [persona, opening, Message("user", said)]
                each.persona_context = chat.open(messages)
        replies = self._environment.reply(
            [each.persona_context for each in active], self._user_endings, role.temperature
        )
        for each, ids in zip(active, replies, strict=True):
            text = chat.decode(ids)
            each.persona_context += ids
            each.last_reply = ids
            suffix = self._policy.reply_suffix(each.turns[-1].token_ids, text)
            each.turns.append(Turn("user", text, suffix))
            each.context += suffix
            self._hear(each, "user", text)

    def _beliefs(self, active: Sequence[Conversation]) -> np.ndarray:
        """The beliefs [dialogues, user types] at this moment."""
        with self.seconds.phase("beliefs"):
            prompts = [[*each.transcript, *self._belief.question_ids] for each in active]
            return self._user_model.label_chances(prompts, [self._belief.label_ids] * len(active))

    def _judged(self, everyone: Sequence[Conversation]) -> np.ndarray:
        readings = [self._verdicts[each.user.id] for each in everyone]
        prompts = [
            [
                *reading.start_ids,
                *(id for heard in each.heard for id in self._utterance(reading, *heard)),
                *reading.question_ids,
            ]
            for each, reading in zip(everyone, readings, strict=True)
        ]
        labels = [reading.label_ids for reading in readings]
        return self._judge.label_chances(prompts, labels)[:, 1]

    def _rewarded(self, everyone: Sequence[Conversation]) -> list[Dialogue]:
        with self.seconds.phase("verdicts"):
            verdicts = self._judged(everyone)
        rewards, dialogues = self._config.rewards, []
        intrinsic = make_reward(rewards.intrinsic)
        for number, (each, verdict) in enumerate(zip(everyone, verdicts, strict=True)):
            dialogue = Dialogue(
                str(number), each.user, each.prompt_ids, each.turns, each.initial_belief
            )
            assign_task_reward(dialogue, float(verdict))
            discount = self._config.credit.discount
            assign_intrinsic_reward(dialogue, intrinsic, rewards.intrinsic, discount)
            dialogues.append(dialogue)
        return dialogues

    def reward(self, dialogue: Dialogue) -> float:
        """All that a dialogue earns."""
        return float(weighted_rewards(dialogue, stream_weights(self._config.rewards)).sum())

    def _hear(self, each: Conversation, speaker: str, text: str) -> None:
        each.heard.append((speaker, text))
        each.transcript += self._utterance(self._belief, speaker, text)

    def _utterance(self, reading: Reading, speaker: str, text: str) -> list[int]:
        chat = (self._user_model if reading is self._belief else self._judge).chat
        return chat.encode(f"{reading.names[speaker]}: {text}\n")


def up_to_end(row: list[int], ends: Sequence[int]) -> list[int]:
    """Sampled ids up to and with the first end mark."""
    for position, token in enumerate(row):
        if token in ends:
            return row[: position + 1]
    return row
