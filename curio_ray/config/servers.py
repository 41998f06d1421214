"""Model servers, endpoints behind a URL, and the roles that they play."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from curio_ray.config.base import Positive, Seconds, Section
from curio_ray.config.cluster import PlacementConfig

# What transformers or the dialogue itself gives to a template.
RENDERING_ARGUMENTS = (
    "messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt",
    "continue_final_message", "tokenize", "padding", "truncation", "max_length", "return_tensors",
    "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs", "strftime_now",
)  # fmt: skip


def _are_template_values(values: dict[str, Any]) -> dict[str, Any]:
    for name in values:
        if not name.isidentifier() or name in RENDERING_ARGUMENTS:
            raise ValueError(
                f"'{name}' is no value of a chat template; write names that the template itself "
                "reads, such as enable_thinking"
            )
    return values


TemplateValues = Annotated[dict[str, Any], AfterValidator(_are_template_values)]


class ServerConfig(Section):
    """A vLLM engine that this run starts, or several replicas of one."""

    choice: ClassVar[str] = "server"

    model: str
    """A Hugging Face id, a local folder, or one of the packaged pocket:policy,
    pocket:world and pocket:changing_world."""
    chat_template: str | None = None
    """Path of a Jinja file to take instead of the tokenizer's own chat template."""
    chat_template_kwargs: TemplateValues = Field(default_factory=dict)
    """Values that the chat template reads, such as enable_thinking: false."""
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


class EndpointConfig(Section):
    """A model behind a URL, for frozen roles: any service that speaks OpenAI's API."""

    choice: ClassVar[str] = "endpoint"

    url: str
    """Where it answers, up to and including /v1, such as http://host:8000/v1."""
    model: str
    """The model's name there."""
    api: Literal["chat", "completions"] = "chat"
    """chat: asked in messages, as hosted models are. completions: asked in token ids, as vLLM's
    server can be; the dialogues are those of a server of this run."""
    tokenizer: str | None = None
    """The model's tokenizer, for completions: a Hugging Face id, a local folder or a packaged
    model."""
    chat_template: str | None = None
    """For completions: path of a Jinja file to take instead of the tokenizer's own template."""
    chat_template_kwargs: TemplateValues = Field(default_factory=dict)
    """For completions: values that the chat template reads, such as enable_thinking: false."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself stands in no config."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """More fields of every request, as the service takes them; null leaves a field out."""
    max_in_flight: Positive = 64
    """Most requests at once, of all dialogue runners together."""
    request_deadline_s: Seconds = 60
    """Seconds within which one try must be answered."""
    retry_for_s: Seconds = 120
    """Seconds for which a request is tried again after 429, 5xx or a broken connection."""
    longest_pause_s: Seconds = 20
    """Longest pause between two tries; the first is half a second and each doubles."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None or parts.query:
            raise ValueError(
                "an address holds no key or password; write its host and path, and the name of "
                "the environment variable that holds the key in api_key_env"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError("write an address such as http://host:8000/v1")
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("write the address up to /v1, without the path of a request")
        return url.rstrip("/")

    @field_validator("tokenizer")
    @classmethod
    def _belongs_to_completions(cls, tokenizer: str | None, info: ValidationInfo) -> str | None:
        api = info.data.get("api")
        if api == "completions" and tokenizer is None:
            raise ValueError(
                "api: completions asks in token ids; write the model's Hugging Face id or a local "
                "folder, or api: chat"
            )
        if api == "chat" and tokenizer is not None:
            raise ValueError(
                "api: chat asks in messages and needs none; leave it out, or write api: completions"
            )
        return tokenizer

    @field_validator("chat_template", "chat_template_kwargs")
    @classmethod
    def _is_rendered_here(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("api") == "chat":
            raise ValueError(
                "api: chat asks in messages, which the service renders; leave it out, and write "
                "what the service takes into parameters, such as parameters: "
                "{chat_template_kwargs: {enable_thinking: false}}"
            )
        return value

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, name: str | None) -> str | None:
        # the value may be the key itself, so no error shows it
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError(
                "is not the name of an environment variable in capitals; write one such as "
                "OPENAI_API_KEY, and keep the key out of the config"
            )
        return name


_ONLY_OWN = "belongs to a server that this run starts; leave it out, or leave out url"
ServerConfig.elsewhere = {
    name: "belongs to an endpoint behind a URL; write url as well, or leave it out"
    for name in EndpointConfig.model_fields.keys() - ServerConfig.model_fields.keys()
}
EndpointConfig.elsewhere = {
    name: _ONLY_OWN
    for name in ServerConfig.model_fields.keys() - EndpointConfig.model_fields.keys()
}


def _kind(values: Any) -> str:
    if isinstance(values, Section):
        return getattr(values, "choice", ServerConfig.choice)
    is_endpoint = isinstance(values, Mapping) and "url" in values
    return EndpointConfig.choice if is_endpoint else ServerConfig.choice


AnyServerConfig = Annotated[
    Annotated[ServerConfig, Tag("server")] | Annotated[EndpointConfig, Tag("endpoint")],
    Discriminator(_kind),
]


class PolicyRole(Section):
    """The model that learns to talk."""

    server: str
    """Name of the server that serves the policy. It plays no other role, but for a user model that
    reads the policy's own context."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Sampling temperature while training."""
    max_tokens: Positive = 16
    """Most tokens in one turn."""

    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("top_p", "top_k", "min_p", "repetition_penalty"),
        "the policy learns from the log-probabilities of its whole distribution, which this would "
        "cut; leave it out, or change roles.policy.temperature",
    )


class EnvironmentRole(Section):
    """The model that plays the user."""

    server: str
    """Name of the server that plays the user."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Sampling temperature; 0 takes the most likely token."""
    max_tokens: Positive = 16
    """Most tokens in one reply."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the most likely tokens as many are sampled from as have this probability together."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Of the most likely tokens so many are sampled from; 0 means all."""
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Divides the logits of tokens that were said before; 1 changes nothing."""


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
