"""Configs whose servers serve the policies of checkpoints. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from curio_ray.config import RunConfig


def serving(config: RunConfig, policy: Path) -> RunConfig:
    """The config with the policy's server serving the weights in a folder, which has a template."""
    name = config.roles.policy.server
    # absolute, since a server may run in another folder
    found = {"model": str(policy.absolute()), "chat_template": None}
    server = config.policy_server.model_copy(update=found)
    return config.model_copy(update={"servers": {**config.servers, name: server}})


def serving_two(
    first: RunConfig, first_policy: Path, second: RunConfig, second_policy: Path
) -> tuple[RunConfig, RunConfig]:
    """Two configs with the same servers, among them one for each policy, which differ in the role.

    Task, users and all other roles are the first config's. The second policy keeps what belongs
    to it: its own role, such as the most tokens of a turn, and how its server runs.
    """
    own = first.roles.policy.server
    other = f"{own}-of-second-run"
    opponent = serving(second, second_policy).policy_server
    base = serving(first, first_policy)
    base = base.model_copy(update={"servers": {**base.servers, other: opponent}})
    policy = second.roles.policy.model_copy(update={"server": other})
    user_model = first.roles.user_model
    # a policy that is its own user model stays so
    renamed = [other if name == own else name for name in user_model.servers]
    user_model = user_model.model_copy(update={"server": renamed[0], "others": tuple(renamed[1:])})
    roles = base.roles.model_copy(update={"policy": policy, "user_model": user_model})
    return base, base.model_copy(update={"roles": roles})
