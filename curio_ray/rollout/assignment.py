"""What the driver asks of the runners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curio_ray.config.run import RunConfig
from curio_ray.config.training import StallConfig
from curio_ray.dialogue import User


@dataclass(frozen=True, slots=True)
class Assignment:
    """One dialogue to hold. The same id, user and seed always give the same sampling seeds."""

    dialogue_id: str
    user: User
    seed: int

    def sampling_seed(self, attempt: int, turn: int) -> int:
        """The seed of one request; attempts and turns never share one."""
        return int(np.random.SeedSequence([self.seed, attempt, turn]).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """How to hold dialogues.

    With `judged` the reward model reads each finished dialogue; otherwise the task's rule scores.
    With `stall` a dialogue whose belief no longer moves goes on to the policy's last turn at once.
    With `beliefs_before_replies` the belief is also read after the policy's words alone.
    `quality` names the task's quality terms by which the reward model judges each policy turn.
    """

    temperature: float
    judged: bool
    attempts: int
    in_flight: int
    deadline_s: float
    beliefs_before_replies: bool = False
    stall: StallConfig | None = None
    quality: tuple[str, ...] = ()


def training_options(config: RunConfig) -> RolloutOptions:
    """How to hold the dialogues that training learns from."""
    rollout = config.rollout
    return RolloutOptions(
        temperature=config.roles.policy.temperature,
        judged=config.rewards.task.source == "reward_model",
        attempts=rollout.attempts,
        in_flight=rollout.dialogues_in_flight,
        deadline_s=rollout.dialogue_deadline_s,
        stall=rollout.stall,
        beliefs_before_replies=config.rewards.intrinsic.attribution == "reply",
        quality=tuple(config.rewards.quality),
    )
