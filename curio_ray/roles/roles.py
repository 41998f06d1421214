"""The four roles: typed questions to model servers, typed answers back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curio_ray.config import RunConfig
from curio_ray.config.servers import RolesConfig
from curio_ray.dialogue import User
from curio_ray.errors import TemplateError
from curio_ray.roles.chat import ChatFormat, ModelFormat, format_loader, token_format
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.roles.reading import ReadingSession, reading_format
from curio_ray.roles.user_model import UserModel, UserModelFormat
from curio_ray.roles.verification import problems_of, role_checks
from curio_ray.serving.clients import SamplingClient
from curio_ray.tasks.base import Task


@dataclass(frozen=True, slots=True)
class PolicyModel:
    """The model that learns; the dialogue asks it for the next tokens of its context."""

    client: SamplingClient
    chat: ChatFormat
    max_tokens: int


@dataclass(frozen=True, slots=True)
class RewardModel:
    """The model that judges finished dialogues, and single turns of the policy."""

    client: SamplingClient
    form: ModelFormat
    task: Task

    def session(self, user: User, dialogue_id: str) -> ReadingSession:
        """Begin to read a dialogue with this user; label 1 means success."""
        reading = reading_format(self.form, self.task.reward_model_prompt(user), self.task.spoken)
        return reading.session(self.client, dialogue_id)

    def quality_sessions(self, names: Sequence[str], dialogue_id: str) -> dict[str, ReadingSession]:
        """Begin to read for the task's quality terms of these names; label 1 means yes."""
        prompts = self.task.quality_prompts() if names else {}
        return {
            name: reading_format(self.form, prompts[name], self.task.spoken).session(
                self.client, dialogue_id
            )
            for name in names
        }


def _never() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Roles:
    """All roles of a run. `outage_s` counts the seconds during which one of them was lost."""

    policy: PolicyModel
    environment: EnvironmentModel
    user_model: UserModel
    reward_model: RewardModel
    outage_s: Callable[[], float] = _never


class RoleFormats:
    """How the models of all roles are asked; built and verified before any server is asked.

    Raises:
        TemplateError: a model's chat template cannot be extended token by token, or a model
            cannot tell the labels apart that it is to choose from.
    """

    def __init__(self, config: RunConfig, task: Task) -> None:
        roles, load = config.roles, format_loader(config.servers, config.template_clock)
        if problems := problems_of(role_checks(config, task, load)):
            raise TemplateError("\n  ".join(problems))
        self.policy = token_format(load, roles.policy.server)
        self.environment = load(roles.environment.server)
        self.reward_model = load(roles.reward_model.server)
        self.user_model = UserModelFormat(roles.user_model, task, load, self.policy)


def connect_roles(
    roles: RolesConfig, formats: RoleFormats, clients: Mapping[str, SamplingClient], task: Task
) -> Roles:
    """Join each role's format with a client of the server that plays it."""
    return Roles(
        policy=PolicyModel(clients[roles.policy.server], formats.policy, roles.policy.max_tokens),
        environment=EnvironmentModel(
            clients[roles.environment.server],
            formats.environment,
            roles.environment,
        ),
        user_model=formats.user_model.connect(clients),
        reward_model=RewardModel(clients[roles.reward_model.server], formats.reward_model, task),
        outage_s=lambda: sum(client.outage_s for client in clients.values()),
    )
