"""The plan of a run: who serves whom, what Ray is asked for, memory, volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curio_ray.config import RunConfig
from curio_ray.dialogue import User
from curio_ray.errors import ConfigError
from curio_ray.placement.layout import bundles
from curio_ray.plan.context import estimate_tokens, longest_context, token_counter
from curio_ray.plan.memory import MemoryPart, memory_parts, total
from curio_ray.plan.model_checks import model_warnings
from curio_ray.plan.models import Model, Source, find_model
from curio_ray.plan.task_walk import walk_task
from curio_ray.rewards.intrinsic import IntrinsicReward
from curio_ray.rewards.registry import make_reward
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task

ROLES = ("policy", "environment", "user_model", "reward_model")


@dataclass(frozen=True, slots=True)
class Volume:
    """How much will be said: dialogues, tokens sampled at most, requests to the servers."""

    dialogues: int
    policy_tokens: int
    requests: int


@dataclass(frozen=True, slots=True)
class Context:
    """The longest possible request of a role. `estimated`: without the model's own tokenizer.

    `too_long` are the users with whom a request may exceed the server's `max_model_len`.
    """

    tokens: int
    estimated: bool
    too_long: tuple[User, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is known of a run before it starts. `warnings` are doubts that do not stop a run.

    `models` are those of the servers that the run starts; `tokenizers` are those of endpoints that
    are asked in token ids.
    """

    config: RunConfig
    task: Task
    intrinsic: IntrinsicReward
    models: dict[str, Model]
    tokenizers: dict[str, Model]
    contexts: dict[str, Context]
    memory: list[MemoryPart]
    volume: Volume
    warnings: list[str]

    def tokenizer_folder(self, server: str) -> Path | None:
        """Where the tokenizer of a server or endpoint lies, or None where it is not here."""
        return _folder({**self.models, **self.tokenizers}, server)

    @property
    def memory_bytes(self) -> int:
        """Main memory of all processes together."""
        return total(self.memory, "memory")

    @property
    def gpus(self) -> float:
        """GPUs that servers and learner take together."""
        return sum(bundle.count * bundle.gpus for bundle in bundles(self.config))

    @property
    def evaluated_users(self) -> int:
        """Held-out users of an evaluation: as many as are asked for, at most all there are."""
        return min(self.config.evaluation.users, len(self.task.users("held_out")))


def _find_server_model(config: RunConfig, server: str, model: str) -> Model:
    field, folder = f"servers.{server}.model", Path(model).expanduser().absolute()
    made = config.supervised.output.expanduser().absolute()
    if folder.parent == made and folder.name in ROLES and not folder.exists():
        raise ConfigError(
            f"{field}: there is no folder {model}; `curio sft` makes it from this config "
            "(supervised.output): call it first, or write an existing model folder"
        )
    return find_model(field, model)


def make_plan(config: RunConfig) -> Plan:
    """Work out the plan.

    Raises:
        ConfigError: the task or the reward cannot be made or breaks a rule, or a model is missing.
    """
    task = make_task(config.task, config.seed)
    walk_task(task, config.task.name)
    intrinsic = make_reward(config.rewards.intrinsic)
    models = {
        name: _find_server_model(config, name, server.model)
        for name, server in config.own_servers.items()
    }
    tokenizers = {
        name: find_model(f"servers.{name}.tokenizer", endpoint.tokenizer)
        for name, endpoint in config.endpoints.items()
        if endpoint.tokenizer is not None
    }
    contexts = {role: _context(config, task, {**models, **tokenizers}, role) for role in ROLES}
    warnings = [
        f"servers.{name}.model: {model.name} is {model.source.value}; "
        + ("its size is not counted" if model.size is None else "its tokens are estimated")
        for name, model in models.items()
        if model.source in (Source.HUB, Source.UNREACHABLE)
    ]
    warnings += model_warnings(config, models)
    warnings += [
        f"roles.{role}: by estimate a dialogue may not fit, as with "
        f"{name_users(context.too_long, task)}; raise "
        f"servers.{getattr(config.roles, role).server}.max_model_len, or those users are left out "
        "of training and are no success in an evaluation"
        for role, context in contexts.items()
        if context.estimated and context.too_long
    ]
    held_out = len(task.users("held_out"))
    if config.evaluation.users > held_out:
        warnings.append(
            f"evaluation.users: the task has {held_out} held-out users, fewer than "
            f"{config.evaluation.users}; all of them are used"
        )
    memory = memory_parts(config, models, contexts["policy"].tokens)
    return Plan(
        config, task, intrinsic, models, tokenizers, contexts, memory,
        _volume(config, task.max_turns), warnings,
    )  # fmt: skip


def name_users(users: Sequence[User], task: Task) -> str:
    """How many users they are, the first few by id and type, and all of them by type."""
    types = Counter(task.user_types[each.type_index] for each in users)
    first = ", ".join(f"{each.id} ({task.user_types[each.type_index]})" for each in users[:3])
    by_type = ", ".join(f"{count} {name}" for name, count in types.most_common())
    return f"{first} ..., {len(users)} users in all: {by_type}" if len(users) > 3 else first


def _folder(found: Mapping[str, Model], server: str) -> Path | None:
    return found[server].folder if server in found else None


def _context(config: RunConfig, task: Task, found: Mapping[str, Model], role: str) -> Context:
    server = getattr(config.roles, role).server
    count = token_counter(_folder(found, server))
    if role == "user_model" and config.roles.user_model.reads == "policy_context":
        role = "policy"
    own = config.own_servers.get(server)
    allowed = None if own is None else own.max_model_len
    longest = longest_context(role, task, config.roles, count or estimate_tokens, allowed)
    return Context(longest.tokens, count is None, longest.too_long)


def _volume(config: RunConfig, turns: int) -> Volume:
    dialogues = config.training.iterations * config.training.dialogues_per_iteration
    user_model = config.roles.user_model
    belief = len(user_model.servers) * user_model.label_orders
    beliefs = 2 * turns if config.rewards.intrinsic.attribution == "reply" else turns
    # a policy turn with its quality terms and the user's reply per turn; beliefs, also at the
    # start; the verdict
    requests = (2 + len(config.rewards.quality)) * turns + belief * (beliefs + 1) + 1
    sampled = dialogues * turns * config.roles.policy.max_tokens
    return Volume(dialogues, sampled, dialogues * requests)
