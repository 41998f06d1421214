"""How fast a run will be, by a simple model of bandwidth and arithmetic.

A decoding step reads the weights and the keys and values of all its sequences once, or computes
two operations per parameter and sequence, whichever takes longer. Reading a prompt takes two
operations per parameter and token, a step of learning six, and each forward pass two: of the
policy, of the start policy, and of the updated policy where `max_update_kl` asks for it. Data
sheets are never reached: the shares below are assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curio_ray.config.servers import ServerConfig
from curio_ray.plan.context import estimate_tokens
from curio_ray.plan.devices import CPU_THREAD, Device
from curio_ray.plan.model_size import BYTES, ModelSize
from curio_ray.plan.plan import Plan

BANDWIDTH_SHARE = 0.8
DECODING_SHARE = 0.5
LEARNING_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of one dialogue that a role samples and reads anew, and its context meanwhile."""

    server: str
    sampled: float
    read: float
    context: float


@dataclass(frozen=True, slots=True)
class ServerSpeed:
    """All replicas of a server together, each for itself: tokens/s sampled or read."""

    server: str
    sampled: float
    read: float
    dialogues: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """`dialogues` per second and what bounds them; the times are of one iteration [s]."""

    servers: list[ServerSpeed]
    dialogues: float
    bound: str
    learner_tokens: float
    collecting_s: float
    learning_s: float


def estimate_throughput(plan: Plan, gpu: Device) -> Throughput | None:
    """The speed of a run whose utterances all have full length; None without the models' sizes.

    Endpoints are taken to answer at once.
    """
    sizes = {name: model.size for name, model in plan.models.items()}
    if any(size is None for size in sizes.values()):
        return None
    known = {name: size for name, size in sizes.items() if size is not None}
    works = list(role_works(plan))
    rollout = plan.config.rollout
    in_flight = rollout.runners * rollout.dialogues_in_flight
    speeds, waiting_s = [], 0.0
    for name, server in plan.config.own_servers.items():
        mine = [work for work in works if work.server == name]
        if mine:
            speed, own_s = _server_speed(name, server, known[name], mine, in_flight, gpu)
            speeds.append(speed)
            waiting_s += own_s
    bounds = {f"server {speed.server}": speed.dialogues for speed in speeds}
    bounds["rollout.dialogues_in_flight"] = in_flight / waiting_s
    bound = min(bounds, key=bounds.__getitem__)
    tokens, learning_s = _learning(plan, known[plan.config.roles.policy.server], gpu)
    collecting_s = plan.config.training.dialogues_per_iteration / bounds[bound]
    return Throughput(speeds, bounds[bound], bound, tokens, collecting_s, learning_s)


def role_works(plan: Plan) -> Iterator[Work]:
    """The work of every role in one dialogue of the most turns and the longest utterances.

    What a server has read before is in its prefix cache, but for the last, unfinished block.
    """
    roles, turns = plan.config.roles, plan.task.max_turns
    said, replied = turns * roles.policy.max_tokens, turns * roles.environment.max_tokens

    def work(role: str, server: str, sampled: float, requests: int, again: int = 0) -> Work:
        context = plan.contexts[role].tokens
        own = plan.config.own_servers.get(server)
        again += own.block_size // 2 if own else 0
        return Work(server, sampled, context - sampled + (requests - 1) * again, context / 2)

    yield work("policy", roles.policy.server, said, turns)
    yield work("environment", roles.environment.server, replied, turns)
    question = estimate_tokens(plan.task.user_model_prompt().question)
    for server in roles.user_model.servers:
        for _ in range(roles.user_model.label_orders):
            yield work("user_model", server, turns + 1, turns + 1, question)
    yield work("reward_model", roles.reward_model.server, 1, 1)


def _server_speed(
    name: str, server: ServerConfig, size: ModelSize, works: list[Work], in_flight: int, gpu: Device
) -> tuple[ServerSpeed, float]:
    """The server's speed, and how long one dialogue waits for it [s]."""
    device = gpu if server.gpus else CPU_THREAD
    units = (min(server.gpus, 1.0) if server.gpus else server.threads) * server.tensor_parallel
    batch = min(server.max_sequences, max(1.0, in_flight / server.replicas))
    context = max(work.context for work in works)
    step_s = _step_s(server, size, batch, context, device, units)
    read = DECODING_SHARE * device.speed * units / (2 * size.parameters)
    sampled = batch / step_s
    busy_s = sum(work.sampled / sampled + work.read / read for work in works)
    waiting_s = sum(work.sampled * step_s + work.read / read for work in works)
    count = server.replicas
    return ServerSpeed(name, sampled * count, read * count, count / busy_s), waiting_s


def _step_s(
    server: ServerConfig,
    size: ModelSize,
    batch: float,
    context: float,
    device: Device,
    units: float,
) -> float:
    weights = size.parameters * BYTES[server.dtype]
    cache = batch * context * size.key_value_bytes(server.dtype)
    traffic_s = (weights + cache) / (BANDWIDTH_SHARE * device.bandwidth * units)
    arithmetic_s = 2 * size.parameters * batch / (DECODING_SHARE * device.speed * units)
    return device.step_s + max(traffic_s, arithmetic_s)


def _learning(plan: Plan, size: ModelSize, gpu: Device) -> tuple[float, float]:
    """Tokens/s of all ranks in the passes of one iteration, and the seconds of one iteration."""
    learner = plan.config.learner
    on_gpu = learner.gpus_per_rank > 0
    units = learner.ranks * (min(learner.gpus_per_rank, 1.0) if on_gpu else learner.threads)
    # frozen weights have no gradient; checkpointed layers are computed twice
    update = (6 if learner.lora is None else 4) + (2 if learner.gradient_checkpointing else 0)
    passes = 1 + learner.has_kl + (learner.max_update_kl is not None)
    operations = 2 * passes + update * learner.epochs
    speed = LEARNING_SHARE * (gpu if on_gpu else CPU_THREAD).speed * units
    tokens_per_s = speed / (operations * size.parameters)
    tokens = plan.config.training.dialogues_per_iteration * plan.contexts["policy"].tokens
    return tokens_per_s, tokens / tokens_per_s
