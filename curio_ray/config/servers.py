"""Model servers and the roles that they play."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from curio_ray.config.base import Positive, Seconds, Section
from curio_ray.config.cluster import PlacementConfig


class ServerConfig(Section):
    """A vLLM engine, or several replicas of one."""

    model: str
    """A Hugging Face id, a local folder, or one of the packaged pocket:policy,
    pocket:world and pocket:changing_world."""
    engine: Literal["in_process", "async"] = "in_process"
    """in_process: the engine lives in its actor's own process, best on CPU. async: vLLM's
    AsyncLLM with a process of its own, best on GPUs."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of weights and KV cache. On CPU float32 is the fast one."""
    replicas: Positive = 1
    """How many engines serve this model; a dialogue stays with one of them."""
    max_model_len: Positive = 512
    """Longest request in tokens, answer included."""
    max_sequences: Positive = 128
    """Most requests that an engine works on at once."""
    kv_cache_gib: Annotated[float, Field(gt=0)] = 0.25
    """Memory for keys and values, GiB per replica."""
    block_size: Literal[16, 32, 64, 128] = 32
    """Tokens per block of the KV cache; the prefix cache works in whole blocks."""
    threads: Positive = 1
    """Threads of each engine on CPU. With more threads than free cores every operator waits."""
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs per engine process; 0 means CPU."""
    tensor_parallel: Positive = 1
    """Over how many processes each engine splits the model."""
    placement: PlacementConfig = PlacementConfig()
    """Where the replicas lie."""
    start_deadline_s: Seconds = 300
    """Seconds within which the engine must be ready."""
    request_deadline_s: Seconds = 120
    """Seconds within which a request must be answered."""


class PolicyRole(Section):
    """The model that learns to talk."""

    server: str
    """Name of the server that serves the policy. It plays no other role, but for a user model that
    reads the policy's own context."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature while training."""
    max_tokens: Positive = 16
    """Most tokens in one turn."""


class EnvironmentRole(Section):
    """The model that plays the user."""

    server: str
    """Name of the server that plays the user."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature; 0 takes the most likely token."""
    max_tokens: Positive = 16
    """Most tokens in one reply."""


class ReadingRole(Section):
    """A model that reads the dialogue and answers with a distribution over labels."""

    server: str
    """Name of the server that reads the dialogue."""


class UserModelRole(ReadingRole):
    """The model, or several, whose distribution over the user types is the belief."""

    reads: Literal["transcript", "policy_context"] = "transcript"
    """transcript: the conversation as text, with the task's question. policy_context: the policy's
    own context, with the beginning of the answer that it would give now."""
    hears: Literal["dialogue", "user_words"] = "dialogue"
    """dialogue: what both say. user_words: what the user says, and nothing of the policy."""
    others: tuple[str, ...] = ()
    """Names of more servers that read in the same way; the belief is the mean of all."""
    label_orders: Positive = 1
    """Over how many orders of the labels in its prompt each model is averaged."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the log-probabilities of the averaged labels; `curio calibrate` fits it."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of all servers that are asked for a belief."""
        return (self.server, *self.others)

    @field_validator("hears")
    @classmethod
    def _context_holds_both(cls, hears: str, info: ValidationInfo) -> str:
        if hears == "user_words" and info.data.get("reads") == "policy_context":
            raise ValueError(
                "the policy's context holds its own words; write dialogue, or reads: transcript"
            )
        return hears

    @field_validator("others")
    @classmethod
    def _others_differ(cls, others: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        everyone = [info.data.get("server"), *others]
        for name in others:
            if everyone.count(name) > 1:
                raise ValueError(f"'{name}' is named twice; write each server once")
        return others

    @field_validator("label_orders")
    @classmethod
    def _context_has_no_labels(cls, label_orders: int, info: ValidationInfo) -> int:
        if label_orders > 1 and info.data.get("reads") == "policy_context":
            raise ValueError("the policy's context lists no labels; write 1, or reads: transcript")
        return label_orders


class RolesConfig(Section):
    """Which server plays which role. Frozen roles may share one server."""

    policy: PolicyRole
    """Who talks and learns."""
    environment: EnvironmentRole
    """Who plays the user."""
    user_model: UserModelRole
    """Who believes which type the user is of."""
    reward_model: ReadingRole
    """Who judges the finished dialogue."""


class WeightTransferConfig(Section):
    """How new policy weights travel from the learner to the policy's servers."""

    backend: str = "shared_memory"
    """shared_memory: through Ray's object store, which processes of a node share and which copies
    between nodes; adapters are merged into the weights. adapters: the same way, but
    `learner.lora`'s adapters alone, by vLLM's LoRA requests. nccl or ipc between GPUs. Or a class
    of your own as module:Class."""
    deadline_s: Seconds = 120
    """Seconds within which a transfer must be over."""
