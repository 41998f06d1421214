"""The intrinsic rewards of beliefs made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.dialogue import Dialogue
from curio_ray.rewards.intrinsic import BeliefSequence, intrinsic_rewards
from curio_ray.rewards.registry import make_reward
from curio_ray.rewards.streams import INTRINSIC, assign_intrinsic_reward


def paid(
    name: str,
    beliefs: np.ndarray,
    true_types: int | np.ndarray = 0,
    discount: float = 1.0,
    clip: float | None = None,
    **more: Any,
) -> np.ndarray:
    """What a reward pays for beliefs [turns + 1, user types]; one type holds for all."""
    types = np.broadcast_to(true_types, len(beliefs))
    reward = make_reward(IntrinsicRewardConfig(name=name))
    return intrinsic_rewards(reward, BeliefSequence(beliefs, types, discount, **more), clip)


def paid_for(dialogue: Dialogue, discount: float = 1.0, **section: Any) -> list[float]:
    """What each policy turn of a dialogue earns with this section `rewards.intrinsic`."""
    config = IntrinsicRewardConfig(**section)
    assign_intrinsic_reward(dialogue, make_reward(config), config, discount)
    return [turn.rewards[INTRINSIC] for turn in dialogue.policy_turns]
