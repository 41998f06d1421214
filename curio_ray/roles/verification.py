"""Whether each role's context, as it grows in a dialogue, is what its model's template makes.

Looked at with several openings: what a tokenizer joins with its neighbours differs between words,
digits, punctuation, line breaks and scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from curio_ray.config import RunConfig
from curio_ray.config.servers import UserModelRole
from curio_ray.config.supervised import RoleName
from curio_ray.errors import ConfigError, TemplateError
from curio_ray.roles.chat import ChatFormat, ModelFormat
from curio_ray.roles.reading import LabelQuestion, ReadingFormat
from curio_ray.roles.user_model import TranscriptFormat, reader_formats
from curio_ray.tasks.base import Message, ReadingPrompt, Task

SAMPLES = (
    "Yes.", "42", "3.5, or 4?", "...", "?!", "  spaced  out  ", "one\ntwo\n\nthree", "- a\n- b",
    "(yes)", "'quoted'", "Größe: 7°", "你好，世界", "नमस्ते", "مرحبا", "🙂", "a", ".",
)  # fmt: skip

Load = Callable[[str], ModelFormat]


@dataclass(frozen=True, slots=True)
class RoleCheck:
    """One model in one role: where the config names it, its server, and what must not raise.

    `needs` is another server whose tokenizer the check loads as well.
    """

    field: str
    server: str
    run: Callable[[], None]
    needs: str | None = None

    @property
    def servers(self) -> set[str]:
        """The servers whose tokenizers are loaded."""
        return {self.server} if self.needs is None else {self.server, self.needs}

    def problem(self) -> str | None:
        """What cannot work, beginning with the server's field, or None."""
        try:
            self.run()
        except (TemplateError, ConfigError) as error:
            text = str(error)
            # a fault of the template itself names the server already, one of the role's prompts not
            return text if text.startswith("servers.") else f"servers.{self.server}: {text}"
        return None


def role_checks(config: RunConfig, task: Task, load: Load) -> Iterator[RoleCheck]:
    """A check of every model in every role that training asks, in the order of the roles."""
    roles = config.roles
    yield RoleCheck(
        "roles.policy.server",
        roles.policy.server,
        lambda: verify_role("policy", load(roles.policy.server), task),
    )
    yield RoleCheck(
        "roles.environment.server",
        roles.environment.server,
        lambda: verify_role("environment", load(roles.environment.server), task),
    )
    yield from user_model_checks("roles.user_model", roles.user_model, config, task, load)
    yield RoleCheck(
        "roles.reward_model.server",
        roles.reward_model.server,
        lambda: verify_role("reward_model", load(roles.reward_model.server), task),
    )


def evaluation_checks(config: RunConfig, task: Task, load: Load) -> Iterator[RoleCheck]:
    """The same of the second user model and the judge."""
    second, judge = config.evaluation.second_user_model, config.evaluation.judge
    if second is not None:
        yield from user_model_checks("evaluation.second_user_model", second, config, task, load)
    if judge is not None:
        yield RoleCheck(
            "evaluation.judge.server", judge.server, lambda: _verify_judge(load(judge.server), task)
        )


def user_model_checks(
    field: str, role: UserModelRole, config: RunConfig, task: Task, load: Load
) -> Iterator[RoleCheck]:
    """A check of every model of a user model's role."""

    # which only the policy's context needs
    policy = config.roles.policy.server if role.reads == "policy_context" else None

    def check(server: str) -> Callable[[], None]:
        return lambda: _verify_user_model(role, task, load(server), load(policy or server), field)

    for server in role.servers:
        yield RoleCheck(field, server, check(server), policy)


def problems_of(checks: Iterable[RoleCheck]) -> list[str]:
    """A line for each problem, with the fields of all roles that have it."""
    fields: dict[str, list[str]] = {}
    for check in checks:
        problem = check.problem()
        if problem is not None:
            fields.setdefault(problem, []).append(check.field)
    return [f"{', '.join(dict.fromkeys(names))}: {problem}" for problem, names in fields.items()]


def verify_role(role: RoleName, model: ModelFormat, task: Task) -> None:
    """Compare what a model is sent in a role with its full template.

    Raises:
        TemplateError: they differ, or the model cannot tell the role's labels apart.
    """
    if not isinstance(model, ChatFormat):
        return
    user = task.users("train")[0]
    opening = task.opening(user)
    if role == "policy":
        _verify_speaker(model, task.policy_prompt(user))
    elif role == "environment":
        said = [Message("assistant", opening), Message("user", opening)]
        _verify_speaker(model, [Message("system", task.environment_prompt(user)), *said])
    elif role == "user_model":
        _verify_reading(model, task.user_model_prompt())
    else:
        for prompt in (task.reward_model_prompt(user), *task.quality_prompts().values()):
            _verify_reading(model, prompt)


def _verify_speaker(chat: ChatFormat, start: list[Message]) -> None:
    samples = _samples(chat)
    last = start[-1].content
    chat.verify(start, [(last, last)] * 2)
    for first, second in pairwise(samples):
        opened = [*start[:-1], Message(start[-1].role, first)]
        chat.verify(opened, [(first, second), (second, first)])


def _verify_reading(chat: ChatFormat, prompt: ReadingPrompt) -> None:
    _compare_reading(chat, prompt, ReadingFormat(chat, prompt))


def _compare_reading(chat: ChatFormat, prompt: ReadingPrompt, reading: ReadingFormat) -> None:
    if any(chat.spells_mark(text) for text in (prompt.instruction, prompt.question)):
        return
    for sample in _samples(chat):
        reading.verify(sample)


def _verify_user_model(
    role: UserModelRole, task: Task, model: ModelFormat, policy: ModelFormat, field: str
) -> None:
    if not isinstance(model, ChatFormat):
        return
    assert isinstance(policy, ChatFormat)
    for each in reader_formats(role, task, model, policy, field):
        if isinstance(each, TranscriptFormat) and isinstance(each.reading, ReadingFormat):
            _compare_reading(model, each.reading.prompt, each.reading)


def _verify_judge(model: ModelFormat, task: Task) -> None:
    if not isinstance(model, ChatFormat):
        return
    for prompt in task.comparison_prompts(task.users("held_out")[0]).values():
        LabelQuestion(model, prompt.labels)
        for sample in _samples(model):
            message = [Message("user", f"{prompt.instruction}\n{sample}\n{prompt.question}")]
            if not model.spells_mark(message[0].content):
                model.check_equal(model.open(message), message)


def _samples(chat: ChatFormat) -> list[str]:
    """Those whose words the tokenizer knows, since it gives all others one special token."""
    return [each for each in SAMPLES if not chat.spells_mark(each)]
