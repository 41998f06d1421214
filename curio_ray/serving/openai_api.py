"""Requests and answers in the words of OpenAI's API, with what vLLM's server adds to it.

Checked against vLLM 0.32: `vllm/entrypoints/openai/{completion,chat_completion}/protocol.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from curio_ray.errors import ServerError
from curio_ray.serving.requests import (
    ChatRequest,
    ChatResult,
    GenerateRequest,
    GenerateResult,
    most_likely,
)

# What the API allows at most.
TOP_LOG_PROBS = 20
LARGEST_UNKNOWN_SHARE = 0.02
"""How much of the labels' probability may be an upper bound only."""


def completion_body(request: GenerateRequest) -> dict[str, Any]:
    """The body of a request at /completions, in token ids."""
    if request.label_ids is not None:
        return {
            "prompt": request.prompt_ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": 1,
            "logprob_token_ids": list(request.label_ids),
            "return_tokens_as_token_ids": True,
        }
    if request.likeliest:
        return {
            "prompt": request.prompt_ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": request.likeliest,
            "return_tokens_as_token_ids": True,
        }
    body = {
        "prompt": request.prompt_ids,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "stop_token_ids": list(request.stop_token_ids),
        "ignore_eos": True,
        "return_token_ids": True,
        # a server may have other defaults, from the model's generation_config.json
        "top_p": request.top_p,
        "top_k": request.top_k,
        "min_p": 0.0,
        "repetition_penalty": request.repetition_penalty,
    }
    return body if request.seed is None else {**body, "seed": request.seed}


def completion_result(request: GenerateRequest, answer: Mapping[str, Any]) -> GenerateResult:
    """The typed answer of /completions.

    Raises:
        ServerError: it has no token ids, or not the log-probs of all labels.
    """
    choice = _only_choice(answer)
    if request.likeliest:
        found = ((choice.get("logprobs") or {}).get("top_logprobs") or [{}])[0] or {}
        ids = [(int(name.removeprefix("token_id:")), value) for name, value in found.items()]
        return GenerateResult([], [], [], likeliest=most_likely(ids))
    if request.label_ids is None:
        token_ids = choice.get("token_ids")
        if not isinstance(token_ids, list):
            raise ServerError("returns no token ids, as vLLM's server does; write api: chat")
        return GenerateResult(token_ids, [], [], finish_reason=choice.get("finish_reason"))
    positions = (choice.get("logprobs") or {}).get("top_logprobs") or [{}]
    names = [f"token_id:{label}" for label in request.label_ids]
    missing = [name for name in names if name not in (positions[0] or {})]
    if missing:
        raise ServerError(
            f"returns no log-probs of {len(missing)} of {len(names)} labels, as vLLM's server does "
            "for logprob_token_ids; write api: chat, or let it play the user only"
        )
    return GenerateResult([], [], [], label_log_probs=[positions[0][name] for name in names])


def chat_body(request: ChatRequest) -> dict[str, Any]:
    """The body of a request at /chat/completions."""
    body: dict[str, Any] = {
        "messages": request.messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.labels is None:
        body |= _chat_sampling(request)
    else:
        body |= {"logprobs": True, "top_logprobs": TOP_LOG_PROBS}
    return body if request.seed is None else {**body, "seed": request.seed}


def _chat_sampling(request: ChatRequest) -> dict[str, Any]:
    """What of a distribution is sampled from; what OpenAI's API lacks only where it is asked for.

    A server's own default of top_p would hold where none is sent.
    """
    sampling: dict[str, Any] = {"top_p": request.top_p} if request.temperature > 0 else {}
    if request.top_k:
        sampling["top_k"] = request.top_k
    if request.repetition_penalty != 1.0:
        sampling["repetition_penalty"] = request.repetition_penalty
    return sampling


def chat_result(request: ChatRequest, answer: Mapping[str, Any]) -> ChatResult:
    """The typed answer of /chat/completions.

    Raises:
        ServerError: it gives no log-probs, or the labels are not among the most likely answers.
    """
    choice = _only_choice(answer)
    text = (choice.get("message") or {}).get("content") or ""
    if request.labels is None:
        return ChatResult(text.strip(), finish_reason=choice.get("finish_reason"))
    content = (choice.get("logprobs") or {}).get("content") or []
    listed = content[0].get("top_logprobs") if content else None
    if not listed:
        raise ServerError(
            "returns no log-probs, which beliefs and verdicts are made of; let it play the user "
            "only, or name a model or service that gives them"
        )
    first = [(each["token"], each["logprob"]) for each in listed]
    return ChatResult(text.strip(), label_log_probs(request.labels, first), likeliest=first)


def label_log_probs(labels: Sequence[str], listed: Sequence[tuple[str, float]]) -> list[float]:
    """Log-probs of labels from the most likely first tokens of an answer.

    A label has the probability of all listed tokens that begin it and no other label; white space
    before a token does not count, nor does the case of several letters. One without such a token
    has at most the probability of the least likely token, and of all that are not listed, and is
    given that bound.

    Raises:
        ServerError: the bounds are more than `LARGEST_UNKNOWN_SHARE` of the labels' probability.
    """
    found = dict.fromkeys(labels, 0.0)
    for token, log_prob in listed:
        begun = [label for label in labels if _begins(token.strip(), label)]
        if len(begun) == 1:
            found[begun[0]] += math.exp(log_prob)
    rest = max(0.0, 1.0 - sum(math.exp(log_prob) for _, log_prob in listed))
    bound = max(min(rest, math.exp(min(log_prob for _, log_prob in listed))), math.exp(-100.0))
    known = sum(found.values())
    unknown = bound * sum(each == 0.0 for each in found.values())
    if unknown > LARGEST_UNKNOWN_SHARE * (known + unknown):
        shown = ", ".join(repr(token) for token, _ in listed[:5])
        raise ServerError(
            f"does not answer with one of the labels {', '.join(labels)}: they have a probability "
            f"of {known:.2g} among the {len(listed)} most likely first tokens ({shown} ...); name "
            "a model that follows the question, or a task with other labels"
        )
    return [math.log(each or bound) for each in found.values()]


def _begins(token: str, label: str) -> bool:
    if len(token) > 1:
        return label.casefold().startswith(token.casefold())
    return bool(token) and label.startswith(token)


def error_detail(body: str) -> str:
    """The reason in the body of an error, at most 300 characters."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body
    if not found:
        return ""
    if isinstance(found, dict):
        error = found.get("error", found.get("message", found.get("detail", body)))
        found = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(found).split())[:300]


def _only_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ServerError("answers with something else than OpenAI's API; correct its url")
    return choices[0]
