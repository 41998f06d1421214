"""From the config's name to an intrinsic reward: one of ours, a package's, or `module:name`."""

from __future__ import annotations

import re
from dataclasses import replace

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.errors import ConfigError
from curio_ray.plugins import load_function, registered, unknown_name
from curio_ray.rewards.intrinsic import OF_THE_PAPER, IntrinsicReward

ENTRY_POINT_GROUP = "curio_ray.rewards"
NAME, FUNCTION = "rewards.intrinsic.name", "rewards.intrinsic.function"
_OR_ELSE = f"or a function of your own as module:name in {FUNCTION}"


def reward_names() -> list[str]:
    """The rewards of the paper, then those that installed packages register."""
    return list(_known())


def make_reward(config: IntrinsicRewardConfig) -> IntrinsicReward:
    """The reward that a config names.

    A package adds a reward by an entry point in the group `curio_ray.rewards`; the names of the
    paper stay the paper's. What is named is an `IntrinsicReward` or a plain function, which counts
    as one that needs the true type and is not potential-based.

    Raises:
        ConfigError: there is no such reward, or it cannot be had with the other fields.
    """
    reward = _find(config.name) if config.function is None else _own(config.name, config.function)
    if config.final_potential == "zero" and not reward.potential_based:
        raise ConfigError(
            f"rewards.intrinsic.final_potential: {reward.name} is not potential-based, so it has "
            "no potential at the end; write kept, or a reward that is the difference of a potential"
        )
    return reward


def _known() -> dict[str, IntrinsicReward | str]:
    """Every registered reward by name: ours, or where a package has it."""
    ours = {each.name: each for each in OF_THE_PAPER}
    return ours | {k: v for k, v in registered(ENTRY_POINT_GROUP).items() if k not in ours}


def _find(name: str) -> IntrinsicReward:
    known = _known()
    if name not in known:
        raise ConfigError(unknown_name(NAME, "reward", name, known, _OR_ELSE))
    found = known[name]
    return found if isinstance(found, IntrinsicReward) else _load(name, found, NAME)


def _own(name: str, function: str) -> IntrinsicReward:
    known = _known()
    if known.get(name, function) != function:
        raise ConfigError(
            f"{NAME}: '{name}' is a registered reward, and {FUNCTION} names another; write a name "
            "that is not registered, or take one of the two out"
        )
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(
            f"{NAME}: '{name}' cannot name files; write letters, digits, '_', '.' and '-' alone"
        )
    return _load(name, function, FUNCTION)


def _load(name: str, reference: str, field: str) -> IntrinsicReward:
    loaded = load_function(reference, field)
    if isinstance(loaded, IntrinsicReward):
        return replace(loaded, name=name)
    return IntrinsicReward(name, loaded)
