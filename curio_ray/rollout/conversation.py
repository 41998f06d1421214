"""One dialogue from its opening to its end, as a coroutine.

Policy and user strictly alternate; beliefs are asked for as soon as an exchange is complete and
awaited when the dialogue is over, so they delay no turn. So are the quality terms, which are asked
for before the user replies: they are about the policy's words and not about what comes of them.
Where a stalled belief is to end the dialogue, each exchange waits for its belief.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Literal

import numpy as np

from curio_ray.dialogue import SILENCE, Dialogue, Turn, User
from curio_ray.errors import RolloutError
from curio_ray.rewards.streams import assign_quality_rewards, assign_task_reward
from curio_ray.roles.labels import Reading
from curio_ray.roles.roles import Roles
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.clock import DialogueClock, DialogueSeconds
from curio_ray.serving.requests import GenerateRequest
from curio_ray.tasks.base import Task


async def hold_dialogue(
    task: Task, roles: Roles, assignment: Assignment, options: RolloutOptions, attempt: int
) -> tuple[Dialogue, DialogueSeconds]:
    """Hold one dialogue; its finished record has the beliefs and the task reward.

    Raises:
        CurioError: a role failed, or the task cannot score the dialogue.
    """
    clock = DialogueClock()
    async with asyncio.TaskGroup() as group:
        conversation = Conversation(task, roles, assignment, options, attempt, group, clock)
        await conversation.run()
        clock.spoken()
        verdict = conversation.judge()
    return conversation.record(None if verdict is None else verdict.result()), clock.result()


class Conversation:
    """The state of one running dialogue."""

    def __init__(
        self,
        task: Task,
        roles: Roles,
        assignment: Assignment,
        options: RolloutOptions,
        attempt: int,
        group: asyncio.TaskGroup,
        clock: DialogueClock,
    ) -> None:
        user, self._id = assignment.user, assignment.dialogue_id
        self._opening = opening = task.opening(user)
        self._task, self._roles, self._options = task, roles, options
        self._assignment, self._attempt = assignment, attempt
        self._group, self._clock = group, clock
        self._prompt_ids = roles.policy.chat.open(task.policy_prompt(user))
        self._environment = roles.environment.session(
            task.environment_prompt(user.at(0)), opening, self._id
        )
        self._user_model = roles.user_model.session(self._id, self._prompt_ids, opening)
        self._quality = roles.reward_model.quality_sessions(options.quality, self._id)
        self._chances: dict[str, list[asyncio.Task[Reading]]] = {
            name: [] for name in options.quality
        }
        for session in self._quality.values():
            session.add("user", opening)
        self._turns: list[Turn] = []
        self._stalled = False
        self._initial_belief = self._start(self._user_model.ask(), "beliefs")
        self._beliefs: list[tuple[Turn, asyncio.Task[Reading]]] = []

    async def run(self) -> None:
        """Let policy and user speak until the task says that it is over, or the belief stalls."""
        context = list(self._prompt_ids)
        for exchange in range(self._task.max_turns):
            utterance = await self._policy_speaks(context, exchange)
            context.extend(utterance.token_ids)
            self._assess()
            last = self._stalled or exchange + 1 == self._task.max_turns
            if last or self._task.is_over(self._turns):
                return
            if self._options.beliefs_before_replies:
                self._believe(utterance)
            reply = await self._user_replies(utterance, exchange)
            self._believe(reply)
            if exchange + 2 < self._task.max_turns and await self._belief_has_stalled():
                self._ask_to_conclude(utterance, reply)
            context.extend(reply.token_ids)

    def judge(self) -> asyncio.Task[Reading] | None:
        """Ask the reward model for its verdict on the user of the end, where it is to judge."""
        if not self._options.judged:
            return None
        judge = self._roles.reward_model.session(self._last_user(), self._id)
        judge.add("user", self._opening)
        for turn in self._turns:
            judge.add(turn.speaker, turn.text)
        return self._start(judge.ask(), "judge")

    def record(self, verdict: Reading | None) -> Dialogue:
        """The finished dialogue; every belief must have arrived."""
        initial = self._initial_belief.result()
        for turn, belief in self._beliefs:
            turn.belief = belief.result().probabilities
            turn.note_label_mass("user_model", belief.result().mass)
        rule = self._task.rule_score(self._last_user(), self._turns)
        judged = None if verdict is None else float(verdict.probabilities[1])
        if verdict is not None:
            self._turns[-1].note_label_mass("reward_model", verdict.mass)
        score = judged if judged is not None else rule
        if score is None:
            raise RolloutError("this task has no rule; write rewards.task.source: reward_model")
        dialogue = Dialogue(
            id=self._id,
            user=self._assignment.user,
            prompt_ids=self._prompt_ids,
            turns=self._turns,
            initial_belief=initial.probabilities,
            initial_label_mass=initial.mass,
            success=(score if rule is None else rule) > 0.5,
            attempts=self._attempt,
            stalled=self._stalled,
        )
        assign_task_reward(dialogue, score)
        for name, asked in self._chances.items():
            readings = [each.result() for each in asked]
            for turn, reading in zip(dialogue.policy_turns, readings, strict=True):
                turn.note_label_mass("reward_model", reading.mass)
            chances = [float(each.probabilities[1]) for each in readings]
            assign_quality_rewards(dialogue, name, chances)
        return dialogue

    async def _policy_speaks(self, context: list[int], exchange: int) -> Turn:
        policy = self._roles.policy
        request = GenerateRequest(
            prompt_ids=list(context),
            max_tokens=policy.max_tokens,
            temperature=self._options.temperature,
            stop_token_ids=policy.chat.stop_token_ids,
            seed=self._seed(2 * exchange),
        )
        with self._clock.waiting("policy"):
            result = await policy.client.generate(request, routing_key=self._id)
        text = policy.chat.decode(result.token_ids)
        turn = Turn(
            "policy",
            text or SILENCE,
            result.token_ids,
            result.log_probs,
            result.weight_versions,
            finish_reason=result.finish_reason,
            empty=not text,
        )
        self._add(turn)
        return turn

    async def _user_replies(self, utterance: Turn, exchange: int) -> Turn:
        self._change_user(exchange)
        with self._clock.waiting("user"):
            reply = await self._environment.reply(utterance.text, self._seed(2 * exchange + 1))
        turn = Turn(
            "user",
            reply.text,
            self._heard_reply(utterance, reply.text),
            finish_reason=reply.finish_reason,
            empty=reply.empty,
        )
        self._add(turn)
        return turn

    async def _belief_has_stalled(self) -> bool:
        stall = self._options.stall
        if stall is None:
            return False
        after = [belief for turn, belief in self._beliefs if turn.speaker == "user"]
        with self._clock.waiting("beliefs"):
            readings = [await belief for belief in (self._initial_belief, *after)]
            beliefs = [each.probabilities for each in readings]
        return has_stalled(beliefs, stall.exchanges, stall.change)

    def _ask_to_conclude(self, utterance: Turn, reply: Turn) -> None:
        """Make the policy's next turn its last; the user's reply ends with asking for it."""
        self._stalled = True
        closing = self._task.closing_words()
        if not closing:
            return
        text, reply.text = reply.text, f"{reply.text} {closing}"
        reply.token_ids = self._heard_reply(utterance, text, closing)
        for session in self._quality.values():
            session.add("user", closing)

    def _heard_reply(self, utterance: Turn, text: str, closing: str = "") -> list[int]:
        heard = f"{self._task.spoken(text)} {closing}".strip()
        return self._roles.policy.chat.reply_suffix(utterance.token_ids, heard)

    def _change_user(self, exchanges: int) -> None:
        """Let the simulated user become whom its changes make it after so many exchanges."""
        user = self._assignment.user
        for change in user.changes:
            if change.after == exchanges:
                persona = self._task.environment_prompt(user.at(exchanges))
                self._environment.become(persona, change.announcement)

    def _last_user(self) -> User:
        return self._assignment.user.at((len(self._turns) - 1) // 2)

    def _add(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._user_model.add(turn)
        for session in self._quality.values():
            session.add(turn.speaker, turn.text)

    def _assess(self) -> None:
        """Ask how good the policy's last turn is, without waiting for it."""
        for name, session in self._quality.items():
            self._chances[name].append(self._start(session.ask(), "judge"))

    def _believe(self, turn: Turn) -> None:
        """Ask for the belief after a turn, without waiting for it."""
        self._beliefs.append((turn, self._start(self._user_model.ask(), "beliefs")))

    def _seed(self, turn: int) -> int:
        return self._assignment.sampling_seed(self._attempt, turn)

    def _start(
        self, question: Awaitable[Reading], awaited: Literal["beliefs", "judge"]
    ) -> asyncio.Task[Reading]:
        async def answer() -> Reading:
            reading = await question
            self._clock.arrived(awaited)
            return reading

        return self._group.create_task(answer())


def has_stalled(beliefs: Sequence[np.ndarray], exchanges: int, change: float) -> bool:
    """Whether each of the last `exchanges` exchanges moved the belief by less than `change`.

    Moves are total variation distances, half the sum of the absolute differences, in [0, 1]. A
    dialogue with fewer exchanges has not stalled. The idea of cutting a dialogue there: T³,
    arXiv 2510.12264.

    Args:
        beliefs: the belief before the first exchange and after each, [user types].
        exchanges: how many in a row must move little, at least 1.
        change: the smallest move that counts as one.
    """
    if len(beliefs) <= exchanges:
        return False
    moves = np.abs(np.diff(np.stack(beliefs[-exchanges - 1 :]), axis=0)).sum(axis=1) / 2
    return bool(np.all(moves < change))
