"""Requests of token ids and their answers: what they hold, and what vLLM makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import ServerError

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

MAX_LABELS = 128


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One continuation to sample, or one distribution over labels to read.

    With `label_ids` set no text is generated: the answer is the log-probabilities of exactly
    those ids at the next position. With `likeliest` it is the likeliest ids there, so many of them.
    `seed` makes the sampling of this request repeatable. With `top_p`, `top_k` and
    `repetition_penalty` as they are the whole distribution is sampled from.
    """

    prompt_ids: list[int]
    max_tokens: int = 1
    temperature: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    label_ids: tuple[int, ...] | None = None
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    likeliest: int = 0


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """The answer to a `GenerateRequest`.

    `token_ids` includes the stop token where one was sampled. `log_probs` and `weight_versions`
    have one entry per token, and none where an endpoint answered. `label_log_probs` is set for
    label requests only, in the order asked, not renormalised, and `likeliest`, ids with their
    log-probs, for requests of these only. `cached_tokens` counts prompt tokens served from the
    prefix cache. `finish_reason` tells why a continuation ended: "stop" at a stop
    token, "length" at `max_tokens`, or another word of an endpoint.
    """

    token_ids: list[int]
    log_probs: list[float]
    weight_versions: list[int]
    label_log_probs: list[float] | None = None
    cached_tokens: int = 0
    finish_reason: str | None = None
    likeliest: list[tuple[int, float]] | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One answer to a chat, or one distribution over labels with which the answer begins.

    `messages` have the keys role and content. With `labels` set only their log-probabilities at the
    beginning of the answer are asked for. Only endpoints answer such requests.
    """

    messages: list[dict[str, str]]
    max_tokens: int = 1
    temperature: float = 0.0
    seed: int | None = None
    labels: tuple[str, ...] | None = None
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class ChatResult:
    """The answer to a `ChatRequest`. `label_log_probs` are in the order asked, not renormalised.

    `finish_reason` is that of a `GenerateResult`. `likeliest` are the first tokens of the answer
    that the endpoint lists, with their log-probs, where labels were asked for.
    """

    text: str
    label_log_probs: list[float] | None = None
    finish_reason: str | None = None
    likeliest: list[tuple[str, float]] | None = None


def sampling_parameters(request: GenerateRequest) -> SamplingParams:
    """vLLM's parameters of one request.

    Labels are read greedily: the log-probs of a greedy request are those at temperature 1.
    Only the listed stop tokens end a continuation, not the model's own end-of-sequence token.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    if request.label_ids is not None or request.likeliest:
        labels = None if request.label_ids is None else list(request.label_ids)
        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprobs=request.likeliest or None,
            logprob_token_ids=labels,
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            skip_clone=True,
        )
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        repetition_penalty=request.repetition_penalty,
        seed=request.seed,
        stop_token_ids=list(request.stop_token_ids),
        ignore_eos=True,
        logprobs=0,
        output_kind=RequestOutputKind.FINAL_ONLY,
        detokenize=False,
        skip_clone=True,
    )


def result_of(request: GenerateRequest, output: RequestOutput) -> GenerateResult:
    """The typed answer in a finished vLLM output.

    Raises:
        ServerError: vLLM left out log-probs or weight versions.
    """
    completion = output.outputs[0]
    cached = output.num_cached_tokens or 0
    if completion.logprobs is None:
        raise ServerError(f"vLLM returned no log-probs ({completion.finish_reason})")
    if request.label_ids is not None:
        position = completion.logprobs[0]
        labels = [position[label].logprob for label in request.label_ids]
        return GenerateResult([], [], [], label_log_probs=labels, cached_tokens=cached)
    if request.likeliest:
        listed = [(token, found.logprob) for token, found in completion.logprobs[0].items()]
        return GenerateResult([], [], [], cached_tokens=cached, likeliest=most_likely(listed))
    token_ids = list(completion.token_ids)
    log_probs = [
        position[token].logprob
        for position, token in zip(completion.logprobs, token_ids, strict=True)
    ]
    versions = [
        int(span.version)
        for span in completion.weight_versions or ()
        for _ in range(span.start, span.end)
    ]
    if len(versions) != len(token_ids):
        raise ServerError(f"vLLM gave {len(versions)} weight versions to {len(token_ids)} tokens")
    return GenerateResult(
        token_ids,
        log_probs,
        versions,
        cached_tokens=cached,
        finish_reason=completion.finish_reason,
    )


def most_likely(listed: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Ids with their log-probs, the likeliest first."""
    return sorted(listed, key=lambda token: -token[1])


def too_long(server: str, max_model_len: int, request: GenerateRequest) -> str | None:
    """Why a request does not fit into the model's context, or None."""
    length = len(request.prompt_ids)
    new_tokens = 1 if request.label_ids is not None else request.max_tokens
    if length + new_tokens <= max_model_len:
        return None
    return (
        f"server '{server}': {length} prompt tokens and {new_tokens} new ones exceed "
        f"servers.{server}.max_model_len = {max_model_len}; raise it to at least "
        f"{length + new_tokens}, or shorten the dialogue"
    )


def refusal(
    server: str, config: ServerConfig, vocabulary_size: int, request: GenerateRequest
) -> str | None:
    """Why a request cannot be served, or None.

    vLLM itself does not refuse an unknown prompt id: the whole engine dies of it.
    """
    if not request.prompt_ids:
        return f"server '{server}': a request needs at least one prompt token"
    if (problem := too_long(server, config.max_model_len, request)) is not None:
        return problem
    if request.label_ids is not None and not 0 < len(request.label_ids) <= MAX_LABELS:
        return (
            f"server '{server}': {len(request.label_ids)} label ids in one request; "
            f"ask for 1 to {MAX_LABELS}"
        )
    ids = [*request.prompt_ids, *(request.label_ids or ())]
    if min(ids) < 0 or max(ids) >= vocabulary_size:
        return (
            f"server '{server}': a token id lies outside 0 to {vocabulary_size - 1}, the "
            f"vocabulary of servers.{server}.model; use the tokenizer of that model"
        )
    return None
