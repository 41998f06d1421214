"""Model servers and the roles that they play."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curio_ray.config.base import Positive, Seconds, Section


class ServerConfig(Section):
    """A vLLM engine, or several replicas of one.

    `model` is a Hugging Face id, a local folder, or one of the packaged `pocket:policy` and
    `pocket:world`. `engine` is `in_process` (the engine lives in the actor, best on CPU) or
    `async` (vLLM's AsyncLLM with an engine process of its own, best on GPUs).
    """

    model: str
    engine: Literal["in_process", "async"] = "in_process"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    replicas: Positive = 1
    max_model_len: Positive = 512
    max_sequences: Positive = 128
    kv_cache_gib: Annotated[float, Field(gt=0)] = 0.25
    block_size: Literal[16, 32, 64, 128] = 32
    threads: Positive = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    tensor_parallel: Positive = 1
    start_deadline_s: Seconds = 300
    request_deadline_s: Seconds = 120


class PolicyRole(Section):
    """The model that learns to talk."""

    server: str
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: Positive = 16


class EnvironmentRole(Section):
    """The model that plays the user."""

    server: str
    temperature: Annotated[float, Field(ge=0)] = 0.0
    max_tokens: Positive = 16


class ReadingRole(Section):
    """A model that reads the dialogue and answers with a distribution over labels."""

    server: str


class RolesConfig(Section):
    """Which server plays which role. Frozen roles may share one server."""

    policy: PolicyRole
    environment: EnvironmentRole
    user_model: ReadingRole
    reward_model: ReadingRole


class WeightTransferConfig(Section):
    """How new policy weights travel from the learner to the policy's servers."""

    backend: Literal["shared_memory", "nccl", "ipc"] = "shared_memory"
    deadline_s: Seconds = 120
