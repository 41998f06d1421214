"""The readers of a run or an evaluation, asked about real openings before the first dialogue."""

from __future__ import annotations

from collections.abc import Sequence

from curio_ray.config import RunConfig
from curio_ray.evaluation.pair_judge import PairJudge
from curio_ray.evaluation.second_user_model import SecondUserModel
from curio_ray.roles.label_check import check_label_mass, role_readers
from curio_ray.roles.roles import RoleFormats
from curio_ray.rollout.assignment import RolloutOptions
from curio_ray.serving.launch import ServerSet
from curio_ray.tasks.base import Task


def check_readers(
    config: RunConfig,
    task: Task,
    formats: RoleFormats,
    servers: ServerSet,
    options: Sequence[RolloutOptions],
    second: SecondUserModel | None,
    judge: PairJudge | None = None,
) -> None:
    """Refuse readers whose labels hold less than `training.stops.label_mass`; null refuses none.

    Args:
        config: of the run.
        task: its task.
        formats: how the models of its roles are asked.
        servers: ready to answer.
        options: how dialogues will be held, so that the reward model is asked what it will be.
        second: the second user model, where there is one.
        judge: the judge of two dialogues, where there is one.

    Raises:
        ServerError: a reader answers with something else than its labels.
    """
    judged = any(each.judged for each in options)
    quality = dict.fromkeys(name for each in options for name in each.quality)
    readers = role_readers(formats, task, config.roles.reward_model.server, judged, list(quality))
    readers += [] if second is None else second.readers()
    readers += [] if judge is None else judge.readers()
    check_label_mass(readers, task, servers.client, config.training.stops.label_mass)
